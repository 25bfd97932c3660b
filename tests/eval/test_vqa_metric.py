import evaluate
import pytest

from medglip.eval.metrics.report import ReportNgrams
from medglip.eval.metrics.vqa import (
    VQAExactMatch,
    is_closed,
    normalize,
    parse_yes_no,
    token_f1_recall,
    vqa_counts,
    vqa_measures,
)
from medglip.grounding.bad_input import BadInput


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        ("The Left lung.", "left lung"),
        ("x-ray", "x ray"),
        ("lung , liver", "lung liver"),
        ("1.5 mm.", "1.5 mm"),
        ("1,000 cells", "1000 cells"),
        ("Two  lesions\nin an organ", "2 lesions in organ"),
        ("None", "0"),
        ("don't", "dont"),
        ("ten", "10"),
        ("", ""),
    ],
)
def test_normalisation(text: str, clean: str) -> None:
    assert normalize(text) == clean
    assert normalize(clean) == clean


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("Yes", "yes"),
        ("no.", "no"),
        ("Yes, there is no fluid", "yes"),
        ("There is no nodule", "no"),
        ("I think: yes", "yes"),
        ("yes or no", None),
        ("a nodule, not abnormal", None),
        ("", None),
    ],
)
def test_yes_no_is_read_by_whole_words(text: str, answer: str | None) -> None:
    assert parse_yes_no(text) == answer


def test_kind_of_question() -> None:
    assert is_closed("CLOSED ", "left")
    assert not is_closed("OPEN", "yes")
    assert is_closed("", "Yes.")
    assert not is_closed("", "left")
    with pytest.raises(BadInput, match="did you mean 'closed'"):
        is_closed("closd", "yes")


def test_token_overlap_by_hand() -> None:
    f1, recall = token_f1_recall("left upper lung", "the left lung lobe of heart")  # 2 shared of 3 and of 5
    assert f1 == pytest.approx(2 * 2 / 8)
    assert recall == pytest.approx(2 / 5)
    assert token_f1_recall("lung lung lung", "lung")[1] == 1.0  # a repeated hit does not inflate recall
    assert token_f1_recall("", "") == (1.0, 1.0)
    assert token_f1_recall("", "lung") == (0.0, 0.0)


PREDICTIONS = ["Yes.", "nodule", "no", "right", "Left lung", "the right upper lung"]
REFERENCES = ["yes", "no", "yes", "Right", "left lung", "right lung"]
TYPES = ["closed", "CLOSED", "closed", "closed", "open", "OPEN"]


def test_values_by_hand() -> None:
    found = {name: part.value for name, part in vqa_measures(PREDICTIONS, REFERENCES, TYPES).items()}
    assert found == pytest.approx(
        {
            "open_accuracy": 1 / 2,
            "open_f1": (1 + 4 / 5) / 2,
            "open_recall": 1.0,
            "closed_accuracy": 2 / 4,
            "overall_accuracy": 3 / 6,
        }
    )
    assert vqa_counts(PREDICTIONS, REFERENCES, TYPES) == {
        "open": 2,
        "closed": 4,
        "yes_no": 3,
        "abstentions": 1,
        "empty_predictions": 0,
    }


def test_perfect_is_one_and_empty_is_zero() -> None:
    perfect = vqa_measures(REFERENCES, REFERENCES, TYPES)
    empty = vqa_measures([""] * 6, REFERENCES, TYPES)
    assert {part.value for part in perfect.values()} == {1.0}
    assert {part.value for part in empty.values()} == {0.0}


def test_kinds_without_questions_are_left_out() -> None:
    assert set(vqa_measures(["yes"], ["yes"], ["closed"])) == {"closed_accuracy", "overall_accuracy"}


def test_evaluate_combines_instances_offline() -> None:
    both = evaluate.combine([VQAExactMatch(), ReportNgrams()])
    found = both.compute(predictions=PREDICTIONS, references=REFERENCES, answer_types=TYPES)
    assert found["closed_accuracy"] == 0.5
    assert 0 < found["bleu_1"] < 1
