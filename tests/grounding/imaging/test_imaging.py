"""Every picture becomes upright RGB of eight bits, or a `BadInput` that names the file."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from medglip.grounding import BadInput
from medglip.grounding.imaging.read import image_sha256, image_size, read_image


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
