"""Validation of an adapter by the metric of its tasks: answers to a part of split val, generated and scored."""

import logging
from collections.abc import Callable
from dataclasses import asdict
from statistics import fmean
from typing import Any

import numpy as np

from ...grounding.evidence.names import SOURCES, Source
from ...vqa.inference.generate import generating, write
from ...vqa.inference.predict import by_length, to_record
from ...vqa.model.grounded_mllm import GroundedMLLM
from ...vqa.prompt.prompt import instruction_text
from ...vqa.task import Job
from .pipeline import Adapter, Pipeline
from .tasks import TASKS, TaskRow

logger = logging.getLogger("medglip")


def by_metric(pipeline: Pipeline, kind: Adapter) -> Callable[[Any], dict[str, float]] | None:
    """What `fit` validates an adapter by, with evidence of the source that it learns with; None: nothing to answer.

    The values of each task in the log: `validation_vqa_accuracy`, `validation_report_label_f1`; `validation`, their
    mean, chooses the checkpoint.
    """
    recipe, shown = pipeline.recipe, pipeline.shown_to(kind)
    source: Source = recipe.evidence.train_source if kind == "grounded" else "none"
    rows = [row for row in TASKS.values() if row.name == "report" or recipe.mllm_train.validate_by == "metric"]
    asked = {row: jobs for row in rows if (jobs := _jobs(pipeline, row, kind, source))}

    def validate(mllm: GroundedMLLM) -> dict[str, float]:
        values: dict[str, float] = {}
        for row, jobs in asked.items():
            # unmerged: a second copy of the weights would not fit beside a training
            settings, records = row.decoding(pipeline).model_copy(update={"merge": False}), []
            texts = [instruction_text(job.example, shown) for job in jobs]
            with generating(mllm, settings):
                for indices in by_length(texts, settings.batch_size):
                    written = write(mllm, [mllm.render(jobs[i].example, shown) for i in indices], settings)
                    pairs = zip(indices, written, strict=True)
                    records += [asdict(to_record(jobs[i], text, shown)) for i, text in pairs]
            values[f"validation_{row.name}_{row.validated_by}"] = row.value(records)
        logger.info("   %s", ", ".join(f"{name} {value:.3f}" for name, value in values.items()))
        return {"validation": fmean(values.values()), **values}

    return validate if asked else None


def _jobs(pipeline: Pipeline, row: TaskRow[Any], kind: Adapter, source: Source) -> list[Job]:
    """Of one task, at most `validate_items` items of the split that chooses weights."""
    recipe, shown = pipeline.recipe, pipeline.shown_to(kind)
    items = [item for item in pipeline.items[row.name] if item.image.split == recipe.validation_split]
    if SOURCES[source].needs_truth:
        items = [item for item in items if item.image.phrases]
    if len(items) > (most := recipe.mllm_train.validate_items):
        drawn = np.random.default_rng(recipe.seed).choice(len(items), most, replace=False)
        items = [items[index] for index in sorted(drawn.tolist())]
    examples = pipeline.examples(row.name, shown, source, items)
    names = {"model": recipe.mllm.base, "adapter": pipeline.folder.adapter_dir(kind).name}
    options = row.job_options(pipeline, source, items)
    return [item.job(example, shown, names, **options) for item, example in zip(items, examples, strict=True)]
