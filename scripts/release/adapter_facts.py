"""What the card of a shipped adapter says: data sets with licences and counts, and figures with intervals."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import yaml

from ...eval.compare import HEADLINE
from ...eval.statistics.bootstrap import Difference, Estimate
from ...eval.table import by_metric, table
from ...grounding.bad_input import BadInput, Skipped
from ...grounding.files import read_lines
from ...grounding.records import Task
from ...report.task import Report
from ...vqa.model.shipped import FACTS, shipped_folder
from ...vqa.publish.adapter_card import SetFacts
from ...vqa.task import Question
from ..inference.system import FinishedRun, LooseAdapter
from ..pipeline.sets import read_questions, read_reports
from ..recipe import Recipe

LICENCES = {
    "phantom": "drawn by this package",
    "vqa_rad": "CC0 1.0",
    "slake": "CC BY 4.0",
    "pathvqa": "MIT",
}
"""Of the sets that tasks read, where it is one for the whole set. Region sets bring theirs in the recipe; the others'
are given with `--facts`."""
DERIVED = "questions and captions derived from regions"


def learned_from(finished: FinishedRun, files: Sequence[Path]) -> list[SetFacts]:
    """The sets of `files`, else those of the run's recipe; before them those of the aligned adapter it started from.

    Raises `BadInput` where that is not written down, and for a set whose licence is not free.
    """
    own = [one for file in files for one in read_facts(file)] if files else of_recipe(finished)
    sets = list(dict.fromkeys([*_of_start(finished, bool(files)), *own]))
    for one in sets:
        if not one.is_free:
            problem = f"licence of {one.name!r}: {one.licence or 'not known'!r}."
            raise BadInput(problem, fix="CC0, CC BY, CC BY-SA, MIT or Apache; --facts names those of other sets")
    return sets


def read_facts(file: Path) -> list[SetFacts]:
    """Those of a YAML or JSON list (name, licence, what, items, images, note), or counted in a file of `vqa.derived`.

    Raises `BadInput` for a file that is neither.
    """
    try:
        if file.suffix == ".jsonl":
            return _counted(
                (row["dataset"], row["licence"], DERIVED, str(row["image"]))
                for row in read_lines(file)
                if row["split"] == "train"
            )
        return [SetFacts(**row) for row in yaml.safe_load(file.read_text(encoding="utf-8"))]
    except (OSError, TypeError, KeyError, yaml.YAMLError) as error:
        fix = "a list of {name, licence, what, items, images}, or derived.jsonl of `medglip vqa align`"
        raise BadInput(f"no facts: {error}", file=file, fix=fix) from error


def facts_json(sets: Iterable[SetFacts]) -> str:
    """What `read_facts` reads back."""
    return json.dumps([asdict(one) for one in sets], indent=1) + "\n"


def of_recipe(finished: FinishedRun) -> list[SetFacts]:
    """Questions and reports of split train, as the run's recipe reads them."""
    if isinstance(finished, LooseAdapter):
        raise BadInput("what it learned from is not written here.", file=finished.folder, fix="name it with --facts")
    home = _home(finished.folder)
    recipe, drawn = finished.recipe.model_copy(update={"out_dir": home}), home / "phantoms"
    if recipe.mllm_train.warm_up:
        raise BadInput("it was warmed up with reports.", file=finished.folder, fix="name all its sets with --facts")
    phantoms = drawn if drawn.is_dir() else None
    licences = LICENCES | {one.name: one.licence for one in recipe.grounding.data if one.licence}
    items = [*read_questions(recipe, phantoms, Skipped()), *read_reports(recipe, phantoms, Skipped())]
    return _counted(
        (
            item.image.dataset,
            licences.get(item.image.dataset, ""),
            _what(item, recipe),
            str(item.image.image_path),
        )
        for item in items
        if item.image.split == "train"
    )


def _home(folder: Path) -> Path:
    """Where a run has its data: its own folder; for a cell of `medglip vqa ablate`, that of the run it belongs to."""
    is_cell = not (folder / "grounding").is_dir() and (folder.parents[1] / "recipe.json").is_file()
    return folder.parents[1] if is_cell else folder


def _what(item: Question | Report, recipe: Recipe) -> str:
    task, name = (recipe.vqa, "questions") if isinstance(item, Question) else (recipe.report, "reports")
    is_derived = task is not None and item.meta.get("set", task.sets[0]) == "derived"
    return f"{name} derived from regions" if is_derived else name


def _of_start(finished: FinishedRun, are_given: bool) -> list[SetFacts]:
    """Facts beside the aligned adapter that this one started from; not needed where others are given."""
    if not finished.mllm.aligned:
        return []
    file = shipped_folder("aligned", finished.mllm.aligned) / FACTS
    if file.is_file():
        return read_facts(file)
    if are_given:
        return []
    raise BadInput("what the aligned start learned from is not written here.", file=file, fix="ship that one first")


def _counted(rows: Iterable[tuple[str, str, str, str]]) -> list[SetFacts]:
    """`rows`: set, licence, kind of item, image."""
    images: dict[tuple[str, str, str], list[str]] = {}
    for name, licence, what, image in rows:
        images.setdefault((name, licence, what), []).append(image)
    return [
        SetFacts(name=name, licence=licence, what=what, items=len(found), images=len(set(found)))
        for (name, licence, what), found in images.items()
    ]


def figures(files: Sequence[Path]) -> str:
    """Markdown tables of `results.json`, `ablation.json`, `probe.json` of an alignment, or files of `medglip eval`."""
    if not files:
        return ""
    interval = "Value, 95 % interval over images or patients, number of questions or reports."
    return "\n\n".join([interval, *(f"### {file.stem}\n\n{_figures_of(file)}" for file in files)])


def _figures_of(file: Path) -> str:
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
        if "paired" in found:
            return _of_run(found)
        if "grid" in found:
            sets = found.get("sets") or {"": found}
            return "\n\n".join(_of_grid(name, part) for name, part in sets.items())
        if "drops" in found:
            drops = {f"original minus {name}": _headline(cells) for name, cells in found["drops"].items()}
            rows = {source: _headline(cells) for source, cells in found["metrics"].items()}
            return f"{table(rows, 'markdown')}\n\n{table(drops, 'markdown')}"
        return table({file.stem: _headline(found["metrics"])}, "markdown")
    except (OSError, ValueError, KeyError, TypeError) as error:
        fix = "results.json of a run, ablation.json, probe.json of `medglip vqa align`, or `medglip eval vqa --json`"
        raise BadInput(f"no scores: {error}", file=file, fix=fix) from error


def _of_run(found: Mapping[str, Any]) -> str:
    """Questions and reports by evidence source, and what each source differs from none."""
    parts = []
    for task in ("vqa", "report"):
        cells = found.get(task, {}).items()
        parts.append({source: _cells({k: v for k, v in row.items() if k != "n"}) for source, row in cells})
        paired = found["paired"].get(task, {}).items()
        parts.append({f"{source} minus none": _headline(row, task) for source, row in paired})
    return "\n\n".join(table(part, "markdown") for part in parts if part)


def _of_grid(name: str, found: Mapping[str, Any]) -> str:
    """One set of questions: every row of the grid, and what each differs from none."""
    rows = {row: _headline(cells) for row, cells in found["scores"].items()}
    less = {f"{row} minus none": _headline(cells) for row, cells in found["differences"].items()}
    parts = [table(by_metric(part, HEADLINE["vqa"]), "markdown", "evidence") for part in (rows, less)]
    return "\n\n".join([f"Questions: {name}.", *parts] if name else parts)


def _headline(cells: Mapping[str, Any], task: Task = "vqa") -> dict[str, Estimate | Difference]:
    return _cells({name: cells[name] for name in HEADLINE[task] if name in cells} or cells)


def _cells(cells: Mapping[str, Any]) -> dict[str, Estimate | Difference]:
    return {
        name: Difference(**{**cell, "difference": Estimate(**cell["difference"])})
        if "difference" in cell
        else Estimate(**cell)
        for name, cell in cells.items()
    }
