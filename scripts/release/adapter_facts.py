"""What the card of a shipped adapter says: data sets with licences and counts, and figures with intervals."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ...eval.catalog import tested_metrics
from ...eval.statistics.bootstrap import Difference, Estimate
from ...eval.table import by_metric, table
from ...grounding.bad_input import ROW_ERRORS, BadInput, Skipped, explain
from ...grounding.foreign import read_json
from ...grounding.records import Task
from ...vqa.model.shipped import FACTS, shipped_folder
from ...vqa.publish.adapter_card import LearnedSet, count_facts, read_facts
from ..inference.system import TrainedSystem
from ..pipeline.tasks import TASKS

LICENCES = {"phantom": "drawn by this package", "vqa_rad": "CC0 1.0", "slake": "CC BY 4.0", "pathvqa": "MIT"}
"""Licence of each set that tasks read, where one holds for the whole set. Region sets state theirs in the recipe; the
others' are given with `--facts`."""


def learned_from(finished: TrainedSystem, files: Sequence[Path]) -> list[LearnedSet]:
    """The sets of `files`, else those of the run's recipe; before them those of the aligned adapter it started from.

    Raises `BadInput` where that is not written down, and for a set whose licence is not free.
    """
    own = [facts for file in files for facts in read_facts(file)] if files else of_recipe(finished)
    start = []  # an aligned start has a list of its own, which comes with its weights
    if finished.mllm.aligned:
        file = shipped_folder("aligned", finished.mllm.aligned) / FACTS
        if not file.is_file() and not files:
            problem = "what the aligned start learned from is not written here."
            raise BadInput(problem, file=file, fix="ship that one first")
        start = read_facts(file) if file.is_file() else []
    sets = list(dict.fromkeys([*start, *own]))
    for facts in sets:
        if not facts.is_free:
            problem = f"licence of {facts.name!r}: {facts.licence or 'not known'!r}."
            raise BadInput(problem, fix="CC0, CC BY, CC BY-SA, MIT or Apache; --facts names those of other sets")
    return sets


def of_recipe(finished: TrainedSystem) -> list[LearnedSet]:
    """The questions and reports of split train, as the run's recipe reads them."""
    folder = finished.folder
    if finished.recipe is None:
        raise BadInput("what it learned from is not written here.", file=folder, fix="name it with --facts")
    # a cell of `medglip vqa ablate` has no data of its own: they lie in the run that it belongs to
    is_cell = not (folder / "grounding").is_dir() and (folder.parents[1] / "recipe.json").is_file()
    home = folder.parents[1] if is_cell else folder
    recipe = finished.recipe.model_copy(update={"out_dir": home})
    if recipe.mllm_train.warm_up:
        raise BadInput("it was warmed up with reports.", file=folder, fix="name all its sets with --facts")
    phantoms = home / "phantoms" if (home / "phantoms").is_dir() else None
    licences = LICENCES | {data.name: data.licence for data in recipe.grounding.data if data.licence}
    rows = []
    for task in TASKS.values():
        section = task.section(recipe)
        for item in task.read(recipe, phantoms, Skipped()):
            if item.image.split == "train":
                is_derived = section is not None and item.meta.get("set", section.sets[0]) == "derived"
                kind = f"{task.plural} derived from regions" if is_derived else task.plural
                dataset = item.image.dataset
                rows.append((dataset, licences.get(dataset, ""), kind, str(item.image.image_path)))
    return count_facts(rows)


def figures(files: Sequence[Path]) -> str:
    """Markdown tables of `results.json`, `ablation.json`, `probe.json` of an alignment, or files of `medglip eval`."""
    if not files:
        return ""
    interval = "Value, 95 % interval over images or patients, number of questions or reports."
    return "\n\n".join([interval, *(f"### {file.stem}\n\n{_figures_of(file)}" for file in files)])


def _figures_of(file: Path) -> str:
    fix = "results.json of a run, ablation.json, probe.json of `medglip vqa align`, or `medglip eval vqa --json`"
    values = read_json(file, fix)
    with explain("no scores", *ROW_ERRORS, file=file, fix=fix):
        if "paired" in values:  # questions and reports by evidence source, and how much each source differs from none
            parts = []
            for task in TASKS:
                cells, paired = values.get(task, {}).items(), values["paired"].get(task, {}).items()
                parts.append({source: _estimates({k: v for k, v in row.items() if k != "n"}) for source, row in cells})
                parts.append({f"{source} minus none": _headline(row, task) for source, row in paired})
            tables = [table(part, "markdown") for part in parts if part]
        elif "grid" in values:  # every row of the grid, and how much each differs from none; for each set of questions
            tables = []
            for name, part in (values.get("sets") or {"": values}).items():
                rows = {row: _headline(cells) for row, cells in part["scores"].items()}
                drops = {f"{row} minus none": _headline(cells) for row, cells in part["differences"].items()}
                tables += [f"Questions: {name}."] if name else []
                tables += [table(by_metric(p, tested_metrics("vqa")), "markdown", "evidence") for p in (rows, drops)]
        elif "drops" in values:
            drops = {f"original minus {name}": _headline(cells) for name, cells in values["drops"].items()}
            rows = {source: _headline(cells) for source, cells in values["metrics"].items()}
            tables = [table(rows, "markdown"), table(drops, "markdown")]
        else:
            tables = [table({file.stem: _headline(values["metrics"])}, "markdown")]
        return "\n\n".join(tables)


def _headline(cells: Mapping[str, Any], task: Task = "vqa") -> dict[str, Estimate | Difference]:
    return _estimates({name: cells[name] for name in tested_metrics(task) if name in cells} or cells)


def _estimates(cells: Mapping[str, Any]) -> dict[str, Estimate | Difference]:
    """The cells of a JSON file as what `table` shows."""
    return {
        name: Difference(**{**cell, "difference": Estimate(**cell["difference"])})
        if "difference" in cell
        else Estimate(**cell)
        for name, cell in cells.items()
    }
