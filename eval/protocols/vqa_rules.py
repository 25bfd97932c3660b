"""What a VQA protocol is: rules for one question and one reference; what is done with many is in `eval/vqa.py`."""

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class VqaRules:
    """The rules of one protocol, under the settings they were made for.

    `is_yes_no(reference)`: a yes/no answer, as this protocol reads references. `is_abstention(prediction)`: neither
    yes nor no can be read from an answer to a yes/no question; such an answer is never right. `score(prediction,
    reference, is_closed)`: this question's part of each metric that counts it, in [0, 1]; the metrics are their means.
    `notes`: what a reader of the numbers must know.
    """

    protocol: str
    version: str
    is_yes_no: Callable[[str], bool]
    is_abstention: Callable[[str], bool]
    score: Callable[[str, str, bool], dict[str, float]]
    notes: tuple[str, ...] = ()
