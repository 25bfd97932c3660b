"""Questions and reports of a recipe: which reader, which part of the scored split, what records say of an image."""

from dataclasses import replace
from pathlib import Path
from typing import TypeVar

import numpy as np

from ...grounding.bad_input import Skipped
from ...grounding.datasets.phantoms import dataset as phantom
from ...report.datasets.load import load_reports
from ...report.datasets.phantom import read_reports as read_phantom_reports
from ...report.task import Report
from ...vqa.datasets.sets import QUESTION_SETS, ReadContext, read_set
from ...vqa.task import Question
from ..recipe import Recipe
from .derived_data import derived_items, derived_reports, without_phantoms

Item = TypeVar("Item", Question, Report)


def read_questions(recipe: Recipe, phantom_dir: Path | None, skipped: Skipped) -> list[Question]:
    """Every question of the recipe; the scored split of every set cut to `max_test`.

    Of several sets `meta.set` names that of a question.
    """
    if (task := recipe.vqa) is None:
        return []
    if len(task.sets) == 1:
        return _cut(_questions_of(task.sets[0], recipe, phantom_dir, skipped), recipe, task.max_test)
    found: list[Question] = []
    for name in task.sets:
        questions = _cut(_questions_of(name, recipe, phantom_dir, skipped), recipe, task.max_test)
        found += [replace(question, meta={**question.meta, "set": name}) for question in questions]
    return found


def _questions_of(name: str, recipe: Recipe, phantom_dir: Path | None, skipped: Skipped) -> list[Question]:
    assert recipe.vqa is not None
    source = without_phantoms(recipe) if "phantom" in recipe.vqa.sets else recipe
    context = ReadContext(
        seed=recipe.seed,
        phantom_dir=phantom_dir,
        derive=lambda settings: derived_items(source, settings, skipped),
    )
    settings = getattr(recipe.vqa, name, None) or QUESTION_SETS[name].settings()()
    return read_set(name, settings, context, skipped)


def read_reports(recipe: Recipe, phantom_dir: Path | None, skipped: Skipped) -> list[Report]:
    """Every report of the recipe; the scored split cut to `max_test`."""
    if (task := recipe.report) is None:
        return []
    name = task.sets[0]
    if phantom_dir and name == "phantom":
        reports, left_out = read_phantom_reports(phantom_dir, phantom.read(phantom_dir)), Skipped()
    elif name == "derived":
        reports, left_out = derived_reports(recipe, task.derived, skipped), Skipped()
    else:
        reports, left_out = load_reports(name, settings=getattr(task, name), seed=recipe.seed)
    skipped.entries += left_out.entries
    return _cut(reports, recipe, task.max_test)


def _cut(items: list[Item], recipe: Recipe, most: int | None) -> list[Item]:
    """All items to train on and to validate on, at most `most` of the scored split, drawn with the seed; in order."""
    scored = [i for i, item in enumerate(items) if item.image.split == recipe.eval_split]
    if most is not None and len(scored) > most:
        scored = sorted(np.random.default_rng(recipe.seed).choice(scored, most, replace=False).tolist())
    keep, whole = set(scored), ("train", recipe.held_out_split)
    return [item for i, item in enumerate(items) if i in keep or item.image.split in whole]
