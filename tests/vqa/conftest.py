"""Examples and models on the tiny base of `tests/conftest.py`."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from medglip.grounding.evidence.evidence import Evidence
from medglip.grounding.evidence.forms.tokens import TokenShape
from medglip.grounding.types import Region
from medglip.vqa.prompt.prompt import Example

DIM = 6
SHAPE = TokenShape(DIM)


@pytest.fixture
def new_mllm(tiny_base: Path) -> Callable:
    """Makes a fp32 `GroundedMLLM` on the tiny base; the LoRA updates do something where `is_random`."""
    from medglip.vqa.model.grounded_mllm import GroundedMLLM, load
    from medglip.vqa.model.settings import LoraSettings, MllmSettings

    def make(is_random: bool = False, adapter: Path | None = None, shape: TokenShape = SHAPE) -> GroundedMLLM:
        settings = MllmSettings(base=str(tiny_base), dtype="fp32", lora=LoraSettings(r=4))
        mllm = load(settings, shape, adapter)
        if is_random:
            draws = torch.Generator().manual_seed(5)
            with torch.no_grad():
                for name, parameter in mllm.named_parameters():
                    if "lora_B" in name:
                        parameter.copy_(torch.randn(parameter.shape, generator=draws) * 0.3)
        return mllm

    return make


@pytest.fixture(scope="session")
def image_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("images") / "noise.png"
    pixels = np.random.default_rng(0).integers(0, 256, (50, 80, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path)
    return path


@pytest.fixture(scope="session")
def new_example(image_path: Path) -> Callable[..., Example]:
    """Makes an example with so many regions; `num_regions` None: without evidence."""

    def make(num_regions: int | None = 1, seed: int = 0, instruction: str = "Where is the nodule?") -> Example:
        rng = np.random.default_rng(seed)
        corners = rng.uniform(0, 30, (num_regions or 0, 2)).astype(np.float32)
        regions = tuple(
            Region(
                phrase="nodule",
                box_xyxy_px=np.concatenate([corner, corner + 15]),
                score=0.9,
                embedding=rng.standard_normal(DIM).astype(np.float32),
            )
            for corner in corners
        )
        found = Evidence.of_image("predicted", (80, 50), regions, ("nodule",))
        return Example(
            example_id=f"e{num_regions}-{seed}",
            image_path=image_path,
            instruction=instruction,
            target="upper left",
            evidence=Evidence.none() if num_regions is None else found,
        )

    return make
