"""Records -> scores: every value with its interval, n, protocol, settings, data hash and software versions.

A score file can be computed again from its records alone, byte for byte.
"""

import json
import platform
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal, assert_never

from pydantic import Field

from ..grounding.bad_input import BadInput
from ..grounding.records import Task, write_atomic
from ..grounding.settings import Settings
from .bootstrap import Estimate, estimate
from .measure import Measure
from .metrics import detection, report, vqa
from .records import Record, asked_phrases, check_run, cluster, data_sha256, regions_by_phrase
from .table import table

_SOFTWARE = ("medglip", "evaluate", "faster-coco-eval", "numpy", "pycocoevalcap", "scipy")


class EvalSettings(Settings):
    """How records are scored."""

    protocol: Literal["exact_match"] = "exact_match"
    """The rules of VQA scoring."""
    tokenization: report.Tokenization = "lower"
    """How report text becomes words: `lower` (lower case, punctuation apart) or `raw` (split at white space)."""
    score_threshold: float = Field(default=0.5, ge=0, le=1)
    """Lowest score of a predicted region whose mask counts for Dice."""
    resamples: int = Field(default=1000, ge=10)
    """Bootstrap resamples of clusters, and permutations of paired tests."""
    confidence: float = Field(default=0.95, gt=0, lt=1)
    """Confidence of the intervals."""
    seed: int = Field(default=0, ge=0)
    """Seed of the resamples."""


@dataclass(frozen=True, kw_only=True)
class Scores:
    """The scores of one run under one protocol. `counts`: records, clusters and what else the protocol counts."""

    task: Task
    protocol: str
    version: str
    metrics: dict[str, Estimate]
    counts: dict[str, int]
    settings: dict[str, Any]
    data_sha256: str
    software: dict[str, str] = field(default_factory=lambda: software_versions())


@dataclass(frozen=True, kw_only=True)
class Measured:
    """The measures of one run; `clusters`: the cluster of each of their inputs, a record or a record's phrase."""

    protocol: str
    version: str
    measures: dict[str, Measure]
    clusters: list[str]
    counts: dict[str, int]


def score(records: Sequence[Record], task: Task, settings: EvalSettings | None = None) -> Scores:
    """Scores of one task's records, in any order. Raises `BadInput` for records that cannot be scored together."""
    settings = settings or EvalSettings()
    measured = measure(records, task, settings)
    options = settings.model_dump(include={"resamples", "confidence", "seed"})
    return Scores(
        task=task,
        protocol=measured.protocol,
        version=measured.version,
        metrics={name: estimate(part, measured.clusters, **options) for name, part in measured.measures.items()},
        counts={"records": len(records), "clusters": len({cluster(record) for record in records}), **measured.counts},
        settings=settings.model_dump(),
        data_sha256=data_sha256(records),
    )


def score_vqa(records: Sequence[Record], settings: EvalSettings | None = None) -> Scores:
    """open_accuracy, open_f1, open_recall, closed_accuracy, overall_accuracy; kinds without questions are left out."""
    return score(records, "vqa", settings)


def score_report(records: Sequence[Record], settings: EvalSettings | None = None) -> Scores:
    """bleu_1 .. bleu_4, rouge_l, cider; the tokenisation stands in the settings."""
    return score(records, "report", settings)


def score_grounding(records: Sequence[Record], settings: EvalSettings | None = None) -> Scores:
    """ap, ap50, ap75, miou, acc_iou50, and dice where there are true masks; one sample a (record, phrase)."""
    return score(records, "grounding", settings)


SCORERS: dict[Task, Callable[[Sequence[Record], EvalSettings | None], Scores]] = {
    "grounding": score_grounding,
    "vqa": score_vqa,
    "report": score_report,
}


def scores_table(scores: Scores) -> str:
    """One run's scores for the terminal: the table, then the protocol and what was counted."""
    counts = ", ".join(f"{name.replace('_', ' ')} {count}" for name, count in scores.counts.items())
    protocol = f"protocol {scores.protocol} {scores.version}"
    return f"{table({scores.task: scores.metrics})}\n{protocol}: {counts}"


def measure(records: Sequence[Record], task: Task, settings: EvalSettings) -> Measured:
    """The measures of one task's records, in the order of their ids."""
    if not records:
        raise BadInput("no records to score.", fix="predict first")
    check_run(records)
    ordered = sorted(records, key=lambda record: record["id"])
    match task:
        case "vqa":
            return _vqa(ordered)
        case "report":
            return _report(ordered, settings)
        case "grounding":
            return _grounding(ordered, settings)
        case _:
            assert_never(task)


def _vqa(records: list[Record]) -> Measured:
    predictions, references, types = (
        [record.get(name, "") for record in records] for name in ("prediction", "answer", "answer_type")
    )
    return Measured(
        protocol=vqa.PROTOCOL,
        version=vqa.VERSION,
        measures=vqa.vqa_measures(predictions, references, types),
        clusters=[cluster(record) for record in records],
        counts=vqa.vqa_counts(predictions, references, types),
    )


def _report(records: list[Record], settings: EvalSettings) -> Measured:
    predictions, references = ([record[name] for record in records] for name in ("prediction", "answer"))
    return Measured(
        protocol=report.PROTOCOL,
        version=report.VERSION,
        measures=report.report_measures(predictions, references, settings.tokenization),
        clusters=[cluster(record) for record in records],
        counts={"empty_predictions": sum(not text.strip() for text in predictions)},
    )


def _grounding(records: list[Record], settings: EvalSettings) -> Measured:
    pairs: list[detection.Pair] = []
    for record in records:
        truths, found = regions_by_phrase(record, "answer"), regions_by_phrase(record, "prediction")
        pairs += [detection.make_pair(truths[name], found[name], settings.score_threshold) for name in truths]
    return Measured(
        protocol=detection.PROTOCOL,
        version=detection.VERSION,
        measures=detection.grounding_measures(pairs),
        clusters=[cluster(record) for record in records for _ in asked_phrases(record)],
        counts={
            "pairs": len(pairs),
            "pairs_without_truth": sum(not len(pair.truths_G4) for pair in pairs),
            "pairs_without_prediction": sum(not len(pair.scores_P) for pair in pairs),
        },
    )


def software_versions() -> dict[str, str]:
    """Versions of Python and of every package that computes a score."""
    return {"python": platform.python_version()} | {name: version(name) for name in _SOFTWARE}


def write_json(scores: Scores, path: Path) -> None:
    """Write a score file, atomically; the same records and settings give the same bytes."""
    write_atomic(path, json.dumps(asdict(scores), indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def read_json(path: Path) -> Scores:
    """The inverse of `write_json`. Raises `BadInput` for a file that is no score file."""
    try:
        row = json.loads(path.read_bytes())
        return Scores(**row | {"metrics": {name: Estimate(**cell) for name, cell in row["metrics"].items()}})
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise BadInput(f"not a score file: {error}", file=path, fix="give a file that `medglip score` wrote") from error
