"""Training of the core: it learns, resumes exactly, survives a kill, and draws examples that stay true."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from medglip.grounding import AnnotatedImage, BadInput
from medglip.grounding.datasets.schema import to_dataset
from medglip.grounding.datasets.settings import DataSettings
from medglip.grounding.geometry import iou
from medglip.grounding.grounders.medglip import MedGlipGrounder
from medglip.grounding.training.core import train
from medglip.grounding.training.examples import draw, load_example
from medglip.grounding.training.settings import DrawSettings, GroundingSettings, TrainSettings

MakeStudies = Callable[[int], list[AnnotatedImage]]


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(folder / "model.safetensors")


def with_steps(settings: GroundingSettings, **changes: object) -> GroundingSettings:
    return settings.model_copy(update={"train": settings.train.model_copy(update=changes)})


def test_stopped_and_resumed_it_ends_at_the_same_weights(
    make_studies: MakeStudies, tiny_settings: GroundingSettings, tmp_path: Path
) -> None:
    data = to_dataset(make_studies(4))
    straight = train(data, tiny_settings, tmp_path / "straight")
    with pytest.MonkeyPatch.context() as patch:
        _stop_after(patch, steps=5)  # the last checkpoint is that of step 3
        with pytest.raises(KeyboardInterrupt):
            train(data, tiny_settings, tmp_path / "resumed")
    resumed = train(data, tiny_settings, tmp_path / "resumed")
    assert all(torch.equal(tensor, weights(resumed)[name]) for name, tensor in weights(straight).items())
    steps = [json.loads(line)["step"] for line in (tmp_path / "resumed" / "log.jsonl").read_text().splitlines()]
    assert steps == [1, 2, 3, 4, 5, 6]


def _stop_after(patch: pytest.MonkeyPatch, steps: int) -> None:
    from medglip.grounding.training import loop as training

    whole, done = training._step, []

    def step(*args: object) -> dict[str, float]:
        if len(done) == steps:
            raise KeyboardInterrupt
        done.append(1)
        return whole(*args)  # pyright: ignore[reportArgumentType]

    patch.setattr(training, "_step", step)


@pytest.mark.thorough
def test_killed_by_the_system_it_ends_at_the_same_weights(
    make_studies: MakeStudies, tiny_settings: GroundingSettings, tmp_path: Path
) -> None:
    data, out = to_dataset(make_studies(4)), tmp_path / "killed"
    settings = with_steps(tiny_settings, steps=40, checkpoint_every=2)
    data.save_to_disk(tmp_path / "data")
    (tmp_path / "settings.json").write_text(settings.model_dump_json())
    code = (
        "import sys; from pathlib import Path; from datasets import load_from_disk;"
        "from medglip.grounding.training.core import GroundingSettings, train;"
        "folder = Path(sys.argv[1]);"
        "settings = GroundingSettings.model_validate_json((folder / 'settings.json').read_text());"
        "train(load_from_disk(folder / 'data'), settings, folder / 'killed')"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path)],
        stderr=subprocess.DEVNULL,
        env={**os.environ, "OMP_NUM_THREADS": str(torch.get_num_threads())},
    )
    deadline = time.monotonic() + 120
    while not (out / "latest").exists() and time.monotonic() < deadline and process.poll() is None:
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert 0 < int((out / "latest").read_text().rpartition("-")[2]) < 40
    resumed, straight = train(data, settings, out), train(data, settings, tmp_path / "straight")
    assert all(torch.equal(tensor, weights(resumed)[name]) for name, tensor in weights(straight).items())


@pytest.mark.thorough
def test_it_overfits_two_images(make_studies: MakeStudies, tiny_settings: GroundingSettings, tmp_path: Path) -> None:
    images = make_studies(2)
    settings = with_steps(tiny_settings, steps=150, learning_rate=5e-3, checkpoint_every=150)
    settings = settings.model_copy(update={"draw": DrawSettings(augment=False, ancestor_share=0.0)})
    grounder = MedGlipGrounder.from_pretrained(train(to_dataset(images), settings, tmp_path / "out"))
    for image, found in zip(images, grounder.ground(images, [image.phrases for image in images]), strict=True):
        for true in image.regions:
            best = next(region for region in found if region.phrase == true.phrase)
            assert iou(best.box_xyxy_px, true.box_xyxy_px).item() > 0.6
        absent = [region.score for region in found if region.phrase == "left lung"]
        assert max(absent, default=0.0) < min(r.score for r in found[:2])


def test_finished_it_returns_at_once_and_lists_what_it_skipped(
    make_studies: MakeStudies, tiny_settings: GroundingSettings, tmp_path: Path
) -> None:
    images = make_studies(3)
    images[2].image_path.write_bytes(b"not an image")
    data = to_dataset([*images[:1], replace(images[1], split="val"), images[2]])
    settings = with_steps(tiny_settings, steps=2)
    folder = train(data, settings, tmp_path / "out")
    assert images[2].image_id in (tmp_path / "out" / "skipped.jsonl").read_text()
    before = (folder / "model.safetensors").stat().st_mtime_ns
    assert train(data, settings, tmp_path / "out") == folder
    assert (folder / "model.safetensors").stat().st_mtime_ns == before


def test_other_sizes_in_the_same_folder_are_refused(
    make_studies: MakeStudies, tiny_settings: GroundingSettings, tmp_path: Path
) -> None:
    data, settings = to_dataset(make_studies(2)), with_steps(tiny_settings, steps=1)
    train(data, settings, tmp_path / "out")
    wider = settings.model_copy(update={"model": settings.model.model_copy(update={"width": 32})})
    with pytest.raises(BadInput, match="other settings"):
        train(data, wider, tmp_path / "out")


def test_no_readable_example_is_refused(
    make_studies: MakeStudies, tiny_settings: GroundingSettings, tmp_path: Path
) -> None:
    data = to_dataset([replace(image, split="test") for image in make_studies(2)])
    with pytest.raises(BadInput, match="no examples"):
        train(data, tiny_settings, tmp_path / "out")


def test_weights_of_data_sets_reach_the_order(
    make_studies: MakeStudies, tiny_settings: GroundingSettings, tmp_path: Path
) -> None:
    images = make_studies(3)
    data = to_dataset([images[0], replace(images[1], dataset="other"), replace(images[2], dataset="other")])
    settings = with_steps(tiny_settings, steps=1)
    assert train(
        data, settings, tmp_path / "out", sets=[DataSettings(layout="coco", path="other", weight=3.0)]
    ).exists()


@pytest.mark.parametrize(("seed", "stride"), [*((seed, 4) for seed in range(8)), (8, 2), (9, 2)])
def test_augmented_boxes_frame_their_masks_and_are_never_cut(make_studies: MakeStudies, seed: int, stride: int) -> None:
    image = replace(make_studies(2)[1], modality="dermoscopy", phrases=("bright square", "dark square"))
    example = load_example(image, 64, stride)
    rng = np.random.default_rng(seed)
    drawn = draw(example, rng, DrawSettings(unknown_modality=0.0))
    sides = (example.boxes_G4[:, 2:] - example.boxes_G4[:, :2]).prod(1)
    drawn_sides = (drawn.target.boxes_G4[:, 2:] - drawn.target.boxes_G4[:, :2]).prod(1)
    ratio = drawn_sides.numpy() / sides
    assert np.allclose(ratio, ratio[0], rtol=0.02)  # one scale for all, nothing cut off
    for box, mask in zip(drawn.target.boxes_G4 / stride, drawn.target.masks_Ghw, strict=True):
        covered = mask > 0.5
        rows, columns = covered.any(1).nonzero()[:, 0], covered.any(0).nonzero()[:, 0]
        tight = torch.stack([columns[0], rows[0], columns[-1] + 1, rows[-1] + 1])
        assert (tight - box).abs().max() < 1.5


def test_sides_are_never_mirrored(make_studies: MakeStudies) -> None:
    image = replace(make_studies(1)[0], modality="dermoscopy")  # PHRASES name a left lung
    example = load_example(image, 64)
    for seed in range(12):
        drawn = draw(example, np.random.default_rng(seed), DrawSettings(ancestor_share=0.0))
        bright = drawn.target.labels_GK[:, drawn.phrases.index("bright square")]
        boxes = drawn.target.boxes_G4
        assert boxes[bright][0, 0] < boxes[~bright][0, 0]


def test_a_draw_depends_on_its_generator_alone_and_asks_only_what_is_known(make_studies: MakeStudies) -> None:
    example = load_example(make_studies(1)[0], 64)
    asked: set[str] = set()
    for seed in range(40):
        a, b = (draw(example, np.random.default_rng(seed), DrawSettings(ancestor_share=0.5)) for _ in range(2))
        assert np.array_equal(a.square, b.square)
        assert (a.phrases, a.modality) == (b.phrases, b.modality)
        asked |= set(a.phrases)
    assert asked == {"bright square", "dark square", "left lung", "square"}


def test_an_image_of_another_size_than_annotated_is_refused(make_studies: MakeStudies) -> None:
    with pytest.raises(BadInput, match="annotations are for"):
        load_example(replace(make_studies(1)[0], size_px=(10, 10)), 64)


def test_defaults_are_the_measured_ones() -> None:
    assert GroundingSettings().train == TrainSettings(steps=400, learning_rate=1e-3, warmup_steps=50, batch_size=8)
