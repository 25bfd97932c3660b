"""The tasks of a recipe, one row each in `TASKS`: how its items are read, learned and answered.

A new task is one file like this one's `Questions` with the class of its item, a row in `TASKS`, and its section in the
recipe; the pipeline knows no task by name.
"""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Generic, TypeVar, cast

import numpy as np
from datasets import Dataset

from ...eval.metrics.fields import holds
from ...eval.records import Record
from ...eval.score import measure
from ...eval.settings import EvalSettings
from ...grounding.bad_input import Skipped
from ...grounding.evidence.evidence import EvidenceSettings
from ...grounding.evidence.names import SOURCES, Source
from ...grounding.files import sha256, write_atomic
from ...grounding.records import Task
from ...grounding.training.recipe import CoreRecipe
from ...grounding.training.stage import HeldOut, core_images
from ...grounding.vocabulary.negation import engine_named
from ...report.datasets.sets import REPORT_SETS, ReportContext
from ...report.datasets.sets import read_set as read_reports
from ...report.records import ReportTruth, finding_labels, findings_f1
from ...report.task import Report
from ...report.text.citation_targets import to_cited
from ...vqa.datasets.sets import QUESTION_SETS, ReadContext
from ...vqa.datasets.sets import read_set as read_questions
from ...vqa.derived.derive import derive, write
from ...vqa.derived.settings import DeriveSettings
from ...vqa.inference.settings import GenerateSettings
from ...vqa.probes import PROBES, Probe, corrupt, probe_questions
from ...vqa.prompt.prompt import Example
from ...vqa.task import Question, TaskItem
from ..recipe import Mix, Recipe, TaskSection

if TYPE_CHECKING:
    from ...grounding.evidence.sources import RegionCaches
    from .pipeline import Pipeline

logger = logging.getLogger("medglip")

Item = TypeVar("Item", bound=TaskItem)


class TaskRow(Generic[Item]):
    """What the pipeline asks of a task; the defaults are those of items that need nothing special."""

    name: Task
    """Its section in the recipe, and the first word of its record files."""
    plural: str
    """What its items are called."""
    headline: Mapping[str, str]
    """Scores of the run's table: the name there -> the name of the metric."""
    validated_by: str
    """What `value` is, in the log of a training."""
    probes: tuple[Probe, ...] = ()
    """Those of the recipe's `probes` that ask its items again."""

    def section(self, recipe: Recipe) -> TaskSection | None:
        """Its section of the recipe; None: the task is not part of the run."""
        return getattr(recipe, self.name)

    def check(self, recipe: Recipe) -> None:
        """Raise `BadInput` for what would fail hours later, such as a package that is missing."""

    def read(self, recipe: Recipe, phantom_dir: Path | None, skipped: Skipped) -> list[Item]:
        """Every item of the recipe; the scored split of every set cut to `max_test`; [] without its section."""
        raise NotImplementedError

    def example(self, item: Item, example: Example, recipe: Recipe, shown: EvidenceSettings) -> Example:
        """The item's example as an adapter learns it and is asked, whose prompts show evidence by `shown`."""
        return example

    def draws(self, examples: list[Example], mix: Mix, cites: bool) -> list[tuple[list[Example], float]]:
        """Kinds of examples and their shares of what an adapter learns. `cites`: whether it learns to cite regions."""
        raise NotImplementedError

    def with_truth(self, items: Sequence[Item]) -> list[Item]:
        """Of a mix of sets the items of those that know their true regions: what source `oracle` is asked."""
        return [item for item in items if item.image.phrases]

    def under(self, probe: Probe, items: Sequence[Item], seed: int, folder: Path) -> list[Item]:
        """The items under one of its `probes`, whose pictures are written below `folder` where they are written."""
        raise NotImplementedError

    def job_options(
        self, pipeline: "Pipeline", source: Source, items: Sequence[Item], caches: "RegionCaches | None" = None
    ) -> dict[str, Any]:
        """What `job` of each item is given besides; `items` are answered with one evidence source.

        `caches`: regions of their images, where these are not those of the recipe.
        """
        return {}

    def value(self, records: Sequence[Record]) -> float:
        """How good these answers are, in [0, 1]: what validation by the task's metric goes by."""
        raise NotImplementedError

    def decoding(self, pipeline: "Pipeline") -> GenerateSettings:
        """How its texts are written."""
        section = self.section(pipeline.recipe)
        return section.generate if section else GenerateSettings()


class Questions(TaskRow[Question]):
    """Questions about images."""

    name = "vqa"
    plural = "questions"
    headline = MappingProxyType({"open": "open_accuracy", "closed": "closed_accuracy"})
    validated_by = "accuracy"
    probes = tuple(PROBES)

    def read(self, recipe: Recipe, phantom_dir: Path | None, skipped: Skipped) -> list[Question]:
        """Of several sets `meta.set` names that of a question."""
        if (task := recipe.vqa) is None:
            return []
        source: Recipe = recipe
        if "phantom" in task.sets:  # they bring questions of their own, so that only real sets are derived from
            real = tuple(entry for entry in recipe.grounding.data if entry.layout != "phantom")
            grounding = recipe.grounding.model_copy(update={"data": real})
            source = recipe.model_copy(update={"grounding": grounding})

        def derive_from(settings: DeriveSettings) -> tuple[Path, Dataset]:
            images = core_images(source, HeldOut(), skipped)
            return derived_file(source, settings, lambda: images), images

        context = ReadContext(seed=recipe.seed, phantom_dir=phantom_dir, derive=derive_from)
        questions: list[Question] = []
        for entry in task.data:
            items = read_questions(entry.set, entry.settings(QUESTION_SETS), context, skipped)
            items = cut_to_max(items, recipe, task.max_test, max_val=MAX_VAL)
            if len(task.data) > 1:
                items = [replace(question, meta={**question.meta, "set": entry.set}) for question in items]
            questions += items
        return questions

    def under(self, probe: Probe, items: Sequence[Question], seed: int, folder: Path) -> list[Question]:
        """As `probe_questions`."""
        return probe_questions(probe, items, seed, folder)

    def draws(self, examples: list[Example], mix: Mix, cites: bool) -> list[tuple[list[Example], float]]:
        """One kind."""
        return [(examples, mix.vqa)]

    def value(self, records: Sequence[Record]) -> float:
        """The accuracy of open and closed questions together, by exact match."""
        return float(measure(records, "vqa", EvalSettings()).measures["overall_accuracy"].value)

    def decoding(self, pipeline: "Pipeline") -> GenerateSettings:
        """As the recipe says; chosen among the answers of the training questions where it asks for candidates."""
        decoding, section = super().decoding(pipeline), pipeline.recipe.vqa
        if section is None or not section.candidates:
            return decoding
        questions = cast(list[Question], pipeline.items["vqa"])
        taught = (question.answer for question in questions if question.image.split == "train")
        return decoding.model_copy(update={"only": tuple(dict.fromkeys(taught))})


class Reports(TaskRow[Report]):
    """Reports of studies."""

    name = "report"
    plural = "reports"
    probes = ("corrupt",)
    validated_by = "label_f1"
    headline = MappingProxyType(
        {
            # first what is true of the picture, then words in common
            "chexbert_14_micro": "chexbert_micro_f1_14",
            "chexbert_14_macro": "chexbert_macro_f1_14",
            "chexbert_5_micro": "chexbert_micro_f1_5",
            "chexbert_5_macro": "chexbert_macro_f1_5",
            "radgraph_f1": "radgraph_partial",
            "radcliq": "radcliq_v1",
            "green": "green",
            "crimson": "crimson",
            "label_f1": "label_micro_f1",
            "spatial_precision": "radfact_spatial_precision",
            "spatial_recall": "radfact_spatial_recall",
            "bleu_4": "bleu_4",
            "rouge_l": "rouge_l",
            "cider": "cider",
        }
    )

    def check(self, recipe: Recipe) -> None:
        """The package that tells what a sentence denies is there."""
        if recipe.report:
            engine_named(recipe.report.negation)

    def read(self, recipe: Recipe, phantom_dir: Path | None, skipped: Skipped) -> list[Report]:
        """One set."""
        if (task := recipe.report) is None:
            return []
        region_images = partial(core_images, recipe, HeldOut(), skipped)
        context = ReportContext(seed=recipe.seed, phantom_dir=phantom_dir, region_images=region_images)
        (entry,) = task.data
        return cut_to_max(read_reports(entry.set, entry.settings(REPORT_SETS), context, skipped), recipe, task.max_test)

    def example(self, item: Report, example: Example, recipe: Recipe, shown: EvidenceSettings) -> Example:
        """Asked to cite where the evidence asks for it; its sections weighed where the recipe weighs them."""
        if item.section == "both" and (weights := recipe.mllm_train.sections):
            parts = (("Findings:", weights.findings), ("Impression:", weights.impression))
            example = replace(example, parts=parts)
        return to_cited(item, example) if shown.cite else example

    def with_truth(self, items: Sequence[Report]) -> list[Report]:
        """All of them: there is one set, and a study without boxes (MS-CXR) is one whose true regions are none."""
        return list(items)

    def draws(self, examples: list[Example], mix: Mix, cites: bool) -> list[tuple[list[Example], float]]:
        """As they are, and with citations."""
        # without citations a report counts once, with the share of both kinds
        plain = [replace(example, may_cite=False) for example in examples]
        return [(plain, mix.report), (examples, mix.cited)] if cites else [(plain, mix.report + mix.cited)]

    def under(self, probe: Probe, items: Sequence[Report], seed: int, folder: Path) -> list[Report]:
        """Of corrupted pictures: the one probe that it has."""
        return corrupt(items, folder, seed)

    def job_options(
        self, pipeline: "Pipeline", source: Source, items: Sequence[Report], caches: "RegionCaches | None" = None
    ) -> dict[str, Any]:
        """Judged against the truth where findings are annotated, which most sets have not.

        Sentences written without evidence are grounded in what the core finds: writing first, grounding after.
        """
        truth, section = None, pipeline.recipe.report
        # labels of all reports, not of `items` alone: a probe or one source must be judged as the rest are
        if items and (labels := finding_labels(pipeline.reports)):
            evidence = pipeline.evidence("predicted", items, caches) if not SOURCES[source].module else []
            truth = ReportTruth(labels=labels, evidence=dict(zip((r.report_id for r in items), evidence, strict=False)))
        return {"truth": truth, "negation": section.negation if section else "rules"}

    def value(self, records: Sequence[Record]) -> float:
        """Micro F1 of findings: MIMIC-CXR-JPG's labels where records hold them, else those annotated on the image, else
        those that the reference affirms.
        """
        if any(holds(record, "chexpert") for record in records):
            settings = EvalSettings(metrics=("label_micro_f1",))
            return float(measure(records, "report", settings).measures["label_micro_f1"].value)
        return findings_f1(records)


TASKS: dict[Task, TaskRow] = {row.name: row for row in (Questions(), Reports())}
"""Every downstream task, in the order in which its examples are drawn, scored and shown."""


MAX_VAL = 150
"""Validation questions of a set that choose when an answer counts (`confidence.py`), where a run scores others."""


def cut_to_max(items: list[Item], recipe: Recipe, max_test: int | None, max_val: int = 0) -> list[Item]:
    """All items to train or validate on; at most `max_test` of the scored split, drawn with the seed, in order.

    Where `val` does not choose the weights, at most `max_val` of it are kept, drawn likewise.
    """
    # of the three splits val stays only where it is scored or chooses the weights; of train nothing is ever cut
    scored = [i for i, item in enumerate(items) if item.image.split == recipe.eval_split]
    if max_test is not None and len(scored) > max_test:
        scored = sorted(np.random.default_rng(recipe.seed).choice(scored, max_test, replace=False).tolist())
    chosen, complete = set(scored), ("train", recipe.validation_split)
    if recipe.eval_split == "test" and not recipe.validation_split:
        val = [i for i, item in enumerate(items) if item.image.split == "val"]
        chosen |= {*np.random.default_rng(recipe.seed).permutation(val)[:max_val].tolist()}
    return [item for i, item in enumerate(items) if i in chosen or item.image.split in complete]


def derived_file(recipe: CoreRecipe, settings: DeriveSettings, images: Callable[[], Dataset]) -> Path:
    """The items of the recipe's region sets, `images`, which are asked for only where the settings have changed."""
    file = recipe.out_dir / "derived.jsonl"
    # items follow from these settings alone; with others they are made anew
    stamp = sha256(recipe.model_dump_json(include={"seed", "phantoms", "grounding"}) + settings.model_dump_json())
    stamp_file = file.with_suffix(".sha256")
    if not (file.exists() and stamp_file.exists() and stamp_file.read_text() == stamp):
        items, left_out = derive(images(), settings, {s.name: s.licence for s in recipe.grounding.data})
        write(file, items)  # before the stamp: if it is killed in between, they are made again
        write_atomic(stamp_file, stamp)
        left_out.write(file.with_suffix(".skipped.jsonl"))
        logger.info("   %d questions and captions derived; %s", len(items), left_out.summary())
    return file
