"""A public detector trained further by one command: its folder is claimed, goes on, and is a checkpoint like any."""

import json
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image
from typer.testing import CliRunner

from medglip.grounding import BadInput
from medglip.grounding.datasets.load import load_images
from medglip.grounding.datasets.settings import DataSettings
from medglip.grounding.files import read_lines
from medglip.grounding.grounders.medglip import MedGlipGrounder
from medglip.grounding.grounders.zero_shot import ZeroShotGrounder
from medglip.grounding.model.processing import MedGlipProcessor, train_tokenizer
from medglip.grounding.training.core import build
from medglip.grounding.training.settings import GroundingSettings, ModelSettings
from medglip.scripts.bench.untrained_dino import DinoSizes, build_dino
from medglip.scripts.cli.main import app

NAMES = ("liver", "spleen")


def call(*words: str | Path | float) -> str:
    result = CliRunner().invoke(app, [str(word) for word in words], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    """A recipe of one COCO set: eight CT pictures of two squares."""
    images = tmp_path / "abdomen" / "images"
    images.mkdir(parents=True)
    rng = np.random.default_rng(0)
    rows = [{"id": k, "file_name": f"{k}.png", "width": 48, "height": 40, "modality": "CT"} for k in range(8)]
    annotations = []
    for row in rows:
        pixels = rng.integers(90, 130, (40, 48, 3), np.uint8)
        for category, (x, value) in enumerate(((2, 250), (26, 5))):
            pixels[8:24, x : x + 16] = value
            box = {"bbox": [x, 8, 16, 16], "image_id": row["id"], "category_id": category}
            annotations.append({"id": len(annotations), **box})
        Image.fromarray(pixels).save(images / row["file_name"])
    coco = {
        "images": rows,
        "annotations": annotations,
        "categories": [{"id": k, "name": n} for k, n in enumerate(NAMES)],
    }
    (images.parent / "annotations.json").write_text(json.dumps(coco))
    data = [{"layout": "coco", "path": str(images.parent), "val_fraction": 0.25}]
    path = tmp_path / "recipe.yaml"
    path.write_text(yaml.safe_dump({"name": "tiny", "out_dir": str(tmp_path / "run"), "grounding": {"data": data}}))
    return path


@pytest.fixture
def detector(tmp_path: Path) -> Path:
    sizes = DinoSizes(
        image_size=64,
        stage_widths=(16, 16, 16, 16),
        d_model=64,
        num_queries=8,
        ffn_dim=64,
        text_width=32,
        text_layers=1,
        max_text_len=32,
    )
    grounder = build_dino(NAMES, sizes)
    for part in (grounder.model, grounder.processor):
        part.save_pretrained(tmp_path / "detector")
    return tmp_path / "detector"


def test_a_fine_tuned_folder_goes_on_and_is_a_checkpoint(recipe: Path, detector: Path, tmp_path: Path) -> None:
    out, images = tmp_path / "tuned", tmp_path / "abdomen" / "images"
    words = ["grounding", "fine-tune", recipe, "--checkpoint", detector, "--out", out, "--batch-size", 2]
    words += ["--image-size", 64, "--checkpoint-every", 2]
    assert str(out) in call(*words, "--steps", 2)
    before = ZeroShotGrounder.from_pretrained(out / "model", "cpu").fingerprint
    assert before != ZeroShotGrounder.from_pretrained(detector, "cpu").fingerprint
    written = (out / "model" / "model.safetensors").stat().st_mtime_ns
    call(*words, "--steps", 2)
    assert (out / "model" / "model.safetensors").stat().st_mtime_ns == written  # finished: at once
    call(*words, "--steps", 4)
    assert [row["step"] for row in read_lines(out / "log.jsonl")] == [1, 2, 3, 4]
    assert ZeroShotGrounder.from_pretrained(out / "model", "cpu").fingerprint != before
    with pytest.raises(BadInput, match=r"differs in train.learning_rate"):
        call(*words, "--steps", 4, "--learning-rate", 1e-3)

    shown = tmp_path / "shown"
    call("grounding", "predict", images / "0.png", "--modality", "ct", "--checkpoint", out, "--out", shown)
    row = next(read_lines(shown / "regions.jsonl"))
    assert row["phrases"] == list(NAMES)  # it knows what it was trained to find
    references = ["--references", images.parent / "annotations.json", "--images", images]
    assert "ap50" in call("grounding", "evaluate", *references, "--checkpoint", out, "--resamples", 20, "--limit", 3)


def test_the_validation_split_is_not_learnt(recipe: Path, detector: Path, tmp_path: Path) -> None:
    """Pictures of `val` may be broken without the training noticing; those of `train` may not."""
    data = DataSettings.model_validate(yaml.safe_load(recipe.read_text())["grounding"]["data"][0])
    images, _ = load_images([data], 0)
    held_out = {row["image_id"]: Path(row["image_path"]) for row in images if row["split"] == "val"}  # pyright: ignore
    assert held_out
    for path in held_out.values():
        path.write_bytes(path.read_bytes()[:120])
    out = tmp_path / "tuned"
    words = ["grounding", "fine-tune", recipe, "--checkpoint", detector, "--out", out, "--image-size", 64]
    call(*words, "--steps", 1)
    assert not (out / "skipped.jsonl").exists()


def test_what_is_no_detector_of_the_family_is_refused(recipe: Path, tmp_path: Path) -> None:
    sizes = ModelSettings(image_size=64, width=16, stage_widths=(8, 8, 8, 8), hidden_size=8, depths=(1, 1, 1, 2))
    processor = MedGlipProcessor(train_tokenizer(NAMES), 64)
    core = MedGlipGrounder(build(GroundingSettings(model=sizes), len(processor.tokenizer)), processor)
    for part in (core.model, core.processor):
        part.save_pretrained(tmp_path / "core")
    words = ["grounding", "fine-tune", recipe, "--out", tmp_path / "tuned", "--checkpoint"]
    with pytest.raises(BadInput, match="medglip grounding train"):
        call(*words, tmp_path / "core")
    with pytest.raises(BadInput, match="no such checkpoint"):
        call(*words, tmp_path / "nothing")
    assert not (tmp_path / "tuned").exists()
