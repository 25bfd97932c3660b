"""What a model says, without what it thinks and how it is written."""

import pytest

from medglip.grounding.vocabulary.model_text import answer_text, drop_thoughts, fold, has_thoughts

YES = (
    "<think>\nno effusion\n</think>\nYes",
    "no effusion </think> Yes",
    "<Thinking>no</thinking>\n\n**Answer:** Yes",
    "<think>no <think>no</think> no</think><answer>Yes</answer>",
    "[THINK]no[/THINK]Yes",
    "◁think▷no◁/think▷Yes",
    "<unused94>thought\nno<unused95>Yes",
    "<|channel|>analysis<|message|>no<|end|><|start|>assistant<|channel|>final<|message|>Yes",
    "Yes<think>no doubt",
    "## Final answer\n\n**Yes**",
    "There is no edge.\nThe answer is: **`Yes`**",
    '{"answer": "Yes"}',
    "Ａｎｓｗｅｒ： Ｙｅｓ",
    "\\boxed{\\text{Yes}}",
    "Yes\nQuestion: is it no?\nAnswer: no",
    "> “Ye\u00ads”",
)


@pytest.mark.parametrize("raw", YES)
def test_the_answer_is_what_is_said(raw: str) -> None:
    assert answer_text(raw).strip('"') == "Yes"


@pytest.mark.parametrize("raw", ["<think>yes", "<unused94>thought yes", "<thinking>yes <think>yes", ""])
def test_thoughts_that_were_cut_answer_nothing(raw: str) -> None:
    assert answer_text(raw) == ""


@pytest.mark.parametrize("raw", ["T2*", "left_lung", "The answer may be no", "5 cm²", "  two\nlines < 3", "* only"])
def test_text_without_marks_of_thoughts_stays(raw: str) -> None:
    assert drop_thoughts(raw) == fold(raw) == raw
    assert not has_thoughts(raw)


def test_marks_without_a_partner_stay() -> None:
    assert answer_text("T2* or T1*") == "T2* or T1*"
