"""Two runs on the same samples: each metric of both, the difference with its interval, and a p-value."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..grounding.bad_input import BadInput
from ..grounding.records import Task
from .bootstrap import Difference, paired_difference
from .records import Record, cluster, data_sha256, read_records, shown
from .score import EvalSettings, measure


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """Run a less run b, metric by metric. The p-values are not corrected for the number of metrics."""

    task: Task
    protocol: str
    version: str
    metrics: dict[str, Difference]
    settings: dict[str, Any]
    a_sha256: str
    b_sha256: str


def compare(
    a_paths: Sequence[Path], b_paths: Sequence[Path], task: Task, settings: EvalSettings | None = None
) -> Comparison:
    """Compare two runs' record files, paired by id. Raises `BadInput` as `read_records` and `compare_records` do."""
    return compare_records(read_records(a_paths, task), read_records(b_paths, task), task, settings)


def compare_records(
    a: Sequence[Record], b: Sequence[Record], task: Task, settings: EvalSettings | None = None
) -> Comparison:
    """Compare two runs, paired by id.

    Raises `BadInput` with the ids where one run lacks samples of the other, and where the runs disagree about a
    sample's question, reference, phrases or cluster.
    """
    settings = settings or EvalSettings()
    _check_pairs({record["id"]: record for record in a}, {record["id"]: record for record in b})
    measured_a, measured_b = measure(a, task, settings), measure(b, task, settings)
    options = settings.model_dump(include={"resamples", "confidence", "seed"})
    return Comparison(
        task=task,
        protocol=measured_a.protocol,
        version=measured_a.version,
        metrics={
            name: paired_difference(
                measured_a.measures[name], measured_b.measures[name], measured_a.clusters, **options
            )
            for name in measured_a.measures
        },
        settings=settings.model_dump(mode="json"),
        a_sha256=data_sha256(a),
        b_sha256=data_sha256(b),
    )


def _check_pairs(a: dict[str, Record], b: dict[str, Record]) -> None:
    for name, one, other in (("second", a, b), ("first", b, a)):
        missing = [key for key in one if key not in other]
        if missing:
            raise BadInput(
                f"{len(missing)} ids are missing in the {name} run: {shown(missing)}.",
                fix="predict with both on the same samples; nothing is left out silently",
            )
    unlike = [key for key in a if _sample(a[key]) != _sample(b[key])]
    if unlike:
        raise BadInput(
            f"{len(unlike)} ids differ in question, reference, phrases or cluster: {shown(unlike)}.",
            fix="compare runs on the same version of the data set",
        )


def _sample(record: Record) -> tuple[Any, ...]:
    """What makes a sample; phrases are part of it where they are what is scored, elsewhere they are evidence."""
    names = ("question", "answer", "answer_type", "split")
    phrases = list(record.get("phrases") or []) if record["task"] == "grounding" else []
    return (cluster(record), phrases, *(record.get(name) for name in names))
