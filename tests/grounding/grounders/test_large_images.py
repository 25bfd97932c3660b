"""Large images: the masks of ordinary ones, one image in memory at a time, decoded once where that is asked for."""

import gc
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from making import write_image
from PIL import Image

from medglip.grounding import AnnotatedImage, Letterbox
from medglip.grounding.grounders import medglip
from medglip.grounding.grounders.medglip import MedGlipGrounder
from medglip.grounding.imaging.read import keep_images, read_image

MakeStudies = Callable[[int], list[AnnotatedImage]]


def test_rows_of_a_map_are_those_of_the_whole_map() -> None:
    chances, letterbox = np.random.default_rng(0).random((40, 40), np.float32), Letterbox((70, 90), 80)
    whole = letterbox.inverse_map(chances)
    assert np.abs(letterbox.inverse_map(chances, slice(20, 61)) - whole[20:61]).max() < 1e-5


def test_masks_of_a_large_image_are_those_of_an_ordinary_one(
    make_studies: MakeStudies, tiny_grounder: MedGlipGrounder, monkeypatch: pytest.MonkeyPatch
) -> None:
    images = make_studies(3)
    phrases = [list(image.phrases) for image in images]
    ordinary = tiny_grounder.ground(images, phrases)
    monkeypatch.setattr(medglip, "LARGE_PX", 0)
    for ours, theirs in zip(tiny_grounder.ground(images, phrases), ordinary, strict=True):
        assert [region.mask is None for region in ours] == [region.mask is None for region in theirs]
        for one, other in zip(ours, theirs, strict=True):
            if one.mask is not None and other.mask is not None:
                assert (one.mask != other.mask).mean() < 1e-3


def test_one_image_of_a_batch_is_in_memory_at_a_time(make_studies: MakeStudies, tiny_grounder: MedGlipGrounder) -> None:
    alive: list[weakref.ref[Image.Image]] = []

    def read(path: Path) -> Image.Image:
        gc.collect()
        assert not [one for one in alive if one() is not None]
        image = read_image(path)
        alive.append(weakref.ref(image))
        return image

    tiny_grounder.read = read
    images = make_studies(4)
    tiny_grounder.ground(images, [["bright square"]] * 4)
    assert len(alive) == 4


def test_a_kept_image_is_decoded_once(tmp_path: Path) -> None:
    file = write_image(tmp_path / "a.png")
    with keep_images(file):
        image = read_image(file)
        assert read_image(file) is image
    again: Any = read_image(file)
    assert again is not image
