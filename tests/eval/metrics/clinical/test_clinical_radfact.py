from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from medglip.eval.hf_metrics import RadCliQ, RadFact
from medglip.eval.metrics.clinical.radcliq import SubScores, measures
from medglip.eval.metrics.clinical.radfact import Phrase, Verdicts, box_precision, fractions, radfact_measures
from medglip.eval.metrics.fields import field_measures
from medglip.eval.settings import EvalSettings
from medglip.eval.statistics.bootstrap import estimates
from medglip.eval.tasks.report import measure_report
from medglip.grounding.bad_input import BadInput

Make = Callable[..., Any]
BOX = [0.1, 0.1, 0.2, 0.2]
ELSEWHERE = [0.3, 0.3, 0.4, 0.4]


def _phrase(entailed: bool, boxes: Any = None, evidence: Any = None) -> dict[str, Any]:
    status = "entailed" if entailed else "not_entailed"
    return {"phrase": "p", "status": status, "boxes": boxes or [], "evidence_boxes": evidence or []}


def _fractions(*phrases: dict[str, Any]) -> tuple[float, float, float]:
    return fractions([Phrase.model_validate(phrase) for phrase in phrases])


def test_fractions_by_hand() -> None:
    phrases = (
        _phrase(True),
        _phrase(True, [BOX], [BOX]),
        _phrase(True, [ELSEWHERE], [BOX]),
        _phrase(False),
        _phrase(False, [BOX]),
    )
    assert _fractions(*phrases) == pytest.approx((3 / 5, 1 / 3, 1 / 2))


def test_boxes_need_more_than_half_and_evidence() -> None:
    whole, half = (0.0, 0.0, 0.5, 0.5), (0.0, 0.0, 0.25, 0.5)
    assert box_precision([whole], [half]) == 0.5
    assert _fractions(_phrase(True, [whole], [half]))[1:] == (0.0, 0.0)  # at one half, not above it
    assert _fractions(_phrase(True, [half], [whole]))[1:] == (1.0, 1.0)
    assert _fractions(_phrase(True, [half]))[1:] == (0.0, 0.0)
    assert _fractions(_phrase(False, [half], [half]))[1] == 0.0  # in place, but not true


def test_boxes_are_cut_to_the_grid() -> None:
    thin = (0.5, 0.5, 0.5 + 0.9 / 224, 0.6)  # less than a pixel
    assert np.isnan(box_precision([thin], [thin]))
    assert _fractions(_phrase(True, [list(thin)], [list(thin)]))[1:] == (0.0, 0.0)
    assert box_precision([(0, 0, 3.9 / 224, 1)], [(0, 0, 2.9 / 224, 1)]) == pytest.approx(2 / 3)


def test_overlapping_boxes_count_once() -> None:
    twice = [(0.0, 0.0, 0.5, 0.5), (0.0, 0.0, 0.5, 0.5), (0.5, 0.5, 1.0, 1.0)]
    assert box_precision(twice, twice[:1]) == 0.5


def test_a_report_by_hand() -> None:
    """The cat, the dog with one box too many, the bird without its box, and one phrase of each side's own."""
    cat, dog, dog_2, bird = BOX, ELSEWHERE, [0.5, 0.5, 0.6, 0.6], [0.5, 0.5, 0.6, 0.6]
    candidate = [_phrase(True, [cat], [cat]), _phrase(True, [dog, dog_2], [dog]), _phrase(True, [], [bird])]
    reference = [_phrase(True, [cat], [cat]), _phrase(True, [dog], [dog, dog_2]), _phrase(True, [bird])]
    own = [_phrase(False)]
    given = Verdicts.model_validate({"candidate": candidate + own, "reference": reference + own})
    found = {name.removeprefix("radfact_"): part.value for name, part in radfact_measures([given]).items()}
    assert found == pytest.approx(
        {
            "logical_precision": 0.75,
            "logical_recall": 0.75,
            "logical_f1": 0.75,
            "spatial_precision": 0.5,
            "spatial_recall": 2 / 3,
            "spatial_f1": 4 / 7,
            "grounding_precision": 0.5,
            "grounding_recall": 2 / 3,
            "grounding_f1": 4 / 7,
        }
    )


def test_f1_is_that_of_the_means_and_undefined_reports_are_passed_over() -> None:
    verdicts = [
        Verdicts.model_validate({"candidate": [_phrase(True)], "reference": [_phrase(True), _phrase(False)]}),
        Verdicts.model_validate({"candidate": [_phrase(False)], "reference": [_phrase(False)]}),
        Verdicts.model_validate({"candidate": [], "reference": [_phrase(True)]}),  # nothing written: no precision
    ]
    found = radfact_measures(verdicts)
    assert found["radfact_logical_precision"].value == pytest.approx(1 / 2)
    assert found["radfact_logical_recall"].value == pytest.approx(1.5 / 3)
    assert found["radfact_logical_f1"].value == pytest.approx(1 / 2)
    weights = np.array([[2.0, 0.0, 1.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]])
    assert found["radfact_logical_f1"].value_at(weights) == pytest.approx(
        [2 * (2 / 3) / (1 + 2 / 3), 0, np.nan], nan_ok=True
    )
    assert np.isnan(found["radfact_spatial_f1"].value)


def test_undefined_measures_are_named(record: Make) -> None:
    given = {"radfact": {"candidate": [_phrase(True, [BOX], [BOX])], "reference": [_phrase(True)]}}
    found, notes = field_measures([record(0, "report", "a", "b", meta=given)], EvalSettings())
    assert [name for name in found if "spatial" in name or "grounding" in name] == [
        "radfact_spatial_precision",
        "radfact_grounding_precision",
    ]
    assert notes[0].startswith("Not defined by these records: radfact_spatial_recall, radfact_spatial_f1,")


def test_measures_of_parts_clusters_and_pairs() -> None:
    rng = np.random.default_rng(0)

    def side() -> list[dict[str, Any]]:
        return [_phrase(bool(rng.integers(2)), [BOX], [BOX] if rng.integers(2) else []) for _ in range(rng.integers(4))]

    verdicts = [Verdicts.model_validate({"candidate": side(), "reference": side()}) for _ in range(20)]
    whole, half = radfact_measures(verdicts), radfact_measures(verdicts[:10])
    for name, measure in whole.items():
        assert measure.subset(np.arange(20) < 10).value == pytest.approx(half[name].value)
        assert measure.aggregate(np.arange(20) // 2, 10).value_at(np.ones((1, 10)))[0] == pytest.approx(measure.value)
        assert measure.concat(half[name]).value_at(np.ones((1, 30)) * (np.arange(30) >= 20))[0] == pytest.approx(
            half[name].value
        )
        cell = estimates({"": measure}, [f"patient{row // 2}" for row in range(20)], resamples=50)[""]
        assert cell.low is not None
        assert cell.high is not None
        assert cell.low <= cell.value <= cell.high


def test_reports_that_define_a_mean_are_counted(record: Make) -> None:
    metas = [
        {"radfact": {"candidate": side, "reference": [_phrase(True)]}} for side in ([_phrase(True, [BOX], [BOX])], [])
    ]
    records = [record(row, "report", "a", "b", meta=meta) for row, meta in enumerate(metas)]
    found, notes = field_measures(records, EvalSettings())
    counts = "radfact_logical_precision 1, radfact_spatial_precision 1, radfact_grounding_precision 1"
    assert notes[0] == f"RadFact: reports that define it, of 2: {counts}."
    assert found["radfact_logical_precision"].value == 1.0
    assert len(found["radfact_logical_precision"].rows_N) == 2  # as in another system's run, to be compared with


@pytest.mark.parametrize(
    ("phrase", "problem"),
    [
        ({"phrase": "p"}, r"meta\.radfact\.candidate\.0\.status of 's0'"),
        ({"status": "maybe"}, r"candidate\.0\.status of 's0': Input should be 'entailed' or 'not_entailed'"),
        (_phrase(True, [[0, 0, 30, 40]]), r"boxes\.0 of 's0': \[0.0, 0.0, 30.0, 40.0\] is no box"),
        (_phrase(True, [[0.5, 0, 0.4, 1]]), r"is no box"),
        (_phrase(True, [[0, 0, 1]]), r"candidate\.0\.boxes\.0"),
        (_phrase(True, [BOX], [[0, 0, float("nan"), 1]]), r"evidence_boxes\.0"),
    ],
)
def test_broken_phrases_name_the_record(record: Make, phrase: Any, problem: str) -> None:
    given = {"radfact": {"candidate": [phrase], "reference": []}}
    with pytest.raises(BadInput, match=problem):
        field_measures([record(0, "report", "a", "b", meta=given)], EvalSettings())


def test_radfacts_own_words_for_the_status() -> None:
    assert Phrase.model_validate({"status": "entailment", "boxes": None}).status == "entailed"
    assert Phrase.model_validate({"status": "not_entailment"}).status == "not_entailed"


def test_metric_of_evaluate() -> None:
    found = RadFact().compute(
        predictions=[[_phrase(True, [BOX], [BOX]), _phrase(False)]], references=[[_phrase(True, [BOX], [BOX])]]
    )
    assert found is not None
    assert found["radfact_logical_f1"] == pytest.approx(2 / 3)
    assert found["radfact_grounding_f1"] == 1.0


def test_radcliq_by_hand(record: Make) -> None:
    means = {"radgraph": 0.53792312, "bertscore": 0.61757256, "semb": 0.76479421, "bleu2": 0.44738335}
    above = means | {"radgraph": 0.53792312 + 0.30282584}  # one standard deviation better
    rows = [SubScores(**means), SubScores(**above)]
    found = measures(rows, [0, 1])[0]
    assert found["radcliq_v1"].value_at(np.eye(2)) == pytest.approx([2.46655256e-10, -0.377083683], abs=1e-9)
    assert found["radcliq_v1"].value == pytest.approx(-0.377083683 / 2, abs=1e-9)
    assert found["radcliq_v1_inverse"].value == pytest.approx(-2 / 0.377083683, rel=1e-6)
    records = [record(row, "report", "a", "b", meta={"radcliq": given}) for row, given in enumerate((means, above))]
    assert field_measures(records, EvalSettings())[0]["radcliq_v1"].value == found["radcliq_v1"].value
    with pytest.raises(BadInput, match=r"meta\.radcliq\.semb of 's0'"):
        field_measures([record(0, "report", "a", "b", meta={"radcliq": means | {"semb": None}})], EvalSettings())


def test_radcliq_of_evaluate_falls_as_scores_rise() -> None:
    values = [RadCliQ().compute(radgraph=[s], bertscore=[s], semb=[s], bleu2=[s]) for s in (0.1, 0.9)]
    low, high = (value["radcliq_v1"] for value in values if value is not None)
    assert low > high


def test_named_metrics_alone(record: Make) -> None:
    given = record(0, "report", "a", "b", meta={"radfact": {"candidate": [_phrase(True)], "reference": []}})
    settings = EvalSettings(metrics=("bleu_4", "radfact_logical_precision"))
    assert list(measure_report([given], settings).measures) == ["bleu_4", "radfact_logical_precision"]


def test_nothing_given_is_one_note(record: Make) -> None:
    found, notes = field_measures([record(0, "report", "a", "b")], EvalSettings())
    assert found == {}
    assert len(notes) == 1
    with pytest.raises(BadInput, match="meta of 's0' is no object"):
        field_measures([record(0, "report", "a", "b", meta=[1])], EvalSettings())
