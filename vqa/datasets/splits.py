"""Split schemes by name, one function for every set: which rows are train, val and test, and what is left out.

- `official`: as published. VQA-RAD's has rewordings (`frame`) of test questions in train, and its images in both.
- `official_no_frame`: without `frame` rows; the papers' 1797 training rows of VQA-RAD. Other sets have none to lose.
- `image_grouped`: without `frame` rows, and no image in two splits. Whole groups of images move: one image, all images
  of a question or of a group of the set, pictures that look alike (`grounding.datasets.duplicates`), and images with
  exactly the same questions and answers (templated captions).

A `fold` of a cross-validation stands for the official splits: the groups of `image_grouped` are dealt into parts.
"""

from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tqdm.auto import tqdm

from ...grounding.bad_input import ROW_ERRORS
from ...grounding.datasets.building.duplicates import Rows, alike_before, fingerprints, same_before
from ...grounding.datasets.corpus import draw, held_out
from ...grounding.imaging.read import read_image
from .rows import FRAME, QuestionRow
from .sets import SplitScheme

MIXED_TO_TEST = 0.5
"""Share of the groups with official test rows and others that becomes `test` of `image_grouped`."""
_MIN_EQUAL = 2
"""Images with so many questions or more, all with equal answers, are taken for one caption's."""


class Groups:
    """Names that belong together; a group is called by its first name in the alphabet."""

    def __init__(self, names: Iterable[str]):
        self._parent = {name: name for name in names}

    def __getitem__(self, name: str) -> str:
        """The name of the group."""
        while self._parent[name] != name:
            self._parent[name] = name = self._parent[self._parent[name]]  # halves the way for the next one who asks
        return name

    def join(self, names: Iterable[str]) -> None:
        """The groups of these names become one."""
        roots = {self[name] for name in names}
        self._parent |= {root: min(roots) for root in roots}

    def as_dict(self) -> dict[str, str]:
        """Every name -> its group as it is now."""
        return {name: self[name] for name in self._parent}


def same_pictures(files: Mapping[str, Path]) -> tuple[dict[str, str], dict[str, str], int]:
    """(name -> first name with equal pixels, name -> first name of those that look alike, number of images read).

    Those that look alike hold those with equal pixels, and whatever looks like one of them. Missing and torn images
    stand alone; they are named where they are to be asked.
    """
    names: list[str] = []
    prints: list[tuple[int, int, bytes]] = []
    for name, file in tqdm(sorted(files.items()), desc="fingerprints", unit="image", disable=None):
        try:
            prints.append(fingerprints(read_image(file)))
            names.append(name)
        except ROW_ERRORS:
            continue
    pixels, looks = (np.array([values[i] for values in prints], np.uint64) for i in (0, 1))
    thumbnails = np.array([list(thumbnail) for *_, thumbnail in prints], np.uint8).reshape(-1, 256)
    groups = Groups(files)
    # first by equal pixels, then by looks as well: the second goes on from the groups of the first
    _join(groups, names, lambda ranks: same_before(pixels, ranks))
    equal = groups.as_dict()
    _join(groups, names, lambda ranks: alike_before(looks, ranks, thumbnails))
    return equal, groups.as_dict(), len(names)


def _join(groups: Groups, names: list[str], find: Callable[[NDArray[np.int64]], Rows]) -> None:
    """Join what is found until nothing is: the finder names one row of a lower rank for each, ranks are groups."""
    while names:
        # each round names at most one neighbour of lower rank; joined groups share a rank, so rounds end
        order = {first: rank for rank, first in enumerate(sorted({groups[name] for name in names}))}
        earlier = find(np.array([order[groups[name]] for name in names], np.int64))  # -1: none
        if not (earlier >= 0).any():
            return
        for row in np.flatnonzero(earlier >= 0):
            groups.join((names[row], names[earlier[row]]))


def arrange(
    rows: Sequence[QuestionRow], split_scheme: SplitScheme, *, seed: int = 0, val_fraction: float = 0.2, fold: str = ""
) -> list[QuestionRow]:
    """The rows of a scheme in their order, `split` and `group` set anew; of `image_grouped` alone images are opened.

    `image_grouped`: a group that lies in one official split stays there. Of groups with official test rows and others,
    `MIXED_TO_TEST` become `test` with all their rows; the rest becomes `train` without its official test rows, so that
    no official test row is ever trained on. Groups in train and val become `val`. A set without val gets one:
    `val_fraction` of the groups left in train. Draws depend on the seed and the group's name alone.

    `fold`: `2/5` makes the second of five parts of these groups, dealt out with the seed, `test`, and all others
    `train`, without `frame` rows and whatever the official splits are.
    """
    if fold:
        part, num_parts = map(int, fold.split("/"))
        rows = [row for row in rows if row.phrase_type != FRAME]
        groups = image_groups(rows)
        dealt = sorted(set(groups.values()), key=lambda name: draw(f"fold: {name}", seed))
        tested = set(dealt[part - 1 :: num_parts])
        names = [groups[image_names(row)[0]] for row in rows]
        splits = ["test" if name in tested else "train" for name in names]
        return [replace(row, split=s, group=name) for row, name, s in zip(rows, names, splits, strict=True)]
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
