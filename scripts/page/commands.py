"""The commands that make a page's numbers again, as they are pasted in the folder of the page."""

import os
import shlex
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ...eval.page.content import System
from ...eval.settings import EvalSettings

if TYPE_CHECKING:
    from ..recipe import Recipe


def path_from(page: Path, path: Path) -> str:
    """A path as the folder of the page sees it, so that it holds wherever the two are moved together."""
    return os.path.relpath(path.resolve(), page.resolve().parent)


def commands(recipes: "Mapping[Path, Recipe | None]", systems: Sequence[System], page: Path) -> list[str]:
    """The runs, the scores of each record file, and the page."""
    runs = " ".join(shlex.quote(path_from(page, run)) for run in recipes)
    return [
        *_runs(recipes, page),
        *(f"medglip eval {system.task} {shlex.quote(system.file)}{_flags(system)}" for system in systems),
        f"medglip eval page {runs} --out {shlex.quote(page.name)}",
    ]


def _runs(recipes: "Mapping[Path, Recipe | None]", page: Path) -> Iterator[str]:
    for run, recipe in recipes.items():
        if recipe is None:
            continue
        folder, out_dir = run.resolve(), recipe.out_dir
        # a relative `out_dir` is seen from where the run was started
        if not out_dir.is_absolute() and folder.parts[-len(out_dir.parts) :] == out_dir.parts:
            start = folder.parents[len(out_dir.parts) - 1]
            yield f"(cd {shlex.quote(path_from(page, start))} && medglip run {shlex.quote(f'{out_dir}/recipe.json')})"
        else:
            yield f"medglip run {shlex.quote(path_from(page, folder / 'recipe.json'))}"


_FLAGS = {
    "vqa": ["protocol", "closed_def", "candidates"],
    "report": ["report_protocol", "tokenization", "metrics"],
    "grounding": ["score_threshold"],
}


def _flags(system: System) -> str:
    """The scoring options that are not the defaults, as the command takes them: ` --resamples 20 --seed 1`."""
    defaults = EvalSettings().model_dump(mode="json")
    flags = ""
    for name in [*_FLAGS[system.task], "resamples", "confidence", "seed"]:
        value = system.scores.settings.get(name)
        if value != defaults[name]:
            text = ",".join(map(str, value)) if isinstance(value, list) else value
            flags += f" --{name.removeprefix('report_').replace('_', '-')} {text}"
    return flags
