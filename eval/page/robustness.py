"""What is left under corrupted pictures: a metric at each severity of probe `corrupt`, paired with the originals."""

from collections.abc import Sequence
from pathlib import Path

from ..catalog import tested_metrics
from ..probes import probe
from ..records import Record, read_records
from ..settings import EvalSettings
from ..statistics.bootstrap import Difference
from .content import Content, DropCurve
from .curves import plot

MAX_RESAMPLES = 200
"""For the bands of a picture; `eval probes` draws as many as the settings say."""


def drop_curve(title: str, records: Sequence[Record], corrupted: Path, settings: EvalSettings) -> DropCurve | None:
    """The metric that tests look at first, of the originals that were corrupted, and at each severity.

    None where the probe is not finished for any metric. Raises `BadInput` for records that are no pairs.
    """
    task = records[0]["task"]
    few = settings.model_copy(update={"resamples": min(MAX_RESAMPLES, settings.resamples), "strata": False})
    found = probe([records, read_records([corrupted], task)], [corrupted.name], few)
    metric = next((name for name in reversed(tested_metrics(task)) if name in found.curves), None)
    if metric is None:
        return None
    steps = {int(source.rpartition("-")[2]): drop[metric] for source, drop in found.drops.items()}
    begin = (0.0, found.curves[metric][0])
    return DropCurve(
        title=title,
        metric=metric,
        values=[begin, *((float(severity), drop.b) for severity, drop in steps.items())],
        # the interval is that of the paired difference, original less corrupted
        lower=[begin, *((float(severity), _below(drop, drop.difference.high)) for severity, drop in steps.items())],
        upper=[begin, *((float(severity), _below(drop, drop.difference.low)) for severity, drop in steps.items())],
    )


def _below(drop: Difference, bound: float | None) -> float:
    """The originals' value less a bound of the difference; the value itself where there is no interval."""
    return drop.b if bound is None else drop.a - bound


def robustness(content: Content) -> str:
    """A plot for each system that was asked with corrupted pictures."""
    plots = ""
    for curve in content.drops:
        edge = [*curve.lower, *reversed(curve.upper)]
        lines = {"guide": [(x, min(max(y, 0.0), 1.0)) for x, y in edge], "line dots": curve.values}
        plots += plot(f"{curve.title}: {curve.metric}", "severity (0: the original)", curve.metric, lines, 5)
    return f'<div class="plots">{plots}</div>' if plots else ""
