"""What a recipe trains besides its core: two adapters, and the warm-up that both may start from; a public detector."""

import json
import logging
import re
from collections.abc import Collection, Mapping, Sequence
from itertools import chain
from pathlib import Path

from ...grounding.bad_input import BadInput
from ...grounding.evidence.evidence import PLAIN, EvidenceSettings
from ...grounding.evidence.forms.tokens import TokenShape
from ...grounding.evidence.names import SOURCES, Source
from ...grounding.files import write_atomic
from ...grounding.grounders.pretrained import load_grounder
from ...grounding.grounders.zero_shot import ZeroShotGrounder
from ...grounding.records import Task
from ...grounding.run_folder import RunFolder, is_complete, mark_complete
from ...grounding.training.detector import check_tunable
from ...grounding.training.detector import fine_tune as fine_tune_detector
from ...grounding.training.loop import is_sharded, processes
from ...grounding.training.provenance import write_learned
from ...grounding.training.settings import FineTuneSettings
from ...report.datasets.load import load_texts
from ...report.datasets.reading import ReportText, text_example
from ...report.datasets.sets import REPORT_SETS
from ...report.task import Report
from ...vqa.model.grounded_mllm import GroundedMLLM, load
from ...vqa.prompt.prompt import Example
from ...vqa.task import TaskItem
from ...vqa.training.train import train, train_only
from ..recipe import Mix, WarmUp
from .pipeline import Adapter, Pipeline
from .tasks import TASKS
from .validation import by_metric

logger = logging.getLogger("medglip")


def tune(pipeline: Pipeline, kind: Adapter) -> GroundedMLLM:
    """The base with one adapter, trained now, or further, if it is not finished."""
    recipe, shown, folder = pipeline.recipe, pipeline.shown_to(kind), pipeline.folder.adapter_dir(kind)
    shape, core = TokenShape.of(pipeline.grounder), pipeline.grounder_dir
    if is_complete(folder):  # the marker is written last, so the whole adapter is there
        return load(recipe.mllm, shape, folder, vision=core)
    start = warm_up_language(pipeline)
    with pipeline.timed(f"adapter {kind}"):
        model = load(recipe.mllm, shape, start, vision=core)
        training = examples_of_split(pipeline, kind, "train")
        examples, weights = weigh_examples(training, recipe.mllm_train.mix, shown.cite)
        held_out = list(chain(*examples_of_split(pipeline, kind, recipe.validation_split).values()))
        validate = by_metric(pipeline, kind) if recipe.mllm_train.validate_by != "loss" and held_out else None
        settings, out_dir = recipe.mllm_train.settings, pipeline.folder.training_dir(kind)
        train(model, examples, shown, settings, out_dir, f"adapter {kind}", held_out, weights, validate)
        learned = {path for example in examples for path in example.image_paths}
        _save(model, folder, shown, learned, start or pipeline.aligned_dir)
    # whole again: processes that predict on their own cannot gather a layer together
    return load(recipe.mllm, shape, folder, vision=core) if is_sharded() else model


def _save(
    model: GroundedMLLM, folder: Path, shown: EvidenceSettings, learned: Collection[Path], start: Path | None
) -> None:
    """Of several processes, which all hold the same weights, the first does; the others wait for the whole folder."""
    if processes().is_main_process:
        model.save(folder, shown)
        write_learned(folder, learned, start)
        mark_complete(folder)  # last
    processes().wait_for_everyone()


def examples_of_split(pipeline: Pipeline, kind: Adapter, split: str) -> dict[Task, list[Example]]:
    """Of each task what an adapter is trained or validated on: with evidence of the recipe's source, or without any."""
    source: Source = pipeline.recipe.evidence.train_source if kind == "grounded" else "none"
    shown = pipeline.shown_to(kind)
    own: dict[Task, list[TaskItem]]
    own = {name: [item for item in items if item.image.split == split] for name, items in pipeline.items.items()}
    if SOURCES[source].needs_truth:  # of a mix, the sets that know their true regions
        own = {
            name: [item for item in items if item.image.phrases or item.image.regions] for name, items in own.items()
        }
    return {name: pipeline.examples(name, shown, source, items) for name, items in own.items()}


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


def warm_up_language(pipeline: Pipeline) -> Path | None:
    """The folder of the weights that adapters start from: trained now, or further, or there already.

    The language side reads reports without pictures, `recipe.mllm_train.warm_up`; None where the recipe asks for none.
    The folder lies beside the core, so that the cells of an ablation share it, one a seed of the weights. Raises
    `BadInput` for a base that takes no prompt without a picture.
    """
    if (settings := pipeline.recipe.mllm_train.warm_up) is None:
        return None
    folder = RunFolder(pipeline.grounder_dir.parents[1]).warm_up_dir(pipeline.recipe.mllm.seed)
    if is_complete(folder):
        return folder
    with pipeline.timed("warm-up"):
        model = load(pipeline.recipe.mllm, TokenShape.of(pipeline.grounder), vision=pipeline.grounder_dir)
        if model.family.needs_image:
            problem = f"{model.family.name} takes no prompt without a picture."
            raise BadInput(problem, fix="leave mllm_train.warm_up out, or take another base")
        examples = text_examples(pipeline, settings)
        training_dir = folder.with_name(f"train-{folder.name}")
        with train_only(model, is_of_language):
            train(model, examples, PLAIN, settings.settings, out_dir=training_dir, name="warm-up")
        _save(model, folder, PLAIN, (), pipeline.aligned_dir)
    return folder


def text_examples(pipeline: Pipeline, settings: WarmUp) -> list[Example]:
    """Prompts without picture of the set's part `train`; what is left out is listed with the run's."""
    own, seed = settings.data.settings(REPORT_SETS), pipeline.recipe.seed
    texts, skipped = load_texts(settings.data.set, settings=own, split="train", seed=seed)
    pipeline.skipped.entries += skipped.entries
    held_out = (pipeline.recipe.eval_split, pipeline.recipe.validation_split)
    kept = unseen(texts, [report for report in pipeline.reports if report.image.split in held_out])
    logger.info("   %d reports to read, %d left out: they equal a scored one", len(kept), len(texts) - len(kept))
    return [text_example(text) for text in kept]


def unseen(texts: Sequence[ReportText], scored: Sequence[Report]) -> list[ReportText]:
    """The texts that no scored report equals word for word, in what is to be written or in its findings.

    Case, stops and marks of de-identification are nothing: two layouts of one set write the same report differently.
    """

    def words_of(text: str) -> str:  # "No XXXX. The heart is normal." -> "no the heart is normal"
        return " ".join(re.findall("[a-z0-9]+", re.sub("x{4,}", " ", text.lower())))

    known = {words_of(text) for report in scored for text in (report.text, report.findings)} - {""}
    return [text for text in texts if known.isdisjoint({words_of(text.text), words_of(text.findings)})]


def is_of_language(name: str) -> bool:
    """Whether a parameter is a low-rank update of the language side: without pictures nothing else can learn."""
    # LoRA of an image tower has one of these words in its name, and projectors have no LoRA
    return "lora_" in name and "vision" not in name and "visual" not in name


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
