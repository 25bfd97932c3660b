"""The grid: equal budgets, one core, resumed cell by cell, differences paired and pooled over seeds."""

import json
from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree

import pytest

from medglip.eval.statistics.bootstrap import Estimate
from medglip.grounding.bad_input import BadInput
from medglip.grounding.files import read_lines
from medglip.grounding.settings import read_settings
from medglip.scripts.experiments import ablate
from medglip.scripts.experiments.ablate import (
    Adapter,
    Asked,
    Grid,
    cell_name,
    cell_recipe,
    forest_svg,
    pooled,
    run_grid,
)
from medglip.scripts.recipe import Recipe


def test_a_grid_has_none_as_its_baseline_and_refuses_unknown_names() -> None:
    grid = Grid.parse("none, predicted,oracle", ["text", "text+tokens", "text"], "0,1,1")
    sources = Asked("predicted"), Asked("oracle")
    assert grid == Grid(sources, (("text",), ("text", "tokens")), (0, 1))
    both = ("predicted", "oracle")
    assert grid.adapters == {Adapter(): ("none",), Adapter(("text",)): both, Adapter(("text", "tokens")): both}
    assert len(grid.rows) == 4
    for given in (("predictd", ["text"], "0"), ("predicted", ["texts"], "0"), ("predicted", ["text"], "a")):
        with pytest.raises(BadInput):
            Grid.parse(*given)
    with pytest.raises(BadInput, match="nothing to compare"):
        Grid.parse("none", ["text"], "0")
    assert list(Grid.parse("none", ["text"], "0", has_floors=True).adapters) == [Adapter()]


def test_what_an_adapter_learned_with_stands_before_the_colon(
    write_recipe: Callable[[Path], Path], tmp_path: Path
) -> None:
    grid = Grid.parse("predicted,shuffled,withheld,shuffled:shuffled", ["text"], "0")
    usual, control = Adapter(("text",)), Adapter(("text",), "shuffled")
    assert grid.adapters == {
        Adapter(): ("none",),
        usual: ("predicted", "shuffled", "withheld"),
        control: ("shuffled",),
    }
    assert [cell_name(adapter, 3) for adapter in grid.adapters] == ["plain-seed3", "text-seed3", "text-shuffled-seed3"]
    recipe = read_settings(Recipe, write_recipe(tmp_path))
    assert cell_recipe(recipe, usual, 0, tmp_path).evidence.train_source == "predicted"
    assert cell_recipe(recipe, control, 0, tmp_path).evidence.train_source == "shuffled"
    for wrong in ("shuffled:none", "random:random", "oracle:oracl"):
        with pytest.raises(BadInput, match=r"withheld|oracle"):
            Grid.parse(wrong, ["text"], "0")


def test_cells_differ_in_forms_and_seed_alone(write_recipe: Callable[[Path], Path], tmp_path: Path) -> None:
    recipe = read_settings(Recipe, write_recipe(tmp_path))
    cells = [cell_recipe(recipe, one, seed, tmp_path) for one in (Adapter(), Adapter(("text",))) for seed in (0, 1)]
    budgets = {cell.mllm_train.model_copy(update={"seed": 0}).model_dump_json() for cell in cells}
    assert len(budgets) == 1
    assert [(cell.mllm.seed, cell.mllm_train.seed) for cell in cells] == [(0, 0), (1, 1)] * 2
    assert {cell.seed for cell in cells} == {recipe.seed}
    assert cells[2].evidence == recipe.evidence.model_copy(update={"forms": ("text",)})


def test_the_forest_shows_every_row_and_escapes_names() -> None:
    rows = {"a <b>": Estimate(0.1, 0.0, 0.2, 9, ""), "c": Estimate(-0.1, None, None, 9, "")}
    root = ElementTree.fromstring(forest_svg(rows, {"c": [-0.2, 0.0]}, "t & u"))
    assert len(root.findall("{*}circle")) == 4
    assert len(root.findall("{*}line")) == 2
    assert "a <b>" in [text.text for text in root.findall("{*}text")]


@pytest.mark.slow
def test_a_grid_ends_in_one_table_and_goes_on_cell_by_cell(
    write_recipe: Callable[[Path], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe, out = write_recipe(tmp_path), tmp_path / "run" / "ablation"
    recipe.write_text(recipe.read_text().replace("max_test: 30", "max_test: 12"))
    grid = Grid.parse("none,predicted,oracle", ["text", "tokens"], "0,1")
    text = run_grid(recipe, grid, "vqa")
    assert "| predicted text" in text
    assert "| predicted → oracle tokens" in text
    found = json.loads((out / "ablation.json").read_text())
    assert set(found["differences"]) == {
        f"{s} {f}" for s in ("predicted", "predicted → oracle") for f in ("text", "tokens")
    }
    assert set(found["by_seed"]["predicted → oracle text"]) == {"0", "1"}
    ours, base = (
        pooled(out, source, adapter, (0, 1), "vqa")
        for source, adapter in (("predicted", Adapter(("text",))), ("none", Adapter()))
    )
    assert [record["id"] for record in ours] == [record["id"] for record in base]
    assert len(ours) == 24
    assert found["scores"]["none"]["overall_accuracy"]["n"] == 24
    assert not list(out.glob("*/grounding"))
    assert not list(out.glob("*/regions"))
    prompts = [
        [
            row["prompt_sha256"]
            for row in read_lines(out / cell_name(Adapter(("text",)), seed) / "records" / "vqa-predicted.jsonl")
        ]
        for seed in (0, 1)
    ]
    assert prompts[0] == prompts[1]
    stamps = {path: path.stat().st_mtime_ns for path in out.glob("*/records/*.jsonl")}
    recipe.write_text(recipe.read_text() + "probes: [blank, flipped]\n")  # added later: only their records are made
    probed = run_grid(recipe, grid, "vqa")
    assert stamps == {path: path.stat().st_mtime_ns for path in out.glob("*/records/*.jsonl")}
    assert set(json.loads((out / "ablation.json").read_text())["probes"]["predicted tokens"]) == {"blank", "flipped"}
    for row in ("none minus blank", "predicted text minus flipped", "Drops where the picture is changed"):
        assert row in probed
    monkeypatch.setattr(ablate, "tune_and_predict", _refuse)
    assert run_grid(recipe, grid, "vqa") == probed
    assert stamps == {path: path.stat().st_mtime_ns for path in out.glob("*/records/*.jsonl")}
    recipe.write_text(recipe.read_text().replace("probes:", "#"))
    assert run_grid(recipe, grid, "vqa") == text
    with pytest.raises(AssertionError, match="another cell"):
        run_grid(recipe, Grid.parse("none,predicted,oracle,random", ["text"], "0"), "vqa")


def _refuse(*_: object) -> None:
    raise AssertionError("another cell")
