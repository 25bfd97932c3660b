"""Scores as a table for the terminal or a page: value, interval and n in every cell."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

from .catalog import tested_metrics
from .statistics.bootstrap import Difference, Estimate
from .statistics.significance import p_words

if TYPE_CHECKING:
    from .compare import Comparison
    from .probes import ProbeResult
    from .score import Scores

Rows = Mapping[str, Mapping[str, Estimate | Difference]]


def table(rows: Rows, form: Literal["text", "markdown"] = "text", corner: str = "metric") -> str:
    """One line for each metric, one column for each run.

    `rows`: run name -> metric name -> estimate (`Scores.metrics`) or difference. Metrics keep the order in
    which they first come; a run without one shows `-`. No newline at the end.
    """
    names = list(dict.fromkeys(name for metrics in rows.values() for name in metrics))
    lines = [[corner, *rows]]  # metric | a | b
    lines += [[name, *(cell(metrics.get(name)) for metrics in rows.values())] for name in names]
    widths = [max(len(line[column]) for line in lines) for column in range(len(lines[0]))]
    padded = [[text.ljust(width) for text, width in zip(line, widths, strict=True)] for line in lines]
    rule = ["-" * width for width in widths]
    if form == "markdown":
        return "\n".join("| " + " | ".join(line) + " |" for line in [padded[0], rule, *padded[1:]])
    return "\n".join("  ".join(line).rstrip() for line in [padded[0], rule, *padded[1:]])


def cell(score: Estimate | Difference | None) -> str:
    """`0.812 [0.750, 0.861] n=451`; for a difference with its sign and p-values; `-` for nothing."""
    if score is None:
        return "-"
    if isinstance(score, Estimate):
        return f"{score.value:.3f} [{score.interval()}] n={score.n}"
    one = score.difference
    bound = score.is_on_floor
    named = {"p": (score.p_value, bound), "Holm": (score.p_holm, bound), "McNemar": (score.mcnemar, False)}
    written = {name: p_words(value, is_bound) for name, (value, is_bound) in named.items() if value is not None}
    p_values = "".join(f" {name}{text.replace(' ', '')}" for name, text in written.items())
    return f"{one.value:+.3f} [{one.interval('+.3f')}] n={one.n}{p_values}"


def scores_text(scores: "Scores") -> str:
    """One score file for the terminal: all metrics, headline ones by stratum, counts, notes, what an interval is."""
    parts = [table({f"{scores.task}, protocol {scores.protocol} {scores.version}": scores.metrics})]
    tested = tested_metrics(scores.task)
    parts += [table(by_metric(labels, tested), corner=axis) for axis, labels in scores.strata.items()]
    parts.append(_counts_text(scores.counts))
    return "\n\n".join([*parts, *(f"note: {note}" for note in scores.notes if note), _method(scores.settings)])


def comparisons_text(comparisons: Sequence["Comparison"]) -> str:
    """Each run less the baseline; the family of the corrected p-values in words."""
    rows = {f"{one.a_name} minus {one.b_name}": one.metrics for one in comparisons}
    return "\n\n".join([table(rows), comparisons[0].family, _method(comparisons[0].settings)])


def probes_text(result: "ProbeResult") -> str:
    """Scores under each probe, the drops, what was counted."""
    parts = [table(result.metrics)]
    if result.drops:
        parts.append(table({f"original minus {name}": metrics for name, metrics in result.drops.items()}))
    if result.consistency:
        parts.append(
            table({f"{name}: one answer all times": {"consistency": one} for name, one in result.consistency.items()})
        )
    parts += [f"{name}: {_counts_text(counts)}" for name, counts in result.counts.items()]
    notes = [f"note: {note}" for note in [*result.notes, result.family] if note]
    return "\n\n".join([*parts, *notes, _method(result.settings)])


def by_metric(labels: Rows, metrics: Sequence[str]) -> Rows:
    """Label -> metric -> cell transposed for `table`, so that a stratum is a line and each of `metrics` a column.

    Columns keep the order of `metrics`; those that no stratum has are left out.
    """
    names = [name for name in metrics if any(name in cells for cells in labels.values())]
    return {name: {label: cells[name] for label, cells in labels.items() if name in cells} for name in names}


def _counts_text(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{name.replace('_', ' ')} {count}" for name, count in counts.items())


def _method(settings: Mapping[str, Any]) -> str:
    share = f"{100 * settings['confidence']:g} %"
    return f"value [{share} interval] n = samples; {settings['resamples']} resamples of whole clusters"
