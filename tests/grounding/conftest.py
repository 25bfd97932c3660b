"""Tiny studies and a tiny core, shared by the tests of model, training, grounder and cache."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from making import make_image
from PIL import Image

from medglip.grounding import AnnotatedImage, Region
from medglip.grounding.grounders.medglip import GrounderSettings, MedGlipGrounder
from medglip.grounding.model.processing import MedGlipProcessor, train_tokenizer
from medglip.grounding.training.core import build
from medglip.grounding.training.settings import GroundingSettings, ModelSettings, TrainSettings

PHRASES = ("bright square", "dark square", "left lung")


@pytest.fixture
def tiny_settings() -> GroundingSettings:
    sizes = ModelSettings(
        image_size=64,
        width=16,
        stage_widths=(8, 8, 16, 16),
        hidden_size=16,
        depths=(1, 1, 1, 2),
        num_fusion_layers=1,
        num_head_convs=1,
        text_layers=1,
    )
    return GroundingSettings(
        model=sizes, train=TrainSettings(steps=6, batch_size=2, warmup_steps=2, checkpoint_every=3)
    )


@pytest.fixture
def make_studies(tmp_path: Path) -> Callable[[int], list[AnnotatedImage]]:
    """`make_studies(n)`: n grey pictures, one bright and one dark square on each, of different shapes and sizes."""

    def make(num: int) -> list[AnnotatedImage]:
        return [_image(tmp_path / f"image-{k}.png", k) for k in range(num)]

    return make


def _image(path: Path, k: int) -> AnnotatedImage:
    rng = np.random.default_rng(k)
    width, height = [(64, 64), (96, 60), (50, 80)][k % 3]
    pixels = rng.integers(90, 130, (height, width, 3), np.uint8)
    regions = []
    for phrase, value, x0 in ((PHRASES[0], 250, 2), (PHRASES[1], 5, 26)):
        y0, side = int(rng.integers(2, 20)), int(rng.integers(14, 22))
        mask = np.zeros((height, width), bool)
        mask[y0 : y0 + side, x0 : x0 + side] = True
        pixels[mask] = value
        box = np.array([x0, y0, x0 + side, y0 + side], np.float32)
        regions.append(Region(phrase=phrase, box_xyxy_px=box, mask=mask, path=("square", phrase)))
    Image.fromarray(pixels).save(path)
    return make_image(
        path.stem,
        image_path=path,
        modality=("ct", "xray")[k % 2],
        dataset="tiny",
        split="train",
        size_px=(width, height),
        regions=tuple(regions),
        phrases=PHRASES,
    )


@pytest.fixture
def tiny_grounder(tiny_settings: GroundingSettings) -> MedGlipGrounder:
    """An untrained core that finds something everywhere."""
    processor = MedGlipProcessor(train_tokenizer(PHRASES), tiny_settings.model.image_size)
    limits = GrounderSettings(min_score=0.0, mask_min_score=0.0, max_per_phrase=3, batch_size=2)
    return MedGlipGrounder(build(tiny_settings, len(processor.tokenizer)), processor, limits)
