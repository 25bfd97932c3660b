"""What is common to all protocols: kinds of questions, several references, counts, notes, the evaluate shell."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

import evaluate
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from medglip.eval.catalog import VQA_PROTOCOLS
from medglip.eval.hf_metrics import ReportNgrams, VQAScores
from medglip.eval.protocols import exact_match
from medglip.eval.settings import EvalSettings, VqaProtocol
from medglip.eval.tasks.vqa import AnsweredQuestion, measure_vqa, vqa_measures
from medglip.grounding.bad_input import BadInput

# a judge needs a server, choosing needs options: test_judge.py, test_multiple_choice.py
NAMES = [name for name in get_args(VqaProtocol) if name not in ("judge", "multiple_choice")]
PREDICTIONS = ["Yes.", "nodule", "no", "right", "Left lung", "the right upper lung"]
REFERENCES = ["yes", "no", "yes", "Right", "left lung", "right lung"]
TYPES = ["closed", "CLOSED ", "closed", "closed", "open", "OPEN"]


def _questions(
    predictions: list[str] = PREDICTIONS, references: list[Any] = REFERENCES, types: list[str] = TYPES
) -> list[AnsweredQuestion]:
    rows = enumerate(zip(predictions, references, types, strict=True))
    return [
        AnsweredQuestion(
            id=f"s{row}",
            prediction=text,
            references=tuple(answer if isinstance(answer, list) else [answer]),
            answer_type=kind,
        )
        for row, (text, answer, kind) in rows
    ]


def _measured(questions: list[AnsweredQuestion], **choices: Any) -> tuple[dict[str, float], dict[str, int]]:
    chosen = EvalSettings(**choices)
    found, counts = vqa_measures(questions, VQA_PROTOCOLS[chosen.protocol].load().rules(chosen), chosen)
    return {name: part.value for name, part in found.items()}, counts


def test_the_table_holds_every_protocol() -> None:
    assert sorted(VQA_PROTOCOLS) == sorted(get_args(VqaProtocol))
    assert all(name == entry.load().PROTOCOL and entry.load().VERSION for name, entry in VQA_PROTOCOLS.items())


def test_exact_match_by_hand() -> None:
    values, counts = _measured(_questions())
    assert values == pytest.approx(
        {
            "open_accuracy": 1 / 2,
            "open_f1": (1 + 4 / 5) / 2,
            "open_recall": 1.0,
            "closed_accuracy": 2 / 4,
            "overall_accuracy": 3 / 6,
        }
    )
    assert counts == {
        **{"n": 6, "scored": 5, "abstained": 1, "failed": 0, "skipped": 0},
        **{"open": 2, "closed": 4, "yes_no": 3, "closed_by_reference": 0},
    }


def test_metrics_of_each_protocol() -> None:
    names = {protocol: set(_measured(_questions(), protocol=protocol)[0]) for protocol in NAMES}
    assert names["lmms_slake"] == {"open_accuracy", "closed_accuracy", "overall_accuracy"}
    assert names["exact_match"] == names["lmms_slake"] | {"open_f1", "open_recall"}
    assert names["medevalkit_rule"] > names["exact_match"] | {"open_precision", "open_bleu_4"}
    assert names["llava_med"] > {"open_recall", "open_f1", "open_precision", "open_exact_match", "closed_accuracy"}
    assert not names["llava_med"] & {"open_accuracy", "overall_accuracy"}


def test_substrings_count_where_the_protocol_says_so() -> None:
    closed = {protocol: _measured(_questions(), protocol=protocol)[0]["closed_accuracy"] for protocol in NAMES}
    # "Yes." yes; "nodule" no; "no" yes; "right" Right
    assert closed == {"exact_match": 2 / 4, "llava_med": 2 / 4, "medevalkit_rule": 3 / 4, "lmms_slake": 2 / 4}


@pytest.mark.parametrize("protocol", NAMES)
def test_what_is_closed(protocol: str) -> None:
    questions = _questions(["yes"] * 4, ["yes", "left", "Yes", "left"], ["OPEN", "closed", "", " "])
    _, by_type = _measured(questions, protocol=protocol)
    _, by_reference = _measured(questions, protocol=protocol, closed_def="yes_no")
    assert (by_type["closed"], by_type["yes_no"], by_type["closed_by_reference"]) == (2, 1, 2)
    assert (by_reference["closed"], by_reference["yes_no"], by_reference["closed_by_reference"]) == (2, 2, 0)


@pytest.mark.parametrize("protocol", NAMES)
def test_the_best_of_several_references(protocol: str) -> None:
    texts = ["yes", "left lung", "heart"]
    one = _measured(_questions(texts, ["yes", "left lung", "heart"], ["closed", "open", "open"]), protocol=protocol)
    several = [["no", "yes"], ["lung", "left lung"], ["heart", "the aorta of it"]]
    assert _measured(_questions(texts, several, ["closed", "open", "open"]), protocol=protocol) == one


@pytest.mark.parametrize("protocol", NAMES)
def test_nothing_is_dropped_silently(protocol: str) -> None:
    questions = _questions(
        ["", " \n", "perhaps", "yes", "lung"], ["yes", "lung", "no", "yes", "x"], ["", "", "", "", ""]
    )
    questions.append(AnsweredQuestion(id="blank", prediction="lung", references=()))
    values, counts = _measured(questions, protocol=protocol)
    assert [counts[name] for name in ("n", "scored", "abstained", "failed", "skipped")] == [6, 2, 1, 2, 1]
    assert values["closed_accuracy"] == 1 / 3


def test_bad_answer_types_and_missing_references_are_named() -> None:
    with pytest.raises(BadInput, match=r"'closd' of 's0'.*did you mean 'closed'"):
        _measured(_questions(["yes"], ["yes"], ["closd"]))
    assert _measured(_questions(["yes"], ["yes"], ["closd"]), closed_def="yes_no")[1]["closed"] == 1
    with pytest.raises(BadInput, match="no question has a reference"):
        _measured([AnsweredQuestion(id="a", prediction="yes", references=())])


def test_records_are_measured_with_notes(record: Callable[..., Any]) -> None:
    rows = [record(0, "vqa", "yes", "yes"), record(1, "vqa", ["a mass", "lump"], "Lump", answer_type="OPEN")]
    rows += [record(2, "vqa", "", "x", cluster_id=""), record(3, "vqa", [], "x", cluster_id="image3")]
    found = measure_vqa(rows, EvalSettings())
    assert found.measures["open_accuracy"].value == 1.0
    assert found.measures["overall_accuracy"].rows_N.tolist() == [0, 1]
    assert found.clusters == ["toy/patient0", "toy/patient0", "toy/image2", "toy/image3"]
    assert found.counts["clustered_by_image"] == 2
    assert "1 of 4 questions have no answer_type" in found.notes[0]
    assert "2 questions are skipped, they have no reference answer: s2, s3" in found.notes[1]


TEXTS = st.sampled_from(["yes", "no", "Yes, no", "", " ", "nodule", "left lung", "The lung.", "1.5", "x-ray", "two"])
ANSWERED = st.lists(st.tuples(TEXTS, TEXTS, st.sampled_from(["open", "closed", ""])), min_size=1, max_size=8)


@pytest.mark.parametrize("protocol", NAMES)
@settings(deadline=None, max_examples=50)
@given(rows=ANSWERED, data=st.data())
def test_counts_add_up_and_order_does_not_matter(protocol: str, rows: list[Any], data: st.DataObject) -> None:
    def made(some: list[Any]) -> list[AnsweredQuestion]:
        return [
            AnsweredQuestion(id="q", prediction=text, references=(answer,) if answer.strip() else (), answer_type=kind)
            for text, answer, kind in some
        ]

    if not any(answer.strip() for _, answer, _ in rows):
        return
    values, counts = _measured(made(rows), protocol=protocol)
    assert counts["n"] == counts["scored"] + counts["abstained"] + counts["failed"] + counts["skipped"] == len(rows)
    assert counts["open"] + counts["closed"] + counts["skipped"] == counts["n"]
    assert all(0 <= value <= 1 for value in values.values())
    again, counts_again = _measured(made(data.draw(st.permutations(rows))), protocol=protocol)
    assert counts_again == counts
    assert again == pytest.approx(values)


@settings(deadline=None)
@given(st.text(min_size=1, max_size=20), st.sampled_from(["open", "closed", ""]))
def test_the_reference_itself_is_right(text: str, kind: str) -> None:
    if text.strip() and "<" not in text:  # tokens of a model, such as <unk> and <think>, are no words of an answer
        values, counts = _measured([AnsweredQuestion(id="q", prediction=text, references=(text,), answer_type=kind)])
        assert set(values.values()) == {1.0}
        assert counts["scored"] == 1


@settings(deadline=None)
@given(st.text(max_size=20, alphabet="a1.,-'yesno \n"))
def test_normalisation_twice_is_once(text: str) -> None:
    clean = exact_match.normalize(text)
    assert exact_match.normalize(clean) == clean


def test_evaluate_combines_instances_offline() -> None:
    both = evaluate.combine([VQAScores(), ReportNgrams()])
    found = both.compute(predictions=PREDICTIONS, references=REFERENCES, answer_types=TYPES)
    assert found["closed_accuracy"] == 0.5
    assert 0 < found["bleu_1"] < 1


def test_evaluate_takes_a_protocol_and_lists(tmp_path: Path) -> None:
    path = tmp_path / "candidates.json"
    path.write_text(json.dumps({"0": ["left lung", "heart"]}))
    metric = VQAScores(protocol="llava_med", candidates=path)
    found = metric.compute(
        predictions=["the left", "no"], references=[["Left lung"], ["no"]], answer_types=["open", ""]
    )
    assert found is not None
    assert (found["open_accuracy"], found["open_recall"], found["closed_accuracy"]) == (1.0, 0.5, 1.0)
