"""Stages of a recipe, one after the other: core, regions, two adapters with one budget, predictions, scores, page.

Every command that trains or predicts by a recipe is a function here, `fine_tune` of a public detector among them.
"""

import json
import logging
from collections.abc import Mapping
from itertools import chain
from pathlib import Path
from typing import Any, cast

from ...grounding.bad_input import BadInput
from ...grounding.evidence.names import SOURCES, Source, usable_sources
from ...grounding.files import write_atomic
from ...grounding.grounders.pretrained import load_grounder
from ...grounding.grounders.zero_shot import ZeroShotGrounder
from ...grounding.records import Task, record_identity
from ...grounding.run_folder import is_complete, mark_complete
from ...grounding.settings import read_settings
from ...grounding.training.detector import check_tunable
from ...grounding.training.detector import fine_tune as fine_tune_detector
from ...grounding.training.loop import processes
from ...grounding.training.provenance import write_learned
from ...grounding.training.settings import FineTuneSettings
from ...vqa.inference.predict import predict, write_shared
from ...vqa.model.grounded_mllm import GroundedMLLM, load
from ...vqa.probes import Probe, probe_questions
from ...vqa.prompt.prompt import Example
from ...vqa.task import Question
from ...vqa.training.train import train
from ..page.gather import write_page
from ..recipe import Mix, Recipe
from .pipeline import ADAPTERS, Adapter, Pipeline
from .results import results_table, score, write_grounding_records
from .tasks import TASKS
from .warm_up import warm_up_language

logger = logging.getLogger("medglip")

PROBED: tuple[Source, ...] = tuple(usable_sources())
"""Controls of the evidence are not probed: they are no system that anybody would use."""


def run(recipe_path: Path) -> dict[str, Any]:
    """Every stage of one recipe; called again, it continues where it was. Returns what `results.json` holds.

    Several processes train and predict together; what is not shared the first of them does alone, scores among it,
    and the others return nothing.
    """
    pipeline, ranks = Pipeline(read_settings(Recipe, recipe_path)), processes()
    with pipeline.timed("data"), ranks.main_process_first():
        counts = [f"{len(pipeline.items[name])} {row.plural}" for name, row in TASKS.items()]
        logger.info("   %s, %d images with regions", ", ".join(counts), len(pipeline.images))
        if pipeline.phantom_dir:
            logger.info("   first picture: %s", pipeline.phantom_dir / "phantoms.png")
    with pipeline.timed("grounding core"):
        _ = pipeline.grounder
    with pipeline.timed("regions"), ranks.main_process_first():
        write_grounding_records(pipeline)
        _ = pipeline.caches
    for kind in ADAPTERS:
        tune_and_predict(pipeline, kind)
    if not ranks.is_main_process:
        return {}
    with pipeline.timed("scores and page"):
        results = score(pipeline)
        pipeline.skipped.write(pipeline.folder.skipped_file)
        page = write_page([pipeline.folder.path], pipeline.folder.page_file, settings=pipeline.recipe.eval)
    logger.info("%s\n%s", results_table(results), pipeline.skipped.summary())
    logger.info("page: %s\nresults: %s", page, pipeline.folder.results_file)
    return results


def train_adapters(recipe: Path) -> None:
    """Every stage of a recipe up to its two adapters; every process of the training calls it."""
    pipeline = _prepare(recipe)
    for kind in ADAPTERS:
        tune_and_predict(pipeline, kind, ())


def predict_task(recipe: Path, task: Task) -> None:
    """Records of one task with every evidence source of a recipe; every process calls it."""
    pipeline = _prepare(recipe)
    for kind in ADAPTERS:
        tune_and_predict(pipeline, kind, (task,))


def _prepare(recipe: Path) -> Pipeline:
    """A pipeline with its core trained and its regions found.

    What is not trained the first of several processes does alone, so that none of them draws an image or looks for a
    region twice.
    """
    pipeline, ranks = Pipeline(read_settings(Recipe, recipe)), processes()
    with ranks.main_process_first():
        _ = pipeline.phantom_dir, pipeline.images
    _ = pipeline.grounder  # trained by all of them together, so outside
    with ranks.main_process_first():
        _ = pipeline.caches
    return pipeline


def tune_and_predict(pipeline: Pipeline, kind: Adapter, tasks: tuple[Task, ...] = tuple(TASKS)) -> None:
    """One adapter, loaded once, and the predictions of its evidence sources for these tasks."""
    sources = [source for source in pipeline.recipe.sources if (source == "none") == (kind == "plain")]
    if not sources:  # an adapter that nobody asks is not trained
        return
    model = tune(pipeline, kind)
    for source in sources if tasks else ():
        with pipeline.timed(f"predict {source}"):
            for task in tasks:
                predict_source(pipeline, model, kind, source, task)
        for task in tasks if source in PROBED else ():
            for probe in pipeline.recipe.probes if TASKS[task].has_probes else ():
                with pipeline.timed(f"probe {source} {probe}"):
                    predict_source(pipeline, model, kind, source, task, probe)


def tune(pipeline: Pipeline, kind: Adapter) -> GroundedMLLM:
    """The base with one adapter, trained now, or further, if it is not finished."""
    recipe, shown, folder = pipeline.recipe, pipeline.shown_to(kind), pipeline.folder.adapter_dir(kind)
    dim, core = pipeline.grounder.embedding_dim, pipeline.grounder_dir
    if is_complete(folder):  # the marker is written last, so the whole adapter is there
        return load(recipe.mllm, dim, folder, vision=core)
    start = warm_up_language(pipeline)
    with pipeline.timed(f"adapter {kind}"):
        model = load(recipe.mllm, dim, start, vision=core)
        training = examples_of_split(pipeline, kind, "train")
        examples, weights = weigh_examples(training, recipe.mllm_train.mix, shown.cite)
        held_out = list(chain(*examples_of_split(pipeline, kind, recipe.validation_split).values()))
        settings, out_dir = recipe.mllm_train.settings, pipeline.folder.training_dir(kind)
        train(model, examples, shown, settings, out_dir, f"adapter {kind}", held_out, weights)
        if processes().is_main_process:  # all of them hold the same weights
            model.save(folder, shown)
            learned = {path for example in examples for path in example.image_paths}
            write_learned(folder, learned, start or pipeline.aligned_dir)
            mark_complete(folder)
        processes().wait_for_everyone()
    return model


def examples_of_split(pipeline: Pipeline, kind: Adapter, split: str) -> dict[Task, list[Example]]:
    """Of each task what an adapter is trained or validated on: with predicted evidence, or without any."""
    source: Source = "predicted" if kind == "grounded" else "none"
    return {
        name: pipeline.examples(name, kind, source, [item for item in items if item.image.split == split])
        for name, items in pipeline.items.items()
    }


def weigh_examples(
    examples: Mapping[Task, list[Example]], mix: Mix | None, cites: bool
) -> tuple[list[Example], list[float] | None]:
    """What an adapter learns from, and how often each is drawn, by the recipe's `mix`; None: once an epoch."""
    if mix is None:
        return list(chain(*examples.values())), None
    every_kind = [draw for name, own in examples.items() for draw in TASKS[name].draws(own, mix, cites)]
    kinds = [(own, share) for own, share in every_kind if own and share]
    if not kinds:
        raise BadInput("nothing to draw: every kind of example that is there has share 0.", fix="key 'mllm_train.mix'")
    # 900 questions and 100 reports of one share each: 1/900 a question, 1/100 a report
    weights = [share / len(own) for own, share in kinds for _ in own]
    return [example for own, _ in kinds for example in own], weights


def predict_source(
    pipeline: Pipeline, model: GroundedMLLM, kind: Adapter, source: Source, task: Task, probe: Probe | None = None
) -> None:
    """Records of every scored item of a task with one evidence source; continues after the last complete line.

    `probe`: of the scored questions under it, `probes/vqa-SOURCE.PROBE.jsonl`, for `medglip eval probes`. The record of
    a changed image has the id, image and cluster of its original, so that the two pair.
    """
    row, recipe, shown = TASKS[task], pipeline.recipe, pipeline.shown_to(kind)
    if (section := row.section(recipe)) is None:
        return
    items = [item for item in pipeline.items[task] if item.image.split == recipe.eval_split]
    path, caches, originals = pipeline.folder.record_file(task, source), None, {}
    if probe:
        originals = {item.item_id: item.image for item in items}
        items = probe_questions(probe, cast(list[Question], items), recipe.seed)
        path = pipeline.folder.probe_file(task, source, probe)
        # changed images have regions of their own, and `absent` looks for phrases that nobody asked for yet
        caches = None if source == "none" else pipeline.caches_of(items, probe == "flipped")
    elif SOURCES[source].needs_truth:  # of a mix, the sets that know their true regions
        items = [item for item in items if item.image.phrases]
    examples = pipeline.examples(task, kind, source, items, caches)
    names = {"model": recipe.mllm.base, "adapter": pipeline.folder.adapter_dir(kind).name}
    options = row.job_options(pipeline, source, items)
    jobs = [item.job(example, shown, names, **options) for item, example in zip(items, examples, strict=True)]
    for job in jobs:
        if original := originals.get(job.id):
            job.fields.update(record_identity(original))
    skipped = write_shared(jobs, path, lambda mine, own: predict(model, mine, shown, section.generate, own))
    pipeline.skipped.entries += skipped.entries


def fine_tune(
    pipeline: Pipeline, checkpoint: str, out: Path, settings: FineTuneSettings, *, download: bool = False
) -> Path:
    """Train the detector on the split `train` of the recipe's region sets; return its folder, `out / "model"`.

    What the sets annotate is kept beside the weights as `vocabulary.json`, so that `medglip grounding predict` knows
    what to look for; images that could not be read are listed in `skipped.jsonl` of the folder. Raises `BadInput` as
    the detector's own `fine_tune` does, before any data are read where the detector cannot be trained.
    """
    grounder = load_grounder(checkpoint, device="cpu", allow_download=download)  # the training chooses its own device
    check_tunable(grounder)
    assert isinstance(grounder, ZeroShotGrounder)
    folder = fine_tune_detector(grounder, pipeline.images, settings, out, sets=pipeline.recipe.grounding.data)
    write_atomic(folder / "vocabulary.json", json.dumps(pipeline.vocabulary, indent=1))
    return folder
