"""When a model's answer counts: from which probability on, and for which kinds of question the regions answer instead.

Both are chosen on questions of split `val` while a run is made, and lie beside the adapter: `confidence.json`.
"""

from collections.abc import Sequence
from pathlib import Path

from pydantic import Field

from ...grounding.bad_input import damaged
from ...grounding.files import read_object
from ...grounding.settings import Settings
from .rules import EXACT_KINDS

FILE = "confidence.json"
LEAST = 20
"""Validation questions below which no threshold is chosen from them."""
LEAST_OF_KIND = 8
"""Validation questions of a kind below which nothing is concluded about it."""


class KindScore(Settings):
    """Validation questions of one kind, and how many of them the model and the regions alone answered rightly."""

    num: int = Field(ge=0)
    """Questions that a template of the rules fits."""
    model: int = Field(ge=0)
    """Right answers of the model."""
    rules: int = Field(ge=0)
    """Right answers of the rules, which may also say that the evidence does not answer."""


class Confidence(Settings):
    """What validation said of a model's answers; the defaults are those of an adapter that was never asked."""

    threshold: float = Field(default=0.25, ge=0, le=1)
    """Probability of an answer below which it is held back. By default held back are answers that are likelier wrong
    than right at a guess of four."""
    num: int = Field(default=0, ge=0)
    """Validation questions behind it; 0: the default."""
    aurc: float | None = Field(default=None, ge=0, le=1)
    """Area under the risk-coverage curve of these questions."""
    kinds: dict[str, KindScore] = Field(default={})
    """By kind of question (the template that fits)."""

    @property
    def is_measured(self) -> bool:
        """Whether validation questions chose the threshold."""
        return self.num > 0

    def falls_back(self, kind: str) -> bool:
        """Whether questions of a kind are answered by the regions alone.

        Where enough validation questions were of that kind, if the rules were right more often than the model; else if
        regions decide the kind exactly (`EXACT_KINDS`).
        """
        own = self.kinds.get(kind)
        if own is None or own.num < LEAST_OF_KIND:
            return kind in EXACT_KINDS
        return own.rules > own.model

    def why_rules(self, kind: str) -> str:
        """Why the regions answer a kind, in words."""
        own = self.kinds.get(kind)
        if own is None or own.num < LEAST_OF_KIND:
            return f"they decide this kind of question ({kind}); nobody measured whether the model knows better"
        right = f"they got {own.rules} right, the model {own.model}"
        return f"of {own.num} validation questions of this kind ({kind}) {right}"


def read_confidence(adapter: Path | None) -> Confidence:
    """What lies beside an adapter; the defaults where there is no such file. Raises `BadInput` for a broken one."""
    file = adapter / FILE if adapter else None
    if file is None or not file.is_file():
        return Confidence()
    with damaged(file):
        return Confidence.model_validate(read_object(file))


def kind_scores(kinds: Sequence[str], model: Sequence[bool], rules: Sequence[bool]) -> dict[str, KindScore]:
    """By kind how many questions there were and how many each answered rightly; "" is no kind."""
    scores: dict[str, KindScore] = {}
    for kind in dict.fromkeys(kinds):
        rows = [k for k, one in enumerate(kinds) if one == kind]
        if kind:
            right = [sum(bool(marks[k]) for k in rows) for marks in (model, rules)]
            scores[kind] = KindScore(num=len(rows), model=right[0], rules=right[1])
    return scores
