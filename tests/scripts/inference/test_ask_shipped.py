"""From a trained adapter to the one that `medglip vqa ask` takes by itself; it does not go with another core."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from PIL import Image
from safetensors.torch import load_file, save_file
from typer.testing import CliRunner

from medglip.grounding.bad_input import BadInput
from medglip.grounding.evidence.evidence import EvidenceSettings
from medglip.grounding.evidence.forms.tokens import TokenShape
from medglip.grounding.grounders import pretrained as checkpoints
from medglip.grounding.settings import read_settings
from medglip.grounding.training.stage import draw_phantoms
from medglip.scripts.cli.main import app
from medglip.scripts.inference.systems import AdapterSystem, load_system, run_or_adapter
from medglip.scripts.recipe import Recipe
from medglip.scripts.release.adapter_facts import figures, learned_from
from medglip.scripts.release.ship_adapter import main as ship
from medglip.vqa.model.grounded_mllm import load
from medglip.vqa.model.settings import LoraSettings, MllmSettings
from medglip.vqa.publish import half_precision as packing
from medglip.vqa.publish.adapter_card import read_facts

FACTS = [{"name": "vqa_rad", "licence": "CC0 1.0", "what": "questions", "items": 12, "images": 4}]
VALUE = {"value": 0.5, "low": 0.4, "high": 0.6, "n": 20, "method": "BCa"}


@pytest.fixture
def trained(small_default: None, tiny_core: Path, tmp_path: Path) -> Path:
    """An adapter by itself, with every form of evidence but pictures."""
    mllm = load(MllmSettings(dtype="fp32", lora=LoraSettings(r=2)), TokenShape(16), vision=tiny_core)
    draws = torch.Generator().manual_seed(5)
    with torch.no_grad():
        for name, parameter in mllm.named_parameters():
            if "lora_B" in name:
                parameter.copy_(torch.randn(parameter.shape, generator=draws) * 0.1)
    mllm.save(tmp_path / "trained", EvidenceSettings(min_score=0.0))
    return tmp_path / "trained"


@pytest.fixture
def facts(tmp_path: Path) -> Path:
    path = tmp_path / "facts.yaml"
    path.write_text(yaml.safe_dump(FACTS))
    return path


@pytest.fixture
def shipped_core(tiny_core: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The tiny core is the `small` of the package."""
    shutil.copytree(tiny_core, tmp_path / "cores" / "small")
    monkeypatch.setattr(checkpoints, "_WEIGHTS", tmp_path / "cores")
    return tmp_path / "cores" / "small"


@pytest.fixture
def other_core(tiny_core: Path, tmp_path: Path) -> Path:
    other = tmp_path / "other"
    shutil.copytree(tiny_core, other)
    weights = load_file(other / "model.safetensors")
    save_file({name: value * 1.1 for name, value in weights.items()}, other / "model.safetensors", {"format": "pt"})
    return other


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    path = tmp_path / "unseen.png"
    Image.fromarray(np.random.default_rng(1).integers(0, 255, (60, 90, 3), dtype=np.uint8)).save(path)
    return path


def call(*words: str | Path) -> str:
    result = CliRunner().invoke(app, [str(word) for word in words], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


def test_shipped_by_one_command_it_answers_by_default(
    trained: Path, facts: Path, shipped_core: Path, picture: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    results = tmp_path / "results.json"
    cells = {"none": {"open": VALUE, "n": 20}, "predicted": {"open": VALUE, "n": 20}}
    paired = {"vqa": {"predicted": {"open_accuracy": {"a": 0.5, "b": 0.4, "difference": VALUE, "p_value": 0.03}}}}
    results.write_text(json.dumps({"vqa": cells, "paired": paired}))
    ship(trained, "apache-2.0", facts=[facts], results=[results], limit=["It is tiny."])
    assert "largest logit difference" in capsys.readouterr().out
    folder = tmp_path / "weights" / "adapter" / "small"
    packing.check(folder)
    card = (folder / "README.md").read_text()
    for words in ("license: apache-2.0", "not for diagnosis", "| vqa_rad |", "predicted minus none", "p=0.03"):
        assert words in card
    assert "behind the shipped core `small`" in card
    assert "- It is tiny." in card
    assert not list(folder.parent.glob(".*"))
    said = call("vqa", "ask", picture, "Is there a nodule?", "--modality", "xray")
    assert "evidence 1: " in said
    assert "answer: " in said
    assert ", of yes: " in said
    assert "not for diagnosis" in said
    assert (
        said.splitlines()[-3:]
        == call(
            *("vqa", "ask", picture, "Is there a nodule?", "--modality", "xray", "--adapter", "small")
        ).splitlines()[-3:]
    )


def test_without_a_modality_the_question_s_phrases_are_looked_for(
    trained: Path, tiny_core: Path, picture: Path
) -> None:
    words = ("--adapter", trained, "--checkpoint", tiny_core)
    said = call("vqa", "ask", picture, "Is there a nodule?", *words)
    assert "evidence 1: nodule" in said
    assert "with --modality also for what is usual there" in said
    assert "looked for nothing: give --modality" in call("vqa", "ask", picture, "Why?", *words)


def test_without_one_in_the_package_the_default_is_the_run(
    small_default: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)  # the folder that `make quickstart` was called in holds a run
    with pytest.raises(BadInput, match="no run in this folder"):
        run_or_adapter(None, None, None, "small")
    with pytest.raises(BadInput, match="'small' does not come with this version"):
        run_or_adapter(None, Path("small"), None, "small")


def test_another_core_is_refused_unless_its_own_is_in_the_package(
    trained: Path, tiny_core: Path, other_core: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(BadInput, match="vectors come from a core of its own, not from 'small'"):
        load_system(trained)
    with pytest.raises(BadInput, match="vectors come from a core of its own"):
        load_system(trained, str(other_core))
    assert load_system(trained, str(tiny_core)).core == tiny_core
    shutil.copytree(tiny_core, tmp_path / "cores" / "small")
    monkeypatch.setattr(checkpoints, "_WEIGHTS", tmp_path / "cores")
    assert load_system(trained).core == tmp_path / "cores" / "small"
    found_by_another = load_system(trained, str(other_core))
    assert found_by_another.core == tmp_path / "cores" / "small"
    assert found_by_another.reader.fingerprint != found_by_another.grounder.fingerprint


def test_an_older_adapter_takes_the_checkpoint_s_core(trained: Path, other_core: Path) -> None:
    ours = json.loads((trained / "medglip_mllm.json").read_text())
    del ours["core"]
    (trained / "medglip_mllm.json").write_text(json.dumps(ours))
    assert load_system(trained, str(other_core)).core == other_core
    older = load_system(trained)
    assert isinstance(older, AdapterSystem)
    assert older.core_name == "small"


def test_a_licence_that_is_not_free_is_not_shipped(trained: Path, facts: Path, tiny_core: Path, tmp_path: Path) -> None:
    facts.write_text(yaml.safe_dump([FACTS[0] | {"licence": "CC BY-NC 4.0"}]))
    with pytest.raises(BadInput, match="CC BY-NC"):
        ship(trained, "apache-2.0", facts=[facts], checkpoint=str(tiny_core))
    with pytest.raises(BadInput, match="what it learned from is not written here"):
        ship(trained, "apache-2.0", checkpoint=str(tiny_core))
    assert not (tmp_path / "weights").exists()


def test_facts_are_counted_in_derived_questions(tmp_path: Path) -> None:
    rows = [
        {"dataset": "bccd", "licence": "MIT", "split": split, "image": image}
        for split, image in (("train", "a"), ("train", "a"), ("train", "b"), ("val", "c"))
    ]
    (tmp_path / "derived.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (found,) = read_facts(tmp_path / "derived.jsonl")
    assert (found.name, found.licence, found.items, found.images, found.is_free) == ("bccd", "MIT", 3, 2, True)
    (tmp_path / "bad.yaml").write_text("- {name: x}")
    with pytest.raises(BadInput, match="no facts"):
        read_facts(tmp_path / "bad.yaml")


def test_a_run_and_the_cell_of_its_ablation_tell_their_facts(
    write_recipe: Callable[[Path], Path], tmp_path: Path
) -> None:
    recipe = read_settings(Recipe, write_recipe(tmp_path))
    draw_phantoms(recipe)
    cell = recipe.out_dir / "ablation" / "text-seed0"
    cell.mkdir(parents=True)
    for folder in (recipe.out_dir, cell):
        (folder / "recipe.json").write_text(recipe.model_dump_json())
        sets = learned_from(load_system(folder), ())
        assert [(one.name, one.what, one.images) for one in sets] == [
            ("phantom", "questions", 7),
            ("phantom", "reports", 7),
        ]
        assert sets[0].items > sets[1].items == 7
        assert all(one.is_free for one in sets)


def test_figures_of_a_probe_and_of_a_score_file(tmp_path: Path) -> None:
    drop = {"a": 0.6, "b": 0.4, "difference": VALUE, "p_value": None}
    probe = {"metrics": {"original": {"overall_accuracy": VALUE}}, "drops": {"blank": {"overall_accuracy": drop}}}
    (tmp_path / "probe.json").write_text(json.dumps(probe))
    (tmp_path / "rad.json").write_text(json.dumps({"metrics": {"open_accuracy": VALUE}}))
    said = figures([tmp_path / "probe.json", tmp_path / "rad.json"])
    assert "original minus blank" in said
    assert "0.500 [0.400, 0.600] n=20" in said
    rows = {"none": {"overall_accuracy": VALUE}, "predicted text": {"overall_accuracy": VALUE}}
    one = {"scores": rows, "differences": {"predicted text": {"overall_accuracy": drop}}}
    (tmp_path / "grid.json").write_text(json.dumps({"grid": {}, "sets": {"derived": one}}))
    assert "predicted text minus none" in figures([tmp_path / "grid.json"])
    (tmp_path / "rad.json").write_text("{}")
    with pytest.raises(BadInput, match="no scores"):
        figures([tmp_path / "rad.json"])
