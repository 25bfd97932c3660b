"""Every question set in one table: a new one is a file of this folder and a row of `QUESTION_SETS`.

The file of a set has two names. The settings class is a section `vqa.NAME` of a recipe, and `--dataset NAME` fills it;
it needs no torch and no `datasets` at import. `read` turns the settings into questions, for both of them:

    class MySettings(Settings): ...
    def read(settings: MySettings, context: ReadContext, skipped: Skipped) -> list[Question]: ...

A set of plain rows has a third, for what needs its text alone (`medglip data leaks`); see `public.py`:

    def read_rows(settings: MySettings, skipped: Skipped) -> list[QuestionRow]: ...
"""

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, Literal

from ...grounding.bad_input import BadInput, Skipped, nearest
from ...grounding.datasets.corpus import of_split
from ...grounding.settings import Settings

if TYPE_CHECKING:
    from datasets import Dataset

    from ..derived.settings import DeriveSettings
    from ..task import Question

Derive = Callable[["DeriveSettings"], "tuple[Path, Dataset]"]
Need = Literal["", "phantoms", "region_sets"]


@dataclass(frozen=True, kw_only=True)
class ReadContext:
    """What the reader of a set gets from its caller, a recipe or `--dataset`.

    `seed`: of splits that are drawn. `draws_val`: a set without val gets one, drawn from train, as a recipe wants it;
    False: splits as their scheme has them. `only_split`: train, val or test alone; None: all three.
    `phantom_dir`: the recipe's own phantoms. `derive`: writes what the recipe's region sets are asked, and returns
    the file and the images. Both are None outside of a recipe, where such a set needs its `path`.
    """

    seed: int = 0
    draws_val: bool = True
    only_split: str | None = None
    phantom_dir: Path | None = None
    derive: Derive | None = None


@dataclass(frozen=True, kw_only=True)
class QuestionSet:
    """One question set. `module`: its file in this folder; `settings_class`: the name of its settings class there.

    `title`, `licence`: as pages show them. `has_regions`: true regions come with its images, so that the source
    `oracle` and the probe `absent` can use them. `needs`: what a recipe must have for it: the section `phantoms`, or
    region sets in `grounding.data`.
    """

    module: str
    settings_class: str
    title: str
    licence: str
    has_regions: bool = False
    needs: Need = ""

    def load(self) -> ModuleType:
        """The module, imported now."""
        return import_module(f".{self.module}", __package__)

    def settings(self) -> type[Settings]:
        """The settings class."""
        return getattr(self.load(), self.settings_class)


QUESTION_SETS: dict[str, QuestionSet] = {
    "phantom": QuestionSet(
        module="phantom",
        settings_class="PhantomQuestionSettings",
        title="Phantoms",
        licence="none needed: drawn from a seed",
        has_regions=True,
        needs="phantoms",
    ),
    "derived": QuestionSet(
        module="derived",
        settings_class="DerivedQuestionSettings",
        title="Questions derived from regions",
        licence="that of each region set",
        has_regions=True,
        needs="region_sets",
    ),
    "vqa_rad": QuestionSet(module="vqa_rad", settings_class="VqaRadSettings", title="VQA-RAD", licence="CC0 1.0"),
    "slake": QuestionSet(
        module="slake", settings_class="SlakeSettings", title="SLAKE", licence="CC BY 4.0", has_regions=True
    ),
    "pathvqa": QuestionSet(module="pathvqa", settings_class="PathVqaSettings", title="PathVQA", licence="MIT"),
    "jsonl": QuestionSet(
        module="jsonl", settings_class="JsonlSettings", title="Questions of your own", licence="yours to state"
    ),
}
"""The sets by name, in the order in which pages and help show them."""


def question_set(name: str) -> QuestionSet:
    """The set of this name. Raises `BadInput` with the nearest valid one."""
    if name not in QUESTION_SETS:
        raise BadInput(f"unknown question set {name!r}.", fix=nearest(name, QUESTION_SETS))
    return QUESTION_SETS[name]


def read_set(name: str, settings: Settings, context: ReadContext, skipped: Skipped) -> "list[Question]":
    """The questions of a set; rows that cannot be used go to `skipped`. `settings`: of the set's own class.

    Raises `BadInput` for an unknown name, settings of another set, a missing folder, and a set without a usable
    question of `context.only_split`.
    """
    chosen = question_set(name)
    if not isinstance(settings, chosen.settings()):
        problem = f"{type(settings).__name__} are no settings of {name}."
        raise BadInput(problem, fix=f"give {chosen.settings_class}")
    read: Callable[[Any, ReadContext, Skipped], list[Question]] = chosen.load().read
    questions = read(settings, context, skipped)
    return of_split(questions, [q.image.split for q in questions], context.only_split, "question", name, skipped)
