"""What a page says of answers that are held back, and of those that the regions give instead of the model."""

from collections.abc import Sequence
from pathlib import Path

from ...eval.page.content import Held, System
from ...eval.records import question_of
from ...grounding.run_folder import RunFolder
from ...vqa.inference.confidence import Confidence, read_confidence
from ...vqa.inference.rules import ABSTENTION, NAME, kind_of


def held_of(run: Path, systems: Sequence[System]) -> Held | None:
    """The threshold of a run's adapter with evidence, and what `medglip vqa ask` answers with it; None without one."""
    confidence = read_confidence(RunFolder(run).adapter_dir("grounded"))
    if not confidence.is_measured:
        return None
    return Held(
        threshold=confidence.threshold,
        num=confidence.num,
        aurc=confidence.aurc,
        lines=tuple(_fallbacks(confidence, systems)),
    )


def _fallbacks(confidence: Confidence, systems: Sequence[System]) -> list[str]:
    """Which kinds the regions answer, and what that changes of the scored questions."""
    kinds = {kind: score for kind, score in confidence.kinds.items() if confidence.falls_back(kind)}
    listed = ", ".join(f"{kind} ({score.rules} against {score.model} of {score.num})" for kind, score in kinds.items())
    if not kinds:
        return ["The model answers every kind of question no worse than the regions alone do, on validation."]
    lines = [f"Kinds of question that the regions alone answer better on validation, so they answer: {listed}."]
    model = next((system for system in systems if system.task == "vqa" and system.name == "predicted"), None)
    rules = next((system for system in systems if system.task == "vqa" and system.name == NAME), None)
    if not (model and rules):
        return lines
    said = {record["id"]: record for record in rules.records}
    before, after = [], []
    for record in model.records:
        own = said.get(record["id"])
        takes = own is not None and kind_of(question_of(record)) in kinds and own["prediction"] != ABSTENTION
        before.append(model.marks.get(record["id"]) == "right")
        after.append((rules if takes else model).marks.get(record["id"]) == "right")
    lines.append(
        f"So answered, {sum(after)} of {len(after)} scored questions are right; by the model alone {sum(before)} are."
    )
    return lines
