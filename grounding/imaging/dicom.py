"""One picture of a DICOM file: rescaled, windowed, upright in grey, and without a single patient field.

Only the elements in `_ELEMENTS` are parsed at all, so neither the result nor an error message can carry a name,
an id or a date. Needs pydicom; JPEG-LS and lossless JPEG need a decoder beside it.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pydicom import Dataset, dcmread
from pydicom.errors import InvalidDicomError
from pydicom.pixels import apply_color_lut, apply_modality_lut, apply_voi_lut, pixel_array

from ..bad_input import BadInput
from ..modalities import parse_modality
from .window import percentile_window, to_uint8, unit_scale

_SHAPE = ("Rows", "Columns", "NumberOfFrames", "SamplesPerPixel", "PlanarConfiguration", "PhotometricInterpretation")
_BITS = ("BitsAllocated", "BitsStored", "HighBit", "PixelRepresentation", "PixelData", "FloatPixelData")
_GREY = ("RescaleSlope", "RescaleIntercept", "RescaleType", "ModalityLUTSequence", "VOILUTSequence")
_WINDOW = ("WindowCenter", "WindowWidth", "VOILUTFunction")
_PLACE = ("Modality", "PixelSpacing", "ImagerPixelSpacing")
_PALETTE = tuple(
    f"{colour}PaletteColorLookupTable{part}" for colour in ("Red", "Green", "Blue") for part in ("Descriptor", "Data")
)
_ELEMENTS = [*_SHAPE, *_BITS, *_GREY, *_WINDOW, *_PLACE, *_PALETTE]
_PYDICOM_ERRORS = (ValueError, TypeError, KeyError, AttributeError, IndexError, EOFError, OSError, MemoryError)


@dataclass(frozen=True, kw_only=True)
class DicomImage:
    """`image`: RGB of eight bits. `modality`: our name, `unknown` where the tag is missing or not ours.

    `spacing_mm`: (x, y) distance of pixel centres, or None. No field of the patient, the visit or the device.
    """

    image: Image.Image
    modality: str
    spacing_mm: tuple[float, float] | None


def read_dicom(path: Path) -> DicomImage:
    """The middle frame as a viewer would show it.

    Grey: modality rescale, then the file's first VOI window or table (percentiles where there is none or its width
    is below 1), then MONOCHROME1 turned round. Colour: RGB, YBR and palette become RGB. Raises `BadInput` for a
    file that is no DICOM file, has no picture, is damaged, or needs a decoder that is not installed.
    """
    header = _parse(path, _ELEMENTS)
    if not any(name in header for name in ("PixelData", "FloatPixelData")):
        raise BadInput("this DICOM file holds no picture.", file=path, fix="give an image object, not a report or plan")
    try:
        pixels = _to_uint8(_frame(header, path), header, path)
    except BadInput:
        raise
    except _PYDICOM_ERRORS as error:
        # `from None`: pydicom's own text may quote elements of the file.
        raise _damaged(path, error) from None
    return DicomImage(
        image=Image.fromarray(pixels).convert("RGB"), modality=_modality(header), spacing_mm=_spacing(header)
    )


def dicom_size(path: Path) -> tuple[int, int]:
    """(width, height) from the header. Raises `BadInput` as `read_dicom` does."""
    header = _parse(path, ["Rows", "Columns"])
    try:
        return int(header.Columns), int(header.Rows)
    except _PYDICOM_ERRORS as error:
        raise BadInput("this DICOM file holds no picture.", file=path, fix="give an image object") from error


def _parse(path: Path, elements: list[str]) -> Dataset:
    try:
        return dcmread(path, specific_tags=list(elements))
    except InvalidDicomError:
        raise BadInput(
            "not a DICOM file (no DICM mark).", file=path, fix="export it as DICOM part 10, or PNG"
        ) from None
    except _PYDICOM_ERRORS as error:
        raise _damaged(path, error) from None


def _damaged(path: Path, error: Exception) -> BadInput:
    return BadInput(f"this DICOM file is damaged ({type(error).__name__}).", file=path, fix="export the file again")


def _frame(header: Dataset, path: Path) -> NDArray[Any]:
    """[H, W] or [H, W, 3] of the middle frame; YBR is already RGB."""
    frames = int(header.get("NumberOfFrames", 1) or 1)
    try:
        return pixel_array(header, index=frames // 2)
    except (RuntimeError, NotImplementedError):
        # pydicom raises these where no installed plugin decodes the transfer syntax.
        raise BadInput(
            f"no decoder for transfer syntax {header.file_meta.TransferSyntaxUID.name}, or its data is damaged.",
            file=path,
            fix="`pip install pylibjpeg pylibjpeg-libjpeg pylibjpeg-openjpeg`, or export uncompressed",
        ) from None


def _to_uint8(frame: NDArray[Any], header: Dataset, path: Path) -> NDArray[np.uint8]:
    kind = str(header.PhotometricInterpretation)
    if kind == "PALETTE COLOR":
        frame = apply_color_lut(frame, header)
    if frame.ndim == 3:
        bits = 8 * frame.dtype.itemsize if kind == "PALETTE COLOR" else int(header.BitsStored)
        return to_uint8(unit_scale(frame, 0, 2**bits - 1))
    if kind not in ("MONOCHROME1", "MONOCHROME2"):
        raise BadInput(
            f"photometric interpretation {kind[:16]!r} is not known.", file=path, fix="export as RGB or grey"
        )
    shown = _shown(apply_modality_lut(frame, header), header)
    return to_uint8(1 - shown if kind == "MONOCHROME1" else shown)


def _shown(values: NDArray[Any], header: Dataset) -> NDArray[np.float32]:
    """[0, 1] after the VOI window or table of the file, else between percentiles."""
    if "VOILUTSequence" in header:
        table = apply_voi_lut(values, header)
        return unit_scale(table, float(table.min()), float(table.max()))
    if not _has_window(header):
        return unit_scale(values, *percentile_window(values))
    # Far ends of the line are what the window maps to black and white, whatever the file's bit depth.
    low, high = apply_voi_lut(np.array([-1e12, 1e12]), header)
    return unit_scale(apply_voi_lut(values, header), float(low), float(high))


def _has_window(header: Dataset) -> bool:
    first = [np.ravel(header.get(name))[:1] for name in ("WindowCenter", "WindowWidth")]
    if any(not len(value) or value[0] is None or value[0] == "" for value in first):
        return False
    centre, width = (float(value[0]) for value in first)
    return bool(np.isfinite(centre) and width >= 1)


def _modality(header: Dataset) -> str:
    try:
        return parse_modality(str(header.get("Modality", "")))
    except BadInput:
        return "unknown"


def _spacing(header: Dataset) -> tuple[float, float] | None:
    """DICOM writes row distance (y) first; ours is (x, y), as sizes are (width, height)."""
    value = header.get("PixelSpacing") or header.get("ImagerPixelSpacing")
    if value is None or len(value) != 2 or not all(np.isfinite(float(v)) and float(v) > 0 for v in value):
        return None
    return float(value[1]), float(value[0])
