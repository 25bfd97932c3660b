"""Images that are the same or look alike, among millions: two 64-bit hashes an image, and a thumbnail for the doubt.

Exact: the first 64 bits of the SHA-256 of size and RGB pixels (at 5 million images, one chance in a million that any
two differ and agree). Alike: difference hashes that differ in at most 2 bits, the rule of the leak report, and
thumbnails that agree: alone, the hash takes a round fundus for any other, and for a colonoscope's round view.
"""

import hashlib
from collections.abc import Iterator
from itertools import combinations

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ...geometry import to_rgb
from ...imaging.hashes import NEAR_BITS, difference_hash

FLAT_BITS = 8
"""With fewer bits set than this, or unset, a difference hash tells nothing: black frames look like one another."""

MIN_CORRELATION = 0.95
"""Of the thumbnails of two images that look alike. Measured: 0.999 after scaling and JPEG, below 0.85 for others."""

THUMBNAIL_SIDE = 16
_PAIRS_AT_ONCE = 16384

Hashes = NDArray[np.uint64]
Rows = NDArray[np.int64]
Thumbnails = NDArray[np.uint8]

_QUARTERS = [np.uint64(sum(1 << bit for bit in range(start, 64, 4))) for start in range(4)]
_KEYS = [a | b for a, b in combinations(_QUARTERS, 2)]
"""Every fourth bit makes a quarter. Two changed bits lie in two quarters at most, so two other quarters agree."""


def fingerprints(image: Image.Image) -> tuple[int, int, bytes]:
    """What is kept of an image: `pixel_hash`, `look_hash` and thumbnail.

    `pixel_hash`: 64 bits of size and RGB pixels, whatever file they came from. `look_hash`: `difference_hash`.
    Thumbnail: 16 x 16 grey values, row by row.
    """
    rgb = to_rgb(image)
    digest = hashlib.sha256(f"{rgb.size}".encode())
    digest.update(rgb.tobytes())
    grey = rgb.convert("L")
    thumbnail = grey.resize((THUMBNAIL_SIDE, THUMBNAIL_SIDE), Image.Resampling.BILINEAR).tobytes()
    return int.from_bytes(digest.digest()[:8], "little"), int(difference_hash(grey)), thumbnail


def same_before(hashes_N: Hashes, ranks_N: NDArray[np.integer]) -> Rows:
    """int64[N]: for each row the first row of the lowest rank with its hash, if that is lower than its own; else -1.

    Ranks are small integers: of the sets in their order, or 0 for held-out rows and 1 for the others.
    """
    order = np.lexsort((ranks_N, hashes_N))  # stable, so that the first of a run is the first row of its lowest rank
    run_starts = np.flatnonzero(np.r_[True, hashes_N[order][1:] != hashes_N[order][:-1]][: len(order)])
    firsts = np.repeat(order[run_starts], np.diff(np.r_[run_starts, len(order)]))
    earlier = np.full(len(order), -1, np.int64)
    earlier[order] = np.where(ranks_N[firsts] < ranks_N[order], firsts, -1)
    return earlier


def alike_before(hashes_N: Hashes, ranks_N: NDArray[np.integer], thumbnails_N: Thumbnails) -> Rows:
    """int64[N]: for each row a row of lower rank that looks like it, else -1; flat images are left alone.

    Alike: difference hashes within `NEAR_BITS`, and thumbnails that correlate at `MIN_CORRELATION`. `thumbnails_N`
    uint8[N, 256] may lie on disk (`np.memmap`): only those of near hashes are read. About 60 bytes a row at the peak;
    time grows with the pairs that agree in half of the bits, near N log N for images that differ.
    """
    # Two hashes that differ in 2 bits agree in two of their four quarters: sorted by those two (six keys are tried),
    # the pair stands in one run of equal keys, and only pairs within runs are compared.
    #     key   1100 1100 1100 0000 ...      rows of a run: 3, 8, 9; pairs 3-8 8-9 (step 1), 3-9 (step 2)
    earlier = np.full(len(hashes_N), -1, np.int64)
    rows = np.flatnonzero((np.bitwise_count(hashes_N) >= FLAT_BITS) & (np.bitwise_count(~hashes_N) >= FLAT_BITS))
    for key in _KEYS:
        for one, other in _near_pairs(hashes_N[rows] & key, hashes_N, ranks_N, rows):
            is_open = earlier[one] < 0
            for some in np.array_split(np.flatnonzero(is_open), int(is_open.sum()) // _PAIRS_AT_ONCE + 1):
                pair = [np.asarray(thumbnails_N[side[some]], np.float32) for side in (one, other)]
                a, b = (side - np.mean(side, 1, np.float32, keepdims=True) for side in pair)
                scale = np.sqrt((a * a).sum(1) * (b * b).sum(1))  # 0 where one is of a single brightness
                alike = (a * b).sum(1) / np.maximum(scale, 1e-6) >= MIN_CORRELATION
                earlier[one[some[alike]]] = other[some[alike]]
    return earlier


def _near_pairs(
    keys_M: Hashes, hashes_N: Hashes, ranks_N: NDArray[np.integer], rows_M: Rows
) -> Iterator[tuple[Rows, Rows]]:
    """Rows of equal key that are near, the one of higher rank first: neighbours in sorted order, those 2 apart ..."""
    order = np.argsort(keys_M, kind="stable")
    keys, rows = keys_M[order], rows_M[order]
    starts = np.flatnonzero(np.r_[True, keys[1:] != keys[:-1]][: len(keys)])
    if not len(starts):
        return
    # in a run of one rank there is nothing to find
    ranks = ranks_N[rows]
    is_mixed = np.minimum.reduceat(ranks, starts) != np.maximum.reduceat(ranks, starts)
    here, step = np.flatnonzero(np.repeat(is_mixed, np.diff(np.r_[starts, len(keys)]))), 1
    while len(here := here[here + step < len(keys)]):
        here = here[keys[here] == keys[here + step]]
        one, other = rows[here], rows[here + step]
        near = np.bitwise_count(hashes_N[one] ^ hashes_N[other]) <= NEAR_BITS
        near &= ranks_N[one] != ranks_N[other]
        is_later = ranks_N[one] > ranks_N[other]
        if near.any():
            yield np.where(is_later, one, other)[near], np.where(is_later, other, one)[near]
        step += 1
