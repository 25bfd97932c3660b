"""Stages of a recipe, one after the other: core, regions, two adapters with one budget, predictions, scores, page.

Every command that goes through them is a function here: `run`, `train_and_predict`.
"""

import json
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...grounding.bad_input import Skipped
from ...grounding.evidence.evidence import EvidenceSettings
from ...grounding.evidence.names import SOURCES, Source, usable_sources
from ...grounding.files import write_atomic
from ...grounding.records import Task, record_identity
from ...grounding.run_folder import RunFolder
from ...grounding.settings import read_settings
from ...grounding.training.loop import processes
from ...vqa.inference.predict import predict, write_shared
from ...vqa.inference.settings import GenerateSettings
from ...vqa.probes import Probe
from ...vqa.task import Job
from ..page.gather import write_page
from ..recipe import Recipe
from .confidence import write_confidence
from .made import made_with
from .pipeline import ADAPTERS, Adapter, Pipeline, released_on_failure
from .preflight import check_disk, check_models, tell_unscored
from .results import results_table, score, write_grounding_records
from .tasks import TASKS
from .training import tune

logger = logging.getLogger("medglip")

PROBED: tuple[Source, ...] = tuple(usable_sources())
"""Controls of the evidence are not probed: they are no system that anybody would use."""


def run(recipe_path: Path) -> dict[str, Any]:
    """Every stage of one recipe; called again, it continues where it was. Returns what `results.json` holds.

    Several processes train and predict together; what is not shared the first of them does alone, scores among it,
    and the others return nothing. Raises `BadInput` while another command writes to this `out_dir`.
    """
    recipe = read_settings(Recipe, recipe_path)
    with RunFolder(recipe.out_dir).locked():
        return _run(Pipeline(recipe))


def _run(pipeline: Pipeline) -> dict[str, Any]:
    ranks, recipe = processes(), pipeline.recipe
    with released_on_failure(pipeline.folder):
        check_models(recipe)
    with released_on_failure(pipeline.folder), pipeline.timed("data"), ranks.main_process_first():
        counts = [f"{len(pipeline.items[name])} {row.plural}" for name, row in TASKS.items()]
        logger.info("   %s, %d images with regions", ", ".join(counts), len(pipeline.images))
        pipeline.refuse_empty()
        tell_unscored(recipe)
        if pipeline.phantom_dir:
            logger.info("   first picture: %s", pipeline.phantom_dir / "phantoms.png")
        check_disk(pipeline)
    with pipeline.timed("grounding core"):
        _ = pipeline.grounder
    with pipeline.timed("regions"), ranks.main_process_first():
        write_grounding_records(pipeline)
        _ = pipeline.caches
    for kind in ADAPTERS if recipe.vqa or recipe.report else ():  # of a core alone there is nobody to ask
        tune_and_predict(pipeline, kind)
    if not ranks.is_main_process:
        return {}
    with pipeline.timed("scores and page"):
        results = score(pipeline)
        pipeline.skipped.write(pipeline.folder.skipped_file)
        write_atomic(pipeline.folder.made_file, json.dumps(made_with(), indent=1))
        page = write_page([pipeline.folder.path], pipeline.folder.page_file, settings=pipeline.recipe.eval)
    logger.info("%s\n%s", results_table(results), pipeline.skipped.summary())
    logger.info("page: %s\nresults: %s", page, pipeline.folder.results_file)
    return results


def train_and_predict(recipe: Path, *tasks: Task) -> None:
    """Every stage of a recipe up to its two adapters, and records of these tasks with every evidence source.

    Every process calls it. What is not trained the first of them does alone, so that none of them draws an image or
    looks for a region twice.
    """
    settings, ranks = read_settings(Recipe, recipe), processes()
    with RunFolder(settings.out_dir).locked():
        pipeline = Pipeline(settings)
        with released_on_failure(pipeline.folder):
            check_models(settings)
        with released_on_failure(pipeline.folder), ranks.main_process_first():
            _ = pipeline.phantom_dir, pipeline.images
            pipeline.refuse_empty()
            tell_unscored(settings)
            check_disk(pipeline)
        _ = pipeline.grounder  # trained by all of them together, so outside
        with ranks.main_process_first():
            _ = pipeline.caches
        for kind in ADAPTERS:
            tune_and_predict(pipeline, kind, tasks)


def tune_and_predict(pipeline: Pipeline, kind: Adapter, tasks: tuple[Task, ...] = tuple(TASKS)) -> None:
    """One adapter, loaded once, and the predictions of its evidence sources for these tasks."""
    sources = [source for source in pipeline.recipe.sources if (source == "none") == (kind == "plain")]
    if not sources:  # an adapter that nobody asks is not trained
        return
    model, shown = tune(pipeline, kind), pipeline.shown_to(kind)

    def write(jobs: Sequence[Job], settings: GenerateSettings, path: Path) -> Skipped:
        is_scored = any(job.fields["task"] == "vqa" for job in jobs)  # the probability of a report is of no use
        return predict(model, jobs, shown, settings, path, is_scored=is_scored)

    if "vqa" in tasks:
        with pipeline.timed(f"validation {kind}"):
            write_confidence(pipeline, model, kind)
    names = {"model": pipeline.recipe.mllm.base, "adapter": pipeline.folder.adapter_dir(kind).name}
    predict_sources(pipeline, RecordWriter(names=names, shown=shown, write=write), sources, tasks)


@dataclass(frozen=True, kw_only=True)
class RecordWriter:
    """Who answers. `names`: `model` and `adapter` of its records; `shown`: what its prompts show of the evidence.

    `write(jobs, decoding, path)`: a record a job, as `predict` writes them. `folder`: below those of records and
    probes, "" for the adapters of the run itself.
    """

    names: Mapping[str, str]
    shown: EvidenceSettings
    write: Callable[[Sequence[Job], GenerateSettings, Path], Skipped]
    folder: str = ""


def predict_sources(pipeline: Pipeline, writer: RecordWriter, sources: Sequence[Source], tasks: Sequence[Task]) -> None:
    """Every source of every task, and the recipe's probes of those that are probed."""
    for source in sources if tasks else ():
        with pipeline.timed(f"predict {source}"):
            for task in tasks:
                predict_source(pipeline, writer, source, task)
        for task in tasks if source in PROBED else ():
            probes: list[Probe] = [probe for probe in pipeline.recipe.probes if probe in TASKS[task].probes]
            for probe in probes:
                with pipeline.timed(f"probe {source} {probe}"):
                    predict_source(pipeline, writer, source, task, probe)


def predict_source(
    pipeline: Pipeline, writer: RecordWriter, source: Source, task: Task, probe: Probe | None = None
) -> None:
    """Records of every scored item of a task with one evidence source; continues after the last complete line.

    `probe`: of the scored items under it, `probes/TASK-SOURCE.PROBE.jsonl`, for `medglip eval probes`. The record of
    a changed image has the id, image and cluster of its original, so that the two pair.
    """
    row, recipe, shown = TASKS[task], pipeline.recipe, writer.shown
    if row.section(recipe) is None:
        return
    items = [item for item in pipeline.items[task] if item.image.split == recipe.eval_split]
    path, caches, originals = pipeline.folder.record_file(task, source, writer.folder), None, {}
    if probe:
        originals = {item.item_id: item.image for item in items}
        items = row.under(probe, items, recipe.seed, pipeline.folder.corrupted_dir)
        path = pipeline.folder.probe_file(task, source, probe, writer.folder)
        # changed images have regions of their own, and `absent` looks for phrases that nobody asked for yet
        caches = None if source == "none" and task == "vqa" else pipeline.caches_of(items, probe == "flipped")
    elif SOURCES[source].needs_truth:  # of a mix, the sets that know their true regions
        items = row.with_truth(items)
    examples = pipeline.examples(task, shown, source, items, caches)
    options = row.job_options(pipeline, source, items, caches)
    names = {**writer.names, **pipeline.found_by(source)}
    jobs = [item.job(example, shown, names, **options) for item, example in zip(items, examples, strict=True)]
    for item, job in zip(items, jobs, strict=True):
        if original := originals.get(str(item.meta.get("original", item.item_id))):
            job.fields.update(record_identity(original))
    decoding = row.decoding(pipeline)
    skipped = write_shared(jobs, path, lambda mine, own: writer.write(mine, decoding, own))
    pipeline.skipped.entries += skipped.entries
