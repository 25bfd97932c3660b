"""The whole line on tiny models: it ends with a page and results, and a kill at any stage loses and doubles nothing."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

from medglip.grounding.bad_input import BadInput
from medglip.grounding.records import read_lines
from medglip.scripts.run import run

pytestmark = pytest.mark.slow
SOURCES = ("none", "predicted", "oracle", "shuffled", "random")


def write_recipe(folder: Path, base: Path, steps: int = 3) -> Path:
    """A recipe of the smallest line that has every stage."""
    train = {"steps": steps, "batch_size": 2, "warmup_steps": 1, "checkpoint_every": 1}
    sizes = {"image_size": 64, "width": 16, "stage_widths": [8, 8, 8, 8], "hidden_size": 8, "depths": [1, 1, 1, 2]}
    recipe = {
        "name": "tiny",
        "out_dir": str(folder / "run"),
        "phantoms": {"num_train": 7, "num_val": 7, "num_test": 14, "size_px": 96},
        "grounding": {
            "data": [{"layout": "phantom", "path": "phantoms"}],
            "settings": {"model": sizes, "train": train},
        },
        "evidence": {"forms": ["text", "tokens", "crops"], "max_regions": 2, "min_score": 0.0},
        "sources": list(SOURCES),
        "mllm": {"base": str(base), "dtype": "fp32", "lora": {"r": 2}},
        "mllm_train": {"train": train},
        "vqa": {"data": "phantom", "max_test": 30, "generate": {"max_new_tokens": 2}},
        "report": {"data": "phantom", "max_test": 4, "generate": {"max_new_tokens": 4}},
        "eval": {"resamples": 20},
    }
    path = folder / "recipe.yaml"
    path.write_text(yaml.safe_dump(recipe))
    return path


def comparable(out: Path) -> dict[str, list[tuple[str, str, str]]]:
    """What every record says, by file; times aside."""
    return {
        path.name: [(row["id"], str(row["prediction"]), row["prompt_sha256"]) for row in read_lines(path)]
        for path in sorted((out / "records").glob("*.jsonl"))
    }


def test_the_line_ends_with_page_and_results_and_a_rerun_changes_nothing(tiny_base: Path, tmp_path: Path) -> None:
    recipe = write_recipe(tmp_path, tiny_base)
    results = run(recipe)
    out = tmp_path / "run"
    assert set(results["grounding"]) >= {"ap50", "miou", "dice"}
    for source in SOURCES:
        assert {"open", "closed", "n"} <= set(results["vqa"][source])
        assert {"bleu_4", "rouge_l", "cider", "n"} <= set(results["report"][source])
        assert {"value", "low", "high"} <= set(results["vqa"][source]["closed"])
    assert json.loads((out / "results.json").read_text())["seconds"] > 0
    page = (out / "index.html").read_text()
    assert page.count('<section class="case">') >= 12
    assert "not for diagnosis" in page
    assert "synthetic" in page
    before = comparable(out)
    again = run(recipe)
    assert comparable(out) == before
    assert {**again, "seconds": 0, "stages": 0} == {**results, "seconds": 0, "stages": 0}
    prompts = {name: {row[0]: row[2] for row in rows} for name, rows in before.items()}
    assert prompts["vqa-none.jsonl"] != prompts["vqa-predicted.jsonl"]
    assert set(prompts["vqa-none.jsonl"]) == set(prompts["vqa-shuffled.jsonl"])


def test_other_settings_in_the_same_folder_are_refused(tiny_base: Path, tmp_path: Path) -> None:
    recipe = write_recipe(tmp_path, tiny_base)
    from medglip.grounding.settings import read_settings
    from medglip.scripts.line import claim
    from medglip.scripts.recipe import Recipe

    claim(read_settings(Recipe, recipe))
    recipe.write_text(recipe.read_text().replace("name: tiny", "name: tiny\nseed: 7"))
    with pytest.raises(BadInput, match="differs in seed"):
        claim(read_settings(Recipe, recipe))


def test_killed_in_training_and_in_prediction_it_ends_as_if_it_had_not_been(tiny_base: Path, tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    straight = write_recipe(tmp_path / "a", tiny_base)
    run(straight)
    killed = write_recipe(tmp_path / "b", tiny_base)
    out = tmp_path / "b" / "run"
    for sign in (out / "grounding" / "latest", out / "train-plain" / "latest", out / "records" / "vqa-none.jsonl"):
        kill_when(sign, killed)
    run(killed)
    assert comparable(out) == comparable(tmp_path / "a" / "run")


def kill_when(sign: Path, recipe: Path) -> None:
    """Start the command, SIGKILL it as soon as the file is there."""
    command = [sys.executable, "-m", "medglip.scripts.cli", "run", str(recipe)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=os.environ)
    deadline = time.monotonic() + 240
    while not sign.exists():
        assert process.poll() is None, f"ended before {sign.name} was there"
        assert time.monotonic() < deadline
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
