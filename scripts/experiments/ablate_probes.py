"""Do the adapters of a grid look at the picture? What each row loses where the picture is changed, all seeds pooled."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from ...eval.catalog import tested_metrics
from ...eval.probes import probe
from ...eval.records import Record
from ...eval.score import EvalSettings
from ...eval.table import by_metric, table

Changed = Mapping[str, Mapping[str, Sequence[Record]]]
"""Row of the grid -> `original` and each probe -> records of the same questions."""


def drops(changed: Changed, settings: EvalSettings) -> tuple[dict[str, Any], str]:
    """Numbers and a table: scores with the own picture less those under each probe, over the questions of both.

    p-values: paired permutation of clusters, Holm within a row. Nothing for nothing.
    """
    found = {
        row: probe(list(sources.values()), [f"{row} {name}" for name in sources], settings)
        for row, sources in changed.items()
        if all(sources.values())
    }
    if not found:
        return {}, ""
    lines = {f"{row} minus {name}": cells for row, one in found.items() for name, cells in one.drops.items()}
    facts = {
        row: {name: {metric: asdict(cell) for metric, cell in cells.items()} for name, cells in one.drops.items()}
        for row, one in found.items()
    }
    shown = table(by_metric(lines, tested_metrics("vqa")), "markdown", "evidence, less the changed picture")
    return facts, f"Drops where the picture is changed (Holm within a row of the grid):\n\n{shown}"
