"""Before the adapters: the language side reads reports without pictures, and both adapters start from what it learned.

`recipe.mllm_train.warm_up` -> texts -> LoRA -> `out_dir/warm-up/seedN`, an adapter folder like any other.
"""

import logging
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from ...grounding.bad_input import BadInput
from ...grounding.evidence.evidence import PLAIN
from ...grounding.run_folder import RunFolder, is_complete, mark_complete
from ...grounding.training.loop import processes
from ...grounding.training.provenance import write_learned
from ...report.datasets.load import load_texts
from ...report.datasets.reading import ReportText, text_example
from ...report.datasets.sets import REPORT_SETS
from ...report.task import Report
from ...vqa.model.grounded_mllm import GroundedMLLM, load
from ...vqa.prompt.prompt import Example
from ...vqa.training.train import train
from ..recipe import WarmUp
from .pipeline import Pipeline

logger = logging.getLogger("medglip")

_WORD = re.compile(r"[a-z0-9]+")
_MARKS = re.compile(r"x{4,}")


def warm_up_language(pipeline: Pipeline) -> Path | None:
    """The folder of the weights that adapters start from: trained now, or further, or there already.

    None where the recipe asks for no warm-up. It lies beside the core, so that the cells of an ablation share it, one
    a seed of the weights. Raises `BadInput` for a base that takes no prompt without a picture.
    """
    if (settings := pipeline.recipe.mllm_train.warm_up) is None:
        return None
    folder = RunFolder(pipeline.grounder_dir.parents[1]).warm_up_dir(pipeline.recipe.mllm.seed)
    if is_complete(folder):
        return folder
    with pipeline.timed("warm-up"):
        model = load(pipeline.recipe.mllm, pipeline.grounder.embedding_dim, vision=pipeline.grounder_dir)
        if model.family.needs_image:
            problem = f"{model.family.name} takes no prompt without a picture."
            raise BadInput(problem, fix="leave mllm_train.warm_up out, or take another base")
        examples = text_examples(pipeline, settings)
        training_dir = folder.with_name(f"train-{folder.name}")
        with language_alone(model):
            train(model, examples, PLAIN, settings.settings, out_dir=training_dir, name="warm-up")
        if processes().is_main_process:
            model.save(folder, PLAIN)
            write_learned(folder, (), pipeline.aligned_dir)
            mark_complete(folder)  # last: the others wait for the whole folder
        processes().wait_for_everyone()
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
        return " ".join(_WORD.findall(_MARKS.sub(" ", text.lower())))

    known = {words_of(text) for report in scored for text in (report.text, report.findings)} - {""}
    return [text for text in texts if known.isdisjoint({words_of(text.text), words_of(text.findings)})]


@contextmanager
def language_alone(model: GroundedMLLM) -> Iterator[None]:
    """Only low-rank updates of the language side are trained inside: no picture, no region is there to learn from."""
    trained = [(name, parameter) for name, parameter in model.named_parameters() if parameter.requires_grad]
    # LoRA of an image tower has one of these words in its name, and projectors have no LoRA
    frozen = [p for name, p in trained if "lora_" not in name or "vision" in name or "visual" in name]
    for parameter in frozen:
        parameter.requires_grad_(False)
    try:
        yield
    finally:
        for parameter in frozen:
            parameter.requires_grad_(True)
