"""Split schemes by name, one function for every set: which rows are train, val and test, and what is left out.

- `official`: as published. VQA-RAD's has rewordings (`frame`) of test questions in train, and its images in both.
- `official_no_frame`: without `frame` rows; the papers' 1797 training rows of VQA-RAD. Other sets have none to lose.
- `image_grouped`: without `frame` rows, and no image in two splits. Whole groups of images move: one image, all images
  of a question or of a group of the set, pictures that look alike (`grounding.datasets.duplicates`), and images with
  exactly the same questions and answers (templated captions).
"""

from collections import defaultdict
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal

from ...grounding.datasets.corpus import held_out
from .pictures import Groups, same_pictures
from .rows import FRAME, QuestionRow

SplitScheme = Literal["official", "official_no_frame", "image_grouped"]

MIXED_TO_TEST = 0.5
"""Share of the groups with official test rows and others that becomes `test` of `image_grouped`."""

_MIN_EQUAL = 2
"""Images with so many questions or more, all with equal answers, are taken for one caption's."""


def arrange(
    rows: Sequence[QuestionRow], split_scheme: SplitScheme, *, seed: int = 0, val_fraction: float = 0.2
) -> list[QuestionRow]:
    """The rows of a scheme in their order, `split` and `group` set anew; of `image_grouped` alone images are opened.

    `image_grouped`: a group that lies in one official split stays there. Of groups with official test rows and others,
    `MIXED_TO_TEST` become `test` with all their rows; the rest becomes `train` without its official test rows, so that
    no official test row is ever trained on. Groups in train and val become `val`. A set without val gets one:
    `val_fraction` of the groups left in train. Draws depend on the seed and the group's name alone.
    """
    if split_scheme == "official":
        return list(rows)
    rows = [row for row in rows if row.phrase_type != FRAME]
    if split_scheme == "official_no_frame":
        return rows
    groups = image_groups(rows)
    names = [groups[image_names(row)[0]] for row in rows]
    official: defaultdict[str, set[str]] = defaultdict(set)
    for name, row in zip(names, rows, strict=True):
        official[name].add(row.split)
    # official splits of the group     train    val, train    test    test, train
    # its split                        train    val           test    half of them test, the others train
    mixed = {name for name, splits in official.items() if "test" in splits and len(splits) > 1}
    to_test = held_out([f"test: {name}" for name in mixed], MIXED_TO_TEST, seed)
    split_of = {name: next(s for s in ("test", "val", "train") if s in splits) for name, splits in official.items()}
    split_of |= {name: "test" if f"test: {name}" in to_test else "train" for name in mixed}
    if not any("val" in splits for splits in official.values()):
        train = [name for name in split_of if split_of[name] == "train"]
        split_of |= dict.fromkeys(held_out(train, val_fraction, seed), "val")
    return [
        replace(row, split=split_of[name], group=name)
        for name, row in zip(names, rows, strict=True)
        if not (row.split == "test" and split_of[name] != "test")
    ]


def image_groups(rows: Sequence[QuestionRow]) -> dict[str, str]:
    """`image_names` of every row -> the group's name, that of its first image without the set, by the alphabet.

    Images of one group are never to be parted: see the head of the file. Missing and torn images stand alone.
    """
    files = image_files(rows)
    groups, first = Groups(files), dict[Hashable, str]()
    for row in rows:  # all images of a question
        groups.join(image_names(row))
    keys: list[tuple[Hashable, str]] = [
        *((f"{row.dataset}/{row.group}", image_names(row)[0]) for row in rows if row.group),
        *((pairs, name) for name, pairs in captions(rows).items()),
        *(((first_alike,), name) for name, first_alike in same_pictures(files)[1].items()),
    ]
    for key, name in keys:  # images with an equal key come together
        groups.join((first.setdefault(key, name), name))
    return {name: group.split("/", 1)[1] for name, group in groups.as_dict().items()}


def image_names(row: QuestionRow) -> list[str]:
    """Names of a row's images over sets: `vqa_rad/synpic1.jpg`."""
    return [f"{row.dataset}/{name}" for name in row.images]


def image_files(rows: Iterable[QuestionRow]) -> dict[str, Path]:
    """File of each image by `image_names`."""
    return {name: file for row in rows for name, file in zip(image_names(row), row.images.values(), strict=True)}


def captions(rows: Iterable[QuestionRow]) -> dict[str, frozenset[tuple[str, str]]]:
    """Every question and answer on each first image, in lower case; of images with two or more."""
    pairs_of: defaultdict[str, set[tuple[str, str]]] = defaultdict(set)
    for row in rows:
        pairs_of[image_names(row)[0]].add((row.question.lower(), row.answer.lower()))
    return {name: frozenset(pairs) for name, pairs in pairs_of.items() if len(pairs) >= _MIN_EQUAL}
