"""One picture out of many: a slice of a NIfTI volume, a frame of a DICOM file, a file of a DICOM series.

And the values of that picture before its window, by which a page shows it in another one; models never see these.
"""

import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ...grounding.imaging.dicom import hide_errors, parse_dicom, read_dicom, read_grey
from ...grounding.imaging.dicom_grey import element, numbers
from ...grounding.imaging.nifti import AXES, Axis, plane, plane_spacing_mm, read_volume, resize, square_size
from ...grounding.imaging.read import image_size, is_dicom, read_stored
from ...grounding.imaging.window import GreyValues, percentile_window, to_uint8, unit_scale
from ...grounding.modalities import MODALITIES, parse_modality

MIDDLE = 0.5
MAX_SIDE = 1024
"""Pixels of the longer side of a picture as a page shows it."""
MOST_PX = 2**26
"""Pixels of a picture whose values are kept beside it."""
_STACKED = ("CT", "MR", "PT")
"""Modalities of DICOM whose series are stacks of slices; files of others are pictures of their own."""
_NO_PICTURE = ("", ".txt", ".xml", ".html", ".htm", ".pdf", ".exe", ".inf", ".ini", ".csv", ".json", ".jar", ".dll")
"""What the folders of a hospital's discs hold besides."""


def is_volume(path: Path) -> bool:
    """Whether a file is a NIfTI volume, by its name."""
    return path.name.lower().endswith((".nii", ".nii.gz"))


def slice_of(path: Path, modality: str = "", axis: Axis = "axial", part: float = MIDDLE) -> Path:
    """One slice of a NIfTI volume as a PNG beside it, square pixels, in the window of its modality.

    `part`: where in the volume, in [0, 1]. Raises `BadInput` as `read_volume` does.
    """
    values_HW, window, index, size_px = _cut(path, modality, axis, part)
    grey_HW = to_uint8(unit_scale(values_HW, *window))
    out = path.with_name(f"{path.name.split('.')[0]}-{axis}-{index}.png")
    Image.fromarray(resize(grey_HW, size_px)).convert("RGB").save(out)
    return out


def _cut(
    path: Path, modality: str, axis: Axis, part: float
) -> tuple[NDArray[Any], tuple[float, float], int, tuple[int, int]]:
    """Values of a slice, (low, high) of its window, its index, and its size with square pixels."""
    volume = read_volume(path)
    index = round(min(max(part, 0.0), 1.0) * (volume.values.shape[AXES.index(axis)] - 1))
    values_HW = plane(volume.values, axis, index)
    window = MODALITIES[parse_modality(modality or "unknown")].window or percentile_window(volume.values)
    size_px = square_size((values_HW.shape[1], values_HW.shape[0]), plane_spacing_mm(volume, axis))
    return values_HW, window, index, size_px


def values_of(path: Path, modality: str = "", axis: Axis = "axial", part: float = MIDDLE) -> GreyValues | None:
    """The values of a slice, a frame or a picture, as many as a page shows; None for colours and beyond `MOST_PX`.

    Of sixteen bits all count; a CT has Hounsfield units. Raises `BadInput` as the readers do.
    """
    if not is_volume(path) and math.prod(image_size(path)) > MOST_PX:
        return None
    if is_volume(path):
        values_HW, (low, high), _, size_px = _cut(path, modality, axis, part)
        grey = GreyValues.of(values_HW, np.isfinite(values_HW), centre=(low + high) / 2, width=high - low)
    elif is_dicom(path):
        grey = read_grey(path, part)
        size_px = grey.values_HW.shape[::-1] if grey else (1, 1)
    else:
        stored, mode = read_stored(path)
        is_grey = mode not in ("P", "1") and (stored.ndim == 2 or (stored[..., :1] == stored[..., :3]).all())
        values_HW = stored if stored.ndim == 2 else stored[..., 0]
        centre, width = (127.5, 255.0) if stored.dtype == np.uint8 else (None, None)
        grey = GreyValues.of(values_HW, np.isfinite(values_HW), centre=centre, width=width) if is_grey else None
        size_px = values_HW.shape[::-1]
    if grey is None:
        return None
    scale = min(1.0, MAX_SIDE / max(size_px))
    shown_px = (max(1, round(size_px[0] * scale)), max(1, round(size_px[1] * scale)))
    resized = Image.fromarray(grey.values_HW).resize(shown_px, Image.Resampling.BILINEAR)
    return replace(grey, values_HW=np.asarray(resized))


def frame_of(path: Path, part: float) -> Path:
    """The frame at a place in [0, 1] of a DICOM file of several, as a PNG beside it; in the middle the file itself."""
    header = parse_dicom(path, ["NumberOfFrames"], True)
    with hide_errors(path):
        num = int(next(iter(numbers(header, "NumberOfFrames")), 1))
    if num < 2 or part == MIDDLE:  # of which every reader takes the middle one
        return path
    out = path.with_name(f"{path.stem}-frame-{part:.2f}.png")
    read_dicom(path, part).image.save(out)
    return out


def one_of_each_series(files: Sequence[Path], part: float) -> list[Path]:
    """The files; of those that are slices of one DICOM series only the one at a place in [0, 1], in their order.

    The index of a medium (DICOMDIR) and, beside DICOM files, what is no picture are left out.
    """
    stacks: dict[str, list[tuple[float, Path]]] = {}
    alone: list[Path] = []
    dicoms = [file for file in files if is_dicom(file) and file.name.upper() != "DICOMDIR"]
    others = [file for file in files if not is_dicom(file) and not (dicoms and file.suffix.lower() in _NO_PICTURE)]
    for file in dicoms:
        header = parse_dicom(file, ["Modality", "SeriesInstanceUID", "InstanceNumber"], True)
        series = str(element(header, "SeriesInstanceUID") or "")
        if series and str(element(header, "Modality")) in _STACKED:
            place = float(next(iter(numbers(header, "InstanceNumber")), 0))
            stacks.setdefault(series, []).append((place, file))
        else:
            alone.append(file)
    slices = [sorted(stack)[min(int(len(stack) * part), len(stack) - 1)][1] for stack in stacks.values()]
    return [*others, *alone, *slices]
