"""Each case is worked out by hand from lmms-eval's tasks/slake/utils.py (commit 75571cf)."""

import pytest

from medglip.eval.protocols.lmms_slake import is_abstention, is_yes_no, normalize, score


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        (" Left  Lung. ", "left lung"),
        ("Lung (left)", "lung"),
        ("肺（左）", "肺"),
        ("Lung (left", "lung left"),
        ("X-Ray", "xray"),
        ("x ray image", "x ray image"),
        ("left,right", "left right"),
        ("Yeah!", "yes"),
        ("False.", "no"),
        ("是的。", "yes"),
        ("不正常", "no"),
        ("异常", "no"),
        ("Yes, it is", "yes it is"),
        ("1.5", "1 5"),
        ("the lung", "the lung"),
        ("(all)", ""),
    ],
)
def test_normalisation(text: str, clean: str) -> None:
    assert normalize(text) == clean
    assert normalize(clean) == clean


def test_open_and_closed_are_equality() -> None:
    assert score("True", "Yes", True) == {"closed_accuracy": 1.0, "overall_accuracy": 1.0}
    assert score("Yes, it is", "Yes", True) == {"closed_accuracy": 0.0, "overall_accuracy": 0.0}
    assert score("x ray", "X-Ray", False) == {"open_accuracy": 1.0, "overall_accuracy": 1.0}
    assert score("", "lung", False) == {"open_accuracy": 0.0, "overall_accuracy": 0.0}


def test_yes_no_and_abstention() -> None:
    assert is_yes_no("没有")
    assert not is_yes_no("left")
    assert is_abstention("yes it is")
    assert not is_abstention("Nope")
