"""Measures on what records hold in `meta`: labels, RadGraph graphs, entailments, sub-scores, citations.

No model runs here. The form of each field stands in the module of its metric (`catalog.FIELD_METRICS`); `labelers`
fills some of them by models, where installed.
"""

from collections.abc import Mapping, Sequence
from typing import TypeVar

import numpy as np
from pydantic import BaseModel, ValidationError

from ...grounding.bad_input import BadInput
from ..catalog import FIELD_METRICS
from ..records import Record
from ..settings import EvalSettings
from ..statistics.measure import Measures
from .clinical.chexpert import with_references

Form = TypeVar("Form", bound=BaseModel)


def field_measures(
    records: Sequence[Record], settings: EvalSettings, fields: Sequence[str] | None = None
) -> tuple[Measures, list[str]]:
    """The measures of every field that some record holds, and notes on what is missing. `fields`: by default all.

    Records without a field are not among the samples of its measures. Raises `BadInput` naming the record for a field
    that is broken.
    """
    measures: Measures = {}
    notes: list[str] = []
    fields = list(FIELD_METRICS) if fields is None else fields
    if "labels" in fields:
        records = with_references(records)
    for field in fields:
        if rows := [row for row, record in enumerate(records) if holds(record, field)]:
            module = FIELD_METRICS[field].load()
            values = [_parse(records[row], field, module.Form) for row in rows]
            own, more = module.measures(values, rows, [records[row]["id"] for row in rows], settings)
            measures |= own
            notes += more
    if undefined := [name for name, measure in measures.items() if not np.isfinite(measure.value)]:
        notes.append(f"Not defined by these records: {', '.join(undefined)}.")
    # how many records lack a field that others hold; then, in one note, what no record holds
    titles = {field: FIELD_METRICS[field].title for field in fields if FIELD_METRICS[field].is_expected}
    counts = {field: sum(holds(record, field) for record in records) for field in titles}
    notes += [
        f"{title}: {len(records) - counts[field]} of {len(records)} records hold no meta.{field} and are not among it."
        for field, title in titles.items()
        if 0 < counts[field] < len(records)
    ]
    if absent := [f"{title} (meta.{field})" for field, title in titles.items() if not counts[field]]:
        notes.append(f"Not computed, no record holds its input: {', '.join(absent)}.")
    return {name: measure for name, measure in measures.items() if name not in undefined}, notes


def holds(record: Record, field: str) -> bool:
    """Whether the record's `meta` has the field, and not as null. Raises `BadInput` for a `meta` that is no object."""
    meta = record.get("meta") or {}
    if not isinstance(meta, Mapping):
        raise BadInput(f"meta of {record['id']!r} is no object.", fix="give an object, or leave it out")
    return meta.get(field) is not None


def _parse(record: Record, field: str, form: type[Form]) -> Form:
    try:
        return form.model_validate((record.get("meta") or {})[field])
    except ValidationError as error:
        first = error.errors()[0]  # one is enough to mend, and the rest may follow from it
        where = ".".join(["meta", field, *map(str, first["loc"])])
        problem = f"{where} of {record['id']!r}: {first['msg'].removeprefix('Value error, ')}."
        raise BadInput(problem, fix=f"the docstring of eval/metrics holds the form of meta.{field}") from error
