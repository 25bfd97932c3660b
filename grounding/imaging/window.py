"""Grey values of any range to eight bits: one linear window, by given ends or by percentiles. Pure numpy."""

from collections.abc import Iterator
from dataclasses import dataclass
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


@dataclass(frozen=True, kw_only=True, eq=False)
class GreyValues:
    """A grey picture before its window: `values_HW` float32 as the file has them, Hounsfield units of a CT.

    `centre`, `width`: of the window that the file names, else of percentiles; what is no picture has the darkest value.
    `is_inverted`: large values are dark.
    """

    values_HW: NDArray[np.float32]
    centre: float
    width: float
    is_inverted: bool = False

    @classmethod
    def of(
        cls,
        values_HW: NDArray[Any],
        is_picture_HW: NDArray[np.bool_],
        *,
        centre: float | None = None,
        width: float | None = None,
        is_inverted: bool = False,
    ) -> "GreyValues":
        """Where no window is given it is that of the percentiles of the picture; the rest is padding."""
        picture = values_HW[is_picture_HW] if is_picture_HW.any() else np.zeros(1, np.float32)
        values_HW = np.where(is_picture_HW, values_HW, picture.max() if is_inverted else picture.min())
        if centre is None or width is None:
            low, high = percentile_window(picture)
            centre, width = (low + high) / 2, high - low
        return cls(values_HW=values_HW.astype(np.float32), centre=centre, width=width, is_inverted=is_inverted)

    def show(self, centre: float, width: float) -> NDArray[np.uint8]:
        """uint8[H, W] in this window."""
        unit_HW = unit_scale(self.values_HW, centre - width / 2, centre + width / 2)
        return to_uint8(1 - unit_HW if self.is_inverted else unit_HW)


def strips(height: int, width: int) -> Iterator[slice]:
    """Rows of an image, about `STRIP` pixels at a time."""
    rows = max(1, STRIP // max(1, width))
    return (slice(top, min(top + rows, height)) for top in range(0, height, rows))
