"""Any image file to RGB of eight bits: PNG, JPEG, BMP, TIFF (through PIL) and DICOM, told apart by content.

Every failure is a `BadInput` with the file and what to do; nothing is guessed about a file that does not open.
"""

import hashlib
import io
import struct
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, PngImagePlugin

from ..bad_input import BadInput
from ..files import file_sha256, write_atomic
from .window import percentile_window, to_uint8, unit_scale

_SUFFIXES = {b"\x89PNG": ".png", b"\xff\xd8\xff": ".jpg", b"BM": ".bmp", b"II*\0": ".tif", b"MM\0*": ".tif"}
_WIDE_GREY = ("I", "F", "I;16", "I;16L", "I;16B", "I;16N")
_PIL_ERRORS = (OSError, SyntaxError, ValueError, EOFError, IndexError, struct.error, Image.DecompressionBombError)


def read_image(path: Path) -> Image.Image:
    """The image as RGB, upright by its EXIF orientation, transparency on black.

    Grey of more than eight bits is scaled linearly between its 0.5th and 99.5th percentile; of several frames the
    first is taken (DICOM: the middle one). Raises `BadInput` for a missing, empty, truncated or non-image file.
    """
    path = _existing(path)
    if is_dicom(path):
        from .dicom import read_dicom

        return read_dicom(path).image
    try:
        with Image.open(path) as image:
            is_turned = _orientation(image) != 1
            image.load()
            upright = ImageOps.exif_transpose(image) if is_turned else image
            if upright.mode in _WIDE_GREY:
                values = np.asarray(upright)
                return Image.fromarray(to_uint8(unit_scale(values, *percentile_window(values)))).convert("RGB")
            if upright.has_transparency_data:
                layer = upright.convert("RGBA")
                return Image.alpha_composite(Image.new("RGBA", layer.size, "black"), layer).convert("RGB")
            return upright.convert("RGB")
    except _PIL_ERRORS as error:
        raise _unreadable(path, error) from error


def image_size(path: Path) -> tuple[int, int]:
    """(width, height) as `read_image` would return them, from the header alone. Raises `BadInput` as it does."""
    path = _existing(path)
    if is_dicom(path):
        from .dicom import dicom_size

        return dicom_size(path)
    try:
        with Image.open(path) as image:
            width, height = image.size
            # 5 to 8 lie on their side
            return (height, width) if _orientation(image) in (5, 6, 7, 8) else (width, height)
    except _PIL_ERRORS as error:
        raise _unreadable(path, error) from error


def png_bytes(image: Image.Image, texts: Mapping[str, str] | None = None) -> bytes:
    """The content of a PNG file of the image, with these texts in it."""
    info = PngImagePlugin.PngInfo()
    for key, value in (texts or {}).items():
        info.add_text(key, value, zip=True)
    buffer = io.BytesIO()
    image.save(buffer, "PNG", pnginfo=info)
    return buffer.getvalue()


def copy_out(content: bytes, folder: Path, name: str = "") -> Path:
    """The file below the folder that holds these bytes, written if it is not there; named by their hash or `name`."""
    name = name or hashlib.sha256(content).hexdigest()[:32]
    suffix = next((suffix for mark, suffix in _SUFFIXES.items() if content.startswith(mark)), ".img")
    path = folder / name[:2] / f"{name}{suffix}"
    if not path.is_file():
        write_atomic(path, content)
    return path


def image_sha256(path: Path) -> str:
    """Hex digest of the file's bytes: the identity of an image in caches and records."""
    return file_sha256(_existing(path))


def is_dicom(path: Path) -> bool:
    """Whether the name ends in .dcm or .dicom, or the bytes carry the DICM mark."""
    if path.suffix.lower() in (".dcm", ".dicom"):
        return True
    with path.open("rb") as file:
        return file.read(132)[128:] == b"DICM"


def _existing(path: Path) -> Path:
    path = Path(path)
    if path.is_dir():
        raise BadInput("this is a folder, not an image.", file=path, fix="give one image file")
    if not path.is_file():
        raise BadInput("no such image.", file=path, fix="check the path")
    if path.stat().st_size == 0:
        raise BadInput("the image file is empty (0 bytes).", file=path, fix="copy or download it again")
    return path


def _orientation(image: Image.Image) -> int:
    """EXIF orientation 1 to 8. A PNG without an eXIf chunk before its pixels would be decoded to look for one: 1."""
    if image.format == "PNG" and "exif" not in image.info:
        return 1
    return int(image.getexif().get(0x0112, 1))


def _unreadable(path: Path, error: Exception) -> BadInput:
    if isinstance(error, Image.UnidentifiedImageError):
        return BadInput("not an image that can be read.", file=path, fix="give a PNG, JPEG, BMP, TIFF or DICOM file")
    if isinstance(error, Image.DecompressionBombError):
        return BadInput("the image is too large.", file=path, fix="scale it down first")
    return BadInput(f"the image is damaged ({error}).", file=path, fix="copy or export the file again")
