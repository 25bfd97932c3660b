"""A report as its files have it, before any image is opened: what the readers of plain rows return.

files -> `ReportRow` -> `ReportText` (no image: also for warming up on text alone) -> `Report` (its images opened).
What cannot be used is listed with file and row, and the rest goes on.
"""

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from ...grounding.bad_input import ROW_ERRORS, BadInput, Skipped, explain_row
from ...grounding.datasets.corpus import held_out
from ...grounding.settings import Settings
from ...grounding.types import Region
from ..task import Section
from ..text.deidentified import Policy
from ..text.sections import Sections

Context = Literal["indication", "technique", "comparison"]
CONTEXT: tuple[Context, ...] = ("indication", "technique", "comparison")
"""What the prompt may give of a study, in the order of the prompt."""


class ReportSettings(Settings):
    """What is read of a set of reports, and what of it the model is given."""

    target: Section = "findings"
    """What is to be written: findings, impression or both."""
    fallback: bool = True
    """Where that section is missing take the other one, else the last paragraph; without, such reports are listed."""
    context: tuple[Context, ...] = CONTEXT
    """What the prompt gives of the study, where the report has it."""
    prior: Literal["none", "report", "image", "both"] = "none"
    """What the prompt gives of the patient's study before: its text, its first image, both."""
    max_views: int = Field(default=1, ge=1)
    """At most so many images of a study, frontal ones first."""
    needs_frontal: bool = True
    """List studies whose views are all known and none frontal; without, they count by what they have."""
    deidentified: Policy = "remove"
    """De-identification marks in prompts, targets and references: keep, same (all as `___`), remove."""
    max_words: int = Field(default=400, ge=1)
    """Longer targets are listed: no report is cut, since a score against half of one says nothing."""
    max_context_words: int = Field(default=80, ge=1)
    """What the prompt gives of the study, and the prior text, are cut here, after a sentence where there is one."""
    allow_outside: bool = False
    """Whether names of images in the set may leave its folder, by `..` or an absolute path."""
    decode_images: bool = True
    """Decode every image to its end, so that a torn one is found now; without, its header alone is read."""
    limit: int | None = Field(default=None, ge=1)
    """At most so many reports of each split, in file order; all of them when left out."""


Outline = Callable[[tuple[int, int]], Sequence[Region]]
"""The true regions of an image of (width, height) px."""


@dataclass(frozen=True, kw_only=True)
class View:
    """One image of a study. `name`: its view as written; `is_frontal` None: unknown.

    `outline`: the true regions of the image by its (width, height), where the set has some.
    """

    path: Path
    name: str = ""
    is_frontal: bool | None = None
    outline: Outline | None = None


def first_file(paths: Iterable[Path]) -> Path:
    """The first path that is a file; the first of all where none is."""
    tried = list(paths)
    return next((path for path in tried if path.is_file()), tried[0])


@dataclass(frozen=True, kw_only=True, eq=False)
class ReportRow:
    """One study of a set. `images`: they need not exist; none at all in a set of text.

    `split`: train, val or test. `group`: the patient. `taken`: as `Report.taken`. `prior`: the patient's study before.
    `file`, `row`: where it was read.
    """

    report_id: str
    dataset: str
    split: str
    group: str
    sections: Sections
    file: Path
    row: int | str
    images: tuple[View, ...] = ()
    modality: str = "xray"
    taken: str = ""
    prior: "ReportRow | None" = None
    meta: Mapping[str, Any] = field(default_factory=dict)


def find_earlier(keys: Sequence[tuple[str, str]]) -> list[int | None]:
    """For each (patient, taken) the index of the same patient's latest study that is strictly earlier, None for none.

        0 (p, 2018)   1 (p, 2016)   2 (p, 2018)   3 (q, "")    ->    [1, None, 1, None]

    Studies without a time neither have one nor are one; of several at one time the last in order.
    """
    times: defaultdict[str, list[tuple[str, int]]] = defaultdict(list)
    for index, (patient, taken) in enumerate(keys):
        if patient and taken:
            times[patient].append((taken, index))
    for studies in times.values():
        studies.sort()
    earlier: list[int | None] = []
    for patient, taken in keys:
        studies = times[patient] if patient and taken else []
        # (taken, -1) sorts before every study of that time, so that what is left of it is strictly earlier.
        position = bisect_left(studies, (taken, -1))
        earlier.append(studies[position - 1][1] if position else None)
    return earlier


def draw_splits(rows: Sequence[ReportRow], val_fraction: float, test_fraction: float, seed: int) -> list[ReportRow]:
    """The rows with a split drawn by group; a group's split depends on its name and the seed (see `held_out`)."""
    groups = {row.group for row in rows}
    test = held_out(groups, test_fraction, seed)
    # Test is taken first, so the part of the rest that is `val_fraction` of the whole is larger.
    val = held_out(groups - test, val_fraction / max(1 - test_fraction, 1e-9), seed + 1)
    splits = {group: "test" if group in test else "val" if group in val else "train" for group in groups}
    return [replace(row, split=splits[row.group]) for row in rows]


def check_groups(rows: Iterable[ReportRow]) -> None:
    """Raises `BadInput` for a patient in two splits: what is scored would have been trained on."""
    first: dict[str, ReportRow] = {}
    for row in rows:
        other = first.setdefault(row.group, row)
        if other.split != row.split:
            problem = f"patient {row.group!r} is in {row.split} here and in {other.split} in row {other.row}."
            fix = "give a patient one split, or leave the column out and let patients be drawn"
            raise BadInput(problem, file=row.file, row=row.row, fix=fix)


@contextmanager
def list_bad(skipped: Skipped, file: Path, row: int | str | None, prefix: str = "") -> Iterator[None]:
    """What an odd row raises in this block goes to `skipped`, as `<prefix><file> row <row>`, and the batch goes on.

    The error gets file and row where it names no file itself.
    """
    try:
        yield
    except ROW_ERRORS as error:
        located = error if isinstance(error, BadInput) and error.file else explain_row(error, file, row)
        skipped.add(prefix + (file.name if row is None else f"{file.name} row {row}"), located)
