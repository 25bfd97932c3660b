"""Pictures that are the same or look alike, among millions: two 64-bit hashes a picture, compared in sorted arrays.

Exact: the first 64 bits of the SHA-256 of size and RGB pixels (at 5 million pictures, one chance in a million that any
two differ and agree). Alike: difference hashes that differ in at most 2 bits, the rule of the leak report.
"""

import hashlib
from itertools import combinations

import numpy as np
from numpy.typing import NDArray
from PIL import Image

NEAR_BITS = 2
"""Bits in which the difference hashes of two pictures that look alike differ at most."""

FLAT_BITS = 8
"""With fewer bits set than this, or unset, a difference hash tells nothing: black frames look like one another."""

Hashes = NDArray[np.uint64]
Rows = NDArray[np.int64]

_QUARTERS = [np.uint64(sum(1 << bit for bit in range(start, 64, 4))) for start in range(4)]
_KEYS = [a | b for a, b in combinations(_QUARTERS, 2)]
"""Every fourth bit makes a quarter. Two changed bits lie in two quarters at most, so two other quarters agree."""


def pixel_hash(image: Image.Image) -> int:
    """64 bits of the picture's size and RGB pixels, whatever file they came from."""
    rgb = image.convert("RGB")
    return int.from_bytes(hashlib.sha256(f"{rgb.size}".encode() + rgb.tobytes()).digest()[:8], "little")


def look_hash(image: Image.Image) -> int:
    """64 bits: in a 9 x 8 grey thumbnail, whether each pixel is darker than the next in its row."""
    grey = np.asarray(image.convert("L").resize((9, 8), Image.Resampling.BILINEAR), np.int16)
    return int(np.packbits(grey[:, 1:] > grey[:, :-1]).view(np.uint64)[0])


def same_before(hashes_N: Hashes, ranks_N: NDArray[np.integer]) -> Rows:
    """int64[N]: for each row the first row of the lowest rank with its hash, if that is lower than its own; else -1.

    Ranks are small integers: of the sets in their order, or 0 for held-out rows and 1 for the others.
    """
    order = np.lexsort((ranks_N, hashes_N))  # stable, so that the first of a run is the first row of its lowest rank
    run_starts = np.flatnonzero(np.r_[True, hashes_N[order][1:] != hashes_N[order][:-1]][: len(order)])
    firsts = np.repeat(order[run_starts], np.diff(np.r_[run_starts, len(order)]))
    found = np.full(len(order), -1, np.int64)
    found[order] = np.where(ranks_N[firsts] < ranks_N[order], firsts, -1)
    return found


def alike_before(hashes_N: Hashes, ranks_N: NDArray[np.integer]) -> Rows:
    """int64[N]: for each row one row of lower rank whose difference hash is within `NEAR_BITS` of its own, else -1.

    Flat pictures are left alone (`FLAT_BITS`). About 60 bytes a row at the peak; time grows with the number of
    neighbours in half of the bits, near N log N for pictures that differ.
    """
    found = np.full(len(hashes_N), -1, np.int64)
    telling = np.flatnonzero((np.bitwise_count(hashes_N) >= FLAT_BITS) & (np.bitwise_count(~hashes_N) >= FLAT_BITS))
    rows = telling[_firsts(hashes_N[telling], ranks_N[telling])]
    for key in _KEYS:
        _match(hashes_N[rows] & key, hashes_N, ranks_N, rows, found)
    return _spread(hashes_N, ranks_N, rows, found)


def _firsts(hashes_M: Hashes, ranks_M: NDArray[np.integer]) -> Rows:
    """The first row of each hash and rank: copies within a set need no comparing of their own."""
    order = np.lexsort((ranks_M, hashes_M))
    hashes, ranks = hashes_M[order], ranks_M[order]
    return order[np.r_[True, (hashes[1:] != hashes[:-1]) | (ranks[1:] != ranks[:-1])][: len(order)]]


def _match(keys_U: Hashes, hashes_N: Hashes, ranks_N: NDArray[np.integer], rows_U: Rows, found_N: Rows) -> None:
    """Compare rows of equal key, first neighbours in the sorted order, then those two apart, and so on."""
    order = np.argsort(keys_U, kind="stable")
    keys, rows = keys_U[order], rows_U[order]
    here, step = _of_several_ranks(keys, ranks_N[rows]), 1
    while len(here := here[here + step < len(keys)]):
        here = here[keys[here] == keys[here + step]]
        one, other = rows[here], rows[here + step]
        near = np.bitwise_count(hashes_N[one] ^ hashes_N[other]) <= NEAR_BITS
        near &= ranks_N[one] != ranks_N[other]
        one, other = one[near], other[near]
        is_later = ranks_N[one] > ranks_N[other]
        found_N[np.where(is_later, one, other)] = np.where(is_later, other, one)
        step += 1


def _of_several_ranks(keys_U: Hashes, ranks_U: NDArray[np.integer]) -> Rows:
    """Places in runs of equal keys with more than one rank; in all other runs there is nothing to find."""
    starts = np.flatnonzero(np.r_[True, keys_U[1:] != keys_U[:-1]][: len(keys_U)])
    if not len(starts):
        return starts
    mixed = np.minimum.reduceat(ranks_U, starts) != np.maximum.reduceat(ranks_U, starts)
    return np.flatnonzero(np.repeat(mixed, np.diff(np.r_[starts, len(keys_U)])))


def _spread(hashes_N: Hashes, ranks_N: NDArray[np.integer], rows_U: Rows, found_N: Rows) -> Rows:
    """What was found for the first row of a hash and rank holds for its copies."""
    hits = rows_U[found_N[rows_U] >= 0]
    if not len(hits):
        return found_N
    order = np.lexsort((ranks_N[hits], hashes_N[hits]))
    hits = hits[order]
    for rank in np.unique(ranks_N[hits]):
        own = hits[ranks_N[hits] == rank]
        mine = np.flatnonzero(ranks_N == rank)
        place = np.minimum(np.searchsorted(hashes_N[own], hashes_N[mine]), len(own) - 1)
        copies = hashes_N[own][place] == hashes_N[mine]
        found_N[mine[copies]] = found_N[own[place[copies]]]
    return found_N
