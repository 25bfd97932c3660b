"""What would fail hours later is refused before the first stage, in one line with its fix."""

import json
import shutil
from collections import namedtuple
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from making import make_image

from medglip.eval.settings import EvalSettings
from medglip.grounding.bad_input import BadInput
from medglip.grounding.grounders.pretrained import checkpoint_folder, vocabulary_of
from medglip.grounding.settings import read_settings
from medglip.scripts.pipeline import preflight
from medglip.scripts.pipeline.preflight import check_base, check_disk, check_models, tell_unscored
from medglip.scripts.recipe import Recipe
from medglip.scripts.scorers.clinical import missing_scores
from medglip.scripts.start.recipes import RECIPES
from medglip.vqa.model.settings import MllmSettings

Usage = namedtuple("Usage", "total used free")


def test_a_base_is_whole_and_reads_pictures(tiny_base: Path, tiny_text: Path, tmp_path: Path) -> None:
    check_base(MllmSettings(base=str(tiny_base)))
    check_base(MllmSettings())
    with pytest.raises(BadInput, match="no such model folder"):
        check_base(MllmSettings(base=str(tmp_path / "gone")))
    with pytest.raises(BadInput, match="no image-text architecture"):
        check_base(MllmSettings(base=str(tiny_text)))
    half = shutil.copytree(tiny_base, tmp_path / "half")
    (half / "model.safetensors").unlink()
    with pytest.raises(BadInput, match=r"holds no \*\.safetensors"):
        check_base(MllmSettings(base=str(half)))


def test_only_the_small_default_shares_the_tokens_of_an_image(
    write_recipe: Callable[[Path], Path], tiny_base: Path, tmp_path: Path
) -> None:
    recipe = read_settings(Recipe, write_recipe(tmp_path))
    by_image = recipe.model_copy(update={"mllm_train": recipe.mllm_train.model_copy(update={"by_image": True})})
    check_models(by_image)
    other = shutil.copytree(tiny_base, tmp_path / "other")
    config = json.loads((other / "config.json").read_text())
    (other / "config.json").write_text(json.dumps(config | {"vision_config": {"model_type": "clip_vision_model"}}))
    with pytest.raises(BadInput, match=r"leave mllm_train\.by_image out"):
        check_models(by_image.model_copy(update={"mllm": MllmSettings(base=str(other))}))


def test_the_hub_is_asked_for_what_is_not_cached(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.try_to_load_from_cache", lambda *_: None)
    monkeypatch.setattr("huggingface_hub.get_token", lambda: None)
    with pytest.raises(BadInput, match=r"licence gate, and there is no token.*HF_TOKEN"):
        check_base(MllmSettings(base="google/medgemma-1.5-4b-it"))

    def offline(*_: object) -> None:
        raise OSError("no network")

    monkeypatch.setattr("huggingface_hub.HfApi.auth_check", offline)
    with pytest.raises(BadInput, match=r"not in the hub's local cache.*no network.*mllm.base: FOLDER"):
        check_base(MllmSettings(base="Qwen/Qwen3-VL-4B-Instruct"))


def test_a_full_disk_is_told_before_anything_trains(
    write_recipe: Callable[[Path], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = read_settings(Recipe, write_recipe(tmp_path))
    items = [SimpleNamespace(images=(make_image(f"{k}"),)) for k in range(3)]
    pipeline = cast(Any, SimpleNamespace(recipe=recipe, all_items=items))
    monkeypatch.setattr(preflight.shutil, "disk_usage", lambda _: Usage(0, 0, 2**40))
    check_disk(pipeline)
    monkeypatch.setattr(preflight.shutil, "disk_usage", lambda _: Usage(0, 0, 2**20))
    with pytest.raises(BadInput, match=r"0.0 GiB are free, about 1.0 GiB are needed \(3 images"):
        check_disk(pipeline)


def test_a_core_that_was_not_trained_names_the_recipe_that_makes_it(
    write_recipe: Callable[[Path], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    recipe = read_settings(Recipe, write_recipe(tmp_path))
    section = recipe.grounding.model_copy(update={"core": "runs/chest_core/grounding/model"})
    with pytest.raises(BadInput, match=r"medglip grounding train recipes/chest_core\.yaml"):
        check_models(recipe.model_copy(update={"grounding": section}))
    # a run of before has its words in its own folder
    core = tmp_path / "runs" / "x" / "grounding" / "model"
    core.mkdir(parents=True)
    (core / "config.json").write_text("{}")
    (tmp_path / "runs" / "x" / "vocabulary.json").write_text('{"xray": ["edema"]}')
    assert vocabulary_of(str(core)) == {"xray": ["edema"]}
    (core / "vocabulary.json").write_text('{"xray": ["heart"]}')
    assert vocabulary_of(str(core)) == {"xray": ["heart"]}
    assert checkpoint_folder(core) == core


def test_missing_scores_are_told_after_the_data_were_read_unless_they_are_required(
    caplog: pytest.LogCaptureFixture,
) -> None:
    recipe = read_settings(Recipe, RECIPES / "start" / "report.yaml")
    check_models(recipe)
    assert not caplog.records
    tell_unscored(recipe)
    assert "no CheXbert F1" in caplog.text
    required = recipe.eval.model_copy(update={"require_scores": True})
    with pytest.raises(BadInput, match=r"eval\.require_scores"):
        check_models(recipe.model_copy(update={"eval": required}))


def test_every_missing_score_is_a_line_and_may_be_required(tmp_path: Path) -> None:
    lines = missing_scores(EvalSettings())
    assert [line.split(":")[0] for line in lines] == [
        "no CheXbert F1 (14 and 5 labels)",
        "no RadGraph F1",
        "no RadCliQ",
        "no GREEN, RadFact and CRIMSON",
    ]
    assert all("\n" not in line for line in lines)
    assert "StanfordAIMI/RRG_scorers" in lines[0]
    (tmp_path / "chexbert").mkdir()
    (first, *_) = missing_scores(EvalSettings(chexbert=tmp_path / "chexbert", radgraph=tmp_path / "gone"))
    assert "lacks chexbert.pth, config.json, vocab.txt" in first
    with pytest.raises(BadInput, match=r"eval\.require_scores"):
        missing_scores(EvalSettings(require_scores=True))
