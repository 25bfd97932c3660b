"""Runs on the same samples: each metric of both, the difference with its interval, and p-values, also corrected."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ..grounding.bad_input import BadInput
from ..grounding.records import Task
from .catalog import tested_metrics
from .records import Record, cluster, data_sha256, first_few, read_records
from .score import EvalSettings, measure
from .statistics.bootstrap import Difference, Key, paired_differences
from .statistics.measure import Measured
from .statistics.significance import holm, mcnemar


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """Run a less run b, metric by metric. `family` says in words what `p_holm` is corrected for."""

    task: Task
    protocol: str
    version: str
    metrics: dict[str, Difference]
    settings: dict[str, Any]
    a_sha256: str
    b_sha256: str
    a_name: str = "first"
    b_name: str = "second"
    family: str = ""


def compare(
    a_paths: Sequence[Path], b_paths: Sequence[Path], task: Task, settings: EvalSettings = EvalSettings()
) -> Comparison:
    """Compare two runs' record files, paired by id. Raises `BadInput` as `read_records` and `compare_runs` do."""
    runs = [read_records(paths, task) for paths in (a_paths, b_paths)]
    return compare_runs(runs, ["first", "second"], task, settings)[0]


def compare_runs(
    runs: Sequence[Sequence[Record]], names: Sequence[str], task: Task, settings: EvalSettings = EvalSettings()
) -> list[Comparison]:
    """Every run less the last one, the baseline, paired by id; Holm's correction is over all of them together.

    Raises `BadInput` for fewer than two runs; with the ids where one run lacks samples of the other, and where the
    runs disagree about a sample's question, reference, phrases or cluster.
    """
    if len(runs) < 2 or len(runs) != len(names):
        problem = f"{len(runs)} runs and {len(names)} names."
        raise BadInput(problem, fix="give two runs or more; the last is the baseline")
    b = {record["id"]: record for record in runs[-1]}
    for name, run in zip(names[:-1], runs[:-1], strict=True):
        a = {record["id"]: record for record in run}
        for where, one, other in ((names[-1], a, b), (name, b, a)):
            if missing := [key for key in one if key not in other]:
                problem = f"{len(missing)} ids are missing in the {where} run: {first_few(missing)}."
                raise BadInput(problem, fix="predict with both on the same samples; nothing is left out silently")
        if unlike := [key for key in a if _sample(a[key]) != _sample(b[key])]:
            problem = f"{len(unlike)} ids differ in question, reference, phrases or cluster: {first_few(unlike)}."
            raise BadInput(problem, fix="compare runs on the same version of the data set")
    baseline = measure(runs[-1], task, settings)  # once for all runs
    tables = [differences(measure(run, task, settings), baseline, settings) for run in runs[:-1]]
    corrected, family = add_holm(dict(enumerate(tables)), tested_metrics(task))
    common: dict[str, Any] = {
        **{"task": task, "protocol": baseline.protocol, "version": baseline.version, "family": family},
        **{"settings": settings.model_dump(mode="json"), "b_sha256": data_sha256(runs[-1]), "b_name": names[-1]},
    }
    return [
        Comparison(metrics=metrics, a_name=name, a_sha256=data_sha256(run), **common)
        for metrics, name, run in zip(corrected.values(), names[:-1], runs[:-1], strict=True)
    ]


def differences(a: Measured, b: Measured, settings: EvalSettings) -> dict[str, Difference]:
    """Each metric of both, for paired samples in the same order; McNemar's p-value where samples are right or wrong."""
    ours = {name: part for name, part in a.measures.items() if name in b.measures}
    pairs = paired_differences(ours, b.measures, a.clusters, **settings.intervals)
    return {name: replace(one, mcnemar=mcnemar(ours[name], b.measures[name])) for name, one in pairs.items()}


def add_holm(
    differences: Mapping[Key, Mapping[str, Difference]], tested: Sequence[str]
) -> tuple[dict[Key, dict[str, Difference]], str]:
    """Run -> metric -> difference, with Holm's p-values over the `tested` metrics of all runs; the family in words.

    Where no tested metric was compared all metrics make the family.
    """
    compared = list(dict.fromkeys(name for metrics in differences.values() for name in metrics))
    family = [name for name in compared if name in tested] or compared
    tests = [(run, name) for run, metrics in differences.items() for name in family if name in metrics]
    # one family: more comparisons in one call cost power, and say so
    corrected = holm({(run, name): differences[run][name].p_value for run, name in tests})
    words = f"Holm over {len(corrected)} tests: comparisons {len(differences)}, metrics {', '.join(family)}"
    return {
        run: {name: replace(one, p_holm=corrected.get((run, name))) for name, one in metrics.items()}
        for run, metrics in differences.items()
    }, words


def _sample(record: Record) -> tuple[Any, ...]:
    """What makes a sample."""
    names = ("question", "answer", "answer_type", "split")
    # phrases are part of it where they are what is scored, elsewhere they are evidence
    phrases = list(record.get("phrases") or []) if record["task"] == "grounding" else []
    return (cluster(record), phrases, *(record.get(name) for name in names))
