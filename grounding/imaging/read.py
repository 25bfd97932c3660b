"""Any image file to RGB of eight bits: PNG, JPEG, BMP, TIFF (through PIL) and DICOM, told apart by content.

Every failure is a `BadInput` with the file and what to do; nothing is guessed about a file that does not open.
"""

import hashlib
import io
import re
import sys
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, PngImagePlugin

from ..bad_input import BadInput, explain
from ..files import file_sha256, write_atomic
from ..geometry import to_rgb
from .deadline import deadline
from .window import MAX_SAMPLE, percentile_window, strips, to_uint8, unit_scale

FORMATS = ("PNG", "JPEG", "BMP", "DIB", "GIF", "TIFF", "WEBP", "JPEG2000", "PPM", "AVIF")
"""What is opened, by content. PIL knows more: PostScript, which would be run, and formats of games."""
MAX_PIXELS = 2**29 // 3
"""Width times height, 178,956,970: the largest image is about 13,377 x 13,377."""
_SHARES = {"WEBP": 2, "AVIF": 2, "JPEG2000": 3}
"""Of these decoders, which take up to 24 bytes for a pixel, only such a part: what they read stays below 2 GB."""
_SUFFIXES = {b"\x89PNG": ".png", b"\xff\xd8\xff": ".jpg", b"BM": ".bmp", b"II*\0": ".tif", b"MM\0*": ".tif"}
_WIDE_GREY = ("I", "F", "I;16", "I;16L", "I;16B", "I;16N")
_KEPT: dict[Path, Image.Image] = {}
_FIX = "copy or export the file again"
_TURNED = (5, 6, 7, 8)  # orientations that lie on their side
# Group 2 or 8, an element of it that comes first; then the letters of its type or, where types are left out, a length.
_FIRST_ELEMENT = re.compile(
    rb"[\2\x08]\0[\0\1\5\x08\x16\x18]\0(UL|OB|CS|UI|[^\0][\0]{3})|\0[\x08]\0[\0\5\x08\x16\x18](UL|CS|UI)", re.DOTALL
)
_BITS, _PHOTOMETRIC, _ORIENTATION, _PLANES, _SAMPLE_FORMAT = 258, 262, 274, 284, 339  # TIFF tags


def read_image(path: Path) -> Image.Image:
    """The image as RGB, upright by its EXIF or TIFF orientation, transparency on black.

    Grey of more than eight bits, also as RGB of three equal channels, is scaled linearly between its 0.5th and 99.5th
    percentile; true colour of sixteen bits keeps its upper eight. Of several frames the first is taken (DICOM: the
    middle one). Raises `BadInput` for a missing, empty, truncated or non-image file, and above `MAX_PIXELS`.
    """
    if (image := _KEPT.get(path)) is not None:
        return image
    path = _existing(path)
    if is_dicom(path):
        from .dicom import read_dicom

        return read_dicom(path).image
    return _read_rgb(path)


@contextmanager
def keep_images(*paths: Path) -> Iterator[None]:
    """Inside, `read_image` of these files gives one image each, decoded once: two large ones do not fit into memory."""
    try:
        for path in paths:
            _KEPT[path] = read_image(path)
        yield
    finally:
        for path in paths:
            _KEPT.pop(path, None)


def read_image_bytes(content: bytes) -> Image.Image:
    """As `read_image`, of the content of a file that is no DICOM file."""
    return _read_rgb(content)


def _read_rgb(source: Path | bytes) -> Image.Image:
    pixels = _decode(source).rgb()  # what was decoded goes before the copy of an array is made
    return to_rgb(Image.fromarray(pixels)) if isinstance(pixels, np.ndarray) else pixels


def image_size(path: Path) -> tuple[int, int]:
    """(width, height) as `read_image` would return them, from the header alone. Raises `BadInput` as it does."""
    path = _existing(path)
    if is_dicom(path):
        from .dicom import dicom_size

        return dicom_size(path)
    with open_image(path) as image:
        width, height = image.size
        # the size of a TIFF is turned already; PIL turns its pixels, too, when it loads them
        is_turned = image.format != "TIFF" and _orientation(image) in _TURNED
        return (height, width) if is_turned else (width, height)


@contextmanager
def open_image(source: Path | bytes) -> Iterator[Image.Image]:
    """A foreign image file or its content, header read and pixels not: the one way to open any.

    Inside, whatever PIL raises about the file becomes a `BadInput`; so does an image above `MAX_PIXELS`.
    """
    file = source if isinstance(source, Path) else None
    try:
        # an open file, never its path: PIL would map an uncompressed TIFF into memory and turn it wrongly
        with (
            io.BytesIO(source) if isinstance(source, bytes) else source.open("rb") as content,
            warnings.catch_warnings(action="ignore"),
            deadline(file),
            Image.open(content, formats=FORMATS) as image,
        ):
            check_size(image.width, image.height, file, MAX_PIXELS // _SHARES.get(image.format or "", 1))
            yield image
    except BadInput as error:
        raise BadInput(error.problem, file=error.file or file, row=error.row, fix=error.fix) from error
    except Image.UnidentifiedImageError as error:
        if _is_tiff(source):  # of 64 bits, of odd channels
            problem, fix = "a TIFF whose pixels are stored in a way that is not read.", "export it as PNG"
        else:
            problem, fix = "not an image that can be read.", "give a PNG, JPEG, BMP, TIFF or DICOM file"
        raise BadInput(problem, file=file, fix=fix) from error
    except Image.DecompressionBombError as error:
        raise BadInput("the image is too large.", file=file, fix="scale it down first") from error
    except Exception as error:  # decoders raise whatever they like on damaged files
        raise BadInput(f"the image is damaged ({error or type(error).__name__}).", file=file, fix=_FIX) from error


def check_size(width: int, height: int, file: Path | None, most: int = MAX_PIXELS) -> None:
    """Raises `BadInput` for an image without or with too many pixels, before any memory is taken for them."""
    if not 0 < width * height <= most:
        fix = f"scale it down to {most:,} pixels at most" + (", or save it as PNG" if most < MAX_PIXELS else "")
        raise BadInput(f"the image is too large: {width} x {height} pixels.", file=file, fix=fix)


def read_stored(path: Path) -> tuple[NDArray[Any], str]:
    """Upright values of a file as they are stored: [H, W], or [H, W, C] for colours, and the mode of PIL.

    Palettes give indices; sixteen bits stay sixteen bits; white is the largest number. Raises `BadInput` as
    `read_image` does.
    """
    decoded = _decode(_existing(path), keep_colours=True)
    if decoded.image.mode in ("CMYK", "YCbCr", "LAB", "HSV"):  # their zero is not black
        decoded = _Decoded(image=decoded.image.convert("RGB"))
    height, width = decoded.image.height, decoded.image.width
    if decoded.low is not None and decoded.image.mode != "L" and width * height > MAX_PIXELS // 2:
        raise BadInput("colours of sixteen bits in so large an image.", file=path, fix="export eight bits a channel")
    row = decoded.values(slice(0, 1))
    values = np.empty((height, *row.shape[1:]), row.dtype)
    for rows in strips(height, width):
        values[rows] = decoded.values(rows)
    return values, decoded.image.mode


@dataclass(frozen=True, kw_only=True, eq=False)
class _Decoded:
    """An upright image in its own mode.

    `low`: of sixteen bits a channel the lower bytes, of which `image` has the upper; `alpha`: of such grey, eight bits.
    `is_white_zero`: grey of more than eight bits that is stored inverted; `number`: how numpy has what PIL reads as
    numbers of another sign; `hidden`: the grey of more than eight bits that is transparent.
    """

    image: Image.Image
    low: Image.Image | None = None
    alpha: Image.Image | None = None
    is_white_zero: bool = False
    number: str = ""
    hidden: int | None = None

    def values(self, rows: slice) -> NDArray[Any]:
        """Stored values of some rows at full depth, [H, W] or [H, W, C]."""
        box = (0, rows.start, self.image.width, rows.stop)
        values = np.asarray(self.image.crop(box))
        if self.low is not None:
            values = values.astype(np.uint16) << 8 | np.asarray(self.low.crop(box))
        if self.number:
            values = values.view(self.number)
        if self.is_white_zero:
            values = (1 if values.dtype.kind == "f" else np.iinfo(values.dtype).max) - values
        if self.alpha is not None:
            values = np.stack([values, np.asarray(self.alpha.crop(box), np.uint16) * 257], axis=-1)
        return values.astype(np.uint8) if values.dtype == bool else values

    def rgb(self) -> Image.Image | NDArray[np.uint8]:
        """RGB of eight bits, or an array [H, W] or [H, W, 3] that becomes it; see `read_image`."""
        is_wide = self.low is not None or self.number or self.image.mode in _WIDE_GREY
        if not is_wide and not self.image.has_transparency_data:
            return to_rgb(self.image)
        width, height = self.image.size
        window = self._window() if is_wide else (0.0, 0.0)
        # one byte a pixel or three, where an RGB image of PIL takes four beside what was decoded
        result = np.empty((height, width) if is_wide else (height, width, 3), np.uint8)
        for rows in strips(height, width):
            if is_wide:
                values = self.values(rows)
                grey = unit_scale(values if values.ndim == 2 else values[..., 0], *window)
                if values.ndim == 3:
                    grey *= values[..., 1] / np.float32(65535)
                elif self.hidden is not None:
                    grey[values == self.hidden] = 0
                result[rows] = to_uint8(grey)
            else:
                layer = self.image.crop((0, rows.start, width, rows.stop)).convert("RGBA")
                part = Image.alpha_composite(Image.new("RGBA", layer.size, "black"), layer)
                result[rows] = np.asarray(part.convert("RGB"))
        return result

    def _window(self) -> tuple[float, float]:
        """Percentiles of the grey values."""
        width, height = self.image.size
        parts = (self.values(rows) for rows in strips(height, width))
        step = 1 + width * height // MAX_SAMPLE
        # copies: a view would keep its whole strip, and all of them the image once more
        grey = [(part if part.ndim == 2 else part[..., 0]).ravel()[::step].copy() for part in parts]
        return percentile_window(np.concatenate(grey))


def _decode(source: Path | bytes, keep_colours: bool = False) -> _Decoded:
    """Upright pixels; `keep_colours`: all bits of colours of sixteen bits, else of grey alone."""
    with open_image(source) as file:
        tags: Mapping[int, Any] = getattr(file, "tag_v2", {})
        bits = np.ravel(tags.get(_BITS, 8)).tolist()
        if tags.get(_PLANES) == 2 and max(bits) > 8:
            fix = "store the channels of a pixel together, or export as PNG"
            raise BadInput("a TIFF of separate planes of more than eight bits is not read.", fix=fix)
        sample = np.ravel(tags.get(_SAMPLE_FORMAT, 1)).tolist()
        number = "u4" if (bits, sample) == ([32], [1]) else "i1" if (bits, sample) == ([8], [2]) else ""
        is_white_zero = file.mode in _WIDE_GREY and tags.get(_PHOTOMETRIC) == 0
        hidden = np.ravel(file.info.get("transparency", ()))  # of sixteen bits: one grey, or red, green and blue
        raw_mode = str(_raw_mode(file))
        if raw_mode == "LA;16B":  # grey with transparency: both bytes of both, read as four channels
            image = _load(file, raw_mode="RGBA")
            return _Decoded(image=image.getchannel(0), low=image.getchannel(1), alpha=image.getchannel(2))
        tiles: Any = getattr(file, "tile", ())
        is_turned = raw_mode.endswith((";16BS", ";32BS", ";32BF")) and tiles[0].codec_name == "libtiff"
        # libtiff has turned the bytes already
        image = _load(file, raw_mode=raw_mode[:-2] + "N" + raw_mode[-1] if is_turned else "")
        if image.mode in ("PA", "La", "RGBa"):
            return _Decoded(image=image.convert("LA" if image.mode == "La" else "RGBA"))
    name, _, order = raw_mode.partition(";16")
    is_deep = name in ("RGB", "RGBX", "RGBA") and order in ("B", "L", "N")
    is_grey = is_deep and _is_grey(image)
    if not is_grey and not (is_deep and keep_colours):
        one = int(hidden[0]) if len(hidden) == 1 and image.mode in _WIDE_GREY else None
        return _Decoded(image=image, is_white_zero=is_white_zero, number=number, hidden=one)
    alpha = image.getchannel("A") if image.mode == "RGBA" else None
    if is_grey:  # one channel is enough, and the memory of the others is needed
        image = image.getchannel(0)
    # PIL keeps the upper byte of a channel. Read in the other order of bytes, it keeps the lower one.
    is_little = order == "L" or (order == "N" and sys.byteorder == "little")
    with open_image(source) as file:
        low = _load(file, raw_mode=f"{name};16{'B' if is_little else 'L'}")
    if is_grey and _is_grey(low):
        one = int(hidden[0]) if len(set(hidden.tolist())) == 1 else None
        return _Decoded(image=image, low=low.getchannel(0), alpha=alpha, hidden=one)
    if is_grey:
        image = Image.merge("RGB" if alpha is None else "RGBA", [image] * 3 + ([] if alpha is None else [alpha]))
    return _Decoded(image=image, low=low if keep_colours else None)


def _is_grey(image: Image.Image) -> bool:
    """Whether red, green and blue are equal everywhere."""
    parts = (image.crop((0, rows.start, image.width, rows.stop)) for rows in strips(image.height, image.width))
    return all((rgb[..., 0] == rgb[..., i]).all() for rgb in map(np.asarray, parts) for i in (1, 2))


def _load(image: Any, raw_mode: str = "") -> Image.Image:
    """The pixels, decoded and upright, as an image without a file behind it; `raw_mode`: read as this layout of bytes.

    The opened image is closed: it may hold on to its pixels for longer than they are needed.
    """
    is_turned = image.format != "TIFF" and _orientation(image) != 1
    if raw_mode:
        image.tile = [
            tile._replace(args=raw_mode if isinstance(tile.args, str) else (raw_mode, *tile.args[1:]))
            for tile in image.tile
        ]
    image.load()
    if is_turned:
        ImageOps.exif_transpose(image, in_place=True)
    pixels = image._new(image.im)
    image.close()
    return pixels


def _raw_mode(image: Any) -> Any:
    """PIL's name for how the first part of a file stores its pixels: "RGB;16B"."""
    args = image.tile[0].args if getattr(image, "tile", None) else ""
    return args[0] if isinstance(args, tuple) and args else args


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
    """Whether the name ends in .dcm or .dicom, or the bytes begin as DICOM does."""
    return path.suffix.lower() in (".dcm", ".dicom") or begins_as_dicom(path)


def begins_as_dicom(path: Path) -> bool:
    """Whether a file carries the DICM mark, or begins with an element of its groups, as files without preamble do."""
    with path.open("rb") as file:
        head = file.read(132)
    return head[128:] == b"DICM" or _FIRST_ELEMENT.match(head) is not None


def _existing(path: Path) -> Path:
    path = Path(path)
    with explain("cannot be opened", OSError, file=path, fix="check the path"):  # a name of 300 letters
        path.exists()
    if path.is_dir():
        raise BadInput("this is a folder, not an image.", file=path, fix="give one image file")
    if not path.is_file():
        raise BadInput("no such image.", file=path, fix="check the path")
    if path.stat().st_size == 0:
        raise BadInput("the image file is empty (0 bytes).", file=path, fix="copy or download it again")
    return path


def _is_tiff(source: Path | bytes) -> bool:
    if isinstance(source, Path):
        with source.open("rb") as file:
            source = file.read(4)
    return source[:4] in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")


def _orientation(image: Image.Image) -> int:
    """EXIF orientation 1 to 8. A PNG without an eXIf chunk before its pixels would be decoded to look for one: 1."""
    if image.format == "PNG" and "exif" not in image.info:
        return 1
    orientation = image.getexif().get(_ORIENTATION, 1)
    return orientation if orientation in range(1, 9) else 1
