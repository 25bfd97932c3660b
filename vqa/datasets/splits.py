"""Splits by name, one function for every set: which rows are train, val and test, and what is left out.

- `official`: as published. VQA-RAD's has rewordings (`frame`) of test questions in train, and its images in both.
- `official_no_frame`: without `frame` rows; the papers' 1797 training rows of VQA-RAD. Other sets have none to lose.
- `image_grouped`: without `frame` rows, and no image in two parts. Whole groups of images move: one image, all images
  of a question or of a group of the set, pictures that look alike (`grounding.datasets.duplicates`), and images with
  exactly the same questions and answers (templated captions).
"""

from collections import defaultdict
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal, get_args

from ...grounding.bad_input import BadInput, nearest
from ...grounding.datasets.corpus import held_out
from .pictures import Groups, same_pictures
from .rows import FRAME, QuestionRow

SplitScheme = Literal["official", "official_no_frame", "image_grouped"]

MIXED_TO_TEST = 0.5
"""Part of the groups with official test rows and others that becomes `test` of `image_grouped`."""

_MIN_EQUAL = 2
"""Images with so many questions or more, all with equal answers, are taken for one caption's."""


def split_scheme_named(name: str) -> SplitScheme:
    """The split of this name. Raises `BadInput` with the nearest valid name."""
    found = next((split for split in get_args(SplitScheme) if split == name), None)
    if found is None:
        raise BadInput(f"unknown split {name!r}.", fix=nearest(name, get_args(SplitScheme)))
    return found


def arrange(
    rows: Sequence[QuestionRow], split: SplitScheme, *, seed: int = 0, val_fraction: float = 0.2
) -> list[QuestionRow]:
    """The rows of a split in their order, `part` and `group` set anew; of `image_grouped` alone the images are opened.

    `image_grouped`: a group that lies in one official part stays there. Of groups with official test rows and others,
    `MIXED_TO_TEST` become `test` with all their rows; the rest becomes `train` without its official test rows, so that
    no official test row is ever trained on. Groups in train and val become `val`. A set without val gets one:
    `val_fraction` of the groups left in train. Draws depend on the seed and the group's name alone.
    """
    if split == "official":
        return list(rows)
    rows = [row for row in rows if row.phrase_type != FRAME]
    if split == "official_no_frame":
        return rows
    groups = image_groups(rows)
    names = [groups[image_names(row)[0]] for row in rows]
    parts: defaultdict[str, set[str]] = defaultdict(set)
    for name, row in zip(names, rows, strict=True):
        parts[name].add(row.part)
    side = _sides(parts, seed, val_fraction)
    return [
        replace(row, part=side[name], group=name)
        for name, row in zip(names, rows, strict=True)
        if not (row.part == "test" and side[name] != "test")
    ]


def _sides(parts: dict[str, set[str]], seed: int, val_fraction: float) -> dict[str, str]:
    """The part of each group, from the official parts of its rows.

    official parts of the group     train    val, train    test    test, train
    its part                        train    val           test    half of them test, the others train
    """
    mixed = {name for name, found in parts.items() if "test" in found and len(found) > 1}
    chosen = held_out([f"test: {name}" for name in mixed], MIXED_TO_TEST, seed)
    side = {name: next(part for part in ("test", "val", "train") if part in found) for name, found in parts.items()}
    side |= {name: "test" if f"test: {name}" in chosen else "train" for name in mixed}
    if not any("val" in found for found in parts.values()):
        side |= dict.fromkeys(held_out([name for name in side if side[name] == "train"], val_fraction, seed), "val")
    return side


def image_groups(rows: Sequence[QuestionRow]) -> dict[str, str]:
    """`image_names` of every row -> the group's name, that of its first image without the set, by the alphabet.

    Images of one group are never to be parted: see the head of the file. Missing and torn images stand alone.
    """
    files = image_files(rows)
    groups = Groups(files)
    for row in rows:
        groups.join(image_names(row))
    _join_by(groups, ((f"{row.dataset}/{row.group}", image_names(row)[0]) for row in rows if row.group))
    _join_by(groups, ((asked, name) for name, asked in captions(rows).items()))
    _join_by(groups, ((first, name) for name, first in same_pictures(files)[1].items()))
    return {name: group.split("/", 1)[1] for name, group in groups.as_dict().items()}


def image_names(row: QuestionRow) -> list[str]:
    """Names of a row's images over sets: `vqa_rad/synpic1.jpg`."""
    return [f"{row.dataset}/{name}" for name in row.images]


def image_files(rows: Iterable[QuestionRow]) -> dict[str, Path]:
    """File of each image by `image_names`."""
    return {name: file for row in rows for name, file in zip(image_names(row), row.images.values(), strict=True)}


def captions(rows: Iterable[QuestionRow]) -> dict[str, frozenset[tuple[str, str]]]:
    """Every question and answer on each first image, in lower case; of images with two or more."""
    found: defaultdict[str, set[tuple[str, str]]] = defaultdict(set)
    for row in rows:
        found[image_names(row)[0]].add((row.question.lower(), row.answer.lower()))
    return {name: frozenset(pairs) for name, pairs in found.items() if len(pairs) >= _MIN_EQUAL}


def _join_by(groups: Groups, pairs: Iterable[tuple[Hashable, str]]) -> None:
    """Names with an equal key come together."""
    first: dict[Hashable, str] = {}
    for key, name in pairs:
        groups.join((first.setdefault(key, name), name))
