"""A finished run that goes on: with more steps; and sets of which one has no true regions, scored with `oracle`."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from PIL import Image

from medglip.grounding.files import read_lines
from medglip.scripts.experiments.ablate import Grid, run_grid
from medglip.scripts.pipeline.run import run

pytestmark = pytest.mark.slow


def change(recipe: Path, **values: Any) -> Path:
    recipe.write_text(yaml.safe_dump(yaml.safe_load(recipe.read_text()) | values))
    return recipe


def steps(folder: Path) -> list[float]:
    return [row["step"] for row in read_lines(folder / "log.jsonl")]


def test_more_steps_of_a_finished_run_and_grid_are_trained_predicted_and_scored(
    write_recipe: Callable[[Path], Path], tmp_path: Path
) -> None:
    recipe, out = write_recipe(tmp_path), tmp_path / "run"
    values = yaml.safe_load(recipe.read_text())
    train = values["mllm_train"]["train"]
    questions = values["vqa"] | {"max_test": 6}
    change(
        recipe, sources=["none", "predicted"], report=None, vqa=questions, mllm_train={"train": train | {"steps": 2}}
    )
    grid = Grid.parse("predicted", ["text"], "0")
    run(recipe)
    run_grid(recipe, grid, "vqa")
    adapter, cell = out / "train-plain", out / "ablation" / "plain-seed0"
    before = list(read_lines(adapter / "log.jsonl"))

    change(recipe, mllm_train={"train": train | {"steps": 4}})
    results = run(recipe)
    assert steps(adapter) == steps(out / "train-grounded") == [1, 2, 3, 4]
    assert list(read_lines(adapter / "log.jsonl"))[:2] == before
    assert steps(out / "grounding") == [1, 2, 3]
    assert results["vqa"]["none"]["n"] == results["vqa"]["predicted"]["n"] == 6
    assert steps(cell / "train-plain") == [1, 2]
    run_grid(recipe, grid, "vqa")
    assert steps(cell / "train-plain") == [1, 2, 3, 4]

    # the core: its regions are found anew, and adapters learn them from the beginning
    settings = values["grounding"]["settings"]
    more = settings | {"train": settings["train"] | {"steps": 4}}
    change(recipe, grounding=values["grounding"] | {"settings": more})
    first = list(read_lines(out / "train-grounded" / "log.jsonl"))
    regions = (out / "records" / "grounding.jsonl").read_bytes()
    run(recipe)
    assert steps(out / "grounding") == steps(out / "train-grounded") == [1, 2, 3, 4]
    assert list(read_lines(out / "train-grounded" / "log.jsonl")) != first
    assert (out / "records" / "grounding.jsonl").read_bytes() != regions


def test_of_mixed_sets_oracle_answers_and_is_compared_where_true_regions_are(
    write_recipe: Callable[[Path], Path], tmp_path: Path
) -> None:
    own, rng = tmp_path / "own", np.random.default_rng(0)
    own.mkdir()
    rows = [{"image": f"{k}.png", "question": "Is it big?", "answer": "yes", "modality": "ct"} for k in range(3)]
    for row in rows:
        Image.fromarray(rng.integers(0, 255, (40, 40, 3), np.uint8)).save(own / row["image"])
    (own / "questions.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    data = [{"set": "phantom"}, {"set": "jsonl", "path": str(own)}]
    questions = {"data": data, "max_test": 6, "generate": {"max_new_tokens": 2}}
    recipe = change(write_recipe(tmp_path), sources=["none", "oracle"], report=None, vqa=questions)
    results = run(recipe)
    assert (results["vqa"]["none"]["n"], results["vqa"]["oracle"]["n"]) == (9, 6)
    assert results["paired"]["vqa"]["oracle"]["overall_accuracy"]["difference"]["n"] == 6
    text = run_grid(recipe, Grid.parse("oracle", ["text"], "0"), "vqa")
    assert "| predicted → oracle text" in text
    assert "## jsonl" in text
    assert "Nothing to compare" in text
    facts = json.loads((tmp_path / "run" / "ablation" / "ablation.json").read_text())["sets"]
    assert set(facts["phantom"]["differences"]) == {"predicted → oracle text"}
    assert set(facts["jsonl"]) == {"scores"}
