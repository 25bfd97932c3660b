"""Going on from a trained core: nothing is lost at the start, old sets get their share, the card tells the data."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from making import are_close, is_close
from safetensors.torch import load_file
from torch import nn

from medglip.grounding import AnnotatedImage, BadInput
from medglip.grounding.datasets.schema import to_dataset
from medglip.grounding.datasets.settings import DataSettings
from medglip.grounding.grounders.medglip import MedGlipGrounder
from medglip.grounding.training.core import continue_from, train
from medglip.grounding.training.examples import chances
from medglip.grounding.training.settings import GroundingSettings, MixtureSettings, ModelSettings

MakeStudies = Callable[[int], list[AnnotatedImage]]


def continuing(settings: GroundingSettings, start: Path, rate: float, **sizes: int) -> GroundingSettings:
    steps = settings.train.model_copy(update={"steps": 1, "learning_rate": rate, "weight_decay": 0.0})
    return settings.model_copy(update={"train": steps, "start_from": str(start), "model": ModelSettings(**sizes)})  # pyright: ignore[reportArgumentType]


def test_it_goes_on_from_the_weights_words_and_size_of_the_start(
    make_studies: MakeStudies, tiny_settings: GroundingSettings, tmp_path: Path
) -> None:
    first = train(to_dataset(make_studies(2)), tiny_settings, tmp_path / "first")
    others = [replace(image, dataset="other") for image in make_studies(3)]
    second = train(to_dataset(others), continuing(tiny_settings, first, 1e-12), tmp_path / "second")
    old, new = (load_file(folder / "model.safetensors") for folder in (first, second))
    assert old.keys() == new.keys()
    assert are_close(new, old, 1e-6)
    assert (first / "tokenizer.json").read_bytes() == (second / "tokenizer.json").read_bytes()
    assert MedGlipGrounder.from_pretrained(second).processor.image_size == 64


def test_the_end_is_so_much_of_the_start(
    make_studies: MakeStudies, tiny_settings: GroundingSettings, tmp_path: Path
) -> None:
    data = to_dataset(make_studies(2))
    first = train(data, tiny_settings, tmp_path / "first")
    going_on = continuing(tiny_settings, first, 1e-2)
    free = train(data, going_on, tmp_path / "free")
    held = train(data, going_on.model_copy(update={"start_share": 0.75}), tmp_path / "held")
    old, new, end = (load_file(folder / "model.safetensors") for folder in (first, free, held))
    assert not are_close(new, old, 1e-4)
    assert are_close(end, {name: 0.75 * old[name] + 0.25 * value for name, value in new.items()}, 1e-6)


def test_a_share_of_no_start_is_refused() -> None:
    with pytest.raises(ValueError, match="give start_from"):
        GroundingSettings(start_share=0.5)


def test_another_input_size_is_taken_if_it_is_written(
    make_studies: MakeStudies, tiny_settings: GroundingSettings, tmp_path: Path
) -> None:
    data = to_dataset(make_studies(2))
    first = train(data, tiny_settings, tmp_path / "first")
    larger = train(data, continuing(tiny_settings, first, 1e-3, image_size=96), tmp_path / "larger")
    core = MedGlipGrounder.from_pretrained(larger)
    assert (core.processor.image_size, core.model.config.vision_config.image_size) == (96, 96)


@pytest.mark.parametrize(
    ("path", "value", "layer"),
    [
        ("fine_masks", True, "head.fine.weight"),
        ("mask_stride", 2, "head.finer.refine.weight"),
        ("rich_presence", True, "presence.look.decide.weight"),
    ],
)
def test_an_added_path_changes_nothing_before_it_is_trained(
    path: str, value: int, layer: str, make_studies: MakeStudies, tiny_settings: GroundingSettings, tmp_path: Path
) -> None:
    data = to_dataset(make_studies(2))
    first = train(data, tiny_settings, tmp_path / "first")
    (plain, processor), (more, _) = (continue_from(str(first), None, 0, **added) for added in ({}, {path: value}))
    inputs = processor([np.full((64, 64, 3), 90, np.uint8)], [["dark square"]], ["ct"])
    with torch.no_grad():
        one, other = plain.eval()(**inputs), more.eval()(**inputs)
    # prototypes at stride 2 are those at stride 4, upsampled
    one.prototypes = nn.functional.interpolate(one.prototypes, other.prototypes.shape[-2:], mode="bilinear")
    assert all(is_close(other[name], tensor, 1e-6) for name, tensor in one.items())
    trained = train(data, continuing(tiny_settings, first, 1e-2, **{path: value}), tmp_path / "second")
    core = MedGlipGrounder.from_pretrained(trained)
    assert getattr(core.model.config, path) == value
    assert core.model.get_parameter(layer).abs().sum() > 0


@pytest.mark.parametrize("share", [0.0, 0.2, 0.75])
def test_sets_to_rehearse_share_their_part_of_the_draws(share: float) -> None:
    names = ["old"] * 7 + ["older"] * 3 + ["new"] * 2
    sets = [DataSettings(layout="coco", path=name, rehearse=name != "new") for name in ("old", "older", "new")]
    found = chances(names, sets, MixtureSettings(rehearsal=share))
    assert found is not None
    assert sum(found[:10]) / sum(found) == pytest.approx(share)


def test_no_start_is_one_clear_error(
    make_studies: MakeStudies, tiny_settings: GroundingSettings, tmp_path: Path
) -> None:
    with pytest.raises(BadInput, match="no such checkpoint"):
        train(to_dataset(make_studies(2)), continuing(tiny_settings, tmp_path / "none", 1e-3), tmp_path / "out")


def test_the_card_tells_data_licence_settings_and_use(
    make_studies: MakeStudies, tiny_settings: GroundingSettings, tmp_path: Path
) -> None:
    images = [*make_studies(3), replace(make_studies(1)[0], dataset="second", split="val")]
    sets = [DataSettings(layout="coco", path="tiny", licence="CC BY 4.0")]
    card = (train(to_dataset(images), tiny_settings, tmp_path / "out", sets=sets) / "README.md").read_text()
    assert "not for diagnosis" in card
    assert "learning_rate: 0.001" in card
    assert "| tiny | ct, xray | CC BY 4.0 | 3 | 0 | 0 | 6 | bright square, dark square |" in card
    assert "| second | ct | not stated | 0 | 1 | 0 | 2 |" in card
