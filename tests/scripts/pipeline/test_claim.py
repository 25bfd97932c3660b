"""A run's folder is claimed by its settings: what changed nothing that was trained may change, the rest is named."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from making import write_image

from medglip.grounding.bad_input import BadInput
from medglip.grounding.files import write_atomic
from medglip.grounding.run_folder import RunFolder, is_complete, mark_complete
from medglip.grounding.settings import validate
from medglip.scripts.pipeline.pipeline import Pipeline, claim, released_on_failure
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
        {"sources": ["none", "predicted", "random"]},
        {"grounding": TRAINED | {"memory_gb": 3.0}},
        {"grounding": TRAINED | {"train": {"steps": 13}}},
        {"mllm_train": {"steps": 81}},
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


MORE_OF_THE_CORE: dict[str, Any] = {"grounding": TRAINED | {"train": {"steps": 13}}}
MORE_OF_THE_ADAPTERS = {"mllm_train": {"steps": 81}}


def finish(out: Path, *, keeps_checkpoints: bool = True) -> RunFolder:
    """What a finished run leaves, as empty files."""
    claim(recipe(out))
    run = RunFolder(out)
    mark_complete(run.adapter_dir("plain"))
    for file in (run.core_dir / "config.json", run.record_file("grounding"), run.record_file("vqa", "none")):
        write_atomic(file, "")
    for training in (run.grounding_dir, run.training_dir("plain")) if keeps_checkpoints else ():
        write_atomic(training / "latest", "checkpoint-12")
    return run


@pytest.mark.parametrize("changes", [MORE_OF_THE_CORE, MORE_OF_THE_ADAPTERS, MORE_OF_THE_CORE | MORE_OF_THE_ADAPTERS])
def test_more_steps_open_a_finished_run_again(tmp_path: Path, changes: Mapping[str, Any]) -> None:
    run = finish(tmp_path)
    claim(recipe(tmp_path, **changes))
    assert not is_complete(run.adapter_dir("plain"))
    assert not run.records_dir.exists()
    assert run.core_dir.exists()
    assert (run.grounding_dir / "latest").exists()
    # adapters go on, too, but begin anew where the regions they learned come from another core
    assert (run.training_dir("plain") / "latest").exists() == ("grounding" not in changes)
    with pytest.raises(BadInput, match=r"differs in .*train\.steps"):
        claim(recipe(tmp_path))


@pytest.mark.parametrize("changes", [MORE_OF_THE_CORE, MORE_OF_THE_ADAPTERS])
def test_without_a_checkpoint_nothing_goes_on_and_nothing_is_lost(tmp_path: Path, changes: Mapping[str, Any]) -> None:
    run = finish(tmp_path, keeps_checkpoints=False)
    with pytest.raises(BadInput, match=r"train\.steps is raised.*no checkpoint.*remove this folder to train it anew"):
        claim(recipe(tmp_path, **changes))
    assert is_complete(run.adapter_dir("plain"))
    assert run.records_dir.exists()
    claim(recipe(tmp_path))


def test_beside_a_core_taken_as_it_is_more_may_be_scored(tmp_path: Path) -> None:
    core = {"core": "small"}
    claim(recipe(tmp_path, grounding=core))
    claim(recipe(tmp_path, grounding=core, vqa={"data": [{"set": "phantom"}], "max_test": 3}))
    with pytest.raises(BadInput, match=r"grounding\.core"):
        claim(recipe(tmp_path, grounding={"core": "small-research"}))


def test_a_recipe_is_mended_until_an_adapter_is_begun(tmp_path: Path) -> None:
    assert claim(recipe(tmp_path)) is False
    run, mended = RunFolder(tmp_path), recipe(tmp_path, vqa={"data": [{"set": "phantom"}], "max_test": 3})
    run.core_dir.mkdir(parents=True)
    assert claim(mended) is True
    with pytest.raises(BadInput, match="differs in seed"):
        claim(recipe(tmp_path, seed=7))
    run.training_dir("plain").mkdir()
    with pytest.raises(BadInput, match=r"differs in vqa\.max_test"):
        claim(recipe(tmp_path))
    assert claim(mended) is False


def test_a_call_that_failed_before_anything_was_trained_leaves_no_claim(tmp_path: Path) -> None:
    run = RunFolder(tmp_path)
    claim(recipe(tmp_path))
    with pytest.raises(BadInput), released_on_failure(run):
        raise BadInput("no such column.")
    claim(recipe(tmp_path, seed=7))
    run.core_dir.mkdir(parents=True)
    with pytest.raises(BadInput), released_on_failure(run):
        raise BadInput("no such column.")
    assert run.is_run


def test_nothing_to_learn_or_to_score_is_said_before_anything_is_trained(tmp_path: Path) -> None:
    write_image(tmp_path / "a.png")
    row = {"image": "a.png", "question": "Is it dark?", "answer": "yes", "split": "test"}
    (tmp_path / "questions.jsonl").write_text(json.dumps(row) + "\n")
    own: dict[str, Any] = {"vqa": {"data": [{"set": "jsonl", "path": str(tmp_path)}]}}
    own["phantoms"] = {"num_train": 1, "num_val": 0, "num_test": 0, "size_px": 96}
    with pytest.raises(BadInput, match="neither questions nor reports"):
        Pipeline(recipe(tmp_path / "none", vqa=None, sources=["none"])).refuse_empty()
    Pipeline(recipe(tmp_path / "core", vqa=None, sources=[])).refuse_empty()  # the core alone is asked for
    with pytest.raises(BadInput, match="no questions to learn from in split 'train'"):
        Pipeline(recipe(tmp_path / "untaught", **own)).refuse_empty()
    with pytest.raises(BadInput, match="no questions to score in split 'val'"):
        Pipeline(recipe(tmp_path / "unscored", eval_split="val", **own)).refuse_empty()


def test_the_folder_may_be_spelled_otherwise_and_nobody_minds_who_looks_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    claim(recipe(tmp_path))
    monkeypatch.chdir(tmp_path.parent)
    claim(recipe(Path(tmp_path.name), mllm_train={"tracker": "wandb"}))


def test_a_run_names_its_models_so_that_it_can_be_used_from_any_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "cores" / "mine").mkdir(parents=True)
    (tmp_path / "small").mkdir()  # a name of the package stays one
    monkeypatch.chdir(tmp_path)
    near = recipe(Path("run"), grounding={"core": "cores/mine"}, mllm={"aligned": "small"})
    claim(near)
    kept = read_run_recipe(tmp_path / "run" / "recipe.json")
    assert (kept.grounding.core, kept.mllm.aligned) == (str(tmp_path / "cores" / "mine"), "small")
    claim(near)
    monkeypatch.chdir(tmp_path / "cores")
    claim(recipe(tmp_path / "run", grounding={"core": "../cores/mine"}, mllm={"aligned": "small"}))
