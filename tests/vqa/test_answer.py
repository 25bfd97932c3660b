import pytest

from medglip.vqa.answer import parse_answer
from medglip.vqa.task import AnswerType


@pytest.mark.parametrize(
    ("raw", "answer"),
    [
        ("Pneumothorax.", "Pneumothorax"),
        ("\n\n  left lower lobe \nand more text", "left lower lobe"),
        ("Assistant: right kidney.<|im_end|>", "right kidney"),
        ("The answer is: 1.5 cm.", "1.5 cm"),
        ("<|im_start|>assistant\nliver</s>", "liver"),
        ('"Ring enhancing lesion."', "Ring enhancing lesion"),
        ("**T2**", "T2"),
        ("T2*", "T2*"),
        ("<think>\nlook left\n</think>\nleft lung", "left lung"),
        ("<think>left lung", ""),
        ("le\u0301sion。", "l\u00e9sion"),
        ("Answer MRI", "Answer MRI"),
        ("", ""),
        (" . ", ""),
    ],
)
def test_open_answer_is_the_first_line_without_debris(raw: str, answer: str) -> None:
    assert parse_answer(raw, "open") == answer


@pytest.mark.parametrize(
    ("raw", "answer"),
    [
        ("Yes, there is no doubt.", "yes"),
        ("No.", "no"),
        ("NO", "no"),
        ("There is no effusion", "no"),
        ("I would say yes", "yes"),
        ("abnormal nodule", "abnormal nodule"),
        ("left", "left"),
        ("it may be yes or no", "it may be yes or no"),
        ("<|assistant|>yes</s>", "yes"),
        ("", ""),
    ],
)
def test_closed_answer_is_read_by_whole_words(raw: str, answer: str) -> None:
    assert parse_answer(raw, "closed") == answer


@pytest.mark.parametrize("answer_type", ["open", "closed"])
@pytest.mark.parametrize("raw", ["Yes.", "left lung.", "Assistant: 3", "no", "e.g. this..."])
def test_parsing_twice_changes_nothing(raw: str, answer_type: AnswerType) -> None:
    once = parse_answer(raw, answer_type)
    assert parse_answer(once, answer_type) == once
