"""Each case is worked out by hand from MedEvalKit's utils.py, VQA_RAD.py and SLAKE.py (commit 9b12e3b)."""

import pytest

from medglip.eval.protocols.medevalkit_rule import is_abstention, open_answer, parse, read_box, read_tags, score
from medglip.eval.protocols.sentence_bleu import sentence_bleu


@pytest.mark.parametrize(
    ("prediction", "reference", "yes_no", "answer_type"),
    [
        ("Yes.", "yes", 1, 1),
        ("no\n", "no", 1, 1),
        ("a nodule", "no", 1, 1),  # a substring
        ("yes, no fluid", "yes", 0, 0),  # both
        ("The answer is: yes", "yes", 1, 1),
        ("Yes.", "Yes", 1, 1),
        ("Yes, it is", "Yes", 1, 0),  # "Yes" is not `yes`: on SLAKE it must be equal
        ("yes", " Yes", 1, 0),
        ("", "yes", 0, 0),
    ],
)
def test_closed_yes_no(prediction: str, reference: str, yes_no: int, answer_type: int) -> None:
    assert score(prediction, reference, True, "yes_no")["closed_accuracy"] == yes_no
    assert score(prediction, reference, True, "answer_type")["closed_accuracy"] == answer_type


def test_closed_others_are_equal_without_stops_and_line_feeds() -> None:
    assert score("Coronal\n Plane.", "coronal plane", True, "answer_type")["closed_accuracy"] == 1
    assert score("Coronal Plane ", "Coronal Plane", True, "answer_type")["closed_accuracy"] == 0
    assert score("T2", "t2.", True, "answer_type")["closed_accuracy"] == 0  # the reference keeps its stop


def test_open_equality_strips_by_data_set_only() -> None:
    assert score("Left lung ", "left Lung", False, "yes_no")["open_accuracy"] == 1
    assert score("Left lung ", "left Lung", False, "answer_type")["open_accuracy"] == 0
    assert score("left lung.", "left lung", False, "yes_no")["open_accuracy"] == 0
    assert score("Answer: left lung", "left lung", False, "yes_no")["open_accuracy"] == 0  # a blank is left in front


def test_names_of_precision_recall_and_f1_are_put_right() -> None:
    found = score("left upper lung zone", "left lung", False, "yes_no")  # 2 shared of 4 and of 2
    assert (found["open_precision"], found["open_recall"]) == (2 / 4, 1.0)
    assert found["open_f1"] == pytest.approx(2 / 3)
    assert score("lung lung", "lung", False, "yes_no")["open_precision"] == 1.0  # sets


def test_an_empty_answer_is_nought() -> None:
    assert set(score("", "lung", False, "yes_no").values()) == {0.0}
    assert set(score("", "lung", False, "answer_type").values()) == {0.0}
    assert score("", "yes", True, "answer_type") == {"closed_accuracy": 0.0, "overall_accuracy": 0.0}


def test_where_the_answer_is_read() -> None:
    assert read_box(r"\boxed{a} or \boxed{ b{c}d }") == "b{c}d"
    assert read_box(r"\boxed{a") == "None"
    assert read_box("{a}") == "None"
    assert open_answer(r"so \boxed{Yes} <answer>no</answer>") == "Yes"
    assert open_answer("<answer>no</answer>, <answer> or yes </answer>") == "no  or yes"
    assert read_tags("<answer>a<answer>b</answer>") == "a<answer>b"
    assert read_tags("<answer>no") == "<answer>no"
    assert parse("The answer is: **Answer**: Yes") == " yes"
    assert parse("**answer**answer**") == "answer**"
    assert parse("the boxed one") == "None"
    assert parse("a final answer is no") == " no"


def test_abstention_is_neither_or_both() -> None:
    assert is_abstention("maybe")
    assert is_abstention("yes or no")
    assert is_abstention("")
    assert not is_abstention("Abnormal")


def test_bleu_is_of_words_at_single_blanks() -> None:
    found = score("left lung.", "left lung", False, "yes_no")  # left, lung, . against left, lung
    assert found["open_bleu_1"] == pytest.approx(2 / 3)
    assert found["open_bleu_2"] == pytest.approx((2 / 3 * 1 / 2) ** 0.5)
    assert found["open_bleu_3"] == pytest.approx(0, abs=1e-100)


def test_sentence_bleu_by_hand() -> None:
    # 4 words of 5: brevity exp(1 - 5/4); 3 of 4 words, 1 of 3 pairs
    words, wanted = ["a", "b", "x", "d"], ["a", "b", "c", "d", "e"]
    (found,) = sentence_bleu(words, wanted, [(0.5, 0.5)])
    assert found == pytest.approx(0.7788007830714049 * (3 / 4 * 1 / 3) ** 0.5)
    assert sentence_bleu([], wanted, [(1,)]) == [0.0]
    assert sentence_bleu(words, [], [(1,)]) == [0.0]
