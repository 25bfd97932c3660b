"""Which images of question sets are one picture: by equal pixels, or by looks (`grounding.datasets.duplicates`)."""

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tqdm.auto import tqdm

from ...grounding.bad_input import BadInput
from ...grounding.datasets.building.duplicates import Rows, alike_before, fingerprints, same_before
from ...grounding.imaging.read import read_image


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
        except BadInput:
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
