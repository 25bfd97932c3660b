"""Recipes of question benchmarks run as they stand, but for sizes and base, on made-up copies of the three sets."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from PIL import Image

from medglip.grounding.files import read_lines
from medglip.grounding.training.provenance import write_learned
from medglip.scripts.pipeline.run import run

RECIPES = Path(__file__).parents[3] / "recipes" / "vqa"


def picture(path: Path, seed: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.random.default_rng(seed).integers(0, 256, (64, 64, 3), dtype=np.uint8)).save(path)


def write_vqa_rad(folder: Path) -> None:
    rows = []
    for k in range(8):
        picture(folder / "VQA_RAD Image Folder" / f"synpic{k}.jpg", k)
        kind = "test_freeform" if k >= 6 else "freeform"
        rows.append(
            {"qid": str(k), "phrase_type": kind, "image_name": f"synpic{k}.jpg", "image_organ": "CHEST"}
            | {"question": "Is there a nodule?", "question_type": "PRES", "answer": "Yes", "answer_type": "CLOSED"}
        )
    (folder / "VQA_RAD Dataset Public.json").write_text(json.dumps(rows))


def write_slake(folder: Path) -> None:
    for split, numbers in {"train": (0, 1), "validate": (2,), "test": (3,)}.items():
        rows: list[dict[str, Any]] = []
        for k in numbers:
            picture(folder / "imgs" / f"xmlab{k}" / "source.jpg", 100 + k)
            rows.append(
                {"img_id": k, "img_name": f"xmlab{k}/source.jpg", "question": "Where is the mass?", "answer": "left"}
                | {"q_lang": "en", "location": "Lung", "modality": "X-Ray", "answer_type": "OPEN", "base_type": "vqa"}
                | {"content_type": "Position", "triple": ["vhead", "_", "_"], "qid": k}
            )
        (folder / f"{split}.json").write_text(json.dumps(rows))


def write_pathvqa(folder: Path) -> None:
    for split in ("train", "val", "test"):
        entries = []
        for k in range(2):
            picture(folder / "images" / split / f"{split}_{k}.jpg", 200 + len(split) + k)
            words = {"sentf": {"pvqa": ["is there a mass?"]}, "labelf": {"pvqa": [{"no": 1}]}}
            entries.append({"img_id": f"{split}_{k}", **words})
        (folder / f"pvqa_{split}.json").write_text(json.dumps(entries))


@pytest.mark.slow
@pytest.mark.thorough
def test_the_recipe_runs_to_its_end(
    tiny_base: Path, tiny_core: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MEDGLIP_DATA", str(tmp_path))
    monkeypatch.setenv("MEDGLIP_CACHE", str(tmp_path / "cache"))
    for write in (write_vqa_rad, write_slake, write_pathvqa):
        write(tmp_path / write.__name__.removeprefix("write_"))
    core = tmp_path / "core"
    core.mkdir()
    for file in tiny_core.iterdir():
        (core / file.name).write_bytes(file.read_bytes())
    write_learned(core, [])
    recipe = yaml.safe_load((RECIPES / "medgemma.yaml").read_text())
    # sizes and who is asked; all else is the recipe's
    recipe |= {"out_dir": str(tmp_path / "run"), "grounding": {"core": str(core)}}
    recipe["mllm"] |= {"base": str(tiny_base), "dtype": "fp32"}
    recipe["mllm_train"] |= {"steps": 2, "batch_size": 2, "gradient_accumulation": 1, "num_workers": 0}
    recipe["mllm_train"] |= {"validate_every": 2, "validate_items": 2}
    recipe["vqa"]["generate"] = {"max_new_tokens": 2}
    recipe["eval"]["resamples"] = 20
    path = tmp_path / "recipe.yaml"
    path.write_text(yaml.safe_dump(recipe))
    results = run(path)
    assert {"none", "withheld", "predicted", "shuffled"} <= set(results["vqa"])
    for source in recipe["sources"]:
        rows = list(read_lines(tmp_path / "run" / "records" / f"vqa-{source}.jsonl"))
        assert {row["meta"]["set"] for row in rows} == {"vqa_rad", "slake", "pathvqa"}
        assert {row["split"] for row in rows} == {"test"}
    log = list(read_lines(tmp_path / "run" / "train-grounded" / "log.jsonl"))
    assert 0 <= log[-1]["validation_vqa_accuracy"] <= 1


def test_the_two_recipes_differ_in_their_base_alone() -> None:
    one, other = (yaml.safe_load((RECIPES / f"{name}.yaml").read_text()) for name in ("medgemma", "qwen3_vl"))
    for recipe in (one, other):
        for key in ("name", "title", "out_dir"):
            del recipe[key]
        assert recipe["mllm"].pop("base")
    assert one == other
