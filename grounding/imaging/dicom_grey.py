"""Grey values of a DICOM frame as a viewer shows them: DICOM PS3.3 C.11.1 (modality), C.11.2 (VOI), C.7.5.1.1.2.

pydicom's own functions read tables of eight bits as sixteen, take their range from the pixels and know neither padding
nor functional groups, so the few formulas stand here. Elements that make no sense count as missing.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset, Sequence
from pydicom.multival import MultiValue

from ..bad_input import BadInput
from .window import MAX_SAMPLE, GreyValues, percentile_window, strips, to_uint8, unit_scale

Values = NDArray[np.float64]


def element(item: Dataset, name: str) -> Any:
    """The value of an element; None where it is missing, empty or cannot be read."""
    try:
        value = item.get(name)
    except Exception:  # pydicom converts values when they are asked for, and raises whatever it likes
        return None
    return None if value is None or (hasattr(value, "__len__") and len(value) == 0) else value


def numbers(item: Dataset, name: str) -> list[float]:
    """The finite numbers of an element; [] where any of its values is none."""
    value = element(item, name)
    try:
        values = [float(one) for one in (value if isinstance(value, MultiValue | list) else [value])]
    except (TypeError, ValueError, OverflowError):
        return []
    return values if np.isfinite(values).all() else []


def frame_item(header: Dataset, index: int, sequence: str, name: str) -> Dataset:
    """What holds an element of a frame: its own functional group, else that of all frames, else the header."""
    for groups, place in (("PerFrameFunctionalGroupsSequence", index), ("SharedFunctionalGroupsSequence", 0)):
        group = _item(_item(header, groups, place), sequence, 0)
        if element(group, name) is not None:
            return group
    return header


def _item(item: Dataset, sequence: str, place: int) -> Dataset:
    items = element(item, sequence)
    return items[place] if isinstance(items, Sequence) and len(items) > place else Dataset()


def show_grey(frame: NDArray[Any], header: Dataset, index: int) -> NDArray[np.uint8]:
    """uint8[H, W] of frame `index` as it lies in the file: modality, VOI, MONOCHROME1 inverted, padding black.

    Raises `BadInput` for a table that is shorter than it says.
    """
    rescale, is_signed = _modality(header, index, frame.dtype)
    stored = stored_bits(header, frame.dtype)
    is_padding = _padding(frame, header)

    show = _voi(header, index, is_signed)
    window = (0.0, 0.0)
    if show is None:
        step = 1 + frame.size // MAX_SAMPLE
        parts = (frame[rows].ravel()[::step] for rows in strips(*frame.shape))
        window = percentile_window(np.concatenate([rescale(stored(part[~is_padding(part)])) for part in parts]))

    shown = np.empty(frame.shape, np.uint8)
    for rows in strips(*frame.shape):
        values = rescale(stored(frame[rows]))
        unit = show(values) if show else unit_scale(values, *window)
        grey = to_uint8(1 - unit if header.PhotometricInterpretation == "MONOCHROME1" else unit)
        shown[rows] = np.where(is_padding(frame[rows]), 0, grey)
    return shown


def grey_values(frame: NDArray[Any], header: Dataset, index: int) -> GreyValues:
    """Frame `index` after the modality's rescale or table, and the first window of frame or file.

    Without a window that can be used it is that of the percentiles. Raises `BadInput` as `show_grey` does.
    """
    rescale, _ = _modality(header, index, frame.dtype)
    values = rescale(stored_bits(header, frame.dtype)(frame)).astype(np.float32)
    is_picture = np.isfinite(values) & ~_padding(frame, header)(frame)
    is_inverted = header.PhotometricInterpretation == "MONOCHROME1"
    centre, width, _ = _window(header, index)
    return GreyValues.of(values, is_picture, centre=centre, width=width, is_inverted=is_inverted)


def stored_bits(header: Dataset, dtype: np.dtype[Any]) -> Callable[[NDArray[Any]], NDArray[Any]]:
    """From the bits allocated to a pixel, the stored ones, which end at HighBit; with their sign. PS3.5 8.1.1.

    The others are no part of the value: overlays of old lie there, or nothing. A HighBit that cannot be counts as
    missing.
    """
    allocated = 8 * dtype.itemsize
    count = int(next(iter(numbers(header, "BitsStored")), allocated))
    high = int(next(iter(numbers(header, "HighBit")), count - 1))
    high = high if count - 1 <= high < allocated else count - 1
    left, right = allocated - 1 - high, allocated - count
    is_all = dtype.kind not in "iu" or (left, right) == (0, 0)
    return lambda values: values if is_all else values << left >> right


def _padding(frame: NDArray[Any], header: Dataset) -> Callable[[NDArray[Any]], NDArray[np.bool_]]:
    """Tells the pixels that are padding and no picture, of values as they lie in the file."""
    ends = [*numbers(header, "PixelPaddingValue")[:1], *numbers(header, "PixelPaddingRangeLimit")[:1]]
    stored = stored_bits(header, frame.dtype)
    low, high = 1, 0  # nothing is
    if ends and "PixelPaddingValue" in header and frame.dtype.kind in "iu":
        # -32768 may be written as 32768, and the other way round: the same sixteen bits
        values = np.sort(np.array(ends).astype(np.int64).astype(frame.dtype))
        low, high = values[[0, -1]].tolist()
        count = int(next(iter(numbers(header, "BitsStored")), 64))
        is_signed = frame.dtype.kind == "i"
        if not -is_signed * 2 ** (count - 1) <= low <= high < 2 ** (count - is_signed):
            stored = stored_bits(Dataset(), frame.dtype)  # 63536 of twelve bits: of all that are allocated

    def is_padding(values: NDArray[Any]) -> NDArray[np.bool_]:
        values = stored(values)
        return (values >= low) & (values <= high)

    is_nothing_else = all(is_padding(frame[rows]).all() for rows in strips(*frame.shape))
    return (lambda values: np.zeros(values.shape, bool)) if is_nothing_else else is_padding


def _modality(header: Dataset, index: int, dtype: np.dtype[Any]) -> tuple[Callable[[NDArray[Any]], Values], bool]:
    """Stored values to those of the modality, and whether these can be negative."""
    is_signed = dtype.kind != "u"
    item = _item(header, "ModalityLUTSequence", 0)
    if element(item, "LUTDescriptor") is not None:
        return _Table.read(item, header, is_signed), False
    holder = frame_item(header, index, "PixelValueTransformationSequence", "RescaleSlope")
    slope = next(iter(numbers(holder, "RescaleSlope")), 1.0)
    intercept = next(iter(numbers(holder, "RescaleIntercept")), 0.0)
    ends = (np.iinfo(dtype).min, np.iinfo(dtype).max) if dtype.kind in "iu" else (-1, 1)
    is_negative = min(slope * end + intercept for end in ends) < 0

    def rescale(stored: NDArray[Any]) -> Values:
        return stored.astype(np.float64) * slope + intercept

    return rescale, is_negative


def _voi(header: Dataset, index: int, is_signed: bool) -> Callable[[Values], NDArray[np.float32]] | None:
    """Values of the modality to [0, 1] by the first table, else the first window; None without either."""
    item = _item(header, "VOILUTSequence", 0)
    if element(item, "LUTDescriptor") is not None:
        table = _Table.read(item, header, is_signed)
        return lambda values: unit_scale(table(values), 0, table.top)
    centre, width, function = _window(header, index)
    if centre is None or width is None:
        return None
    is_linear = function not in ("LINEAR_EXACT", "SIGMOID")
    if function == "SIGMOID":
        steep = 4 / width
        return lambda values: (1 / (1 + np.exp(np.clip(-steep * (values - centre), -700, 700)))).astype(np.float32)
    if is_linear:  # C.11.2.1.2.1: between c - 0.5 - (w - 1) / 2 and c - 0.5 + (w - 1) / 2
        centre, width = centre - 0.5, width - 1
    low, high = centre - width / 2, centre + width / 2
    if low < high:
        return lambda values: unit_scale(values, low, high)
    return lambda values: (values > low).astype(np.float32)  # a width of 1 is a step


def _window(header: Dataset, index: int) -> tuple[float | None, float | None, str]:
    """Centre, width and function of the first window of the frame or the file; no numbers where it makes no sense."""
    holder = frame_item(header, index, "FrameVOILUTSequence", "WindowCenter")
    # several windows may be stored: the first one counts
    centre, width = (next(iter(numbers(holder, name)), None) for name in ("WindowCenter", "WindowWidth"))
    function = str(element(holder, "VOILUTFunction") or "LINEAR").strip().upper()
    is_linear = function not in ("LINEAR_EXACT", "SIGMOID")
    is_usable = centre is not None and width is not None and (width >= 1 if is_linear else width > 0)
    return (centre, width, function) if is_usable else (None, None, function)


@dataclass(frozen=True, kw_only=True, eq=False)
class _Table:
    """A lookup table: `entries` for inputs from `first` on, in 0 to `top`."""

    first: int
    entries: NDArray[np.uint16]
    top: int

    def __call__(self, values: NDArray[Any]) -> Values:
        index = np.nan_to_num(np.rint(values.astype(np.float64))) - self.first
        return self.entries[np.clip(index, 0, len(self.entries) - 1).astype(np.int64)].astype(np.float64)

    @classmethod
    def read(cls, item: Dataset, header: Dataset, is_signed: bool) -> "_Table":
        """The table of an item. Entries of up to eight bits are bytes, unless each was written as two: length tells."""
        descriptor = [int(number) for number in numbers(item, "LUTDescriptor")]
        data = element(item, "LUTData")
        if len(descriptor) != 3 or data is None or not 8 <= descriptor[2] <= 16:
            problem = "a lookup table without data, or not of 8 to 16 bits."
            raise BadInput(problem, fix="export the image again, or without the table")
        # the numbers are sixteen bits, written with a sign or without: 0 entries are 65536
        count, first = descriptor[0] & 0xFFFF or 2**16, descriptor[1] & 0xFFFF
        first -= 2**16 if is_signed and first >= 2**15 else 0
        is_little = header.file_meta.TransferSyntaxUID.is_little_endian
        if isinstance(data, bytes):  # OW: pydicom leaves the order of the file
            words = np.frombuffer(data[: len(data) // 2 * 2], "<u2" if is_little else ">u2")
        else:
            words = np.array([int(word) & 0xFFFF for word in np.ravel(data)])
        words = words.astype("<u2")
        is_bytes = descriptor[2] <= 8 and len(words) < count
        entries = words.view(np.uint8) if is_bytes else words
        if len(entries) < count:
            problem = f"a lookup table of {count} entries holds {len(entries)}."
            raise BadInput(problem, fix="export the image again, or without the table")
        if entries[:count].max() >= 2 ** descriptor[2]:
            problem = f"a lookup table of {descriptor[2]} bits holds larger numbers."
            raise BadInput(problem, fix="export the image again, or without the table")
        return cls(first=first, entries=entries[:count].astype(np.uint16), top=2 ** descriptor[2] - 1)
