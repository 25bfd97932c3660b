"""Cross-validation: every question is scored once a seed, beside floors that the same questions taught."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image

from medglip.eval.records import read_records
from medglip.grounding.bad_input import BadInput
from medglip.scripts.experiments import ablate
from medglip.scripts.experiments.ablate import Grid
from medglip.scripts.experiments.folds import cross_validate


def write_set(folder: Path) -> None:
    (folder / "images").mkdir(parents=True)
    rows = []
    for n in range(8):
        pixels = np.random.default_rng(n).integers(0, 255, (40, 40), np.uint8)
        Image.fromarray(pixels).save(folder / "images" / f"synpic{n}.jpg")
        # images with all questions and answers alike would be one group
        asked = ("Is there a nodule?", "yes"), (f"Which organ is on picture {n}?", "lung")
        for k, (question, answer) in enumerate(asked):
            rows.append(
                {
                    **{"qid": f"{n}-{k}", "image_name": f"synpic{n}.jpg", "image_organ": "CHEST", "answer": answer},
                    **{"question": question, "answer_type": ("CLOSED", "OPEN")[k], "question_type": "PRES"},
                    "phrase_type": "freeform",
                }
            )
    (folder / "trainset.json").write_text(json.dumps(rows))


@pytest.mark.slow
def test_every_question_is_scored_once_and_paired_with_floors(
    write_recipe: Callable[[Path], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_set(tmp_path / "vqa_rad")
    recipe, out = write_recipe(tmp_path), tmp_path / "run" / "folds"
    values = yaml.safe_load(recipe.read_text())
    values["vqa"] = {
        "data": [{"set": "vqa_rad", "path": str(tmp_path / "vqa_rad"), "val_fraction": 0.0}],
        "candidates": True,
        "generate": {"max_new_tokens": 1, "num_beams": 2},
    }
    values["sources"] = ["none", "predicted"]
    del values["report"]
    recipe.write_text(yaml.safe_dump(values))
    grid = Grid.parse("predicted", ["text"], "0")
    text = cross_validate(recipe, grid, 2, out)
    found = json.loads((out / "folds.json").read_text())
    assert {name: scores["overall_accuracy"]["n"] for name, scores in found["scores"].items()}.keys() >= {
        *("none", "predicted text", "bag_of_words", "nearest_question", "rules")
    }
    assert found["scores"]["none"]["overall_accuracy"]["n"] == 16
    assert found["scores"]["bag_of_words"]["overall_accuracy"]["value"] == 1  # two questions, two answers
    assert set(found["differences"]) == {"none", "bag_of_words", "nearest_question"}
    answers = [row for file in out.glob("fold-*/cells/*/records/*.jsonl") for row in read_records([file], "vqa")]
    assert len(answers) == 32
    assert {record["prediction"] for record in answers} <= {"yes", "lung"}
    monkeypatch.setattr(ablate, "tune_and_predict", _refuse)
    assert cross_validate(recipe, grid, 2, out) == text


def test_a_recipe_of_several_sets_has_no_folds(write_recipe: Callable[[Path], Path], tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="not of one public set"):
        cross_validate(write_recipe(tmp_path), Grid.parse("predicted", ["text"], "0"))


def _refuse(*_: object) -> None:
    raise AssertionError("another cell")
