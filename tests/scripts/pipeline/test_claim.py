"""A run's folder is claimed by its settings: what changed nothing that was trained may change, the rest is named."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from medglip.grounding.bad_input import BadInput
from medglip.grounding.run_folder import RunFolder, mark_complete
from medglip.grounding.settings import validate
from medglip.scripts.pipeline.pipeline import claim
from medglip.scripts.recipe import Recipe, read_run_recipe

TRAINED: dict[str, Any] = {"data": [{"layout": "phantom"}], "train": {"steps": 12}}


def recipe(out: Path, **changes: Any) -> Recipe:
    values = {"name": "t", "out_dir": out, "phantoms": {}, "grounding": TRAINED, "vqa": {"data": [{"set": "phantom"}]}}
    return validate(Recipe, values | changes)


@pytest.mark.parametrize(
    "changes",
    [
        {"name": "another"},
        {"title": "Another sentence."},
        {"eval": {"resamples": 77}},
        {"probes": ["blank"]},
        {"sources": ["none", "predicted", "shuffled"]},
        {"grounding": TRAINED | {"memory_gb": 3.0}},
        {"grounding": TRAINED | {"train": {"steps": 13}}},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_what_changed_nothing_that_was_trained_may_change(tmp_path: Path, changes: Mapping[str, Any]) -> None:
    claim(recipe(tmp_path))
    anew = recipe(tmp_path, **changes)
    claim(anew)
    assert read_run_recipe(RunFolder(tmp_path).recipe_file) == anew != recipe(tmp_path)


@pytest.mark.parametrize(
    ("changes", "key"),
    [
        ({"seed": 7}, "seed"),
        ({"eval_split": "val"}, "eval_split"),
        ({"phantoms": {"num_train": 30}}, "phantoms.num_train"),
        ({"grounding": TRAINED | {"train": {"steps": 11}}}, "grounding.train.steps"),
        ({"grounding": TRAINED | {"train": {"steps": 12, "learning_rate": 0.5}}}, "grounding.train.learning_rate"),
        ({"evidence": {"max_regions": 1}}, "evidence.max_regions"),
        ({"mllm": {"seed": 3}}, "mllm.seed"),
        ({"mllm_train": {"steps": 3}}, "mllm_train.steps"),
        ({"vqa": {"data": [{"set": "phantom"}], "max_test": 3}}, "vqa.max_test"),
        ({"vqa": None, "report": {"data": [{"set": "phantom"}]}}, "vqa"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_was_trained_otherwise_is_refused_by_its_key(tmp_path: Path, changes: Mapping[str, Any], key: str) -> None:
    claim(recipe(tmp_path))
    before = RunFolder(tmp_path).recipe_file.read_bytes()
    with pytest.raises(BadInput, match=rf"differs in .*{key}"):
        claim(recipe(tmp_path, **changes))
    assert RunFolder(tmp_path).recipe_file.read_bytes() == before


def test_more_steps_of_a_core_are_refused_once_an_adapter_knows_its_regions(tmp_path: Path) -> None:
    claim(recipe(tmp_path))
    adapter = RunFolder(tmp_path).adapter_dir("plain")
    adapter.mkdir()
    mark_complete(adapter)
    with pytest.raises(BadInput, match=r"grounding\.train\.steps"):
        claim(recipe(tmp_path, grounding=TRAINED | {"train": {"steps": 13}}))


def test_beside_a_core_taken_as_it_is_more_may_be_scored(tmp_path: Path) -> None:
    core = {"core": "small"}
    claim(recipe(tmp_path, grounding=core))
    claim(recipe(tmp_path, grounding=core, vqa={"data": [{"set": "phantom"}], "max_test": 3}))
    with pytest.raises(BadInput, match=r"grounding\.core"):
        claim(recipe(tmp_path, grounding={"core": "small-research"}))
