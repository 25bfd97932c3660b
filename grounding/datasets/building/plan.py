"""Which rows of a build stay, and on which side: over all parts, from two hashes, a draw and a split a row."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from ..parts import assign_parts
from ..schema import any_version, upgrade_table
from .duplicates import alike_before, same_before
from .manifest import BuildSettings

_SIDES = ("", "train", "val", "test")
"""Sides that the build gives; "" is the row's own split."""
_KEPT, _COPY, _ALIKE = 0, 1, 2
Exclusion = tuple[str, str, str, str]
"""A row that is left out: its set, its id there, the kind of reason, and the reason."""


@dataclass(frozen=True)
class Piece:
    """Rows of one part: their indices in it, and each row's side ("" for its own split)."""

    part: Path
    indices: tuple[int, ...]
    splits: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What becomes of each of N rows. `starts` int64[P + 1]: first row of each part; `sources` int16[P].

    `sides` int8[N] into ("", train, val, test); `reasons` int8[N]: 0 kept, 1 equal pixels, 2 looks alike; `matches`
    int64[N]: the row that it is like, or -1. `alike_left_in`: kept train rows that look like a held-out row of their
    set.
    """

    parts: list[Path]
    names: tuple[str, ...]
    starts: NDArray[np.int64]
    sources: NDArray[np.int16]
    sides: NDArray[np.int8]
    reasons: NDArray[np.int8]
    matches: NDArray[np.int64]
    alike_left_in: int

    @property
    def num_kept(self) -> int:
        """Rows of the built dataset."""
        return int((self.reasons == _KEPT).sum())

    def pieces(self, start: int, count: int) -> list[Piece]:
        """Kept rows number `start` to `start + count`, by part."""
        rows = np.flatnonzero(self.reasons == _KEPT)[start : start + count]
        pieces: list[Piece] = []
        for part, own in self._by_part(rows):
            splits = tuple(_SIDES[side] for side in self.sides[own].tolist())
            pieces.append(Piece(self.parts[part], tuple((own - self.starts[part]).tolist()), splits))
        return pieces

    def duplicates(self) -> Iterator[Exclusion]:
        """Each duplicate with the row that it is like."""
        # ids are read part by part, in two passes: of the rows that duplicates are like, then of the duplicates
        dropped = np.flatnonzero(self.reasons != _KEPT)
        ids = {row: name for _, row, name in self._ids(np.unique(self.matches[dropped]))}
        for part, row, image_id in self._ids(dropped):
            kind, words = ("copy", "equal pixels: ") if self.reasons[row] == _COPY else ("near copy", "looks like ")
            yield self.names[self.sources[part]], image_id, kind, words + ids[int(self.matches[row])]

    def _ids(self, rows: NDArray[np.int64]) -> Iterator[tuple[int, int, str]]:
        """(part, row, id of its image) of sorted rows."""
        for part, own in self._by_part(rows):
            table = upgrade_table(pq.ParquetFile(self.parts[part]).read(any_version(["image_id"])))
            ids = table["image_id"].take(pa.array(own - self.starts[part])).to_pylist()
            yield from ((part, row, image_id) for row, image_id in zip(own.tolist(), ids, strict=True))

    def _by_part(self, rows: NDArray[np.int64]) -> Iterator[tuple[int, NDArray[np.int64]]]:
        """Sorted rows, part by part."""
        # starts 0 100 250, rows 7 99 180: ends 0 2 3, so part 0 has rows 7 99 and part 1 has row 180
        ends = np.searchsorted(rows, self.starts)
        for part in np.flatnonzero(np.diff(ends)).tolist():
            yield part, rows[ends[part] : ends[part + 1]]


def make_plan(settings: BuildSettings, folder: Path) -> Plan:
    """Sides and duplicates over all parts of a folder.

    A row goes for one of equal pixels, or (by setting) of like look, in an earlier set; a train row also for one of
    equal pixels among the held-out rows of its own set. Other likenesses within a set stay: slices of one patient are
    alike and legitimate.
    """
    parts = sorted(folder.glob("[0-9]*-*.parquet"))
    counts = [pq.read_metadata(part).num_rows for part in parts]
    sources = np.array([int(part.name[:3]) for part in parts], np.int16)
    starts = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
    of_row = np.repeat(sources, counts)
    sides, is_train = _sides_of(settings, parts, of_row)
    pixels, looks = (_column(parts, name, pa.uint64()).to_numpy() for name in ("pixel_hash", "look_hash"))
    # A row may go for one of lower rank. Sets A and B, held-out rows first within each:
    #     A val 0   A train 1   B val 2   B train 3
    # So "B val" goes for anything equal in A, "A train" only for what "A val" holds, and no "A val" for "A train".
    ranks = of_row * 2 + is_train
    matches = same_before(pixels, ranks)
    reasons = np.where(matches >= 0, _COPY, _KEPT).astype(np.int8)
    del pixels
    alike_left_in = 0
    if settings.near_duplicates:
        # uint8[N, 256] in a file of its own, of which memory holds what is looked at
        file = folder / "thumbnails"
        with file.open("wb") as out:
            for part in parts:
                out.writelines(pq.read_table(part, columns=["thumbnail"])["thumbnail"].to_pylist())
        shape = (int(starts[-1]), 256)
        thumbnails = np.memmap(file, np.uint8, "r", shape=shape) if starts[-1] else np.empty(shape, np.uint8)
        near = alike_before(looks, of_row, thumbnails)  # of_row, not ranks: alike within a set is legitimate
        new = (near >= 0) & (reasons == _KEPT)
        matches[new], reasons[new] = near[new], _ALIKE
        del near, new
        ranks[reasons != _KEPT] = -1  # of one rank: not compared with each other
        held_out = alike_before(looks, ranks, thumbnails)
        alike_left_in = int(((held_out >= 0) & (ranks[held_out] >= 0)).sum())
    return Plan(
        parts=parts,
        names=tuple(source.set_name for source in settings.sources),
        starts=starts,
        sources=sources,
        sides=sides,
        reasons=reasons,
        matches=matches,
        alike_left_in=alike_left_in,
    )


def _sides_of(
    settings: BuildSettings, parts: list[Path], of_row: NDArray[np.int16]
) -> tuple[NDArray[np.int8], NDArray[np.bool_]]:
    """Sides, and whether a row is for training, of all rows."""
    draws, splits = _column(parts, "draw", pa.float64()).to_numpy(), _column(parts, "split", pa.string())
    is_open, is_train = (pc.equal(splits, name).to_numpy() for name in ("", "train"))  # pyright: ignore[reportAttributeAccessIssue]
    sides = np.zeros(len(of_row), np.int8)
    for number, source in enumerate(settings.sources):
        rows = slice(*np.searchsorted(of_row, [number, number + 1]).tolist())
        is_ours = np.ones_like(is_open[rows]) if source.split == "hash" else is_open[rows]
        groups, of_group, sizes = np.unique(draws[rows][is_ours], return_inverse=True, return_counts=True)
        if source.val_fraction is None:
            parts_of = assign_parts(
                dict(zip(groups.tolist(), sizes.tolist(), strict=True)), {g: g for g in groups.tolist()}
            )
            of_groups = [parts_of[group] for group in groups.tolist()]
        else:
            # The rule of `corpus.held_out`: the lowest draws, at least one of several groups.
            is_split = source.val_fraction > 0 and len(groups) > 1
            num_val = min(max(int((groups < source.val_fraction).sum()), 1), len(groups) - 1) if is_split else 0
            of_groups = ["val"] * num_val + ["train"] * (len(groups) - num_val)
        sides[rows][is_ours] = np.array([_SIDES.index(split) for split in of_groups], np.int8)[of_group]
    return sides, np.where(sides > 0, sides == _SIDES.index("train"), is_train)


def _column(parts: list[Path], name: str, kind: pa.DataType) -> pa.ChunkedArray:
    """A column over all parts."""
    return pa.chunked_array((pq.read_table(part, columns=[name])[name].combine_chunks() for part in parts), kind)
