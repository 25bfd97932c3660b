"""The checkpoints that come with the package: small, described, loadable by plain transformers, and not blind."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModel, AutoProcessor

from medglip.grounding.datasets.phantoms.dataset import read, write
from medglip.grounding.datasets.schema import images
from medglip.grounding.datasets.settings import PhantomSettings
from medglip.grounding.geometry import iou
from medglip.grounding.grounders.medglip import MedGlipGrounder
from medglip.grounding.grounders.pretrained import NOTICES, checkpoint_folder, is_shipped, load_grounder, vocabulary_of
from medglip.grounding.modalities import MODALITIES
from medglip.grounding.training.health import health, sample_pixels
from medglip.grounding.types import NOTICE
from medglip.grounding.vocabulary.labels import load_labels

SHIPPED = tuple(name for name in NOTICES if is_shipped(name))


def test_both_are_there() -> None:
    assert set(SHIPPED) == {"small", "small-research"}


@pytest.mark.parametrize("name", SHIPPED)
def test_it_is_small_described_and_in_half_precision(name: str) -> None:
    folder = checkpoint_folder(name)
    assert (folder / "model.safetensors").stat().st_size <= 25 * 2**20
    assert {tensor.dtype for tensor in load_file(folder / "model.safetensors").values()} == {torch.float16}
    card = (folder / "README.md").read_text()
    assert NOTICE in card
    assert "license: cc-by-" in card
    assert "Macro AP50" in card
    assert json.loads((folder / "config.json").read_text())["calibration"]


@pytest.mark.parametrize("name", SHIPPED)
def test_its_vocabulary_is_of_the_label_tree(name: str) -> None:
    found = vocabulary_of(name)
    assert set(found) <= set(MODALITIES)
    assert all(load_labels().path(phrase) for phrases in found.values() for phrase in phrases)


@pytest.mark.parametrize("name", SHIPPED)
def test_plain_transformers_loads_it_without_remote_code(name: str) -> None:
    folder = checkpoint_folder(name)
    model = AutoModel.from_pretrained(folder, trust_remote_code=False)
    assert model.dtype == torch.float32
    assert AutoProcessor.from_pretrained(folder).image_size == model.config.vision_config.image_size


def test_research_weights_say_so(capsys: pytest.CaptureFixture[str]) -> None:
    load_grounder("small-research")
    assert "research only" in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.parametrize("name", SHIPPED)
def test_it_finds_the_lungs_of_a_phantom(name: str, tmp_path: Path) -> None:
    write(tmp_path / "phantoms", PhantomSettings(num_train=1, num_val=0, num_test=24, seed=7))
    films = [image for image in images(read(tmp_path / "phantoms")) if image.modality == "xray"]
    grounder, best = load_grounder(name), []
    for image in films:
        found = grounder.ground([image], [["left lung", "right lung"]])[0]
        for true in (region for region in image.regions if region.phrase in ("left lung", "right lung")):
            boxes = [region.box_xyxy_px for region in found if region.phrase == true.phrase]
            best.append(float(iou(true.box_xyxy_px, np.array(boxes[:1], np.float32).reshape(-1, 4)).max(initial=0)))
    assert len(best) >= 4
    assert np.mean(best) > 0.7


@pytest.mark.parametrize("name", ["small", "small-research"])
def test_no_stage_of_a_shipped_tower_is_dead(name: str, tmp_path: Path) -> None:
    write(tmp_path, PhantomSettings(num_train=4, num_val=0, num_test=0, size_px=128))
    core = load_grounder(name)
    assert isinstance(core, MedGlipGrounder)
    pixels = sample_pixels(list(images(read(tmp_path))), core.processor)
    assert pixels is not None
    assert not [stride for stride, one in health(core.model.image_tower, pixels).items() if one.is_dying]
