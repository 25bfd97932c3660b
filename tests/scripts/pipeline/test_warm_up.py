"""A language side that reads reports before the adapters: once, without pictures, never what is scored."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from safetensors.torch import load_file

from medglip.grounding.evidence.evidence import PLAIN
from medglip.grounding.evidence.forms.tokens import TokenShape
from medglip.grounding.settings import read_settings, validate
from medglip.report.datasets.generic import GenericSettings
from medglip.report.datasets.load import load_texts
from medglip.report.task import Report
from medglip.scripts.pipeline.pipeline import Pipeline
from medglip.scripts.pipeline.training import is_of_language, text_examples, tune, unseen, warm_up_language
from medglip.scripts.recipe import Recipe, WarmUp
from medglip.vqa.model.grounded_mllm import load
from medglip.vqa.model.settings import LoraSettings, MllmSettings
from medglip.vqa.prompt.prompt import render
from medglip.vqa.training.train import train_only

REPORTS = [f"FINDINGS: Nodule number {k}, from XXXX.\nIMPRESSION: Mass {k}." for k in range(6)]


@pytest.fixture
def table(tmp_path: Path) -> Path:
    """A hospital's own reports, without pictures."""
    file = tmp_path / "reports.jsonl"
    rows = [{"report": text, "split": "train", "patient": str(k)} for k, text in enumerate(REPORTS)]
    file.write_text("\n".join(json.dumps(row) for row in [*rows, rows[0] | {"patient": "x", "split": "test"}]))
    return file


def warm_up(table: Path, steps: int = 2) -> dict[str, Any]:
    rates = {"steps": steps, "batch_size": 2, "warmup_steps": 1, "checkpoint_every": 1}
    return {"data": {"set": "generic", "path": str(table)}, **rates}


@pytest.fixture
def line(table: Path, write_recipe: Callable[[Path], Path], tmp_path: Path) -> Pipeline:
    path = write_recipe(tmp_path)
    values = yaml.safe_load(path.read_text())
    values["mllm_train"]["warm_up"] = warm_up(table)
    values["vqa"] = None
    path.write_text(yaml.safe_dump(values))
    return Pipeline(read_settings(Recipe, path))


def scored(text: str) -> Any:
    return Report(report_id="s", image=None, text=text)  # pyright: ignore[reportArgumentType] - no image is looked at


def test_prompts_have_no_picture_and_speak_of_none(table: Path, line: Pipeline, tiny_base: Path) -> None:
    settings = validate(WarmUp, warm_up(table))
    examples = text_examples(line, settings)
    assert len(examples) == len(REPORTS)
    model = load(MllmSettings(base=str(tiny_base), dtype="fp32", lora=LoraSettings(r=2)), TokenShape(6))
    for example in examples:
        prompt = render(example, PLAIN, model.processor, TokenShape(6), model.letterbox_px, model.family)
        assert not prompt.images
        assert "image" not in prompt.text.lower()
        assert prompt.completion.startswith("Mass")


def test_texts_that_equal_a_scored_report_are_left_out_whatever_their_stops_and_marks(table: Path) -> None:
    texts, _ = load_texts("generic", settings=GenericSettings(path=table, deidentified="keep"), split="train")
    assert len(unseen(texts, [])) == len(REPORTS)
    kept = unseen(texts, [scored("nodule number 3 , from xxxx ."), scored("")])
    assert [text.findings for text in texts if text not in kept] == ["Nodule number 3, from XXXX."]


@pytest.mark.slow
def test_both_adapters_start_from_the_same_weights_which_are_made_once(line: Pipeline) -> None:
    folder = warm_up_language(line)
    assert folder is not None
    before = (folder / "adapter_model.safetensors").stat().st_mtime_ns
    assert warm_up_language(line) == folder
    weights = load_file(folder / "adapter_model.safetensors")
    assert any(value.abs().max() > 0 for name, value in weights.items() if "lora_B" in name)  # something was learned
    started = []
    for kind in ("plain", "grounded"):
        tune(line, kind)
        assert (line.folder.path / f"adapter-{kind}" / "complete").exists()
        started.append((folder / "adapter_model.safetensors").stat().st_mtime_ns)
    assert started == [before, before]


def test_a_warm_up_cut_short_ends_as_one_that_was_not(
    line: Pipeline, table: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from medglip.scripts.pipeline import training as module

    whole = warm_up_language(line)
    assert whole is not None
    first = load_file(whole / "adapter_model.safetensors")
    (whole / "complete").unlink()
    steps = line.folder.path / "warm-up" / f"train-{whole.name}"
    assert steps.is_dir()
    seen: list[int] = []
    train = module.train
    monkeypatch.setattr(module, "train", lambda *a, **k: seen.append(len(log := train(*a, **k))) or log)
    warm_up_language(line)
    assert seen == [2]
    again = load_file(whole / "adapter_model.safetensors")
    assert all(torch.equal(first[name], again[name]) for name in first)


def test_only_the_language_side_learns(tiny_base: Path) -> None:
    model = load(MllmSettings(base=str(tiny_base), dtype="fp32", lora=LoraSettings(r=2)), TokenShape(6))
    before = {name for name, p in model.named_parameters() if p.requires_grad}
    with train_only(model, is_of_language):
        inside = {name for name, p in model.named_parameters() if p.requires_grad}
    assert inside
    assert all("lora_" in name for name in inside)
    assert {name for name, p in model.named_parameters() if p.requires_grad} == before != inside


def test_a_recipe_without_warm_up_starts_from_nothing(write_recipe: Callable[[Path], Path], tmp_path: Path) -> None:
    line = Pipeline(read_settings(Recipe, write_recipe(tmp_path)))
    assert warm_up_language(line) is None
    assert line.recipe.mllm_train.mix is None
