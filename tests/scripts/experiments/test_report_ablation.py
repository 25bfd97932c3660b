"""The grid of reports: `recipes/report/phantom.yaml`, with tiny models, ends in a table of words, labels and places."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from medglip.eval.records import read_records
from medglip.scripts.experiments.ablate import Grid, run_grid

RECIPE = Path(__file__).parents[3] / "recipes" / "report" / "phantom.yaml"
METRICS = ("cider", "radfact_spatial_recall", "label_macro_f1", "label_micro_f1")  # METEOR starts Java: slow


@pytest.mark.thorough
def test_a_grid_of_reports_scores_words_labels_and_places(write_recipe: Callable[[Path], Path], tmp_path: Path) -> None:
    path = write_recipe(tmp_path)
    tiny, shipped = yaml.safe_load(path.read_text()), yaml.safe_load(RECIPE.read_text())
    changed = {key: tiny[key] for key in ("out_dir", "grounding", "mllm", "mllm_train")}
    changed["phantoms"] = tiny["phantoms"] | {"num_val": 14}
    changed["evidence"] = shipped["evidence"] | {"min_score": 0.0}
    changed["report"] = shipped["report"] | {"generate": {"max_new_tokens": 4}}
    changed["eval"] = {"resamples": 20, "metrics": list(METRICS)}
    path.write_text(yaml.safe_dump(shipped | changed))
    text = run_grid(path, Grid.parse("predicted,oracle,shuffled", ["text+tokens"], "0"), "report")
    found = json.loads((tmp_path / "run" / "ablation" / "ablation.json").read_text())
    named = ("predicted", "predicted → oracle", "shuffled")
    assert set(found["scores"]) == {"none", *(f"{name} text+tokens" for name in named)}
    for name, metrics in found["scores"].items():
        assert set(metrics) == set(METRICS), name
        assert metrics["label_micro_f1"]["n"] == 14
    assert all(word in text.splitlines()[0] for word in METRICS)
    records = read_records([tmp_path / "run" / "ablation" / "plain-seed0" / "records" / "report-none.jsonl"], "report")
    assert {len(record.get("meta", {})["labels"]["reference"]) for record in records} == {14}  # pyright: ignore
