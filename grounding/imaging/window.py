"""Grey values of any range to eight bits: one linear window, by given ends or by percentiles. Pure numpy."""

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

PERCENTILES = (0.5, 99.5)
"""Ends of the window where a file names none: a few dead or burnt-in pixels do not decide the contrast."""
MAX_SAMPLE = 2**24
"""Values that percentiles are taken of: of larger images every second one, every third one and so on."""
STRIP = 2**22
"""Pixels that are converted at a time, so that a large image needs no second copy in floats."""


def percentile_window(values: NDArray[Any]) -> tuple[float, float]:
    """(low, high): the 0.5th and 99.5th percentile of the finite values, minimum and maximum where those are equal."""
    step = 1 + values.size // MAX_SAMPLE
    sample = values.flat[::step] if step > 1 else values
    finite = sample[np.isfinite(sample)]
    if not finite.size:
        return 0.0, 0.0
    low, high = np.percentile(finite, PERCENTILES)
    return (float(low), float(high)) if low < high else (float(finite.min()), float(finite.max()))


def unit_scale(values: NDArray[Any], low: float, high: float) -> NDArray[np.float32]:
    """float32 in [0, 1]: `low` and below is 0, `high` and above is 1; all 0 for an empty window (a constant image)."""
    if not low < high:
        return np.zeros(values.shape, np.float32)
    scaled = (np.nan_to_num(values.astype(np.float64), nan=low) - low) / (high - low)
    return np.clip(scaled, 0, 1).astype(np.float32)


def to_uint8(values_01: NDArray[np.float32]) -> NDArray[np.uint8]:
    """[0, 1] to [0, 255], rounded."""
    return np.rint(values_01 * 255).astype(np.uint8)


def strips(height: int, width: int) -> Iterator[slice]:
    """Rows of an image, about `STRIP` pixels at a time."""
    rows = max(1, STRIP // max(1, width))
    return (slice(top, min(top + rows, height)) for top in range(0, height, rows))
