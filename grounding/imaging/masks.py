"""Mask files of any kind to booleans: grey, colours, palettes, transparency, of any depth.

Two colours are background and region: black (zero) or transparent is background, else the colour that most of the
border has. Further colours are read only as a soft edge between these two (JPEG, resizing), which is cut in the middle.
Anything else is refused; it never passes for an empty mask.
"""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..bad_input import BadInput
from .read import image_size, read_stored
from .window import strips

_MAX_COLOURS = 2**20
_NEAR = 1 / 8
"""Of the distance of the two main colours: what lies nearer to one of them is noise of it."""
_MIN_CONTRAST = 16
"""Levels between two colours that can have a soft edge: classes 0, 1, 2 have none."""
_MAX_STRAY = 0.001
"""Part of the image that may have another colour away from the edges."""
_FULL = (1, 255, 65535)
_FIX = "draw it in one colour on black; for several classes use the layout label_map"


def open_mask(file: Path, size_px: tuple[int, int]) -> tuple[NDArray[Any], str]:
    """Values [H, W] or [H, W, C] of a mask file as stored, upright, and PIL's mode.

    Raises `BadInput` for a file that cannot be read, and for another size than (width, height) of the image.
    """
    if (size := image_size(file)) != size_px:
        problem = f"mask of (H, W) {size[::-1]} for an image of (W, H) {size_px}."
        raise BadInput(problem, file=file, fix="scale it to the image")
    return read_stored(file)


def read_mask(file: Path, size_px: tuple[int, int], *, any_value: bool = False) -> NDArray[np.bool_]:
    """bool[H, W] of a mask file, by the rules of this module.

    `any_value`, and always in a palette: every value but 0 is inside, however many there are. Raises `BadInput` as
    `open_mask` does, and for colours that no rule reads.
    """
    values, mode = open_mask(file, size_px)
    any_value = any_value or mode == "P"
    pixels_HWC = _flatten(values, mode)
    keys_N, counts_N = _distinct(pixels_HWC, file)
    border = np.concatenate([_keys(pixels_HWC[[0, -1]]).ravel(), _keys(pixels_HWC[:, [0, -1]]).ravel()])
    border_N = np.bincount(np.searchsorted(keys_N, border), minlength=len(keys_N))
    colours_NC = _colours(keys_N, pixels_HWC.shape[-1])
    if len(keys_N) == 1 or (any_value and (colours_NC == 0).all(-1).any()):
        inside_N, stray_N = (colours_NC != 0).any(-1), np.zeros(len(keys_N), np.uint8)
        if len(keys_N) == 1 and inside_N[0] and not any_value and colours_NC[0].max() not in _FULL:
            raise BadInput("one colour all over: region, or background?", file=file, fix=_FIX)
    else:
        inside_N, stray_N = _cut(colours_NC, counts_N, border_N)
        if stray_N.any() and (
            any_value or mode == "P" or (values.dtype.kind != "f" and np.ptp(colours_NC) < _MIN_CONTRAST)
        ):
            raise BadInput(f"{len(keys_N)} values, and no background 0.", file=file, fix=_FIX)
    height, width = pixels_HWC.shape[:2]
    mask = np.empty((height, width), bool)
    stray = np.empty(mask.shape if stray_N.any() else (0, 0), np.uint8)
    for rows in strips(height, width):
        index = np.searchsorted(keys_N, _keys(pixels_HWC[rows]))
        mask[rows] = inside_N[index]
        if stray.size:
            stray[rows] = stray_N[index]
    if stray.size and _stray_part(mask, stray, 8 if np.count_nonzero(stray_N) >= 8 else 2) > _MAX_STRAY:
        raise BadInput(f"{len(keys_N)} colours, and not at its edges alone.", file=file, fix=_FIX)
    return mask


def _flatten(values: NDArray[Any], mode: str) -> NDArray[Any]:
    """[H, W, C] in which zero is nothing: transparency that is the same everywhere is left out, else it weighs.

    One colour that is wholly transparent is nothing everywhere.
    """
    if values.ndim == 2:
        return values[..., None]
    alpha = values[..., -1:]
    if mode not in ("LA", "RGBA", "L"):
        return values
    if (alpha == alpha[0, 0]).all():
        colours = values[..., :-1]
        is_nothing = not alpha[0, 0].any() and (colours == colours[0, 0]).all()
        return np.zeros_like(colours) if is_nothing else colours
    for rows in strips(*values.shape[:2]):  # values are not anyone else's
        part = values[rows, :, :-1]
        part[...] = part.astype(np.uint32) * alpha[rows] // np.iinfo(values.dtype).max
    return values


def _keys(pixels_HWC: NDArray[Any]) -> NDArray[Any]:
    """A number for each colour: sixteen bits a channel, or the value itself."""
    if pixels_HWC.shape[-1] == 1:
        return pixels_HWC[..., 0]
    keys = np.zeros(pixels_HWC.shape[:-1], np.uint64)
    for i in range(pixels_HWC.shape[-1]):
        keys |= pixels_HWC[..., i].astype(np.uint64) << np.uint64(16 * i)
    return keys


def _colours(keys_N: NDArray[Any], channels: int) -> NDArray[np.float64]:
    """Their colours float64[N, C]."""
    if channels == 1:
        return keys_N[:, None].astype(np.float64)
    parts = [keys_N >> np.uint64(16 * i) & np.uint64(65535) for i in range(channels)]
    return np.stack(parts, axis=-1).astype(np.float64)


def _distinct(pixels_HWC: NDArray[Any], file: Path) -> tuple[NDArray[Any], NDArray[np.int64]]:
    """Keys of the colours in rising order, and how many pixels each has."""
    keys, counts = _keys(pixels_HWC[:0]).ravel(), np.zeros(0, np.int64)
    for rows in strips(*pixels_HWC.shape[:2]):
        more, more_counts = np.unique(_keys(pixels_HWC[rows]), return_counts=True)
        keys, index = np.unique(np.concatenate([keys, more]), return_inverse=True)
        counts = np.bincount(index, np.concatenate([counts, more_counts])).astype(np.int64)
        if len(keys) > _MAX_COLOURS or (keys.dtype.kind == "f" and not np.isfinite(keys).all()):
            raise BadInput("no mask: too many colours, or numbers that are none.", file=file, fix=_FIX)
    return keys, counts


def _cut(
    colours_NC: NDArray[np.float64], counts_N: NDArray[np.int64], border_N: NDArray[np.int64]
) -> tuple[NDArray[np.bool_], NDArray[np.uint8]]:
    """Of each colour whether it is inside, and 1 where it may stand at an edge alone, 2 where nowhere."""
    # On a line from the commonest colour (0) to the commonest of those far from it (1), an edge lies between:
    #   red 0 ---- 0.3 -- 0.5 | cut -- 0.8 ---- 1 black
    first = int(counts_N.argmax())
    distance_N = np.linalg.norm(colours_NC - colours_NC[first], axis=-1)
    second = int(np.where(distance_N >= distance_N.max() / 2, counts_N, -1).argmax())
    span_C = colours_NC[second] - colours_NC[first]
    length = float(np.linalg.norm(span_C))
    along_N = (colours_NC - colours_NC[first]) @ span_C / length**2
    aside_N = np.linalg.norm(colours_NC - colours_NC[first] - along_N[:, None] * span_C, axis=-1) / length
    near_N = np.minimum(distance_N, np.linalg.norm(colours_NC - colours_NC[second], axis=-1)) / length
    stray_N = (near_N > _NEAR).astype(np.uint8)
    stray_N[(aside_N > 2 * _NEAR) | (along_N < -2 * _NEAR) | (along_N > 1 + 2 * _NEAR)] = 2
    is_second_N = along_N > 0.5
    is_zero = [bool(np.linalg.norm(colours_NC[index]) <= _NEAR * length) for index in (first, second)]
    second_is_background = is_zero[1] if any(is_zero) else border_N[is_second_N].sum() * 2 > border_N.sum()
    return (~is_second_N if second_is_background else is_second_N), stray_N


def _stray_part(mask_HW: NDArray[np.bool_], stray_HW: NDArray[np.uint8], edge_px: int) -> float:
    """The part of the image whose colours stand where they may not."""
    from scipy import ndimage  # a third of a second that reading a recipe does not need

    side = 2 * edge_px + 1
    is_edge = ndimage.maximum_filter(mask_HW, side) != ndimage.minimum_filter(mask_HW, side)
    return float(np.mean((stray_HW == 2) | ((stray_HW == 1) & ~is_edge)))
