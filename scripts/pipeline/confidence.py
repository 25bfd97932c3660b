"""What validation says of an adapter's answers, written beside it: when they count, and where regions know better.

Questions of split `val` are answered by the adapter and by the rules, on the same regions. What is scored chooses
nothing: a run that scores `val` keeps the defaults.
"""

import logging
from collections.abc import Sequence
from typing import cast

from ...eval.page.systems import MARK, sample_values
from ...eval.records import Record, read_records
from ...eval.score import measure
from ...eval.settings import EvalSettings
from ...eval.statistics.selective import choose_threshold, risk_coverage
from ...grounding.evidence.names import Source
from ...grounding.files import write_atomic
from ...grounding.training.loop import processes
from ...vqa.inference.confidence import FILE, LEAST, Confidence, kind_scores
from ...vqa.inference.predict import predict, write_shared
from ...vqa.inference.rules import ABSTENTION, kind_of
from ...vqa.model.grounded_mllm import GroundedMLLM
from ...vqa.task import Question
from .pipeline import Adapter, Pipeline
from .references import records_by_rules

logger = logging.getLogger("medglip")


def write_confidence(pipeline: Pipeline, model: GroundedMLLM, kind: Adapter) -> None:
    """Ask the validation questions of a run and write `confidence.json` into the adapter's folder; once.

    Nothing is written where the run scores split `val`, or has fewer than `LEAST` questions in it.
    """
    recipe, folder = pipeline.recipe, pipeline.folder.adapter_dir(kind)
    if recipe.vqa is None or recipe.eval_split != "test" or (folder / FILE).is_file():
        return
    every = cast(list[Question], pipeline.items["vqa"])
    items = [item for item in every if item.image.split == "val"]
    if len(items) < LEAST:
        return
    source: Source = "predicted" if kind == "grounded" else "none"
    shown, path = pipeline.shown_to(kind), pipeline.folder.validation_dir / f"vqa-{source}.jsonl"
    names = {"model": recipe.mllm.base, "adapter": folder.name}
    examples = pipeline.examples("vqa", shown, source, items)
    jobs = [item.job(example, shown, names) for item, example in zip(items, examples, strict=True)]
    decoding = recipe.vqa.generate
    write_shared(jobs, path, lambda mine, own: predict(model, mine, shown, decoding, own, is_scored=True))
    if processes().is_main_process and path.is_file():
        found = confidence_of(pipeline, read_records([path], "vqa"), items)
        write_atomic(folder / FILE, found.model_dump_json(indent=1))
        logger.info("   answers below a probability of %.2f are held back (%d questions)", found.threshold, found.num)


def confidence_of(pipeline: Pipeline, records: Sequence[Record], items: Sequence[Question]) -> Confidence:
    """The threshold and the kinds of question from the records of validation questions."""
    asked = {record["id"] for record in records if record.get("probability") is not None}
    if len(asked) < LEAST:
        return Confidence()
    rules = records_by_rules(pipeline, [item for item in items if item.item_id in asked])
    return confidence_from(records, rules, pipeline.recipe.eval)


def confidence_from(records: Sequence[Record], by_rules: Sequence[Record], settings: EvalSettings) -> Confidence:
    """The same from records of the adapter and of the rules on the same questions, which chose nothing else."""
    asked = [record for record in records if record.get("probability") is not None]
    if len(asked) < LEAST:
        return Confidence()
    right = marks_of(asked, settings)
    chances = [float(record.get("probability") or 0) for record in asked]
    # an answer that the rules hold back is none: the model's stands
    rules = {record["id"]: record for record in by_rules if record["prediction"] != ABSTENTION}
    answered = [k for k, record in enumerate(asked) if record["id"] in rules]
    rules_right = marks_of([rules[asked[k]["id"]] for k in answered], settings) if answered else []
    kinds = [kind_of(str(asked[k].get("question"))) for k in answered]
    return Confidence(
        threshold=choose_threshold(chances, right),
        num=len(asked),
        aurc=risk_coverage(chances, right).aurc,
        kinds=kind_scores(kinds, [right[k] for k in answered], rules_right),
    )


def marks_of(records: Sequence[Record], settings: EvalSettings) -> list[bool]:
    """Whether each record is right, by the protocol of the settings."""
    ordered = sorted(records, key=lambda record: record["id"])
    values = sample_values(measure(ordered, "vqa", settings), ordered, MARK["vqa"])
    return [values.get(record["id"], 0.0) >= 0.5 for record in records]
