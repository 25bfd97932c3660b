"""`medglip vqa curve RECIPE`: how much training each form of evidence needs, each budget a run of its own schedule.

A line of the curve is the plain adapter, one set of forms, or one that learned, and is asked, with shuffled evidence.
Smaller budgets are trained with the first seed, the largest one with every seed. There the primary contrasts are
tested, named beforehand: each form by itself less its control that learned from shuffled evidence, on each set. All
else is descriptive.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from ...eval.records import Record, cluster, read_records
from ...eval.score import measure, score
from ...eval.settings import EvalSettings
from ...eval.statistics.bootstrap import Difference, Estimate
from ...eval.statistics.crossed import crossed_difference
from ...eval.statistics.significance import holm
from ...eval.table import table
from ...grounding.bad_input import BadInput
from ...grounding.evidence.names import Form, parse_forms
from ...grounding.files import read_object, write_atomic
from ...grounding.records import Task
from ...grounding.run_folder import RunFolder
from ...grounding.settings import read_settings
from ..pipeline.pipeline import Pipeline
from ..pipeline.preflight import check_models, tell_unscored
from ..pipeline.references import REFERENCES, write_references
from ..recipe import Recipe
from .ablate import BASELINE, Adapter, Asked, Grid, cell_name, pooled, row_title, run_adapters, set_of, with_changes
from .curve_picture import Point, curve_svg

CONTROL = Asked("shuffled", "shuffled")
SMALL = (Asked("predicted"), CONTROL)
"""What smaller budgets are asked with: the lines of the curve. The largest is asked with every source."""
LARGEST = (Asked("predicted"), Asked("oracle"), Asked("random"), Asked("shuffled"), CONTROL)
METRIC: dict[Task, str] = {"vqa": "overall_accuracy", "report": "label_micro_f1"}
"""What the curve shows and the contrasts test."""


@dataclass(frozen=True)
class Budgets:
    """What is crossed. `draws`: examples that an adapter is shown, ascending; `forms`: a line of the curve each."""

    draws: tuple[int, ...]
    forms: tuple[tuple[Form, ...], ...]
    seeds: tuple[int, ...]

    @classmethod
    def parse(cls, draws: str, forms: Sequence[str], seeds: str) -> "Budgets":
        """From the words of the command line. Raises `BadInput`."""
        try:
            numbers, of_seeds = ([int(word) for word in text.split(",")] for text in (draws, seeds))
        except ValueError as error:
            raise BadInput("draws and seeds are whole numbers.", fix="--draws 1000,4000,12000 --seeds 0,1,2") from error
        return cls(tuple(sorted(set(numbers))), tuple(dict.fromkeys(map(parse_forms, forms))), tuple(of_seeds))

    def grid(self, draws: int) -> Grid:
        """Sources, forms and seeds of one budget."""
        is_largest = draws == self.draws[-1]
        return Grid(LARGEST if is_largest else SMALL, self.forms, self.seeds if is_largest else self.seeds[:1])


Records = Mapping[str, Mapping[str, Sequence[Record]]]
"""Set of questions -> row of the grid -> its records of all seeds."""
Lines = Mapping[str, Sequence[Point]]
"""Row of the grid -> its points, by draws."""


def run_curve(recipe_path: Path, budgets: Budgets, task: Task = "vqa", out: Path | None = None) -> str:
    """Train and predict what is not there yet, score all; return the text, which `out/curve.md` holds too.

    Beside it lie `curve.json` and a picture of each set of questions, `curve.svg` or `curve-SET.svg`.
    """
    recipe = read_settings(Recipe, recipe_path)
    if getattr(recipe, task) is None:
        raise BadInput(f"the recipe has no section {task!r}.", file=recipe_path, fix="another --task")
    out = out or recipe.out_dir / "curve"
    draws_a_step = recipe.mllm_train.batch_size * recipe.mllm_train.gradient_accumulation
    if budgets.draws[0] < draws_a_step:
        problem = f"{budgets.draws[0]} draws are less than one batch of {draws_a_step}."
        raise BadInput(problem, file=recipe_path, fix="more --draws, or a smaller mllm_train.batch_size")
    with RunFolder(recipe.out_dir).locked(), RunFolder(out).locked():
        check_models(recipe)
        tell_unscored(recipe)
        base = Pipeline(recipe)
        # with every source, so that true regions are at hand
        whole = with_changes(recipe, {"sources": (BASELINE, *dict.fromkeys(one.source for one in LARGEST))})
        for draws in budgets.draws:
            grid, rates = budgets.grid(draws), recipe.mllm_train.lasting(draws // draws_a_step, 0)
            base.recipe = whole.model_copy(update={"mllm_train": rates})
            run_adapters(base, grid, _folder(out, draws), task)
        if task == "vqa" and not RunFolder(out).record_file(task, REFERENCES[0]).exists():
            write_references(base, out)
        base.skipped.write(out / "skipped.jsonl")
        num_taught = sum(item.image.split == "train" for item in base.items[task])
        text = _write(budgets, recipe, task, out, num_taught)
    return f"{text}\n\n{base.skipped.summary()}\nwritten: {out / 'curve.md'}, curve.json and pictures"


def _folder(out: Path, draws: int) -> Path:
    return out / f"draws-{draws}"


def _write(budgets: Budgets, recipe: Recipe, task: Task, out: Path, num_taught: int) -> str:
    """Score every line at every budget and test the contrasts; text, numbers and pictures; return the text."""
    settings, metric = recipe.eval.model_copy(update={"strata": False}), METRIC[task]
    lines: dict[str, dict[str, list[Point]]] = {}
    by_set: Records = {}
    for draws in budgets.draws:
        grid, folder = budgets.grid(draws), _folder(out, draws)
        rows = {row_title(*row, recipe): row for row in [(BASELINE, Adapter()), *grid.rows]}
        by_set = _by_set({title: pooled(folder, *row, grid.seeds, task) for title, row in rows.items()})
        for name, records in by_set.items():
            for title, own in records.items():
                seconds = np.mean([_seconds(folder / cell_name(rows[title][1], seed)) for seed in grid.seeds])
                value = score(own, task, settings).metrics[metric]
                point = Point(value, draws, min(draws, num_taught), round(float(seconds), 1))
                lines.setdefault(name, {}).setdefault(title, []).append(point)
    contrasts = _contrasts(by_set, budgets, recipe, task, settings)  # of the largest budget, which came last
    files = {name: RunFolder(out).record_file(task, name) for name in REFERENCES}
    references = _by_set({name: read_records([file], task) for name, file in files.items() if file.exists()})
    texts, facts = list[str](), dict[str, Any]()
    for name, own in lines.items():
        levels = {
            row: score(records, task, settings).metrics[metric] for row, records in references.get(name, {}).items()
        }
        facts[name] = {"lines": own, "references": levels}
        title = f"{metric.replace('_', ' ')}{f', {name}' if name else ''}"
        write_atomic(out / (f"curve-{name}.svg" if name else "curve.svg"), curve_svg(own, levels, title))
        texts.append(f"## {name}\n\n{curve_table(own, levels)}" if name else curve_table(own, levels))
    text = "\n\n".join([*texts, _contrasts_text(contrasts, metric, budgets)])
    whole = {"budgets": budgets, "metric": metric, "sets": facts, "contrasts": contrasts}
    write_atomic(out / "curve.json", json.dumps(whole, indent=1, default=asdict))
    write_atomic(out / "curve.md", text + "\n")
    return text


def _by_set(rows: Mapping[str, Sequence[Record]]) -> Records:
    sets: dict[str, dict[str, list[Record]]] = {}
    for title, records in rows.items():
        for record in records:
            sets.setdefault(set_of(record), {}).setdefault(title, []).append(record)
    return sets


def _seconds(cell: Path) -> float:
    """Of the training of a cell's adapter."""
    stages = read_object(RunFolder(cell).seconds_file, "train the cell again")
    return sum(seconds for stage, seconds in stages.items() if stage.startswith("adapter "))


def _contrasts(
    by_set: Records, budgets: Budgets, recipe: Recipe, task: Task, settings: EvalSettings
) -> dict[str, Difference]:
    """Each single form with predicted evidence less its shuffled control, on each set; Holm over all of them."""
    found: dict[str, Difference] = {}
    for name, records in by_set.items():
        for forms in (forms for forms in budgets.forms if len(forms) == 1):
            ours, control = (
                row_title(asked.source, Adapter(forms, asked.learned), recipe) for asked in (LARGEST[0], CONTROL)
            )
            a, b = (measure(records[row], task, settings) for row in (ours, control))
            seeds = [str(record["id"]).rpartition("@")[2] for record in records[ours]]
            clusters = [cluster(record) for record in records[ours]]
            found[f"{name}: {ours} - {control}".removeprefix(": ")] = crossed_difference(
                a.measures[METRIC[task]], b.measures[METRIC[task]], clusters, seeds, **settings.intervals
            )
    corrected = holm({title: one.p_value for title, one in found.items()})
    return {title: replace(one, p_holm=corrected.get(title)) for title, one in found.items()}


def curve_table(lines: Lines, levels: Mapping[str, Estimate]) -> str:
    """A row a line, a column a budget; below, what it is held against."""
    rows: dict[str, dict[str, Estimate]] = {
        title: {f"{point.draws} draws": point.value for point in points} for title, points in lines.items()
    }
    # sources that one adapter is asked with, some at the largest budget alone, have its costs: they are told once
    costs: dict[str, str] = {}
    most = max(map(len, lines.values()))
    for title, points in lines.items():
        if len(points) < most:
            continue
        spent = ", ".join(f"{point.examples} examples in {point.seconds:.0f} s" for point in points)
        costs.setdefault(spent, title)
    told = [f"{title}: {spent}" for spent, title in costs.items()]
    last = f"{max(point.draws for points in lines.values() for point in points)} draws"
    rows |= {name: {last: level} for name, level in levels.items()}
    return (
        table(rows, "markdown", "evidence") + "\n\nDifferent examples and seconds a training: " + "; ".join(told) + "."
    )


def _contrasts_text(contrasts: Mapping[str, Difference], metric: str, budgets: Budgets) -> str:
    shown = table({title: {metric: one} for title, one in contrasts.items()}, "markdown", "primary contrast")
    return (
        f"{shown}\n\nAt {budgets.draws[-1]} draws, seeds {', '.join(map(str, budgets.seeds))}: bootstrap over seeds "
        f"and clusters, Holm over these {len(contrasts)}; all other figures are descriptive."
    )
