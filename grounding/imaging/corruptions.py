"""Pictures as bad devices, bad storage and bad hands make them: corruptions by modality, in five severities.

Which corruption belongs to which modality follows MedMNIST-C (Di Salvo, Doerrich and Ledig 2024, arXiv 2406.17536; code
Apache-2.0, none of it copied); modalities that it lacks take the list of their nearest kin. Amounts are ours, of the
order of theirs; lengths are parts of the shorter side, so that a picture of any size suffers alike. Nothing moves:
boxes and masks stay true. A further corruption is a function and a row of `CORRUPTIONS`.
"""

import hashlib
import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter

from ..bad_input import BadInput
from ..files import write_atomic
from ..records import PredictionRecord
from ..types import AnnotatedImage
from .read import image_sha256, png_bytes, read_image, read_image_bytes

SEVERITIES = (1, 2, 3, 4, 5)
VERSION = 1
"""Counts up with what a corruption does, so that pictures on disk are made anew."""
_PIXELS = 224
"""Shorter side of the pictures of MedMNIST-C, by which pixels are counted."""
Pixels = NDArray[np.float32]
"""float32[H, W, 3] in [0, 1]."""
Change = Callable[[Pixels, float, np.random.Generator], Pixels]


def corrupt(image: Image.Image, name: str, severity: int, seed: int = 0) -> Image.Image:
    """An RGB image of the same size under one corruption of `CORRUPTIONS`, severity 1 to 5.

    Grey stays grey, the same seed changes the same places at every severity. Raises `KeyError` for another name.
    """
    row, rng = CORRUPTIONS[name], np.random.default_rng(seed)
    pixels_HWC = _to_pixels(image.convert("RGB"))
    changed_HWC = row.change(pixels_HWC, row.amounts[severity - 1], rng)
    return Image.fromarray((np.clip(changed_HWC, 0, 1) * 255).round().astype(np.uint8))


def corruption_of(image: AnnotatedImage, seed: int = 0) -> str:
    """The corruption of its modality that is drawn for an image, the same one at every severity."""
    names = BY_MODALITY.get(image.modality, BY_MODALITY["unknown"])
    return names[_number(f"{seed}/{image.dataset}/{image.image_id}") % len(names)]


def corrupted(image: AnnotatedImage, severity: int, folder: Path, seed: int = 0) -> AnnotatedImage:
    """The image with the picture of `corruption_of`, a PNG below `folder`, written where it is not there yet.

    Its id says the severity, since a grounder looks at each; regions, group and size stay. An image whose picture
    cannot be read is returned as it is: whoever looks at it lists it.
    """
    name = corruption_of(image, seed)
    try:
        picture, digest = read_image(image.image_path), image_sha256(image.image_path)
    except BadInput:
        return image
    key = f"{VERSION}/{digest}/{image.image_id}/{name}/{severity}/{seed}"
    path = folder / f"{image.image_path.stem}-{name}-{severity}-{hashlib.sha256(key.encode()).hexdigest()[:16]}.png"
    if not path.exists():
        changed = corrupt(picture, name, severity, _number(f"{seed}/{image.image_id}"))
        write_atomic(path, png_bytes(changed))
    return replace(image, image_id=f"{image.image_id}/corrupt-{severity}", image_path=path)


def corrupted_record(record: PredictionRecord, image: AnnotatedImage, severity: int, seed: int = 0) -> PredictionRecord:
    """The record of what was found in `corrupted(image, severity)`; its id begins with the original's."""
    probe = {"probe": "corrupt", "severity": severity, "corruption": corruption_of(image, seed), "original": record.id}
    return replace(record, id=f"{record.id}{mark_of(severity)}", meta={**record.meta, **probe})


def mark_of(severity: int) -> str:
    """What ids end with; "": the original."""
    return f"/corrupt-{severity}" if severity else ""


def _number(text: str) -> int:
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "big")


# digital


def pixelate(pixels: Pixels, amount: float, _: np.random.Generator) -> Pixels:
    """Scaled down to this part of 224 pixels, and up again in squares."""
    image, short = _to_image(pixels), min(pixels.shape[:2])
    part = min(short, _PIXELS) * amount / short
    small = image.resize([max(1, round(side * part)) for side in image.size], Image.Resampling.BOX)
    return _to_pixels(small.resize(image.size, Image.Resampling.NEAREST))


def jpeg(pixels: Pixels, amount: float, _: np.random.Generator) -> Pixels:
    """Stored as JPEG of this quality."""
    buffer = io.BytesIO()
    _to_image(pixels).save(buffer, "JPEG", quality=int(amount))
    return _to_pixels(read_image_bytes(buffer.getvalue()))


# noise


def gaussian_noise(pixels: Pixels, amount: float, rng: np.random.Generator) -> Pixels:
    """Noise of this deviation is added."""
    return np.add(pixels, amount * _noise(pixels, rng), dtype=np.float32)


def speckle_noise(pixels: Pixels, amount: float, rng: np.random.Generator) -> Pixels:
    """Noise that grows with the signal, as in ultrasound."""
    return np.multiply(pixels, 1 + amount * _noise(pixels, rng), dtype=np.float32)


def impulse_noise(pixels: Pixels, amount: float, rng: np.random.Generator) -> Pixels:
    """A part of the pixels is black or white."""
    chance = rng.random(_noise_shape(pixels), np.float32)
    return np.where(chance < amount / 2, np.float32(0), np.where(chance > 1 - amount / 2, np.float32(1), pixels))


def shot_noise(pixels: Pixels, amount: float, rng: np.random.Generator) -> Pixels:
    """So few photons for white that their number is seen."""
    signal = pixels[..., :1] if _is_grey(pixels) else pixels
    counts = rng.poisson(signal.astype(np.float64) * amount) / amount
    return np.broadcast_to(counts, pixels.shape).astype(np.float32)


# blur


def gaussian_blur(pixels: Pixels, amount: float, _: np.random.Generator) -> Pixels:
    """Out of focus; deviation as part of the shorter side, half a pixel at least."""
    return _to_pixels(_to_image(pixels).filter(ImageFilter.GaussianBlur(max(0.5, amount * min(pixels.shape[:2])))))


def defocus_blur(pixels: Pixels, amount: float, _: np.random.Generator) -> Pixels:
    """A point becomes a disc of this radius, part of the shorter side."""
    radius = max(1, round(amount * min(pixels.shape[:2])))
    y, x = np.mgrid[-radius : radius + 1, -radius : radius + 1]
    return _convolve(pixels, (x * x + y * y <= radius * radius).astype(np.float32))


def motion_blur(pixels: Pixels, amount: float, rng: np.random.Generator) -> Pixels:
    """A point becomes a line of this length, part of the shorter side, in any direction."""
    half, angle = max(1.0, amount * min(pixels.shape[:2]) / 2), rng.uniform(0, np.pi)
    steps = np.linspace(-half, half, 4 * int(half) + 1)
    side = int(np.ceil(half))
    kernel = np.zeros((2 * side + 1, 2 * side + 1), np.float32)
    np.add.at(
        kernel,
        ((steps * np.sin(angle)).round().astype(int) + side, (steps * np.cos(angle)).round().astype(int) + side),
        1,
    )
    return _convolve(pixels, kernel)


def zoom_blur(pixels: Pixels, amount: float, _: np.random.Generator) -> Pixels:
    """The camera moves to the patient, up to this enlargement; the centre stays."""
    image, zooms = _to_image(pixels), np.linspace(1, amount, 8)
    width, height = image.size
    total = np.zeros_like(pixels)
    for zoom in zooms:
        margin_x, margin_y = width * (1 - 1 / zoom) / 2, height * (1 - 1 / zoom) / 2
        box = (margin_x, margin_y, width - margin_x, height - margin_y)
        total += _to_pixels(image.resize(image.size, Image.Resampling.BILINEAR, box=box))
    return total / np.float32(len(zooms))


# light and colour


def brightness(pixels: Pixels, amount: float, _: np.random.Generator) -> Pixels:
    """All values times this."""
    return pixels * np.float32(amount)


def contrast(pixels: Pixels, amount: float, _: np.random.Generator) -> Pixels:
    """Distances from the mean times this."""
    mean = pixels.mean()
    return mean + (pixels - mean) * np.float32(amount)


def gamma(pixels: Pixels, amount: float, _: np.random.Generator) -> Pixels:
    """All values to this power."""
    return pixels ** np.float32(amount)


def saturate(pixels: Pixels, amount: float, _: np.random.Generator) -> Pixels:
    """Distances from grey grow by this part."""
    grey = pixels.mean(axis=-1, keepdims=True)
    return grey + (pixels - grey) * np.float32(1 + amount)


# what one kind of device or of slide does


def stain_deposit(pixels: Pixels, amount: float, rng: np.random.Generator) -> Pixels:
    """So many dark grains of dye lie on the slide."""
    return _spots(pixels, int(amount), rng, radius=0.03, colour=(60, 25, 80), opacity=0.9)


def bubble(pixels: Pixels, amount: float, rng: np.random.Generator) -> Pixels:
    """So many bubbles of air under the cover glass."""
    return _spots(pixels, int(amount), rng, radius=0.09, colour=(235, 235, 235), opacity=0.6)


def black_corner(pixels: Pixels, amount: float, _: np.random.Generator) -> Pixels:
    """Black outside of a circle of this radius, in half shorter sides."""
    height, width = pixels.shape[:2]
    y, x = np.ogrid[:height, :width]
    far = np.hypot(x - (width - 1) / 2, y - (height - 1) / 2) > amount * min(height, width) / 2
    return np.where(far[..., None], np.float32(0), pixels)


def characters(pixels: Pixels, amount: float, rng: np.random.Generator) -> Pixels:
    """So many letters written onto the picture."""
    image = _to_image(pixels)
    draw, size = ImageDraw.Draw(image), max(8.0, 0.08 * min(image.size))
    for place, letter in zip(rng.random((int(amount), 2)), rng.integers(65, 91, int(amount)), strict=True):
        at = tuple(place * np.maximum(np.array(image.size) - size, 1))
        draw.text(at, chr(letter), fill=(255, 255, 255), font_size=size)
    return _to_pixels(image)


@dataclass(frozen=True)
class Corruption:
    """What is done to the pixels, and how much of it at severities 1 to 5."""

    change: Change
    amounts: tuple[float, float, float, float, float]


CORRUPTIONS: dict[str, Corruption] = {
    "pixelate": Corruption(pixelate, (0.7, 0.5, 0.4, 0.3, 0.2)),
    "jpeg": Corruption(jpeg, (50, 30, 15, 10, 7)),
    "gaussian_noise": Corruption(gaussian_noise, (0.04, 0.08, 0.12, 0.18, 0.26)),
    "speckle_noise": Corruption(speckle_noise, (0.1, 0.15, 0.2, 0.3, 0.4)),
    "impulse_noise": Corruption(impulse_noise, (0.01, 0.03, 0.06, 0.09, 0.17)),
    "shot_noise": Corruption(shot_noise, (60, 25, 18, 10, 5)),
    "gaussian_blur": Corruption(gaussian_blur, (0.006, 0.01, 0.014, 0.02, 0.03)),
    "defocus_blur": Corruption(defocus_blur, (0.009, 0.013, 0.018, 0.025, 0.035)),
    "motion_blur": Corruption(motion_blur, (0.03, 0.045, 0.06, 0.08, 0.1)),
    "zoom_blur": Corruption(zoom_blur, (1.1, 1.15, 1.2, 1.25, 1.3)),
    "brightness_up": Corruption(brightness, (1.1, 1.2, 1.3, 1.4, 1.5)),
    "brightness_down": Corruption(brightness, (0.9, 0.8, 0.7, 0.6, 0.5)),
    "contrast_up": Corruption(contrast, (1.1, 1.2, 1.3, 1.4, 1.6)),
    "contrast_down": Corruption(contrast, (0.8, 0.7, 0.6, 0.5, 0.4)),
    "saturate": Corruption(saturate, (0.1, 0.2, 0.3, 0.4, 0.5)),
    "gamma_up": Corruption(gamma, (1.1, 1.2, 1.3, 1.4, 1.6)),
    "gamma_down": Corruption(gamma, (0.9, 0.8, 0.7, 0.6, 0.4)),
    "stain_deposit": Corruption(stain_deposit, (2, 4, 6, 9, 12)),
    "bubble": Corruption(bubble, (1, 2, 3, 4, 6)),
    "black_corner": Corruption(black_corner, (1.2, 1.1, 1.05, 1.0, 0.9)),
    "characters": Corruption(characters, (1, 2, 3, 4, 6)),
}
"""Every corruption by name."""

_DIGITAL, _NOISE = ("pixelate", "jpeg"), ("gaussian_noise", "speckle_noise", "impulse_noise", "shot_noise")
_LIGHT = ("brightness_up", "brightness_down", "contrast_up", "contrast_down")
_FILM = (*_DIGITAL, *_NOISE, "gaussian_blur", *_LIGHT, "gamma_up", "gamma_down")
_SLIDE = (*_DIGITAL, "defocus_blur", "motion_blur", *_LIGHT, "saturate", "stain_deposit", "bubble")
_SKIN = (*_DIGITAL, *_NOISE, "defocus_blur", "motion_blur", "zoom_blur", *_LIGHT, "black_corner", "characters")
_FLUORESCENCE = (*_DIGITAL, "impulse_noise", "gaussian_blur", *_LIGHT)

BY_MODALITY: dict[str, Sequence[str]] = {
    "xray": _FILM,  # ChestMNIST-C, PneumoniaMNIST-C
    "ct": _FILM,  # OrganMNIST-C
    "ultrasound": (*_DIGITAL, "speckle_noise", "motion_blur", "brightness_up", "brightness_down", "contrast_down"),
    "dermoscopy": _SKIN,  # DermaMNIST-C
    "fundus": (
        *(*_DIGITAL, "gaussian_noise", "speckle_noise", "defocus_blur", "motion_blur"),
        *("brightness_down", "contrast_down"),
    ),  # RetinaMNIST-C
    "oct": (*_DIGITAL, "speckle_noise", "defocus_blur", "motion_blur", "contrast_down"),  # OCTMNIST-C
    "histology": _SLIDE,  # PathMNIST-C
    "microscopy": _SLIDE,  # BloodMNIST-C
    # kin of those above
    "mammography": _FILM,
    "angiography": _FILM,
    "mr": _FILM,
    "pet": _FILM,
    "endoscopy": _SKIN,
    "photograph": _SKIN,
    "cytology": _SLIDE,
    "em": _FLUORESCENCE,  # TissueMNIST-C
    "unknown": (*_DIGITAL, "brightness_down", "contrast_down"),  # what all but one have in common
}
"""Modality -> its corruptions; `unknown` stands in for what is not named."""


def _to_image(pixels: Pixels) -> Image.Image:
    return Image.fromarray((np.clip(pixels, 0, 1) * 255).round().astype(np.uint8))


def _to_pixels(image: Image.Image) -> Pixels:
    return np.asarray(image, np.float32) / np.float32(255)


def _is_grey(pixels: Pixels) -> bool:
    return bool((pixels == pixels[..., :1]).all())


def _noise_shape(pixels: Pixels) -> tuple[int, ...]:
    """Of a grey picture all channels have the same noise."""
    return (*pixels.shape[:2], 1 if _is_grey(pixels) else 3)


def _noise(pixels: Pixels, rng: np.random.Generator) -> Pixels:
    return rng.standard_normal(_noise_shape(pixels), np.float32)


def _convolve(pixels: Pixels, kernel: NDArray[np.float32]) -> Pixels:
    """Each channel under a kernel of sum 1, the border mirrored."""
    side = kernel.shape[0] // 2
    padded = np.pad(pixels, ((side, side), (side, side), (0, 0)), "symmetric")
    from scipy.signal import fftconvolve  # half a second that only a corruption pays

    return fftconvolve(padded, (kernel / kernel.sum())[..., None], "valid", axes=(0, 1)).astype(np.float32)


def _spots(
    pixels: Pixels, num: int, rng: np.random.Generator, radius: float, colour: tuple[int, int, int], opacity: float
) -> Pixels:
    """Ellipses of one colour with a soft rim; `radius`: of a usual one, part of the shorter side."""
    image, short = _to_image(pixels), min(pixels.shape[:2])
    mask = Image.new("L", image.size)
    for x, y, width, height in rng.random((num, 4)):
        centre, half = (
            (x * image.width, y * image.height),
            (radius * short * (0.5 + width), radius * short * (0.5 + height)),
        )
        box = (centre[0] - half[0], centre[1] - half[1], centre[0] + half[0], centre[1] + half[1])
        ImageDraw.Draw(mask).ellipse(box, fill=int(255 * opacity))
    mask = mask.filter(ImageFilter.GaussianBlur(radius * short / 10))
    return _to_pixels(Image.composite(Image.new("RGB", image.size, colour), image, mask))
