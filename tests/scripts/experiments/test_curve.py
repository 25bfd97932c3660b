"""Learning curves: a run of its own schedule a budget, every seed at the largest, primary contrasts there alone."""

import json
from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree

import pytest

from medglip.eval.statistics.bootstrap import Estimate
from medglip.grounding.bad_input import BadInput
from medglip.grounding.run_folder import RunFolder
from medglip.scripts.experiments import ablate
from medglip.scripts.experiments.curve import CONTROL, Budgets, curve_table, run_curve
from medglip.scripts.experiments.curve_picture import Point, curve_svg
from medglip.scripts.pipeline.pipeline import read_run_recipe


def test_only_the_largest_budget_has_every_seed_and_source() -> None:
    budgets = Budgets.parse("4000,1000", ["text", "tokens", "text"], "0,1")
    assert (budgets.draws, budgets.forms) == ((1000, 4000), (("text",), ("tokens",)))
    assert budgets.grid(1000).seeds == (0,)
    assert budgets.grid(4000).seeds == (0, 1)
    assert [asked.source for asked in budgets.grid(1000).sources] == ["predicted", "shuffled"]
    assert all(CONTROL in budgets.grid(draws).sources for draws in budgets.draws)
    with pytest.raises(BadInput, match="whole numbers"):
        Budgets.parse("many", ["text"], "0")


def test_the_picture_names_every_line_and_the_cost_of_every_budget() -> None:
    points = [
        Point(Estimate(value, value - 0.1, value + 0.1, 9, ""), n, n // 2, 3.0) for value, n in ((0.4, 10), (0.8, 99))
    ]
    root = ElementTree.fromstring(curve_svg({"a <b>": points, "shuffled": points[:1]}, {"rules": points[0].value}, "t"))
    texts = [text.text for text in root.findall("{*}text")]
    assert {"a <b>", "shuffled", "rules 0.400", "10 draws", "49 examples", "3 to 3 s"} <= set(texts)
    assert len(root.findall("{*}circle")) == 3


def test_each_training_s_costs_are_told_once() -> None:
    value = Estimate(0.4, 0.3, 0.5, 9, "")
    small, large = Point(value, 10, 5, 3.0), Point(value, 99, 9, 8.0)
    one = curve_table({"none": [small], "predicted": [large], "shuffled": [large]}, {})
    assert one.endswith("a training: none: 5 examples in 3 s; predicted: 9 examples in 8 s.")
    two = curve_table({"predicted": [small, large], "oracle": [large]}, {})
    assert two.endswith("a training: predicted: 5 examples in 3 s, 9 examples in 8 s.")


@pytest.mark.thorough
def test_a_curve_ends_in_a_table_a_picture_and_contrasts_and_goes_on(
    write_recipe: Callable[[Path], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe, out = write_recipe(tmp_path), tmp_path / "run" / "curve"
    recipe.write_text(recipe.read_text().replace("max_test: 30", "max_test: 8"))
    budgets = Budgets.parse("2,4", ["tokens"], "0,1")
    text = run_curve(recipe, budgets)
    found = json.loads((out / "curve.json").read_text())
    lines = found["sets"][""]["lines"]
    assert [point["draws"] for point in lines["predicted tokens"]] == [2, 4]
    assert [point["draws"] for point in lines["predicted → oracle tokens"]] == [4]
    assert lines["none"][1]["value"]["n"] == 16  # two seeds
    assert list(found["contrasts"]) == ["predicted tokens - shuffled → shuffled tokens"]
    assert "rules" in found["sets"][""]["references"]
    assert "primary contrast" in text
    ElementTree.parse(out / "curve.svg")
    steps = [
        read_run_recipe(RunFolder(out / f"draws-{n}" / "plain-seed0").recipe_file).mllm_train.steps for n in (2, 4)
    ]
    assert steps == [1, 2]
    monkeypatch.setattr(ablate, "tune_and_predict", _refuse)
    assert run_curve(recipe, budgets) == text
    with pytest.raises(BadInput, match="less than one batch"):
        run_curve(recipe, Budgets.parse("1", ["tokens"], "0"))


def _refuse(*_: object) -> None:
    raise AssertionError("another cell")
