"""One picture out of many: a slice of a NIfTI volume, a frame of a DICOM file, a file of a DICOM series."""

from collections.abc import Sequence
from pathlib import Path

from PIL import Image

from ...grounding.imaging.dicom import hide_errors, parse_dicom, read_dicom
from ...grounding.imaging.dicom_grey import element, numbers
from ...grounding.imaging.nifti import AXES, Axis, plane, plane_spacing_mm, read_volume, resize, square_size
from ...grounding.imaging.read import is_dicom
from ...grounding.imaging.window import percentile_window, to_uint8, unit_scale
from ...grounding.modalities import MODALITIES, parse_modality

MIDDLE = 0.5
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
    volume = read_volume(path)
    index = round(min(max(part, 0.0), 1.0) * (volume.values.shape[AXES.index(axis)] - 1))
    values_HW = plane(volume.values, axis, index)
    window = MODALITIES[parse_modality(modality or "unknown")].window or percentile_window(volume.values)
    grey_HW = to_uint8(unit_scale(values_HW, *window))
    size_px = square_size((grey_HW.shape[1], grey_HW.shape[0]), plane_spacing_mm(volume, axis))
    out = path.with_name(f"{path.name.split('.')[0]}-{axis}-{index}.png")
    Image.fromarray(resize(grey_HW, size_px)).convert("RGB").save(out)
    return out


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
