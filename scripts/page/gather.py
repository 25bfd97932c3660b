"""Gathers what the evaluation page shows, from runs on disk: records, scores, comparisons, pictures, logs, settings."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import yaml

from ...eval.grounding import curves
from ...eval.page.cases import pick_cases
from ...eval.page.content import TITLES, Content, RunFacts, System
from ...eval.page.html import page
from ...eval.page.systems import make_system, pairs_of
from ...eval.records import data_sha256, read_records, task_of
from ...eval.score import Scores, read_json
from ...eval.settings import EvalSettings
from ...grounding.bad_input import BadInput
from ...grounding.files import file_sha256, read_lines, write_atomic
from ..recipe import Recipe
from .pictures import Finder, pictures_of


def write_page(
    runs: Sequence[Path],
    out: Path,
    images: Path | None = None,
    num_cases: int = 500,
    settings: EvalSettings | None = None,
) -> Path:
    """Write one self-contained HTML page of runs and return its path.

    A run is a folder (`records/*.jsonl`, and what else `medglip run` leaves there) or a single record file.
    `images`: folder of pictures named by image id, for runs that do not say where theirs are. `settings`: by default
    those of the first run's recipe. Raises `BadInput` for a run without records and for broken records.
    """
    recipes = {run: _recipe(run) for run in runs}
    settings = settings or next((recipe.eval for recipe in recipes.values() if recipe), EvalSettings())
    gathered = [system for run in runs for system in _systems(run, settings, is_named=len(runs) > 1)]
    systems = _named_apart(sorted(gathered, key=lambda system: list(TITLES).index(system.task)))
    cases = pick_cases(systems, num_cases, settings.seed)
    finder = Finder(recipes, images)
    pictures = pictures_of(cases, systems, finder, settings.score_threshold)
    facts = [_facts(run, recipes[run]) for run in runs]
    content = Content(
        title=_title(runs, recipes),
        runs=facts,
        systems=systems,
        pairs=[pair for group in _by_task(systems) for pair in pairs_of(group, settings)],
        cases=cases,
        pictures=pictures,
        curves=_curves(systems, settings),
        commands=_commands(runs, recipes, systems),
        notes=finder.notes,
    )
    write_atomic(out, page(content))
    return out


def _recipe(run: Path) -> Recipe | None:
    path = run / "recipe.json"
    try:
        return Recipe.model_validate_json(path.read_text()) if path.is_file() else None
    except ValueError:
        return None  # of another version: the page then shows its text and finds pictures by other ways


def _files(run: Path) -> list[Path]:
    """The record files of a run, questions first."""
    if not run.is_dir():
        return [run]
    found = sorted((run / "records").glob("*.jsonl")) or sorted(run.glob("*.jsonl"))
    files = [path for path in found if path.stat().st_size and _has_task(path)]
    if not files:
        raise BadInput("no records.", file=run, fix="give a folder with records/*.jsonl, or a record file")
    return files


def _has_task(path: Path) -> bool:
    try:
        return bool(task_of(path))
    except BadInput:
        if path.parent.name == "records":
            raise
        return False  # skipped.jsonl and the like


def _systems(run: Path, settings: EvalSettings, *, is_named: bool) -> list[System]:
    return [_system(path, run, settings, is_named=is_named) for path in _files(run)]


def _system(path: Path, run: Path, settings: EvalSettings, *, is_named: bool) -> System:
    task = task_of(path)
    records = read_records([path], task)
    short = path.stem.removeprefix(f"{task}-")
    name = f"{run.name}/{short}" if is_named and run.is_dir() else short
    return make_system(
        name,
        task,
        records,
        settings,
        file=f"{run.name}/{path.relative_to(run)}" if run.is_dir() else path.name,
        file_sha256=file_sha256(path),
        stored=_stored(run / "scores" / f"{path.stem}.json", data_sha256(records), settings),
    )


def _stored(path: Path, sha256: str, settings: EvalSettings) -> Scores | None:
    """The run's own scores, if they are of the same records and settings."""
    try:
        found = read_json(path) if path.is_file() else None
    except BadInput:
        return None
    is_same = found and found.data_sha256 == sha256 and found.settings == settings.model_dump(mode="json")
    return found if is_same else None


def _named_apart(systems: Sequence[System]) -> list[System]:
    """Systems of one task never share a name."""
    seen: dict[tuple[str, str], int] = {}
    named: list[System] = []
    for system in systems:
        count = seen[system.task, system.name] = seen.get((system.task, system.name), 0) + 1
        named.append(system if count == 1 else replace(system, name=f"{system.name} ({count})"))
    return named


def _by_task(systems: Sequence[System]) -> list[list[System]]:
    tasks = dict.fromkeys(system.task for system in systems)
    return [[system for system in systems if system.task == task] for task in tasks]


def _curves(systems: Sequence[System], settings: EvalSettings) -> dict[str, Mapping[str, Any]]:
    """Reliability and precision-recall data of the grounding systems."""
    return {s.name: curves(s.records, settings) for s in systems if s.task == "grounding"}


def _facts(run: Path, recipe: Recipe | None) -> RunFacts:
    if not run.is_dir():
        return RunFacts(name=run.name)
    skipped = run / "skipped.jsonl"
    return RunFacts(
        name=run.name,
        title=recipe.title if recipe else "",
        is_synthetic=bool(recipe and recipe.phantoms),
        settings=_settings_yaml(run),
        seed=recipe.seed if recipe else None,
        seconds=_json(run / "seconds.json"),
        losses={path.parent.name: list(read_lines(path)) for path in sorted(run.glob("*/log.jsonl"))},
        skipped=list(read_lines(skipped)) if skipped.is_file() else [],
    )


def _settings_yaml(run: Path) -> str:
    """Every setting of the run, defaults included, as its recipe.json holds them."""
    settings = _json(run / "recipe.json")
    return yaml.safe_dump(settings, sort_keys=False) if settings else ""


def _json(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text()) if path.is_file() else {}
    except ValueError as error:
        raise BadInput(f"not JSON: {error}", file=path) from error
    return found if isinstance(found, dict) else {}


def _title(runs: Sequence[Path], recipes: Mapping[Path, Recipe | None]) -> str:
    names = [recipe.name if (recipe := recipes[run]) else run.stem for run in runs]
    return ", ".join(dict.fromkeys(names))


def _flags(system: System) -> str:
    """The scoring options that are not the defaults, as the command takes them."""
    usual = EvalSettings().model_dump(mode="json")
    own = [name for name in _FLAGS[system.task] + _FLAGS["all"] if system.scores.settings.get(name) != usual[name]]
    said = {name: system.scores.settings[name] for name in own}
    values = {name: ",".join(map(str, value)) if isinstance(value, list) else value for name, value in said.items()}
    return "".join(f" --{name.removeprefix('report_').replace('_', '-')} {value}" for name, value in values.items())


_FLAGS = {
    "vqa": ["protocol", "closed_def", "candidates"],
    "report": ["report_protocol", "tokenization", "metrics"],
    "grounding": ["score_threshold"],
    "all": ["resamples", "confidence", "seed"],
}


def _commands(runs: Sequence[Path], recipes: Mapping[Path, Recipe | None], systems: Sequence[System]) -> list[str]:
    """What makes the runs, their scores and this page again."""
    made = [f"medglip run {recipe.name}.yaml" for recipe in recipes.values() if recipe]
    scored = [f"medglip eval {system.task} {system.file}{_flags(system)}" for system in systems]
    return [*made, *scored, f"medglip eval page {' '.join(run.name for run in runs)} --out index.html"]
