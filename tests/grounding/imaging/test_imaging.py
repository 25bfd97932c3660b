"""Every picture becomes upright RGB of eight bits, or a `BadInput` that names the file."""

import struct
import zlib
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
from fuzz.bombs import webp
from PIL import Image

from medglip.grounding import BadInput
from medglip.grounding.imaging import read as read_module
from medglip.grounding.imaging.read import MAX_PIXELS, image_sha256, image_size, read_image, read_image_bytes

Order = Literal["<", ">"]


def _noise(height: int, width: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)


@pytest.mark.parametrize("name", ["a.png", "a.bmp", "a.tif", "A.PNG"])
def test_lossless_files_come_back_as_they_were(tmp_path: Path, name: str) -> None:
    pixels = _noise(5, 7)
    Image.fromarray(pixels).save(tmp_path / name)
    assert np.array_equal(np.asarray(read_image(tmp_path / name)), pixels)
    assert image_size(tmp_path / name) == (7, 5)


def test_jpeg_is_close(tmp_path: Path) -> None:
    Image.new("RGB", (16, 16), (90, 140, 30)).save(tmp_path / "a.jpg", quality=95)
    assert np.abs(np.asarray(read_image(tmp_path / "a.jpg"), int) - (90, 140, 30)).max() <= 3


def test_content_decides_and_not_the_suffix(tmp_path: Path) -> None:
    Image.fromarray(_noise(4, 4)).save(tmp_path / "a.png")
    (tmp_path / "a.png").rename(tmp_path / "a.jpg")
    assert np.array_equal(np.asarray(read_image(tmp_path / "a.jpg")), _noise(4, 4))


def test_palette_shows_colours_not_indices(tmp_path: Path) -> None:
    picture = Image.new("P", (2, 1))
    picture.putpalette([255, 0, 0, 0, 255, 0])
    picture.putpixel((1, 0), 1)
    picture.save(tmp_path / "a.png")
    assert np.asarray(read_image(tmp_path / "a.png")).tolist() == [[[255, 0, 0], [0, 255, 0]]]


@pytest.mark.parametrize("mode", ["L", "1", "LA", "RGBA", "CMYK"])
def test_every_mode_becomes_rgb(tmp_path: Path, mode: str) -> None:
    Image.new(mode, (3, 2)).save(tmp_path / "a.tif")
    image = read_image(tmp_path / "a.tif")
    assert (image.mode, image.size) == ("RGB", (3, 2))


def test_transparent_pixels_are_black(tmp_path: Path) -> None:
    picture = Image.new("RGBA", (2, 1), (200, 200, 200, 255))
    picture.putpixel((1, 0), (200, 200, 200, 0))
    picture.save(tmp_path / "a.png")
    assert np.asarray(read_image(tmp_path / "a.png"))[0, :, 0].tolist() == [200, 0]


def test_sixteen_bit_grey_keeps_order_and_uses_the_range(tmp_path: Path) -> None:
    values = np.linspace(1000, 5000, 400).astype(np.uint16).reshape(20, 20)
    Image.fromarray(values).save(tmp_path / "a.png")
    shown = np.asarray(read_image(tmp_path / "a.png"))[..., 0].ravel()
    assert (np.diff(shown.astype(int)) >= 0).all()
    assert (shown.min(), shown.max()) == (0, 255)


def test_sixteen_bit_speck_on_black_is_not_lost(tmp_path: Path) -> None:
    values = np.zeros((50, 50), np.uint16)
    values[3, 4] = 4000
    Image.fromarray(values).save(tmp_path / "a.png")
    assert np.asarray(read_image(tmp_path / "a.png"))[3, 4, 0] == 255


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_constant_image_is_legal(tmp_path: Path, dtype: type) -> None:
    Image.fromarray(np.full((4, 4), 77, dtype)).save(tmp_path / "a.png")
    assert len(np.unique(np.asarray(read_image(tmp_path / "a.png")))) == 1


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("suffix", ["jpg", "png"])
def test_exif_orientation_turns_the_picture_and_its_size(tmp_path: Path, orientation: int, suffix: str) -> None:
    file = tmp_path / f"a.{suffix}"
    picture = Image.new("RGB", (16, 8))
    exif = picture.getexif()
    exif[0x0112] = orientation
    picture.save(file, exif=exif)
    assert read_image(file).size == image_size(file) == ((8, 16) if orientation >= 5 else (16, 8))


TURNS = {
    1: lambda a: a,
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: a.swapaxes(0, 1),
    6: lambda a: np.rot90(a, -1),
    7: lambda a: np.rot90(a, 2).swapaxes(0, 1),
    8: lambda a: np.rot90(a),
}
"""Upright pixels from stored ones: TIFF 6.0, tag 274."""


@pytest.mark.parametrize("orientation", TURNS)
@pytest.mark.parametrize("compression", [None, "tiff_lzw"])
@pytest.mark.parametrize("mode", ["L", "RGB", "I;16"])
def test_tiff_orientation_turns_pixels_and_size_alike(
    tmp_path: Path, orientation: int, compression: str | None, mode: str
) -> None:
    file, pixels = tmp_path / "a.tif", np.arange(24 * 36).reshape(24, 36).astype(np.uint16) * 70
    stored = pixels if mode == "I;16" else _noise(24, 36) if mode == "RGB" else (pixels >> 8).astype(np.uint8)
    Image.fromarray(stored).save(file, compression=compression, tiffinfo={274: orientation})
    upright = TURNS[orientation](stored)
    plain = tmp_path / "plain.png"
    Image.fromarray(np.ascontiguousarray(upright)).save(plain)
    assert image_size(file) == (upright.shape[1], upright.shape[0])
    assert np.array_equal(np.asarray(read_image(file)), np.asarray(read_image(plain)))


def tiff(path: Path, values: np.ndarray, photometric: int, order: Order = "<", compression: int = 1) -> Path:
    """A grey TIFF; 0 in `photometric` says that zero is white, `compression` 8 is zlib."""
    kind = {"u": 1, "i": 2, "f": 3}[values.dtype.kind]
    height, width = values.shape
    data = values.astype(values.dtype.newbyteorder(order)).tobytes()
    data = zlib.compress(data) if compression == 8 else data
    tags = {256: width, 257: height, 258: 8 * values.dtype.itemsize, 259: compression, 262: photometric, 277: 1}
    tags |= {273: 8 + 2 + 10 * 12 + 4, 278: height, 279: len(data), 339: kind}
    rows = b"".join(struct.pack(f"{order}HHII", tag, 4, 1, value) for tag, value in sorted(tags.items()))
    mark = b"II*\0" if order == "<" else b"MM\0*"
    path.write_bytes(mark + struct.pack(f"{order}IH", 8, len(tags)) + rows + bytes(4) + data)
    return path


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("compression", [1, 8])
@pytest.mark.parametrize("dtype", [np.uint16, np.int16, np.int32, np.float32, np.int8])
def test_grey_of_any_number_and_order_of_bytes_rises(
    tmp_path: Path, order: Order, compression: int, dtype: type
) -> None:
    values = (np.arange(240).reshape(16, 15) - (120 if dtype is np.int8 else 0)).astype(dtype)
    file = tiff(tmp_path / "a.tif", values, 1, order, compression)
    shown = np.asarray(read_image(file), int)[..., 0].ravel()
    assert (np.diff(shown) >= 0).all()
    assert (shown[0], shown[-1]) == (0, 255)


@pytest.mark.parametrize("dtype", [np.float64, np.uint64])
def test_a_tiff_that_is_not_read_is_told_as_a_tiff(tmp_path: Path, dtype: type) -> None:
    file = tiff(tmp_path / "a.tif", np.arange(240).reshape(16, 15).astype(dtype), 1)
    with pytest.raises(BadInput, match=r"TIFF .* PNG") as error:
        read_image(file)
    assert error.value.file == file


def test_one_grey_of_sixteen_bits_may_be_transparent(tmp_path: Path) -> None:
    values = (np.arange(240).reshape(16, 15) * 70).astype(np.uint16)
    Image.fromarray(values).save(tmp_path / "a.png", transparency=int(values[-1, -1]))
    shown = np.asarray(read_image(tmp_path / "a.png"))[..., 0]
    assert (shown[-1, -1], shown[-1, -2]) == (0, 255)


@pytest.mark.parametrize("suffix", ["gif", "webp", "png", "tif"])
def test_the_first_of_several_pictures_is_read(tmp_path: Path, suffix: str) -> None:
    first, second = (Image.new("RGB", (6, 4), colour) for colour in ("red", "blue"))
    first.save(tmp_path / f"a.{suffix}", save_all=True, append_images=[second])
    red, _, blue = np.asarray(read_image(tmp_path / f"a.{suffix}"), int)[0, 0]
    assert (red, blue) == pytest.approx((255, 0), abs=2)


@pytest.mark.parametrize("suffix", ["webp", "jp2", "avif", "pgm"])
def test_other_formats_are_read(tmp_path: Path, suffix: str) -> None:
    Image.fromarray(np.repeat(np.arange(0, 256, 8, dtype=np.uint8)[None], 32, 0)).save(tmp_path / f"a.{suffix}")
    shown = np.asarray(read_image(tmp_path / f"a.{suffix}"), int)
    assert np.abs(shown[16, :, 0] - np.arange(0, 256, 8)).max() <= 8


@pytest.mark.parametrize(("dtype", "scale"), [(np.uint8, 1), (np.uint16, 10), (np.float32, 0.1)])
def test_zero_is_white_or_black_as_the_file_says(tmp_path: Path, dtype: type, scale: float) -> None:
    values = (np.arange(240).reshape(16, 15) * scale).astype(dtype)
    white, black = (
        np.asarray(read_image(tiff(tmp_path / "a.tif", values, photometric)), int)[..., 0] for photometric in (0, 1)
    )
    assert (np.diff(black.ravel()) >= 0).all()
    assert np.abs(white + black - 255).max() <= 1


def test_grey_of_32_bits_has_no_sign(tmp_path: Path) -> None:
    values = np.linspace(0, 2**32 - 1, 240).reshape(16, 15).astype(np.uint32)
    shown = np.asarray(read_image(tiff(tmp_path / "a.tif", values, 1)))[..., 0].ravel()
    assert (np.diff(shown.astype(int)) >= 0).all()
    assert (shown[0], shown[-1]) == (0, 255)


def png16(path: Path, values: np.ndarray) -> Path:
    """A PNG of sixteen bits: [H, W], or [H, W, C] of grey and alpha (2), RGB (3), RGBA (4)."""
    height, width, channels = values.shape if values.ndim == 3 else (*values.shape, 1)
    kind = {1: 0, 2: 4, 3: 2, 4: 6}[channels]
    chunks = {
        b"IHDR": struct.pack(">IIBBBBB", width, height, 16, kind, 0, 0, 0),
        b"IDAT": zlib.compress(b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)),
        b"IEND": b"",
    }
    parts = (struct.pack(">I", len(v)) + k + v + struct.pack(">I", zlib.crc32(k + v)) for k, v in chunks.items())
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(parts))
    return path


def test_sixteen_bit_grey_is_one_picture_in_every_colour_type(tmp_path: Path) -> None:
    grey = np.arange(240, dtype=np.uint16).reshape(15, 16) * 16
    full = np.full_like(grey, 65535)
    kinds = {"grey": (grey,), "alpha": (grey, full), "rgb": (grey,) * 3, "rgba": (grey, grey, grey, full)}
    files = [png16(tmp_path / f"{name}.png", np.stack(parts, axis=-1).squeeze()) for name, parts in kinds.items()]
    first, *others = (np.asarray(read_image(file)) for file in files)
    assert (first.min(), first.max()) == (0, 255)
    assert all(np.array_equal(first, other) for other in others)
    assert np.array_equal(first, np.asarray(read_image_bytes(files[1].read_bytes())))


def test_true_colour_of_sixteen_bits_keeps_its_upper_eight(tmp_path: Path) -> None:
    colours = _noise(9, 7).astype(np.uint16) << 8 | 3
    assert np.array_equal(np.asarray(read_image(png16(tmp_path / "a.png", colours))), colours >> 8)


def test_no_program_of_a_file_is_run(tmp_path: Path) -> None:
    """PostScript goes by the name of a picture here, and would never end."""
    (tmp_path / "a.png").write_text("%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 40 40\n{} loop\n")
    with pytest.raises(BadInput, match="not an image that can be read"):
        read_image(tmp_path / "a.png")


def test_there_is_one_opener_of_image_files() -> None:
    """What opens files by itself would turn, scale and bound them by itself. Phantoms are drawn by us."""
    rooms = Path(read_module.__file__).parents[2]
    sources = [
        path for room in ("grounding", "vqa", "report", "eval", "scripts") for path in (rooms / room).rglob("*.py")
    ]
    openers = {path.relative_to(rooms).as_posix() for path in sources if "Image.open(" in path.read_text()}
    assert openers == {"grounding/imaging/read.py", "grounding/datasets/phantoms/dataset.py"}


def test_too_many_pixels_are_refused_from_the_header(tmp_path: Path) -> None:
    side = int(MAX_PIXELS**0.5) + 1
    header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    chunk = struct.pack(">I", 13) + b"IHDR" + header + struct.pack(">I", zlib.crc32(b"IHDR" + header))
    (tmp_path / "a.png").write_bytes(b"\x89PNG\r\n\x1a\n" + chunk + struct.pack(">I", 0) + b"IDAT" + bytes(4))
    for read in (read_image, image_size):
        with pytest.raises(BadInput, match=r"a\.png: the image is too large.*Fix:"):
            read(tmp_path / "a.png")


def test_decoders_that_take_more_memory_are_given_fewer_pixels(tmp_path: Path) -> None:
    side = int(MAX_PIXELS**0.5) // 2 * 2
    with pytest.raises(BadInput, match=r"too large.*89,478,485 pixels at most, or save it as PNG"):
        read_image_bytes(webp(side))
    with pytest.raises(BadInput, match=r"too large"):
        read_image_bytes(webp(9_460))
    assert read_image_bytes(webp(64)).size == (64, 64)


def _files(folder: Path) -> dict[str, Path]:
    Image.fromarray(_noise(64, 64)).save(folder / "whole.png")
    Image.fromarray(_noise(64, 64)).save(folder / "whole.jpg")
    for suffix in ("png", "jpg"):
        data = (folder / f"whole.{suffix}").read_bytes()
        (folder / f"truncated.{suffix}").write_bytes(data[: len(data) // 2])
    (folder / "empty.png").touch()
    (folder / "text.png").write_text("not a picture")
    (folder / "folder.png").mkdir()
    names = ("truncated.png", "truncated.jpg", "empty.png", "text.png", "folder.png", "missing.png")
    return {name: folder / name for name in names}


def test_bad_files_are_named_with_a_fix(tmp_path: Path) -> None:
    for name, file in _files(tmp_path).items():
        with pytest.raises(BadInput) as caught:
            read_image(file)
        assert name in str(caught.value)
        assert "Fix:" in str(caught.value)


def test_hash_is_of_the_bytes(tmp_path: Path) -> None:
    Image.fromarray(_noise(4, 4)).save(tmp_path / "a.png")
    (tmp_path / "b.png").write_bytes((tmp_path / "a.png").read_bytes())
    assert image_sha256(tmp_path / "a.png") == image_sha256(tmp_path / "b.png")
    with pytest.raises(BadInput, match=r"missing\.png"):
        image_sha256(tmp_path / "missing.png")
