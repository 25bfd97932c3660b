"""Gathers what the evaluation page shows from runs on disk: records, scores, comparisons, images, logs, settings."""

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import nullcontext, suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from ...eval.page.cases import pick_cases
from ...eval.page.content import TITLES, Content, DropCurve, RunFacts, System
from ...eval.page.html import page
from ...eval.page.provenance import origin
from ...eval.page.robustness import drop_curve
from ...eval.page.systems import make_system, pairs_of
from ...eval.records import data_sha256, read_records, task_of
from ...eval.score import read_json
from ...eval.settings import EvalSettings
from ...eval.tasks.grounding import curves
from ...grounding.bad_input import BadInput
from ...grounding.evidence.names import SOURCES, row_name
from ...grounding.files import file_sha256, read_lines, read_object, write_atomic
from ...grounding.run_folder import RunFolder
from .commands import commands, path_from
from .confidence import held_of
from .pictures import ImageFinder, pictures_of

if TYPE_CHECKING:
    from ..recipe import Recipe


def write_page(
    runs: Sequence[Path],
    out: Path,
    images: Path | None = None,
    num_cases: int = 500,
    settings: EvalSettings | None = None,
) -> Path:
    """Write one self-contained HTML page of runs and return its path.

    A run is a folder (`records/*.jsonl`, and what else `medglip run` leaves there) or a single record file.
    `images`: folder of images named by image id, for runs that do not say where theirs are. `settings`: by default
    those of the first run's recipe. Raises `BadInput` for a run without records and for broken records.
    """
    recipes = {run: recipe_of(run) for run in runs}
    settings = settings or next((recipe.eval for recipe in recipes.values() if recipe), EvalSettings())
    gathered = [
        _system(path, run, recipes[run], settings, file=path_from(out, path), is_named=len(runs) > 1)
        for run in runs
        for path in sorted(record_files(run), key=_source)
    ]
    seen: Counter[tuple[str, str]] = Counter()
    systems: list[System] = []
    for system in sorted(gathered, key=lambda system: (list(TITLES).index(system.task), system.is_floor)):
        seen[system.task, system.name] += 1
        count = seen[system.task, system.name]  # two of one task with the same name: `none`, `none (2)`
        systems.append(system if count == 1 else replace(system, name=f"{system.name} ({count})"))
    models = [system for system in systems if not system.is_floor] or systems  # cases show who saw the image
    cases = pick_cases(models, num_cases, settings.seed)
    finder = ImageFinder(recipes, images)
    groups = [[s for s in systems if s.task == task] for task in dict.fromkeys(s.task for s in systems)]
    names = [recipe.name if recipe else run.stem for run, recipe in recipes.items()]
    content = Content(
        title=", ".join(dict.fromkeys(names)),
        runs=[_facts(run, recipes[run], systems) for run in runs],
        systems=systems,
        pairs=[pair for group in groups for pair in pairs_of(group, settings)],
        cases=cases,
        pictures=pictures_of(cases, systems, finder, settings.score_threshold),
        curves={s.name: curves(s.records, settings) for s in systems if s.task == "grounding"},
        drops=[
            curve for run in runs if run.is_dir() for curve in _drops(run, settings, "" if len(runs) == 1 else run.name)
        ],
        commands=commands(recipes, systems, out),
        notes=[*_legend(systems), *finder.notes],  # pictures_of fills them
    )
    write_atomic(out, page(content))
    return out


def _legend(systems: Sequence[System]) -> list[str]:
    """What the names of the systems say of their evidence."""
    names = [system.name for system in systems]
    parts = {word for name in names for word in re.findall(r"[a-z]+", name)}
    told = [f"{source}: {row.title}" for source, row in SOURCES.items() if source in parts]
    told += ["a → b: learned with a, asked with b"] * any("→" in name for name in names)
    return [f"Evidence. {'; '.join(told)}."] if told else []


def _source(path: Path) -> int:
    """The place of a record file: sources of evidence in their one order, then what is no source."""
    name = path.stem.partition("-")[2]
    return list(SOURCES).index(name) if name in SOURCES else len(SOURCES)


def recipe_of(run: Path) -> "Recipe | None":
    """The recipe of a run's folder; None where it holds none that this version reads."""
    path = run / "recipe.json"
    if not path.is_file():
        return None
    from ..recipe import read_run_recipe

    try:
        return read_run_recipe(path)
    except ValueError:
        return None  # of another version: the page then shows its text and finds images by other ways


def record_files(run: Path) -> list[Path]:
    """The record files of a run by name. Raises `BadInput` if there is none."""
    if not run.is_dir():
        return [run]
    files, folder = [], run / "records"
    # those of the run's own adapters, then those of served models, each in a folder
    served = [path for path in sorted(folder.glob("*/*.jsonl")) if _is_of_model(path)]
    paths = [*sorted(folder.glob("*.jsonl")), *served] or sorted(run.glob("*.jsonl"))
    for path in (path for path in paths if path.stat().st_size and not path.name.endswith(".skipped.jsonl")):
        # a run without the folder has other lists beside its records, such as skipped.jsonl
        with suppress(BadInput) if path.parent == run else nullcontext():
            task_of(path)
            files.append(path)
    if not files:
        raise BadInput("no records.", file=run, fix="give a folder with records/*.jsonl, or a record file")
    return files


def _is_of_model(path: Path) -> bool:
    """Whether a record file below `records/` is of a served model, and not of one process of several."""
    return path.parent.parent.name == "records" and path.parent.suffix != ".ranks"


def _system(
    path: Path, run: Path, recipe: "Recipe | None", settings: EvalSettings, *, file: str, is_named: bool
) -> System:
    """One record file as a system, with the scores that the run stored where they still hold."""
    task = task_of(path)
    records = read_records([path], task)
    short = path.stem.removeprefix(f"{task}-")
    is_served = _is_of_model(path)
    if is_served:
        short = f"{path.parent.name} {short}"
    elif recipe and short in SOURCES:  # of a run it is known what its adapter learned with
        short = row_name(short, recipe.evidence.train_source)
    scores_file, stored = run / "scores" / (path.parent.name if is_served else "") / f"{path.stem}.json", None
    with suppress(BadInput):  # scores that cannot be read are made anew
        stored = read_json(scores_file) if scores_file.is_file() else None
    # scores of other records, or made with other settings, are made anew
    if stored and (stored.data_sha256, stored.settings) != (data_sha256(records), settings.model_dump(mode="json")):
        stored = None
    return make_system(
        f"{run.name}/{short}" if is_named and run.is_dir() else short,
        task,
        records,
        settings,
        file=file,
        file_sha256=file_sha256(path),
        stored=stored,
    )


def _drops(run: Path, settings: EvalSettings, prefix: str) -> Iterator[DropCurve]:
    """What corrupted pictures do to each system of a run that was asked with them; broken ones are passed over."""
    for path in record_files(run):
        model = path.parent.name if _is_of_model(path) else ""
        corrupted = RunFolder(run).probes_dir / model / f"{path.stem}.corrupt.jsonl"
        if corrupted.is_file() and corrupted.stat().st_size:
            title = "/".join(filter(None, [prefix, model, path.stem]))
            with suppress(BadInput):  # a run that is not finished
                if curve := drop_curve(title, read_records([path], task_of(path)), corrupted, settings):
                    yield curve


def _facts(run: Path, recipe: "Recipe | None", systems: Sequence[System]) -> RunFacts:
    if not run.is_dir():
        return RunFacts(name=run.name)
    skipped, settings = run / "skipped.jsonl", _json(run / "recipe.json")
    return RunFacts(
        name=run.name,
        title=recipe.title if recipe else "",
        learned_from=_teachers(recipe) if recipe else "",
        held=held_of(run, systems),
        settings=yaml.safe_dump(settings, sort_keys=False) if settings else "",  # defaults included
        seed=recipe.seed if recipe else None,
        seconds={name: value for name, value in _json(run / "seconds.json").items() if isinstance(value, int | float)},
        made=_json(run / "made.json"),
        losses={path.parent.name: list(read_lines(path)) for path in sorted(run.glob("*/log.jsonl"))},
        skipped=list(read_lines(skipped)) if skipped.is_file() else [],
    )


def _teachers(recipe: "Recipe") -> str:
    """What taught the run's core: its region sets by name, or that of the core it took."""
    grounding = recipe.grounding
    return f"what {grounding.core} did" if grounding.core else ", ".join(origin(data.name) for data in grounding.data)


def _json(path: Path) -> dict[str, Any]:
    return read_object(path, "copy the run again, or remove the file") if path.is_file() else {}
