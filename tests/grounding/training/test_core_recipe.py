"""The core of a recipe: killed and on two processes by its command; nothing that a task is scored on is learned."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from safetensors.torch import load_file

from medglip.grounding import AnnotatedImage, BadInput, Region
from medglip.grounding.bad_input import Skipped
from medglip.grounding.datasets.schema import AnnotatedImages, to_dataset, words_of
from medglip.grounding.grounders.medglip import MedGlipGrounder
from medglip.grounding.settings import read_settings
from medglip.grounding.training.core import train
from medglip.grounding.training.recipe import CoreRecipe
from medglip.grounding.training.settings import GroundingSettings
from medglip.grounding.training.stage import HeldOut, core_images, train_core, vocabulary
from medglip.grounding.training.validation import mean_iou

MakeStudies = Callable[[int], list[AnnotatedImage]]
SIZES = {"image_size": 64, "width": 16, "stage_widths": [8, 8, 8, 8], "hidden_size": 8, "depths": [1, 1, 1, 2]}
TRAIN = {"steps": 12, "batch_size": 2, "warmup_steps": 2, "checkpoint_every": 2, "ema_decay": 0.9}


def write_recipe(folder: Path, train: dict[str, Any] | None = None, **more: Any) -> Path:
    """A tiny recipe on phantoms with its output in `folder / "run"`."""
    sizes = SIZES | {"num_fusion_layers": 1, "text_layers": 1}
    recipe = {
        "name": "tiny",
        "out_dir": str(folder / "run"),
        "phantoms": {"num_train": 6, "num_val": 2, "num_test": 1, "size_px": 96},
        "grounding": {
            "data": [{"layout": "phantom"}],
            "settings": {"model": sizes, "train": TRAIN | (train or {})},
        },
    }
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "recipe.yaml"
    path.write_text(yaml.safe_dump(recipe | more))
    return path


def weights(run: Path) -> dict[str, torch.Tensor]:
    return load_file(run / "grounding" / "model" / "model.safetensors")


def train_here(recipe: Path) -> dict[str, torch.Tensor]:
    core = read_settings(CoreRecipe, recipe)
    train_core(core, core_images(core, HeldOut(), Skipped()))
    return weights(recipe.parent / "run")


def start(recipe: Path, *launch: str) -> subprocess.Popen[bytes]:
    """The command as a user starts it, by itself or through a launcher of processes."""
    command = [sys.executable, *launch, "-m", "medglip.scripts.cli", "grounding", "train", str(recipe)]
    environment = {"OMP_NUM_THREADS": str(torch.get_num_threads()), "ACCELERATE_USE_CPU": "true"}
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, env=os.environ | environment)


@pytest.mark.thorough
def test_killed_the_command_ends_at_the_weights_of_an_undisturbed_training(tmp_path: Path) -> None:
    settings = {"steps": 60, "validate_every": 20}
    killed = write_recipe(tmp_path / "killed", settings)
    latest, process, deadline = tmp_path / "killed/run/grounding/latest", start(killed), time.monotonic() + 240
    while not (latest.exists() and int(latest.read_text().rpartition("-")[2]) >= 24):
        assert process.poll() is None, "ended before it was killed"
        assert time.monotonic() < deadline
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert start(killed).wait() == 0
    straight = train_here(write_recipe(tmp_path / "straight", settings))
    after = weights(tmp_path / "killed" / "run")
    assert all(torch.equal(tensor, after[name]) for name, tensor in straight.items())
    logs = [(tmp_path / name / "run/grounding/log.jsonl").read_text() for name in ("killed", "straight")]
    assert logs[0] == logs[1]


@pytest.mark.thorough
def test_two_processes_write_one_core(tmp_path: Path) -> None:
    recipe = write_recipe(tmp_path, {"steps": 3, "checkpoint_every": 3})
    launch = ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]
    assert start(recipe, *launch).wait(timeout=300) == 0
    MedGlipGrounder.from_pretrained(tmp_path / "run" / "grounding" / "model")
    alone = train_here(write_recipe(tmp_path / "alone", {"steps": 3, "checkpoint_every": 3}))
    together = weights(tmp_path / "run")
    assert any(not torch.equal(tensor, together[name]) for name, tensor in alone.items())  # twice the images a step


def test_validation_keeps_the_best_weights(tmp_path: Path) -> None:
    recipe = write_recipe(tmp_path, {"steps": 4, "validate_every": 2})
    train_here(recipe)
    log = [json.loads(line) for line in (tmp_path / "run/grounding/log.jsonl").read_text().splitlines()]
    values = [row["validation"] for row in log if "validation" in row]
    assert len(values) == 2
    assert json.loads((tmp_path / "run/grounding/best/value.json").read_text()) == max(values)
    assert (tmp_path / "run" / "vocabulary.json").is_file()


def test_validation_without_images_is_refused(
    make_studies: MakeStudies, tiny_settings: GroundingSettings, tmp_path: Path
) -> None:
    steps = tiny_settings.train.model_copy(update={"validate_every": 1})
    with pytest.raises(BadInput, match="split val"):
        train(to_dataset(make_studies(2)), tiny_settings.model_copy(update={"train": steps}), tmp_path / "out")


class Says:
    """Gives back fixed regions."""

    def __init__(self, regions: Sequence[Region]):
        self.regions = regions

    def ground(self, images: Sequence[AnnotatedImage], phrases: Sequence[Sequence[str]]) -> list[list[Region]]:
        return [list(self.regions) for _ in images]


def test_mean_iou_is_one_for_the_truth_and_counts_what_is_missed(make_studies: MakeStudies) -> None:
    image = make_studies(1)[0]
    assert mean_iou(Says(image.regions), [image]) == 1  # pyright: ignore[reportArgumentType]
    assert mean_iou(Says(image.regions[:1]), [image]) == 0.5  # pyright: ignore[reportArgumentType]
    assert mean_iou(Says(()), [image]) == 0  # pyright: ignore[reportArgumentType]
    better = replace(image.regions[0], box_xyxy_px=image.regions[0].box_xyxy_px + 100)
    assert mean_iou(Says((better, *image.regions)), [image]) == 0.5  # pyright: ignore[reportArgumentType]


def test_phantoms_that_are_not_drawn_are_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="phantoms"):
        read_settings(CoreRecipe, write_recipe(tmp_path, phantoms=None))


def test_held_out_images_and_groups_leave_training_alone(make_studies: MakeStudies) -> None:
    first, second, third = make_studies(3)
    data = to_dataset([first, replace(second, group=first.group), replace(third, split="val")])
    held_out = HeldOut.of([replace(first, split="test"), third])
    assert [image.image_id for image in AnnotatedImages(held_out.left_out_of(data))] == [third.image_id]
    assert len(HeldOut.of([third]).left_out_of(data)) == 3


def test_a_patient_with_a_folder_of_their_own_is_held_out_whole(make_studies: MakeStudies) -> None:
    patient, other = Path("/mimic/files/p10/p10000032"), Path("/mimic/files/p10/p10000764")
    places = [(patient / "s1", "p10000032"), (patient / "s2", "p10000032"), (other / "s3", "p10000764")]
    scored, same, stranger = (
        replace(image, image_path=folder / "a.jpg", group=group)
        for image, (folder, group) in zip(make_studies(3), places, strict=True)
    )
    left = HeldOut.of([replace(scored, split="test")]).left_out_of(to_dataset([same, stranger]))
    assert [image.group for image in AnnotatedImages(left)] == ["p10000764"]


def test_words_and_vocabulary_are_those_of_all_rows(make_studies: MakeStudies) -> None:
    images = make_studies(3)
    data = to_dataset(images).select([2, 0])
    wanted = [phrase for k in (2, 0) for phrase in images[k].phrases]
    wanted += [word for k in (2, 0) for r in images[k].regions for word in (r.phrase, *r.path)]
    assert sorted(words_of(data)) == sorted(wanted)
    assert vocabulary(data) == {"ct": images[0].phrases}


def test_studies_are_decoded_one_at_a_time(make_studies: MakeStudies) -> None:
    made = make_studies(2)
    found = AnnotatedImages(to_dataset(made))
    assert [image.image_id for image in found] == [image.image_id for image in made]
    assert np.array_equal(found[1].regions[0].mask, made[1].regions[0].mask)  # pyright: ignore[reportArgumentType]
