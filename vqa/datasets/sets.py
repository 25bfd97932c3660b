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
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from ...grounding.bad_input import Skipped
from ...grounding.datasets.task_sets import SetContext, TaskSet, find_set, read_items
from ...grounding.settings import Settings

if TYPE_CHECKING:
    from datasets import Dataset

    from ..derived.settings import DeriveSettings
    from ..task import Question

SplitScheme = Literal["official", "official_no_frame", "image_grouped"]
"""How a set is split: see `splits`, which is not loaded to name them."""
Derive = Callable[["DeriveSettings"], "tuple[Path, Dataset]"]


@dataclass(frozen=True, kw_only=True)
class ReadContext(SetContext):
    """As `SetContext`, for a recipe or `--dataset`.

    `draws_val`: a set without val gets one, drawn from train, as a recipe wants it; False: splits as their scheme has
    them. `derive`: writes what the recipe's region sets are asked, and returns the file and the images; None outside
    of a recipe, where such a set needs its `path`.
    """

    draws_val: bool = True
    derive: Derive | None = None


class QuestionSet(TaskSet):
    """As `TaskSet`; its module lies beside this one."""


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
    "gemex": QuestionSet(
        module="chest.gemex",
        settings_class="GemexSettings",
        title="GEMeX",
        licence="PhysioNet Credentialed Health Data License 1.5.0 (images); non-commercial",
        has_regions=True,
    ),
    "heal_medvqa": QuestionSet(
        module="chest.heal_medvqa",
        settings_class="HealMedVqaSettings",
        title="HEAL-MedVQA",
        licence="MIT, images under the terms of VinDr-CXR and MIMIC-CXR",
        has_regions=True,
    ),
    "cxr_qba": QuestionSet(
        module="chest.cxr_qba",
        settings_class="CxrQbaSettings",
        title="MIMIC-Ext-CXR-QBA",
        licence="PhysioNet Credentialed Health Data License 1.5.0",
        has_regions=True,
    ),
    "padchest_gr": QuestionSet(
        module="chest.padchest_gr",
        settings_class="PadChestGrSettings",
        title="PadChest-GR",
        licence="PadChest Dataset Research Use Agreement",
        has_regions=True,
    ),
    "jsonl": QuestionSet(
        module="jsonl", settings_class="JsonlSettings", title="Questions of your own", licence="yours to state"
    ),
}
"""The sets by name, in the order in which pages and help show them."""


def question_set(name: str) -> QuestionSet:
    """The set of this name. Raises `BadInput` with the nearest valid one."""
    return find_set(QUESTION_SETS, "question", name)


def read_set(name: str, settings: Settings, context: ReadContext, skipped: Skipped) -> "list[Question]":
    """The questions of a set; arguments and errors as `task_sets.read_items`."""
    return read_items(QUESTION_SETS, "question", name, settings, context, skipped)
