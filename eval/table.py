"""Scores as a table for the terminal or a page: value, interval and n in every cell."""

from collections.abc import Mapping
from typing import Literal

from .bootstrap import Difference, Estimate

Rows = Mapping[str, Mapping[str, Estimate | Difference]]


def table(rows: Rows, form: Literal["text", "markdown"] = "text") -> str:
    """A line a metric, a column a run. `rows`: run name -> metric name -> estimate (`Scores.metrics`) or difference.

    Metrics keep the order in which they first come; a run without one shows `-`. No newline at the end.
    """
    names = list(dict.fromkeys(name for metrics in rows.values() for name in metrics))
    lines = [["metric", *rows]]
    lines += [[name, *(cell(metrics.get(name)) for metrics in rows.values())] for name in names]
    widths = [max(len(line[column]) for line in lines) for column in range(len(lines[0]))]
    padded = [[text.ljust(width) for text, width in zip(line, widths, strict=True)] for line in lines]
    rule = ["-" * width for width in widths]
    if form == "markdown":
        return "\n".join("| " + " | ".join(line) + " |" for line in [padded[0], rule, *padded[1:]])
    return "\n".join("  ".join(line).rstrip() for line in [padded[0], rule, *padded[1:]])


def cell(found: Estimate | Difference | None) -> str:
    """`0.812 [0.750, 0.861] n=451`; for a difference with its sign and p-value; `-` for nothing."""
    if found is None:
        return "-"
    if isinstance(found, Difference):
        chance = "" if found.p_value is None else f" p={found.p_value:.3g}"
        return _estimate(found.difference, "+.3f") + chance
    return _estimate(found, ".3f")


def _estimate(found: Estimate, form: str) -> str:
    if found.low is None or found.high is None:
        return f"{found.value:{form}} [no interval] n={found.n}"
    return f"{found.value:{form}} [{found.low:{form}}, {found.high:{form}}] n={found.n}"
