"""Which option an answer chooses, and what is refused."""

from collections.abc import Callable
from typing import Any

import pytest

from medglip.eval.protocols.multiple_choice import NONE, choose, options_of
from medglip.eval.score import score
from medglip.eval.settings import EvalSettings
from medglip.grounding.bad_input import BadInput

OPTIONS = ["Lung", "Left lung", "A cyst", "Heart failure"]
FEW = EvalSettings(protocol="multiple_choice", resamples=100)


@pytest.mark.parametrize(
    ("said", "letter"),
    [
        ("B", "B"),
        ("b", "B"),
        ("(B)", "B"),
        ("B.", "B"),
        ("b) because of its place", "B"),
        ("B. Left lung", "B"),
        ("B Left lung", "B"),
        ("Option B", "B"),
        ("The answer is B.", "B"),
        ("The correct answer is: (D) heart failure", "D"),
        ("left lung", "B"),
        ("It is the left lung.", "B"),
        ("A cyst", "C"),
        ("a cyst is seen", "C"),
        ("A", "A"),
        ("A. Heart failure", NONE),
        ("lung or heart failure", NONE),
        ("E", NONE),
        ("I do not know", NONE),
        ("brain", NONE),
    ],
)
def test_the_option_that_an_answer_chooses(said: str, letter: str) -> None:
    assert choose(said, OPTIONS) == letter


def test_options_lose_their_letters() -> None:
    assert options_of(["A. liver", "B. spleen"]) == options_of({"A": "liver", "B": "spleen"}) == ("liver", "spleen")
    assert options_of(["A. liver", "spleen"]) == ("A. liver", "spleen")


def test_records_are_scored_by_their_options(record: Callable[..., Any]) -> None:
    said = [("B", "(B) left lung"), ("Left lung", "B"), ("D", "no idea"), ("A", "B"), ("A", "")]
    rows = [record(n, "vqa", answer, text, meta={"options": OPTIONS}) for n, (answer, text) in enumerate(said)]
    found = score(rows, "vqa", FEW)
    assert (found.metrics["overall_accuracy"].value, found.metrics["overall_accuracy"].n) == (0.4, 5)
    assert found.metrics["chance_accuracy"].value == 0.25
    assert (found.counts["scored"], found.counts["abstained"], found.counts["failed"]) == (3, 1, 1)


@pytest.mark.parametrize(
    ("answer", "options", "words"),
    [
        ("B", None, "no meta.options"),
        ("B", ["liver"], "two to 26"),
        ("B", ["liver", "Liver"], "the same text"),
        ("kidney", ["liver", "spleen"], "none of its options"),
    ],
)
def test_broken_options_are_refused(record: Callable[..., Any], answer: str, options: Any, words: str) -> None:
    with pytest.raises(BadInput, match=words):
        score([record(0, "vqa", answer, "B", meta={"options": options})], "vqa", FEW)
