"""Clinical measures of reports on what records hold in `meta`: labels, RadGraph graphs, entailments, sub-scores.

No model runs here. The form of each field stands in the module of its metric: `chexbert` (meta.labels), `radgraph`
(meta.radgraph), `radfact` (meta.radfact), `radcliq` (meta.radcliq); `extras` fills them by models, where installed.
"""

from collections.abc import Mapping, Sequence
from typing import TypeVar

import numpy as np
from pydantic import BaseModel, ValidationError

from ...grounding.bad_input import BadInput
from ..records import Record
from ..settings import EvalSettings
from ..statistics.measure import Measure
from .chexbert import Labels, check_names, label_measures, num_uncertain
from .radcliq import SubScores, radcliq_measures
from .radfact import Verdicts, num_defining, radfact_measures
from .radgraph import Graphs, graph_measures

FIELDS = {"labels": "label F1", "radgraph": "RadGraph reward", "radfact": "RadFact", "radcliq": "RadCliQ-v1"}
"""Field of `meta` -> what is computed from it."""

Found = tuple[dict[str, Measure], list[str]]
"""Measures and notes."""

Given = TypeVar("Given", bound=BaseModel)


def clinical_measures(records: Sequence[Record], settings: EvalSettings) -> Found:
    """The measures of every field that some record holds, and notes on what is missing.

    Records without a field are not among the samples of its measures. `settings.metrics`, where it names any, says
    which measures to give. Raises `BadInput` naming the record for a field that is broken.
    """
    measures: dict[str, Measure] = {}
    notes: list[str] = []
    for family in (_labels, _graphs, _verdicts, _scores):
        found, said = family(records, settings)
        measures |= found
        notes += said
    undefined = [name for name, measure in measures.items() if not np.isfinite(measure.value)]
    if undefined:
        notes.append(f"Not defined by these records: {', '.join(undefined)}.")
    wanted = set(settings.metrics or measures) - set(undefined)
    return {name: measures[name] for name in measures if name in wanted}, notes + missing_notes(records)


def _labels(records: Sequence[Record], settings: EvalSettings) -> Found:
    rows, labels = given(records, "labels", Labels)
    if not rows:
        return {}, []
    check_names(labels, [records[row]["id"] for row in rows])
    left_out = num_uncertain(labels) if settings.uncertain_policy == "ignore" else 0
    total = len(labels) * len(labels[0].reference)
    notes = [f"label F1: {left_out} uncertain labels of {total} left out."] if left_out else []
    return label_measures(labels, settings.uncertain_policy, rows), notes


def _graphs(records: Sequence[Record], _settings: EvalSettings) -> Found:
    rows, graphs = given(records, "radgraph", Graphs)
    return (graph_measures(graphs, rows) if rows else {}), []


def _verdicts(records: Sequence[Record], _settings: EvalSettings) -> Found:
    rows, verdicts = given(records, "radfact", Verdicts)
    measures = radfact_measures(verdicts, rows) if rows else {}
    counts = ", ".join(f"{name} {num}" for name, num in num_defining(measures).items())
    return measures, [f"RadFact: reports that define it, of {len(rows)}: {counts}."] if counts else []


def _scores(records: Sequence[Record], _settings: EvalSettings) -> Found:
    rows, scores = given(records, "radcliq", SubScores)
    return (radcliq_measures(scores, rows) if rows else {}), []


def given(records: Sequence[Record], field: str, kind: type[Given]) -> tuple[list[int], list[Given]]:
    """Rows of the records that hold `meta.<field>`, and what they hold. Raises `BadInput` naming a broken record."""
    rows = [row for row, record in enumerate(records) if holds(record, field)]
    return rows, [_parsed(records[row], field, kind) for row in rows]


def holds(record: Record, field: str) -> bool:
    """Whether the record's `meta` has the field, and not as null. Raises `BadInput` for a `meta` that is no object."""
    meta = record.get("meta") or {}
    if not isinstance(meta, Mapping):
        raise BadInput(f"meta of {record['id']!r} is no object.", fix="give an object, or leave it out")
    return meta.get(field) is not None


def missing_notes(records: Sequence[Record]) -> list[str]:
    """What was not computed for want of a field, in one note, and how many records lack a field that others hold."""
    counts = {field: sum(holds(record, field) for record in records) for field in FIELDS}
    absent = [f"{title} (meta.{field})" for field, title in FIELDS.items() if not counts[field]]
    notes = [
        f"{title}: {len(records) - counts[field]} of {len(records)} records hold no meta.{field} and are not among it."
        for field, title in FIELDS.items()
        if 0 < counts[field] < len(records)
    ]
    return notes + ([f"Not computed, no record holds its input: {', '.join(absent)}."] if absent else [])


def _parsed(record: Record, field: str, kind: type[Given]) -> Given:
    try:
        return kind.model_validate(record["meta"][field])
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(["meta", field, *map(str, first["loc"])])
        raise BadInput(
            f"{where} of {record['id']!r}: {first['msg'].removeprefix('Value error, ')}.",
            fix=f"the docstring of eval/metrics holds the form of meta.{field}",
        ) from error
