"""One image of a DICOM file: rescaled, windowed, upright in grey, and without a single patient field.

Only the elements in `_ELEMENTS` are parsed at all, so neither the result nor an error message can carry a name,
an id or a date. Needs pydicom; JPEG-LS and lossless JPEG need a decoder beside it.
"""

import logging
import re
import warnings
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pydicom import Dataset, dcmread
from pydicom.errors import InvalidDicomError
from pydicom.filereader import data_element_generator
from pydicom.pixels import apply_color_lut, pixel_array
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    RLELossless,
)

from ..bad_input import BadInput
from ..modalities import parse_modality
from .deadline import deadline
from .dicom_grey import element, frame_item, grey_values, numbers, show_grey, stored_bits
from .read import begins_as_dicom, check_size
from .window import GreyValues, strips, to_uint8, unit_scale

_ELEMENTS = [
    *("Rows", "Columns", "NumberOfFrames", "SamplesPerPixel", "PlanarConfiguration", "PhotometricInterpretation"),
    *("BitsAllocated", "BitsStored", "HighBit", "PixelRepresentation", "PixelData", "FloatPixelData"),
    *("DoubleFloatPixelData", "BurnedInAnnotation"),
    *("RescaleSlope", "RescaleIntercept", "ModalityLUTSequence", "VOILUTSequence"),  # grey values
    *("WindowCenter", "WindowWidth", "VOILUTFunction", "PixelPaddingValue", "PixelPaddingRangeLimit"),
    *("Modality", "PixelSpacing", "ImagerPixelSpacing", "BodyPartExamined"),
    *("SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence"),  # of enhanced objects
    *(f"{name}PaletteColorLookupTable{part}" for name in ("Red", "Green", "Blue") for part in ("Descriptor", "Data")),
]
_MAX_INFLATED = 400 * 2**20
"""Bytes of a deflated file, which pydicom unpacks as a whole."""
_MAX_WHOLE = 256 * 2**20
"""Bytes of a file that is read as a whole; of a larger one the pixels stay there, and one frame is read of many."""
_SPINES = {"cspine": "cervical spine", "tspine": "thoracic spine", "lspine": "lumbar spine", "sspine": "sacrum"}
_GREY = ("MONOCHROME1", "MONOCHROME2")
_ALONG = 0.8
"""Cosine from which on the rows of an image run along an axis of the patient."""


@dataclass(frozen=True, kw_only=True)
class DicomImage:
    """`image`: RGB of eight bits. `modality`: our name, `unknown` where the tag is missing or not ours.

    `spacing_mm`: (x, y) distance of pixel centres, or None. `body_part`: lower-case words, "" where the file tells
    none. No field of the patient, the visit or the device.
    """

    image: Image.Image
    modality: str
    spacing_mm: tuple[float, float] | None
    body_part: str = ""


def read_dicom(path: Path, part: float = 0.5) -> DicomImage:
    """The middle frame as a viewer would show it, or that at another `part` of the frames, in [0, 1].

    Grey: modality rescale or table, then the first VOI table or window of the frame or file (percentiles where there
    is none that can be used), then MONOCHROME1 inverted, padding black. Colour: RGB, YBR and palette become RGB.
    An element that makes no sense counts as missing. A file that says that its picture shows words about the patient
    (BurnedInAnnotation) is told once. Raises `BadInput` for a file that is no DICOM file, has no
    pixels or too many, is damaged, or needs a decoder that is not installed.
    """
    header = parse_dicom(path, _ELEMENTS)
    with hide_errors(path):
        frame, index = _frame_at(header, part, path)
        if str(element(header, "BurnedInAnnotation") or "").strip().upper() == "YES":
            _tell_burned_in(path)
        kind = str(header.PhotometricInterpretation)
        if kind in _GREY:
            pixels = show_grey(frame, header, index)
        elif frame.ndim == 3 or kind == "PALETTE COLOR":
            pixels = _show_colours(frame, header)
        else:
            problem = f"photometric interpretation {kind[:16]!r} is not known."
            raise BadInput(problem, file=path, fix="export as RGB or grey")
        del frame
        return DicomImage(
            image=Image.fromarray(pixels).convert("RGB"),
            modality=_read_modality(header),
            spacing_mm=_read_spacing(header, index),
            body_part=_read_body_part(header, index),
        )


def read_grey(path: Path, part: float = 0.5) -> GreyValues | None:
    """The values of the same frame before its window; None for colours. Raises `BadInput` as `read_dicom` does."""
    header = parse_dicom(path, _ELEMENTS)
    with hide_errors(path):
        frame, index = _frame_at(header, part, path)
        return grey_values(frame, header, index) if str(header.PhotometricInterpretation) in _GREY else None


def _frame_at(header: Dataset, part: float, path: Path) -> tuple[NDArray[Any], int]:
    """The frame at a part of all frames, in [0, 1], and its index."""
    if not any(name in header for name in ("PixelData", "FloatPixelData", "DoubleFloatPixelData")):
        fix = "give an image object, not a report or plan"
        raise BadInput("this DICOM file holds no picture.", file=path, fix=fix)
    check_size(int(header.Columns), int(header.Rows) * int(header.get("SamplesPerPixel") or 1), path)
    if not numbers(header, "NumberOfFrames"):
        header.NumberOfFrames = 1
    num = int(numbers(header, "NumberOfFrames")[0])
    index = max(0, min(int(num * part), num - 1))
    frame = _read_frame(header, index, path)
    header.pop("PixelData", None)  # of a large image: the frame is enough
    return frame, index


@lru_cache(maxsize=1 << 16)  # a file is read several times, and told once
def _tell_burned_in(path: Path) -> None:
    problem = "BurnedInAnnotation is YES, so the picture itself may show the patient's name"
    logging.getLogger("medglip").warning("%s: %s; look before you pass on what is made of it.", path, problem)


def patient_left(path: Path) -> str:
    """At which side of the image the patient's left is seen, "left" or "right"; "" where the file does not say.

    Slices say it by ImageOrientationPatient (PS3.3 C.7.6.2: x grows to the patient's left), projections by
    PatientOrientation or by a frontal ViewPosition, which viewers show with the patient's left at the right.
    """
    header = parse_dicom(path, ["ImageOrientationPatient", "PatientOrientation", "ViewPosition"], True)
    with hide_errors(path):
        if rows := numbers(header, "ImageOrientationPatient"):
            return {1: "right", -1: "left"}.get(round(rows[0]), "") if abs(rows[0]) > _ALONG else ""
        words = str(next(iter(element(header, "PatientOrientation") or ()), ""))
        if words[:1] in ("L", "R", "A", "P", "H", "F"):
            return {"L": "right", "R": "left"}.get(words[:1], "")
        return "right" if str(element(header, "ViewPosition") or "") in ("PA", "AP") else ""


def dicom_size(path: Path) -> tuple[int, int]:
    """(width, height) from the header. Raises `BadInput` as `read_dicom` does."""
    header = parse_dicom(path, ["Rows", "Columns"])
    size = [int(next(iter(numbers(header, name)), 0)) for name in ("Columns", "Rows")]
    if 0 in size:
        raise BadInput("this DICOM file holds no picture.", file=path, fix="give an image object")
    check_size(size[0], size[1], path)
    return size[0], size[1]


def parse_dicom(path: Path, elements: Sequence[str] | None, stop_before_pixels: bool = False) -> Dataset:
    """These elements of a file (None: all). Raises `BadInput` for a damaged file, or one that unpacks to too much."""
    with hide_errors(path):
        _check_inflated(path)
        names = None if elements is None else list(elements)
        defer = 2**20 if path.stat().st_size > _MAX_WHOLE else None
        force = begins_as_dicom(path)  # without a preamble, too
        header = dcmread(path, defer, stop_before_pixels, force=force, specific_tags=names)
        if not header.file_meta.get("TransferSyntaxUID"):
            _set_syntax(header, path)
        return header


def _set_syntax(header: Dataset, path: Path) -> None:
    """How a file is stored that does not say so; of compressed pixels, and of so large a file, it is not guessed."""
    is_implicit, is_little = header.original_encoding
    is_packed = "PixelData" in header and header["PixelData"].is_undefined_length
    if is_packed or path.stat().st_size > _MAX_WHOLE:
        problem = "does not say how its pixels are stored (no TransferSyntaxUID)."
        raise BadInput(problem, file=path, fix="export it as DICOM part 10, with its file meta header")
    explicit = ExplicitVRLittleEndian if is_little else ExplicitVRBigEndian
    header.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian if is_implicit else explicit


@contextmanager
def hide_errors(path: Path) -> Iterator[None]:
    """Around all that pydicom does with a foreign file: whatever it raises becomes a `BadInput` without a cause.

    Its words, warnings and log are hidden, since they may quote elements of the file.
    """
    log = logging.getLogger("pydicom")
    was_disabled, log.disabled = log.disabled, True
    try:
        with warnings.catch_warnings(action="ignore"), deadline(path):
            yield
    except BadInput as error:
        raise BadInput(error.problem, file=error.file or path, row=error.row, fix=error.fix) from None
    except InvalidDicomError:
        fix = "export it as DICOM part 10, or PNG"
        raise BadInput("not a DICOM file (no DICM mark).", file=path, fix=fix) from None
    except Exception as error:  # pydicom's readers of values raise whatever they like
        problem = f"this DICOM file is damaged ({type(error).__name__})."
        raise BadInput(problem, file=path, fix="export the file again") from None
    finally:
        log.disabled = was_disabled


def _check_inflated(path: Path) -> None:
    """Raises `BadInput` for a deflated file that would not fit into memory; nothing is kept of it."""
    with path.open("rb") as file:
        head = file.read(132)
        if head[128:] != b"DICM":
            if head[:2] != b"\2\0":
                return
            file.seek(0)  # the meta header without a preamble
        meta = data_element_generator(file, False, True, stop_when=lambda tag, vr, length: int(tag) >> 16 != 2)
        # all are read, so that the file stands where the deflated part begins
        syntaxes = [item.value for item in meta if int(item.tag) == 0x00020010]
        if [str(syntax, "ascii").strip("\0 ") for syntax in syntaxes if syntax] != [DeflatedExplicitVRLittleEndian]:
            return
        inflater, size, pending = zlib.decompressobj(-zlib.MAX_WBITS), 0, b""
        while size <= _MAX_INFLATED and (data := pending or file.read(2**20)):
            size += len(inflater.decompress(data, 2**22))
            pending = inflater.unconsumed_tail
    if size > _MAX_INFLATED:
        raise BadInput(f"unpacks to more than {_MAX_INFLATED:,} bytes.", file=path, fix="export it without deflation")


def _read_frame(header: Dataset, index: int, path: Path) -> NDArray[Any]:
    """[H, W] or [H, W, C] with all bits that are allocated, YBR as RGB."""
    syntax = header.file_meta.TransferSyntaxUID
    is_raw = not syntax.is_encapsulated or syntax == RLELossless
    if not is_raw:
        header.pop("HighBit", None)  # decoders of JPEG give values
    is_whole = path.stat().st_size <= _MAX_WHOLE or syntax == DeflatedExplicitVRLittleEndian
    try:
        return pixel_array(header if is_whole else path, index=index, correct_unused_bits=not is_raw)
    except (RuntimeError, NotImplementedError):
        # pydicom raises these where no installed plugin decodes the transfer syntax
        raise BadInput(
            f"no decoder for transfer syntax {syntax.name}, or its data is damaged.",
            file=path,
            fix="`pip install pylibjpeg pylibjpeg-libjpeg pylibjpeg-openjpeg`, or export uncompressed",
        ) from None


def _show_colours(frame: NDArray[Any], header: Dataset) -> NDArray[np.uint8]:
    bits, stored = int(header.BitsStored), stored_bits(header, frame.dtype)
    if header.PhotometricInterpretation == "PALETTE COLOR":
        frame, stored = apply_color_lut(stored(frame), header), np.asarray
        bits = 8 * frame.dtype.itemsize
    shown = np.empty(frame.shape, np.uint8)
    for rows in strips(*frame.shape[:2]):
        shown[rows] = to_uint8(unit_scale(stored(frame[rows]), 0, 2**bits - 1))
    return shown


def _read_modality(header: Dataset) -> str:
    try:
        return parse_modality(str(element(header, "Modality") or ""))
    except BadInput:
        return "unknown"


def _read_spacing(header: Dataset, index: int) -> tuple[float, float] | None:
    item = frame_item(header, index, "PixelMeasuresSequence", "PixelSpacing")
    rows = numbers(item, "PixelSpacing") or numbers(header, "ImagerPixelSpacing")
    # DICOM writes row distance (y) first; ours is (x, y), as sizes are (width, height)
    return (rows[1], rows[0]) if len(rows) == 2 and min(rows) > 0 else None


def _read_body_part(header: Dataset, index: int) -> str:
    """Words of the body part alone: letters and blanks, so that nothing else can stand in that place."""
    item = frame_item(header, index, "FrameAnatomySequence", "AnatomicRegionSequence")
    region = next(iter(element(item, "AnatomicRegionSequence") or ()), Dataset())
    text = str(element(header, "BodyPartExamined") or element(region, "CodeMeaning") or "")
    words = " ".join(text.lower().replace("_", " ").split())
    return _SPINES.get(words, words) if re.fullmatch(r"[a-z ]{1,32}", words) else ""
