"""`medglip vqa align` with an aligned start: stage 3 on true regions of training pictures, and a probe of it."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from PIL import Image

from medglip.grounding.evidence.evidence import Evidence
from medglip.grounding.evidence.forms.tokens import TokenShape
from medglip.grounding.grounders.medglip import MedGlipGrounder
from medglip.grounding.training.provenance import learned_among
from medglip.grounding.training.settings import TrainSettings
from medglip.scripts.experiments.align import align_recipe
from medglip.vqa.model.identity import FILE, knows_regions
from medglip.vqa.model.settings import LoraSettings, MllmSettings
from medglip.vqa.prompt.prompt import Example
from medglip.vqa.training.align import Lessons, align_adapter
from medglip.vqa.training.settings import AlignSettings, MllmTrainSettings

TRAIN = {"steps": 1, "batch_size": 2, "warmup_steps": 1, "checkpoint_every": 1}


@pytest.fixture
def start(tiny_base: Path, tiny_core: Path, tmp_path: Path) -> Path:
    """The folder of an alignment of two stages on a grey picture."""
    Image.fromarray(np.full((64, 64), 90, np.uint8)).save(tmp_path / "grey.png")
    one = MllmTrainSettings(train=TrainSettings.model_validate(TRAIN))
    example = Example(
        example_id="e",
        image_path=tmp_path / "grey.png",
        instruction="What is it?",
        target="grey",
        evidence=Evidence.none(),
    )
    settings = MllmSettings(base=str(tiny_base), dtype="fp32", lora=LoraSettings(r=2))
    shape = TokenShape.of(MedGlipGrounder.from_pretrained(tiny_core))
    stages = AlignSettings(projector=one, together=one)
    return align_adapter(
        settings, shape, Lessons(pictures=[example]), stages, vision=tiny_core, out_dir=tmp_path / "start"
    )


def recipe(folder: Path, base: Path, core: Path, **more: Any) -> Path:
    """The file of a tiny recipe; `more`: keys besides, those of `phantoms` and `mllm` added to the tiny ones."""
    values = {
        "name": "tiny",
        "out_dir": str(folder / "run"),
        "eval_split": "val",
        "core": str(core),
        "grounding": {"data": [{"layout": "phantom", "path": "phantoms"}]},
        "generate": {"max_new_tokens": 2},
        "eval": {"resamples": 20},
        **more,
        "phantoms": {"num_train": 4, "num_val": 3, "num_test": 0, "size_px": 96, **more.get("phantoms", {})},
        "mllm": {"base": str(base), "dtype": "fp32", "lora": {"r": 2}, **more.get("mllm", {})},
    }
    (folder / "align.yaml").write_text(yaml.safe_dump(values))
    return folder / "align.yaml"


def held_out_records(file: Path) -> list[dict[str, Any]]:
    """Those of a probe, which asks held-out pictures alone."""
    records = [json.loads(line) for line in file.read_text().splitlines()]
    assert {record["split"] for record in records} == {"val"}
    return records


def test_training_pictures_alone_teach_and_held_out_ones_are_asked(
    start: Path, tiny_base: Path, tiny_core: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    more = {"mllm": {"aligned": str(start)}, "align": {"regions": {"train": TRAIN}, "spell_steps": 1}, "max_probed": 6}
    caplog.set_level("INFO", "medglip")
    folder = align_recipe(recipe(tmp_path, tiny_base, tiny_core, **more), tmp_path / "taught")
    assert knows_regions(folder)
    assert "region tokens: overall accuracy" in caplog.text
    images = sorted((tmp_path / "run" / "phantoms" / "images").glob("*.png"))
    learned = learned_among(folder, [*images, tmp_path / "grey.png"])
    assert learned == {*(path for path in images if path.name.startswith("train")), tmp_path / "grey.png"}
    probe = tmp_path / "run" / "probe" / "taught"
    assert set(json.loads((probe / "probe-regions.json").read_text())["drops"]) == {"shuffled"}
    records = held_out_records(probe / "regions.jsonl")
    assert all(record["evidence"] == "oracle" and tuple(record["forms"]) == ("tokens",) for record in records)


def test_crops_and_details_are_learned_from_and_asked(
    tiny_base: Path, tiny_core: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    stages = {stage: {"train": TRAIN} for stage in ("projector", "together", "regions")}
    more = {
        "phantoms": {"size_px": 1024, "detail": True},
        "align": {**stages, "spell_steps": 1, "spell_picture_steps": 2},
        "max_crop_questions": 4,
        "max_probed": 4,
    }
    caplog.set_level("INFO", "medglip")
    folder = align_recipe(recipe(tmp_path, tiny_base, tiny_core, **more), tmp_path / "taught")
    assert "words_sha256" in json.loads((folder / FILE).read_text())
    assert "crops: overall accuracy" in caplog.text
    records = held_out_records(tmp_path / "run/probe/taught/crops.jsonl")
    assert all(tuple(record["forms"]) == ("crops",) and len(record["regions"]) == 1 for record in records)
