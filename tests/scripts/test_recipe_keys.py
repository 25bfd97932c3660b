"""Every key of a recipe: frozen, documented, and read in the spelling of version 0.1 too."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from medglip.grounding.bad_input import BadInput
from medglip.grounding.settings import read_settings, validate
from medglip.scripts.cli.main import app
from medglip.scripts.experiments.align import AlignRecipe
from medglip.scripts.recipe import Recipe, read_run_recipe
from medglip.scripts.recipe_keys import recipe_keys, recipe_page
from medglip.scripts.upgrade import OLD_SETS, upgrade_file, upgrade_recipe
from medglip.vqa.model.identity import check_updates
from medglip.vqa.model.shipped import is_shipped, shipped_folder

ROOT = Path(__file__).parent.parent.parent
NO_RECIPES = {"accelerate", "manifests", "align", "sets"}
RECIPES = sorted(path for path in ROOT.glob("recipes/**/*.yaml") if path.parent.name not in NO_RECIPES)
BASE = {"name": "t", "out_dir": "o", "phantoms": {}, "grounding": {"data": [{"layout": "phantom", "path": "p"}]}}
STEPS = {"steps": 3}
RATES = {"steps": 3, "batch_size": 8, "learning_rate": 1e-3, "warmup_steps": 30, "clip_norm": 5.0}


def test_the_page_of_the_keys_is_that_of_the_settings() -> None:
    page = (ROOT / "docs" / "recipe.md").read_text()
    assert page == recipe_page(), "medglip recipe docs > docs/recipe.md"


def test_the_keys_are_frozen() -> None:
    frozen = (Path(__file__).parent / "recipe_keys.txt").read_text().split()
    keys = [key.name for key in recipe_keys()]
    assert keys == frozen, "a key came or went: is that meant? Then change recipe_keys.txt, CHANGELOG.md and the docs"
    assert all(key.text for key in recipe_keys())


def test_the_schema_knows_the_recipes() -> None:
    jsonschema = pytest.importorskip("jsonschema")
    schema = json.loads(CliRunner().invoke(app, ["recipe", "schema"]).stdout)
    for file in RECIPES:
        jsonschema.validate(yaml.safe_load(file.read_text()), schema)


@pytest.mark.parametrize("file", RECIPES, ids=lambda path: path.stem)
def test_shipped_recipes_are_spelt_as_today(file: Path) -> None:
    values = yaml.safe_load(file.read_text())
    assert upgrade_recipe(values) == values


@pytest.mark.parametrize("file", RECIPES, ids=lambda path: path.stem)
def test_shipped_recipes_ask_for_the_updates_of_the_start_they_name(file: Path) -> None:
    mllm = read_settings(Recipe, file).mllm
    if mllm.aligned and is_shipped("aligned", mllm.aligned):
        check_updates(shipped_folder("aligned", mllm.aligned), mllm.lora.model_dump(mode="json"))


def test_shipped_alignments_are_valid() -> None:
    for file in sorted(ROOT.glob("recipes/align/*.yaml")):
        assert read_settings(AlignRecipe, file).name


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ({"vqa": {"data": "phantom"}}, {"vqa": {"data": [{"set": "phantom"}]}}),
        (
            {"vqa": {"data": ["phantom", "vqa_rad"], "vqa_rad": {"limit": 3}, "max_test": 2}},
            {"vqa": {"data": [{"set": "phantom"}, {"set": "vqa_rad", "limit": 3}], "max_test": 2}},
        ),
        (
            {"report": {"data": "iu_xray", "iu_xray": {"path": "x"}, "negation": "off"}},
            {"report": {"data": [{"set": "iu_xray", "path": "x"}], "negation": "off"}},
        ),
        ({"mllm_train": {"train": {"steps": 3}}}, {"mllm_train": RATES}),
        (
            {
                "mllm_train": {
                    "warm_up": {"data": "generic", "generic": {"path": "x"}, "train": {"train": {"steps": 3}}}
                }
            },
            {"mllm_train": {"warm_up": {"data": {"set": "generic", "path": "x"}, **RATES, "group_by_length": False}}},
        ),
        (
            {"mllm_train": {"warm_up": {"data": "generic", "generic": {"path": "x"}}}},
            {"mllm_train": {"warm_up": {"data": {"set": "generic", "path": "x"}}}},
        ),
    ],
)
def test_the_spelling_of_version_0_1_is_the_same_recipe(old: dict[str, Any], new: dict[str, Any]) -> None:
    assert validate(Recipe, BASE | old) == validate(Recipe, BASE | new)
    assert {key: upgrade_recipe(BASE | old)[key] for key in new} == {**old, **new}


def test_below_grounding_the_level_settings_is_gone() -> None:
    data = BASE["grounding"]
    old = validate(Recipe, BASE | {"grounding": {**data, "settings": {"train": {"steps": 7}, "temperature": 2}}})
    assert old == validate(Recipe, BASE | {"grounding": {**data, "train": {"steps": 7}, "temperature": 2}})
    assert (old.grounding.settings.train.steps, old.grounding.settings.temperature) == (7, 2)


def test_a_run_of_version_0_1_is_read_and_its_keys_without_effect_are_dropped(tmp_path: Path) -> None:
    section: dict[str, Any] = {name: {"path": name} for name in OLD_SETS} | {"max_test": 3, "negation": "rules"}
    section["derived"] = {"per_kind": 2, "splits": ["val"]}
    old = BASE | {"vqa": {"data": "phantom", **section}, "report": {"data": "derived", **section}}
    (tmp_path / "recipe.json").write_text(json.dumps(old))
    recipe = read_run_recipe(tmp_path / "recipe.json")
    assert recipe.vqa
    assert recipe.report
    assert (recipe.vqa.sets, recipe.report.sets, recipe.vqa.max_test) == (("phantom",), ("derived",), 3)
    assert recipe.report.data[0].model_dump()["splits"] == ("val",)
    with pytest.raises(BadInput, match="it does nothing"):
        validate(Recipe, old)


def test_upgrade_writes_a_file_that_is_the_same_recipe(tmp_path: Path) -> None:
    file, out = tmp_path / "old.yaml", tmp_path / "new.yaml"
    old = BASE | {"vqa": {"data": "phantom"}, "mllm_train": {"train": {"steps": 3}}}
    file.write_text("# What it is for.\n" + yaml.safe_dump(old) + "seed: 0 # any\n")
    result = CliRunner().invoke(app, ["recipe", "upgrade", str(file), "--out", str(out)])
    assert result.exit_code == 0
    assert "1 comments" in result.output
    assert out.read_text().startswith("# What it is for.\n")
    assert read_settings(Recipe, out) == read_settings(Recipe, file)
    assert upgrade_file(out)[0] == out.read_text()
