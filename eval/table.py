"""Scores as a table for the terminal or a page: value, interval and n in every cell."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from .compare import HEADLINE, Comparison
from .probes import ProbeResult
from .score import Scores
from .statistics.bootstrap import Difference, Estimate

Rows = Mapping[str, Mapping[str, Estimate | Difference]]


def table(rows: Rows, form: Literal["text", "markdown"] = "text", corner: str = "metric") -> str:
    """A line a metric, a column a run. `rows`: run name -> metric name -> estimate (`Scores.metrics`) or difference.

    Metrics keep the order in which they first come; a run without one shows `-`. No newline at the end.
    """
    names = list(dict.fromkeys(name for metrics in rows.values() for name in metrics))
    lines = [[corner, *rows]]
    lines += [[name, *(cell(metrics.get(name)) for metrics in rows.values())] for name in names]
    widths = [max(len(line[column]) for line in lines) for column in range(len(lines[0]))]
    padded = [[text.ljust(width) for text, width in zip(line, widths, strict=True)] for line in lines]
    rule = ["-" * width for width in widths]
    if form == "markdown":
        return "\n".join("| " + " | ".join(line) + " |" for line in [padded[0], rule, *padded[1:]])
    return "\n".join("  ".join(line).rstrip() for line in [padded[0], rule, *padded[1:]])


def cell(found: Estimate | Difference | None) -> str:
    """`0.812 [0.750, 0.861] n=451`; for a difference with its sign and p-values; `-` for nothing."""
    if found is None:
        return "-"
    if isinstance(found, Difference):
        named = {"p": found.p_value, "Holm": found.p_holm, "McNemar": found.mcnemar}
        chances = [f" {name}={value:.3g}" for name, value in named.items() if value is not None]
        return _estimate(found.difference, "+.3f") + "".join(chances)
    return _estimate(found, ".3f")


def _estimate(found: Estimate, form: str) -> str:
    if found.low is None or found.high is None:
        return f"{found.value:{form}} [no interval] n={found.n}"
    return f"{found.value:{form}} [{found.low:{form}}, {found.high:{form}}] n={found.n}"


def scores_text(scores: Scores) -> str:
    """One score file for the terminal: all metrics, headline ones by stratum, counts, notes, what an interval is."""
    parts = [table({f"{scores.task}, protocol {scores.protocol} {scores.version}": scores.metrics})]
    parts += [table(by_metric(labels, HEADLINE[scores.task]), corner=axis) for axis, labels in scores.strata.items()]
    parts.append(_counted(scores.counts))
    return "\n\n".join([*parts, *_notes(scores.notes), _method(scores.settings)])


def comparisons_text(found: Sequence[Comparison]) -> str:
    """Each run less the baseline; the family of the corrected p-values in words."""
    rows = {f"{one.a_name} minus {one.b_name}": one.metrics for one in found}
    return "\n\n".join([table(rows), found[0].family, _method(found[0].settings)])


def probes_text(found: ProbeResult) -> str:
    """Scores under each probe, the drops, what was counted."""
    parts = [table(found.metrics)]
    if found.drops:
        parts.append(table({f"original minus {name}": metrics for name, metrics in found.drops.items()}))
    parts += [f"{name}: {_counted(counts)}" for name, counts in found.counts.items()]
    return "\n\n".join([*parts, *_notes([*found.notes, found.family]), _method(found.settings)])


def by_metric(labels: Rows, metrics: Sequence[str]) -> Rows:
    """Label -> metric -> cell turned round for `table`, so that a stratum is a line and each of `metrics` a column.

    Columns keep the order of `metrics`; those that no stratum has are left out.
    """
    names = [name for name in metrics if any(name in cells for cells in labels.values())]
    return {name: {label: cells[name] for label, cells in labels.items() if name in cells} for name in names}


def _counted(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{name.replace('_', ' ')} {count}" for name, count in counts.items())


def _notes(notes: Sequence[str]) -> list[str]:
    return [f"note: {note}" for note in notes if note]


def _method(settings: Mapping[str, Any]) -> str:
    share = f"{100 * settings['confidence']:g} %"
    return f"value [{share} interval] n = samples; {settings['resamples']} resamples of whole clusters"
