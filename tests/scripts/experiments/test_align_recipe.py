"""`medglip vqa align`: derived questions of phantoms, both stages, a blank-image probe; twice it is the same."""

import json
from pathlib import Path

import pytest
import yaml

from medglip.eval.probes import ProbeResult
from medglip.eval.statistics.bootstrap import Difference, Estimate
from medglip.grounding.settings import read_settings
from medglip.grounding.training.provenance import learned_among
from medglip.scripts.experiments.align import AlignRecipe, align_recipe, verdict
from medglip.scripts.recipe import Recipe

FREE = ("CC0", "CC BY", "CC BY-SA", "MIT", "Apache", "drawn by this package", "per image: CC BY, CC BY-SA")


def test_the_shipped_recipe_is_valid_and_free() -> None:
    recipe = read_settings(AlignRecipe, Path(__file__).parents[3] / "recipes" / "align" / "small.yaml")
    assert all(data.licence.startswith(FREE) for data in recipe.grounding.data)
    assert not any(word in data.licence for data in recipe.grounding.data for word in ("NC", "ND"))
    assert recipe.mllm.aligned == ""


def test_it_has_the_sets_of_its_core_and_other_phantoms_than_what_is_scored() -> None:
    folder = Path(__file__).parents[3] / "recipes"
    align = read_settings(AlignRecipe, folder / "align" / "small.yaml")
    core, vqa = (read_settings(Recipe, folder / name) for name in ("stages/small_320.yaml", "vqa/small.yaml"))
    assert align.grounding.data == core.grounding.data
    assert align.align.regions is not None
    assert align.phantoms not in (core.phantoms, vqa.phantoms)


@pytest.mark.slow
def test_it_ends_in_an_adapter_and_a_probe_and_a_rerun_changes_nothing(
    tiny_base: Path, tiny_run: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    train = {"steps": 2, "batch_size": 2, "warmup_steps": 1, "checkpoint_every": 1}
    recipe = tmp_path / "align.yaml"
    values = {
        "name": "tiny",
        "out_dir": str(tmp_path / "run"),
        "eval_split": "val",
        "core": str(tiny_run / "grounding" / "model"),
        "phantoms": {"num_train": 6, "num_val": 3, "num_test": 0, "size_px": 96},
        "grounding": {"data": [{"layout": "phantom", "path": "phantoms"}]},
        "mllm": {"base": str(tiny_base), "dtype": "fp32", "lora": {"r": 2}},
        "align": {"projector": {"train": train}, "together": {"train": train}},
        "derive": {"per_kind": 1},
        "max_probed": 6,
        "generate": {"max_new_tokens": 2},
        "eval": {"resamples": 20},
    }
    recipe.write_text(yaml.safe_dump(values))
    caplog.set_level("INFO", "medglip")
    folder = align_recipe(recipe, tmp_path / "aligned")
    assert (folder / "adapter_model.safetensors").is_file()
    assert "blank-image probe: overall accuracy drops by" in caplog.text
    probe = tmp_path / "run" / "probe" / "aligned"
    found = (probe / "probe.json").read_bytes()
    drop = json.loads(found)["drops"]["blank"]["overall_accuracy"]["difference"]
    assert {"value", "low", "high"} <= set(drop)
    kinds = {json.loads(line)["kind"] for line in (tmp_path / "run" / "derived.jsonl").read_text().splitlines()}
    assert "caption" in kinds
    drawn = [tmp_path / "run" / "phantoms" / "images" / name for name in ("train-00000.png", "val-00000.png")]
    assert learned_among(folder, drawn) == {drawn[0]}
    stamp = (folder / "adapter_model.safetensors").stat().st_mtime_ns
    assert align_recipe(recipe, tmp_path / "aligned") == folder
    assert (folder / "adapter_model.safetensors").stat().st_mtime_ns == stamp
    assert (probe / "probe.json").read_bytes() == found


def test_the_verdict_hangs_on_the_lower_end_of_the_interval() -> None:
    def found(low: float | None) -> ProbeResult:
        drop = Difference(0.6, 0.4, Estimate(0.2, low, 0.3, 50, ""), None)
        return _result({"blank": {"overall_accuracy": drop}})

    assert "it looks at the picture" in verdict(found(0.1))
    assert "NOT ALIGNED" in verdict(found(-0.1))
    assert "NOT ALIGNED" in verdict(found(None))


def _result(drops: dict[str, dict[str, Difference]]) -> ProbeResult:
    return ProbeResult(
        protocol="probes", version="1", metrics={}, drops=drops, upstream={}, counts={}, settings={}, data_sha256={}
    )
