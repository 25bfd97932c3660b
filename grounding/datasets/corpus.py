"""What every reader of a set needs: where its folder is, and which of its groups are held out."""

import hashlib
import os
import unicodedata
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

from ..bad_input import BadInput, Skipped
from ..grounders.hub import cached_folder

Item = TypeVar("Item")


def data_folder(path: Path) -> Path:
    """An existing folder: the path itself, or below the environment's MEDGLIP_DATA; of `owner/name` else the dataset in
    the local cache of a hub. Raises `BadInput` for none.
    """
    root = os.environ.get("MEDGLIP_DATA", "")
    folder = path if path.is_absolute() else Path(root) / path
    if not folder.is_dir():
        with suppress(BadInput):
            return cached_folder(str(path), "dataset")
        raise BadInput("no such folder.", file=folder, fix="set `path`, or MEDGLIP_DATA to the folder that holds it")
    return folder


def stay_inside(folder: Path, name: str, allow_outside: bool = False) -> Path:
    """The path that a name in the data of a set stands for, below the set's folder.

    Raises `BadInput` for one that leaves the folder, absolute or by `..`, unless that is allowed.
    """
    if not (allow_outside or is_inside(folder, name)):
        fix = "move the file there, or allow it (`allow_outside: true`, --allow-outside)"
        raise BadInput(f"{name!r} leaves the folder {folder}.", fix=fix)
    return as_spelled(folder, name)


def as_spelled(folder: Path, name: str) -> Path:
    """The path of a name; where there is none, of the same letters as the other systems spell them, if that is there.

    "ü" is one character, or a u and two dots (Unicode's NFC and NFD): macOS and archives made there write the latter.
    """
    if not name.isascii():
        with suppress(OSError, ValueError):  # a name of 300 letters: told where it is opened
            forms = (name, *(unicodedata.normalize(form, name) for form in ("NFC", "NFD")))
            return next((folder / form for form in forms if (folder / form).exists()), folder / name)
    return folder / name


def one_spelling(name: str) -> str:
    """A name as all spellings of it are compared."""
    return unicodedata.normalize("NFC", name)


def is_inside(folder: Path, name: str) -> bool:
    """Whether a name stands for a path below the folder, by its letters alone: links there are the user's own."""
    return Path(os.path.normpath(folder / name)).is_relative_to(os.path.normpath(folder))


def of_split(
    items: Iterable[Item], splits: Sequence[str], wanted: str | None, noun: str, source: str, skipped: Skipped
) -> list[Item]:
    """The items of a split, all of them for None. `splits`: that of each item; `noun`, `source`: for the error.

    Raises `BadInput` where there is none, with the splits that there are and what was left out.
    """
    chosen = [item for item, split in zip(items, splits, strict=True) if wanted in (None, split)]
    if not chosen:
        problem = f"no usable {noun} of {wanted or 'any split'} in {source}; {skipped.summary()}."
        there = " or ".join(sorted(set(splits)))
        fix = f"splits with {noun}s: {there or 'none'}" + (f"; give --split {there}" if there and wanted else "")
        raise BadInput(problem, fix=fix)
    return chosen


def held_out(groups: Iterable[str], fraction: float, seed: int) -> frozenset[str]:
    """About `fraction` of the groups (patients, source images), never half of one.

    A group's side depends on its name and the seed alone, so that two readers of one set, or of parts of it, agree on
    who is held out. Of two or more groups at least one is held out and one kept, for any fraction above 0.
    """
    draws = {group: draw(group, seed) for group in groups}
    if fraction <= 0 or len(draws) < 2:
        return frozenset()
    # lowest draws first; never all groups, and one at least
    order = sorted(draws, key=lambda group: draws[group])
    chosen = [group for group in order if draws[group] < fraction]
    return frozenset(chosen[: len(order) - 1] or order[:1])


def draw(group: str, seed: int | str) -> float:
    """A uniform number in [0, 1) of the group's own: below the fraction, it is held out. `seed`: or a rule's name."""
    # 56 bits of a hash, not a generator of NumPy: a group keeps its side whatever else is in the set
    digest = hashlib.sha256(f"{seed}:{group}".encode()).digest()
    return int.from_bytes(digest[:7]) / 2**56
