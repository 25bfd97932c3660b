"""Records -> scores: every value with its interval, n, protocol, settings, data hash and software versions.

A score file can be computed again from its records alone, byte for byte.
"""

import json
import platform
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

from ..grounding.bad_input import ROW_ERRORS, BadInput, explain
from ..grounding.files import write_atomic
from ..grounding.foreign import read_json as read_foreign
from ..grounding.records import Task
from .records import Record, check_run, cluster, data_sha256
from .settings import EvalSettings as EvalSettings
from .statistics.bootstrap import Estimate
from .statistics.measure import Measured
from .statistics.strata import Strata, estimate_all

_SOFTWARE = ("medglip", "faster-coco-eval", "numpy", "pycocoevalcap", "scipy")
"""Every package that computes a score."""


@dataclass(frozen=True, kw_only=True)
class Scores:
    """The scores of one run under one protocol. `counts`: records, clusters and what else the protocol counts.

    `judge_prompt`, `judge_model`: of a served judge, where one was asked.
    """

    task: Task
    protocol: str
    version: str
    metrics: dict[str, Estimate]
    counts: dict[str, int]
    settings: dict[str, Any]
    data_sha256: str
    strata: Strata = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    judge_prompt: str | None = None
    judge_model: str | None = None
    software: dict[str, str] = field(
        default_factory=lambda: {"python": platform.python_version()} | {name: version(name) for name in _SOFTWARE}
    )


def score(records: Sequence[Record], task: Task, settings: EvalSettings = EvalSettings()) -> Scores:
    """Scores of one task's records, in any order. Raises `BadInput` for records that cannot be scored together."""
    return score_measured(measure(records, task, settings), records, task, settings)


score_records = score
"""Its name in the room, where `score` is this module."""


def score_measured(measured: Measured, records: Sequence[Record], task: Task, settings: EvalSettings) -> Scores:
    """Scores of records that were measured before, with the same settings."""
    metrics, strata = estimate_all(measured, strata=settings.strata, **settings.intervals)
    return Scores(
        task=task,
        protocol=measured.protocol,
        version=measured.version,
        metrics=metrics,
        strata=strata,
        counts={"records": len(records), "clusters": len({cluster(record) for record in records}), **measured.counts},
        notes=list(measured.notes),
        settings=settings.model_dump(mode="json"),
        data_sha256=data_sha256(records),
        **measured.facts,
    )


def measure(records: Sequence[Record], task: Task, settings: EvalSettings) -> Measured:
    """The measures of one task's records, in the order of their ids."""
    if not records:
        raise BadInput("no records to score.", fix="predict first")
    check_run(records)
    ordered = sorted(records, key=lambda record: record["id"])
    match task:  # each loads what it needs alone
        case "vqa":
            from .tasks.vqa import measure_vqa as measure_task
        case "report":
            from .tasks.report import measure_report as measure_task
        case "grounding":
            from .tasks.grounding import measure_grounding as measure_task
    return measure_task(ordered, settings)


def write_json(scores: Scores, path: Path) -> None:
    """Write a score file, atomically; the same records and settings give the same bytes."""
    values = {key: value for key, value in asdict(scores).items() if value is not None}
    write_atomic(path, json.dumps(values, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def read_json(path: Path) -> Scores:
    """The inverse of `write_json`. Raises `BadInput` for a file that is no score file."""

    def estimates_of(cells: dict[str, dict[str, Any]]) -> dict[str, Estimate]:
        return {name: Estimate(**cell) for name, cell in cells.items()}

    fix = "give a file that `medglip eval` wrote"
    row = read_foreign(path, fix)
    with explain("not a score file", *ROW_ERRORS, file=path, fix=fix):
        strata = {
            axis: {label: estimates_of(cells) for label, cells in labels.items()}
            for axis, labels in row.get("strata", {}).items()
        }
        return Scores(**row | {"metrics": estimates_of(row["metrics"]), "strata": strata})
