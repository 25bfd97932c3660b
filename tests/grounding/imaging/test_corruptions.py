"""Corruptions belong to a modality, hurt more with severity, and leave size and regions as they are."""

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from making import make_image
from PIL import Image

from medglip.grounding.imaging.corruptions import (
    BY_MODALITY,
    CORRUPTIONS,
    SEVERITIES,
    corrupt,
    corrupted,
    corruption_of,
)
from medglip.grounding.modalities import MODALITIES


def picture(is_grey: bool = False) -> Image.Image:
    """Smooth patches with edges, neither black nor white."""
    y, x = np.mgrid[:144, :192]
    waves = 0.5 + 0.25 * np.sin(x / 5) + 0.15 * np.cos(y / 7)
    channels = [waves, waves if is_grey else waves * 0.8, waves if is_grey else np.roll(waves, 9, 1) * 0.7]
    return Image.fromarray((np.stack(channels, -1) * 255).astype(np.uint8))


def test_every_modality_has_its_row() -> None:
    assert set(BY_MODALITY) == set(MODALITIES)
    assert {name for names in BY_MODALITY.values() for name in names} == set(CORRUPTIONS)


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_damage_grows_with_severity(name: str) -> None:
    image = picture()
    before = np.asarray(image, float)
    damage = [np.abs(np.asarray(corrupt(image, name, severity), float) - before).mean() for severity in SEVERITIES]
    assert corrupt(image, name, 3).size == image.size
    assert all(low <= high * 1.02 for low, high in pairwise(damage))
    assert damage[0] > 0
    assert damage[4] > 1.3 * damage[0]
    assert corrupt(image, name, 3, seed=1).tobytes() == corrupt(image, name, 3, seed=1).tobytes()


@pytest.mark.parametrize("name", BY_MODALITY["ct"])
def test_grey_stays_grey(name: str) -> None:
    changed = np.asarray(corrupt(picture(is_grey=True), name, 4))
    assert (changed == changed[..., :1]).all()


def test_an_image_keeps_its_corruption_and_its_regions(tmp_path: Path) -> None:
    picture().save(tmp_path / "a.png")
    image = make_image("a", modality="ultrasound", size_px=(96, 72), image_path=tmp_path / "a.png")
    made = [corrupted(image, severity, tmp_path / "changed") for severity in SEVERITIES]
    name = corruption_of(image)
    assert name in BY_MODALITY["ultrasound"]
    assert all(name in one.image_path.name and one.regions == image.regions for one in made)
    assert len({one.image_id for one in made} | {one.image_path for one in made}) == 10
    assert {one.group for one in made} == {image.group}
    many = {corruption_of(make_image(str(n), modality="ultrasound")) for n in range(60)}
    assert many == set(BY_MODALITY["ultrasound"])
