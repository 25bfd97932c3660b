"""One image of a DICOM file: rescaled, windowed, upright in grey, and without a single patient field.

Only the elements in `_ELEMENTS` are parsed at all, so neither the result nor an error message can carry a name,
an id or a date. Needs pydicom; JPEG-LS and lossless JPEG need a decoder beside it.
"""

from collections.abc import Iterator
from contextlib import contextmanager
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

_ELEMENTS = [
    *("Rows", "Columns", "NumberOfFrames", "SamplesPerPixel", "PlanarConfiguration", "PhotometricInterpretation"),
    *("BitsAllocated", "BitsStored", "HighBit", "PixelRepresentation", "PixelData", "FloatPixelData"),
    *("RescaleSlope", "RescaleIntercept", "RescaleType", "ModalityLUTSequence", "VOILUTSequence"),  # grey values
    *("WindowCenter", "WindowWidth", "VOILUTFunction"),
    *("Modality", "PixelSpacing", "ImagerPixelSpacing"),
    *(f"{name}PaletteColorLookupTable{part}" for name in ("Red", "Green", "Blue") for part in ("Descriptor", "Data")),
]
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
    is below 1), then MONOCHROME1 inverted. Colour: RGB, YBR and palette become RGB. Raises `BadInput` for a
    file that is no DICOM file, has no pixels, is damaged, or needs a decoder that is not installed.
    """
    header = _parse(path, _ELEMENTS)
    if not any(name in header for name in ("PixelData", "FloatPixelData")):
        raise BadInput("this DICOM file holds no picture.", file=path, fix="give an image object, not a report or plan")
    with _hide_errors(path):
        try:
            frame = pixel_array(header, index=int(header.get("NumberOfFrames", 1) or 1) // 2)  # YBR is already RGB
        except (RuntimeError, NotImplementedError):
            # pydicom raises these where no installed plugin decodes the transfer syntax
            raise BadInput(
                f"no decoder for transfer syntax {header.file_meta.TransferSyntaxUID.name}, or its data is damaged.",
                file=path,
                fix="`pip install pylibjpeg pylibjpeg-libjpeg pylibjpeg-openjpeg`, or export uncompressed",
            ) from None
        pixels = _to_uint8(frame, header, path)
    try:
        modality = parse_modality(str(header.get("Modality", "")))
    except BadInput:
        modality = "unknown"
    rows = header.get("PixelSpacing") or header.get("ImagerPixelSpacing") or []
    is_real = len(rows) == 2 and all(np.isfinite(float(v)) and float(v) > 0 for v in rows)
    # DICOM writes row distance (y) first; ours is (x, y), as sizes are (width, height)
    spacing_mm = (float(rows[1]), float(rows[0])) if is_real else None
    return DicomImage(image=Image.fromarray(pixels).convert("RGB"), modality=modality, spacing_mm=spacing_mm)


def dicom_size(path: Path) -> tuple[int, int]:
    """(width, height) from the header. Raises `BadInput` as `read_dicom` does."""
    header = _parse(path, ["Rows", "Columns"])
    try:
        return int(header.Columns), int(header.Rows)
    except _PYDICOM_ERRORS as error:
        raise BadInput("this DICOM file holds no picture.", file=path, fix="give an image object") from error


def _parse(path: Path, elements: list[str]) -> Dataset:
    with _hide_errors(path):
        return dcmread(path, specific_tags=list(elements))


@contextmanager
def _hide_errors(path: Path) -> Iterator[None]:
    """Errors of pydicom become `BadInput`s without a cause: its own words may quote elements of the file."""
    try:
        yield
    except BadInput:
        raise
    except InvalidDicomError:
        fix = "export it as DICOM part 10, or PNG"
        raise BadInput("not a DICOM file (no DICM mark).", file=path, fix=fix) from None
    except _PYDICOM_ERRORS as error:
        problem = f"this DICOM file is damaged ({type(error).__name__})."
        raise BadInput(problem, file=path, fix="export the file again") from None


def _to_uint8(frame: NDArray[Any], header: Dataset, path: Path) -> NDArray[np.uint8]:
    kind = str(header.PhotometricInterpretation)
    if kind == "PALETTE COLOR":
        frame = apply_color_lut(frame, header)
    if frame.ndim == 3:
        bits = 8 * frame.dtype.itemsize if kind == "PALETTE COLOR" else int(header.BitsStored)
        return to_uint8(unit_scale(frame, 0, 2**bits - 1))
    if kind not in ("MONOCHROME1", "MONOCHROME2"):
        problem = f"photometric interpretation {kind[:16]!r} is not known."
        raise BadInput(problem, file=path, fix="export as RGB or grey")
    values = _apply_window(apply_modality_lut(frame, header), header)
    return to_uint8(1 - values if kind == "MONOCHROME1" else values)  # MONOCHROME1: low values are bright


def _apply_window(values: NDArray[Any], header: Dataset) -> NDArray[np.float32]:
    """[0, 1] after the VOI window or table of the file, else between percentiles."""
    if "VOILUTSequence" in header:
        table = apply_voi_lut(values, header)
        return unit_scale(table, float(table.min()), float(table.max()))
    # several windows may be stored: the first one counts
    centre, width = (np.ravel(header.get(name))[:1] for name in ("WindowCenter", "WindowWidth"))
    is_stored = all(len(value) and value[0] is not None and value[0] != "" for value in (centre, width))
    if not is_stored or not np.isfinite(float(centre[0])) or not float(width[0]) >= 1:
        return unit_scale(values, *percentile_window(values))
    # far ends of the line are what the window maps to black and white, whatever the file's bit depth
    low, high = apply_voi_lut(np.array([-1e12, 1e12]), header)
    return unit_scale(apply_voi_lut(values, header), float(low), float(high))
