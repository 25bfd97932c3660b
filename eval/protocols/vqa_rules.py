"""What a VQA protocol is: rules for one question and one reference; what is done with many is in `eval/vqa.py`."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ..statistics.measure import Facts, Measures

if TYPE_CHECKING:
    from ..tasks.vqa import AnsweredQuestion


@dataclass(frozen=True, kw_only=True)
class VqaRules:
    """The rules of one protocol, under the settings they were made for.

    `is_yes_no(reference)`: a yes/no answer, as this protocol reads references. `is_abstention(prediction)`: neither
    yes nor no can be read from an answer to a yes/no question; such an answer is never right. `score(prediction,
    reference, is_closed)`: this question's part of each metric that counts it, in [0, 1]; the metrics are their means.
    `measure_all(questions)`: measures over all questions at once, beside those of `score`, and notes. `facts`: what the
    result states of the rules, such as the prompt of a judge. `read(text, options, is_reference)`: where one chooses,
    what answer and reference become before they are scored, given the record's `meta.options`; all are then closed.
    `notes`: what a reader of the numbers must know.
    """

    protocol: str
    version: str
    is_yes_no: Callable[[str], bool]
    is_abstention: Callable[[str], bool]
    score: Callable[[str, str, bool], dict[str, float]]
    measure_all: "Callable[[Sequence[AnsweredQuestion]], tuple[Measures, list[str]]] | None" = None
    read: Callable[[str, Any, bool], str] | None = None
    facts: Facts = field(default_factory=Facts)
    notes: tuple[str, ...] = ()
