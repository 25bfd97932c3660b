"""Records -> systems: scores of the whole file, and the score and mark of every sample by the same protocol."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from ...grounding.records import Task
from ..catalog import page_metrics
from ..compare import add_holm, differences
from ..records import Record, phrases_of
from ..score import Scores, measure, score_measured
from ..settings import EvalSettings
from ..statistics.bootstrap import Difference
from ..statistics.measure import Measured, Sums
from .content import Pair, System

VALUE: dict[Task, tuple[str, ...]] = {
    "vqa": ("overall_accuracy", "closed_accuracy", "open_accuracy", "open_recall"),
    "report": ("rouge_l", "bleu_4", "bleu_1"),
    "grounding": ("miou", "n_acc"),
}
"""The metric that ranks samples; where one does not hold a sample the next is asked."""

MARK: dict[Task, tuple[str, ...]] = {"vqa": VALUE["vqa"], "report": (), "grounding": ("acc_iou50", "n_acc")}
"""The metric that says right (at least a half) or wrong; reports are neither."""

_AT_ONCE = 256


def make_system(
    name: str,
    task: Task,
    records: Sequence[Record],
    settings: EvalSettings,
    *,
    file: str,
    file_sha256: str,
    stored: Scores | None = None,
) -> System:
    """Score one record file. `stored` scores are taken if they are of these records and settings."""
    measured = measure(records, task, settings)
    ordered = sorted(records, key=lambda record: record["id"])
    marks = sample_values(measured, ordered, MARK[task])
    return System(
        name=name,
        task=task,
        file=file,
        file_sha256=file_sha256,
        records=ordered,
        measured=measured,
        scores=stored or score_measured(measured, ordered, task, settings),
        values=sample_values(measured, ordered, VALUE[task]),
        value_name=next((name for name in VALUE[task] if name in measured.measures), ""),
        marks={key: "right" if value >= 0.5 else "wrong" for key, value in marks.items()},
    )


def sample_values(measured: Measured, ordered: Sequence[Record], metrics: Sequence[str]) -> dict[str, float]:
    """Record id -> the first of the metrics that is defined on that record alone; mean over its phrases."""
    by_record = [record["id"] for record in ordered]
    by_phrase = [record["id"] for record in ordered for _ in phrases_of(record)]
    # inputs of the measures are records, or phrases of records; where neither fits no record has a value
    ids = next((ids for ids in (by_record, by_phrase) if len(ids) == len(measured.clusters)), [])
    means: dict[str, float] = {}
    for metric in [metric for metric in metrics if ids and metric in measured.measures]:
        parts: dict[str, list[float]] = {}
        measure = measured.measures[metric]
        num = len(measure.rows_N)
        with np.errstate(all="ignore"):
            if isinstance(measure, Sums):
                values_N = measure.formula(measure.columns_NK)
            else:  # a ranking has no value of one sample: a weight of 1 on that sample alone gives it
                starts = range(0, num, _AT_ONCE)
                blocks = [measure.value_at(np.eye(min(_AT_ONCE, num - start), num, start)) for start in starts]
                values_N = np.concatenate([np.zeros(0), *blocks])
        for row, value in zip(measure.rows_N, values_N, strict=True):
            if np.isfinite(value):
                parts.setdefault(ids[row], []).append(float(value))
        means = {key: float(np.mean(values)) for key, values in parts.items()} | means  # an earlier metric wins
    return means


def pairs_of(systems: Sequence[System], settings: EvalSettings) -> list[Pair]:
    """Every system of one task less the base in the headline metrics, p-values corrected over all of them.

    The base: the system without evidence, else the first; no floor, where there is another.
    """
    models = [system for system in systems if not system.is_floor] or systems
    base = next((s for s in models if s.records[0].get("evidence", "none") == "none"), models[0])
    names = page_metrics(base.task)
    fields = ("id", "dataset", "split", "cluster_id", "question", "answer", "answer_type")

    def headline(system: System) -> Measured:
        measures = system.measured.measures
        return replace(system.measured, measures={name: measures[name] for name in names if name in measures})

    theirs = [[row.get(name) for name in fields] for row in base.records]
    why_not: dict[str, str] = {}
    pairs: dict[str, Mapping[str, Difference]] = {}
    for system in [system for system in systems if system is not base]:  # only the same samples can be paired
        ours = [[row.get(name) for name in fields] for row in system.records]
        differ = "" if ours == theirs else "questions, references or clusters of the same ids differ."
        alone = {row[0] for row in ours} ^ {row[0] for row in theirs}
        why_not[system.name] = f"{len(alone)} samples are in one of them only." if alone else differ
        if not why_not[system.name]:
            pairs[system.name] = differences(headline(system), headline(base), settings)
    corrected, family = add_holm(pairs, names) if pairs else ({}, "")
    return [
        Pair(task=base.task, name=name, base=base.name, metrics=corrected.get(name, {}), family=family, why_not=why)
        for name, why in why_not.items()
    ]
