"""Every recipe of the package is accepted by every command that takes a recipe; nothing is read or trained for it."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml
from typer.testing import CliRunner

from medglip.grounding.settings import read_settings
from medglip.scripts.cli.main import app
from medglip.scripts.recipe import Recipe

ROOT = Path(__file__).parents[3]
ALIGN, BUILD = "vqa align", "data build"
KINDS = {"align": [ALIGN], "manifests": [BUILD]}
"""Folders of recipes that only some commands take; the other commands take all other files."""
MORE = {
    "grounding fine-tune": ["--checkpoint", "detector", "--out", "out"],
    "data export parquet": ["out"],
    "data export qa": ["--out", "out.jsonl"],
    "data export chat": ["--format", "trl", "--out", "out.jsonl"],
}
"""What a command wants besides the recipe."""
STARTS = (
    "medglip.scripts.pipeline.pipeline.claim",
    "medglip.grounding.training.stage.core_images",
    "medglip.grounding.datasets.building.build.build",
    "medglip.scripts.experiments.align.checkpoint_folder",
    "medglip.scripts.pipeline.plan.core_of",
    "medglip.scripts.pipeline.preflight.checkpoint_folder",
)
"""What is called first where the recipe was found good: the folder of the run is taken, region sets are read ..."""


class Started(Exception):
    """The recipe was accepted."""


def walk(command: Any, words: tuple[str, ...] = ()) -> Iterator[tuple[str, Any]]:
    """Every command of the command line by its words."""
    for name, inner in getattr(command, "commands", {}).items():
        yield from walk(inner, (*words, name))
    if not hasattr(command, "commands"):
        yield " ".join(words), command


def takes_recipe(command: Any) -> bool:
    """An argument is called so, or its help speaks of a recipe or manifest."""
    arguments = [one for one in command.params if one.param_type_name == "argument"]
    texts = [f"{one.name} {getattr(one, 'help', '')}".lower() for one in arguments]
    return any("recipe" in text or "manifest" in text for text in texts)


COMMANDS = [words for words, command in walk(typer.main.get_command(app)) if takes_recipe(command) and words != "init"]
GRIDS = ("vqa ablate", "vqa curve")
FOLDS = "vqa cross-validate"
NO_RECIPES = {"sets", "accelerate"}  # lists; a configuration of accelerate
FILES = sorted(file for file in ROOT.glob("recipes/**/*.yaml") if file.parent.name not in NO_RECIPES)


PAIRS = [
    pytest.param(command, file, id=f"{command.replace(' ', '-')}-{file.parent.name}-{file.stem}")
    for file in FILES
    for command in KINDS.get(file.parent.name, [one for one in COMMANDS if one not in (ALIGN, BUILD)])
]


def test_no_command_and_no_recipe_is_forgotten() -> None:
    assert len(COMMANDS) >= 16
    assert {ALIGN, BUILD, *MORE} <= set(COMMANDS)
    assert {each.values[1] for each in PAIRS} == set(FILES)
    assert {each.values[0] for each in PAIRS} == set(COMMANDS)


@pytest.mark.parametrize(("command", "recipe"), PAIRS)
def test_the_command_accepts_the_recipe(
    command: str, recipe: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def start(*_args: object, **_options: object) -> None:
        raise Started

    for name in STARTS:
        monkeypatch.setattr(name, start)
    monkeypatch.chdir(tmp_path)
    more, tasks = MORE.get(command, []), yaml.safe_load(recipe.read_text())
    if command in GRIDS and "vqa" not in tasks:
        more = ["--task", "report"]
    result = CliRunner().invoke(app, [*command.split(), str(recipe), *more])
    if command == "recipe upgrade":
        assert result.exit_code == 0, result.output
    elif command in GRIDS and not {"vqa", "report"} & set(tasks):  # of a core alone: read, and nothing to ablate
        assert "has no section" in str(result.exception)
    elif command == FOLDS and not isinstance(result.exception, Started):  # read, and not of one public set
        assert "one public set" in str(result.exception)
        assert [row.get("set") for row in tasks.get("vqa", {}).get("data", [])] not in (
            ["vqa_rad"],
            ["slake"],
            ["pathvqa"],
        )
    else:
        assert isinstance(result.exception, Started), (result.output, result.exception)


@pytest.mark.parametrize("file", [f for f in FILES if f.parent.name not in KINDS], ids=lambda f: f.stem)
def test_every_run_shows_no_evidence_what_was_found_and_that_of_others(file: Path) -> None:
    assert {"none", "predicted", "shuffled"} <= set(read_settings(Recipe, file).sources)
