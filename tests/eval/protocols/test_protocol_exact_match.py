import pytest

from medglip.eval.protocols.exact_match import (
    is_yes_no,
    normalize,
    parse_yes_no,
    read_answer,
    rules,
    score,
    token_f1_recall,
)
from medglip.eval.settings import EvalSettings


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


def test_what_normalises_to_yes_or_no_says_so() -> None:
    assert read_answer("the yes") == "yes"
    assert read_answer("n.o") == "no"
    assert read_answer("yes or no") is None
    assert is_yes_no("Yes.")
    assert not is_yes_no("yes it is")


def test_closed_answers() -> None:
    assert score("No, it is abnormal", "no", True)["closed_accuracy"] == 1.0
    assert score("abnormal", "no", True)["closed_accuracy"] == 0.0
    assert score("the Right.", "right", True)["closed_accuracy"] == 1.0
    assert score("right side", "right", True)["closed_accuracy"] == 0.0
    assert score("yes, right", "right", True)["overall_accuracy"] == 0.0


def test_token_overlap_by_hand() -> None:
    f1, recall = token_f1_recall("left upper lung", "the left lung lobe of heart")  # 2 shared of 3 and of 5
    assert f1 == pytest.approx(2 * 2 / 8)
    assert recall == pytest.approx(2 / 5)
    assert token_f1_recall("lung lung lung", "lung")[1] == 1.0  # a repeated hit does not inflate recall
    assert token_f1_recall("", "") == (1.0, 1.0)
    assert token_f1_recall("", "lung") == (0.0, 0.0)


@pytest.mark.parametrize(
    ("prediction", "reference", "is_right"),
    [
        ("Upper left", "upper left of the image", 1),
        ("the image's left half", "left", 1),
        ("left half of the image", "the image's left half", 1),
        ("the patient's left", "the image's left half", 0),
        ("centre", "centre of the image", 1),
    ],
)
def test_the_frame_of_the_image_may_be_left_out(prediction: str, reference: str, is_right: int) -> None:
    assert score(prediction, reference, is_closed=False)["open_accuracy"] == is_right


@pytest.mark.parametrize(
    ("prediction", "reference"),
    [
        ("<think>right?</think>Left lung", "left lung"),
        ("Answer: left lung\nExplanation: it is seen there.", "left lung"),
        ("Ｃｒｏｈｎ’ｓ　disease", "Crohn's disease"),
        ("le\u0301sion", "l\u00e9sion"),
        ("5 cm²", "5 cm2"),
        ("*X‑ray*", "x-ray"),
    ],
)
def test_right_answers_count_however_they_are_written(prediction: str, reference: str) -> None:
    assert score(prediction, reference, is_closed=False)["open_accuracy"] == 1


def test_thoughts_that_were_cut_abstain() -> None:
    assert rules(EvalSettings()).is_abstention("<think>yes, yes")
    assert score("<think>yes, yes", "yes", is_closed=True)["closed_accuracy"] == 0
    assert score("T2", "T2*", is_closed=False)["open_accuracy"] == 0
