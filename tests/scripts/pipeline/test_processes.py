"""The same command on several processes: they train one pair of adapters, share predictions, and one scores."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from medglip.grounding.files import read_lines
from medglip.scripts.pipeline.run import run

SAME = ("id", "prediction", "parsed", "prompt_sha256", "regions", "evidence", "answer", "image_id", "meta")


def rows(out: Path) -> dict[str, list[dict[str, object]]]:
    """Of questions and reports, by file; presence scores of the core differ in a last digit by the threads it has."""
    return {
        file.name: sorted(
            ({key: row.get(key) for key in SAME} for row in read_lines(file)), key=lambda row: str(row["id"])
        )
        for file in sorted((out / "records").glob("[vr]*.jsonl"))
    }


@pytest.mark.thorough
def test_two_processes_run_a_recipe_to_the_end_and_one_says_the_same_of_their_adapters(
    write_recipe: Callable[[Path], Path], tmp_path: Path
) -> None:
    recipe, out = write_recipe(tmp_path), tmp_path / "run"
    values = yaml.safe_load(recipe.read_text()) | {"sources": ["none", "predicted"], "probes": ["blank"]}
    recipe.write_text(yaml.safe_dump(values))
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]
    env = os.environ | {"OMP_NUM_THREADS": "1", "ACCELERATE_USE_CPU": "true"}
    subprocess.run([*launch, "-m", "medglip.scripts.cli", "run", str(recipe)], env=env, check=True, timeout=480)
    ranks = sorted(file.name for file in (out / "records" / "report-predicted.ranks").glob("*.jsonl"))
    assert ranks == ["0-of-2.jsonl", "1-of-2.jsonl"]
    shared, results = rows(out), json.loads((out / "results.json").read_text())
    assert len(shared["vqa-none.jsonl"]) == 30
    assert len(shared["report-predicted.jsonl"]) == 4
    stamps = [(out / f"adapter-{kind}" / "complete").stat().st_mtime_ns for kind in ("plain", "grounded")]
    for folder in ("records", "probes", "scores"):
        shutil.rmtree(out / folder)
    alone = run(recipe)
    assert stamps == [(out / f"adapter-{kind}" / "complete").stat().st_mtime_ns for kind in ("plain", "grounded")]
    assert rows(out) == shared
    assert alone["vqa"] == results["vqa"]
    assert alone["report"] == results["report"]
