"""What a page shows, gathered elsewhere: systems with their scores, comparisons, cases, pictures, provenance."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ...grounding.records import Task
from ..floors import FLOORS
from ..records import Record
from ..score import Scores
from ..statistics.bootstrap import Difference
from ..statistics.measure import Measured

ImageKey = tuple[str, str]
"""Data set and image id."""

TITLES: dict[Task, str] = {"vqa": "Questions", "report": "Reports", "grounding": "Grounding"}


@dataclass(frozen=True, kw_only=True, eq=False)
class System:
    """One record file, scored: a model with one source of evidence on one task.

    `values`: record id -> the score of that sample alone, mostly by the metric `value_name`; `marks`: record id ->
    `right` or `wrong`, by the protocol.
    """

    name: str
    task: Task
    file: str
    file_sha256: str
    records: Sequence[Record]
    measured: Measured
    scores: Scores
    values: Mapping[str, float] = field(default_factory=dict)
    value_name: str = ""
    marks: Mapping[str, str] = field(default_factory=dict)

    @property
    def is_floor(self) -> bool:
        """Whether it answers without any image."""
        return self.records[0].get("model") in FLOORS


@dataclass(frozen=True, kw_only=True)
class Pair:
    """One system less the base, metric by metric. `family`: what Holm corrects for; `why_not`: why not paired."""

    task: Task
    name: str
    base: str
    metrics: Mapping[str, Difference] = field(default_factory=dict)
    family: str = ""
    why_not: str = ""


@dataclass(frozen=True, kw_only=True, eq=False)
class Case:
    """One sample with what every system made of it. `pick`: best, worst or random; `value`: mean over the systems."""

    task: Task
    id: str
    image: ImageKey
    question: str
    reference: Any
    strata: Mapping[str, str]
    records: Mapping[str, Record]
    value: float
    pick: str


@dataclass(frozen=True, kw_only=True)
class Shape:
    """A region of a picture. `kind`: `truth`, or the system that predicted it; `path`: its mask's outline.

    `box_xyxy_px` in pixels of the original image; `path`: SVG path data on a grid whose longer side is `GRID`.
    """

    kind: str
    phrase: str
    box_xyxy_px: tuple[float, ...]
    score: float
    path: str = ""


GRID = 384
"""Longer side of the embedded pictures, and of the grid that mask outlines are drawn on."""


@dataclass(frozen=True, kw_only=True)
class Picture:
    """An image of the page: a data URI ("" where none was found), the size of the original, the regions on it."""

    uri: str
    size_px: tuple[int, int]
    shapes: Sequence[Shape] = ()


@dataclass(frozen=True, kw_only=True)
class Held:
    """Below which probability answers are held back, and on how many validation questions that was chosen.

    `lines`: what else is said of it.
    """

    threshold: float
    num: int
    aurc: float | None = None
    lines: Sequence[str] = ()


@dataclass(frozen=True, kw_only=True)
class DropCurve:
    """A metric over the severity of corrupted pictures, 0 for the originals; `lower`, `upper`: paired interval."""

    title: str
    metric: str
    values: Sequence[tuple[float, float]]
    lower: Sequence[tuple[float, float]]
    upper: Sequence[tuple[float, float]]


@dataclass(frozen=True, kw_only=True, eq=False)
class RunFacts:
    """What one run leaves beside its records. `learned_from`: what taught its core; `held`: when its answers count;
    `losses`: training -> rows of step and loss; `made`: date, commit and machine; `skipped`: what, and why.
    """

    name: str
    title: str = ""
    learned_from: str = ""
    held: Held | None = None
    settings: str = ""
    seed: int | None = None
    seconds: Mapping[str, float] = field(default_factory=dict)
    made: Mapping[str, str] = field(default_factory=dict)
    losses: Mapping[str, Sequence[Mapping[str, Any]]] = field(default_factory=dict)
    skipped: Sequence[Mapping[str, str]] = ()


@dataclass(frozen=True, kw_only=True, eq=False)
class Content:
    """Everything on the page. `curves`: grounding system -> reliability and precision-recall data."""

    title: str
    runs: Sequence[RunFacts]
    systems: Sequence[System]
    pairs: Sequence[Pair]
    cases: Sequence[Case]
    pictures: Mapping[ImageKey, Picture]
    curves: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    drops: Sequence[DropCurve] = ()
    commands: Sequence[str] = ()
    notes: Sequence[str] = ()

    def of(self, task: Task) -> list[System]:
        """The systems of one task."""
        return [system for system in self.systems if system.task == task]

    @property
    def tasks(self) -> list[Task]:
        """The tasks there are systems of, in the house's order."""
        return [task for task in TITLES if self.of(task)]
