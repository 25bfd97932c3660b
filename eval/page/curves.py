"""Lines in small axes: losses over steps, reliability, precision over recall. Inline SVG, nothing but Python."""

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

import numpy as np

from .content import Content
from .intervals import nice_step

WIDTH, HEIGHT = 300, 190
LEFT, RIGHT, TOP, BOTTOM = 40, 10, 20, 30
MAX_POINTS = 300
MAX_FALSE = 8
"""False positives an image up to which FROC is drawn, as its mean sensitivity is taken."""

Points = Sequence[tuple[float, float]]


def losses(content: Content) -> str:
    """One plot a training: the loss of every step, and its running mean."""
    plots = []
    for run in content.runs:
        for name, rows in run.losses.items():
            every = points_of(rows, "step", "loss")
            points = every[:: max(1, -(-len(every) // MAX_POINTS))]
            if len(points) > 1:
                title = name if len(content.runs) == 1 else f"{run.name}/{name}"
                half, y = max(1, len(points) // 20), np.asarray([y for _, y in points])
                # the line: a centred mean over a tenth of the points
                means = [float(y[max(0, k - half) : k + half + 1].mean()) for k in range(len(points))]
                line = [(x, mean) for (x, _), mean in zip(points, means, strict=True)]
                plots.append(_plot(title, "step", "loss", {"faint": points, "line": line}))
    return f'<div class="plots">{"".join(plots)}</div>' if plots else ""


def calibration(content: Content) -> str:
    """For every grounding system a reliability diagram and precision over recall, as far as the data are there."""
    plots = []
    for name, found in content.curves.items():
        if lines := _reliability(found):
            plots.append(_plot(f"{name}: reliability", "score", "found right", lines, (0, 1), (0, 1)))
        if pr := points_of(found.get("pr"), "recall", "precision"):
            title = f"{name}: precision and recall, IoU 0.5"
            plots.append(_plot(title, "recall", "precision", {"line": pr}, (0, 1), (0, 1)))
        froc = points_of(found.get("froc"), "false_positives", "sensitivity")
        if froc := [point for point in froc if point[0] <= MAX_FALSE]:
            plots.append(
                _plot(
                    f"{name}: FROC", "false positives an image", "sensitivity", {"line": froc}, (0, MAX_FALSE), (0, 1)
                )
            )
    return f'<div class="plots">{"".join(plots)}</div>' if plots else ""


def _reliability(found: Mapping[str, Any]) -> dict[str, Points]:
    points = points_of(found.get("reliability"), "score", "accuracy")
    return {"guide": [(0.0, 0.0), (1.0, 1.0)], "line dots": points} if points else {}


def reliability_file(found: Mapping[str, Any]) -> str:
    """The reliability diagram of `eval.grounding.curves` as an SVG file of its own; empty where there are no points."""
    if not (lines := _reliability(found)):
        return ""
    drawing = _draw("Reliability", "score", "found right", lines, (0, 1), (0, 1))
    return drawing.replace("<svg", '<svg xmlns="http://www.w3.org/2000/svg" width="600"', 1).replace(">", _STYLE, 1)


_STYLE = (
    "><style>svg{background:#fff;font-family:sans-serif}text{font-size:10px;fill:#555}.x{text-anchor:middle}"
    ".y{text-anchor:end;dominant-baseline:central}.grid{stroke:#ddd}path{fill:none;stroke:#1f6fb4;stroke-width:1.75}"
    "path.guide{stroke:#999;stroke-dasharray:3}.dot{fill:#1f6fb4}</style>"
)


def points_of(rows: Sequence[Mapping[str, Any]] | None, x_name: str, y_name: str) -> Points:
    """(x, y) of every row; rows without numbers are passed over."""
    pairs = [(row.get(x_name), row.get(y_name)) for row in rows or ()]
    return [
        (float(x), float(y))
        for x, y in pairs
        if isinstance(x, int | float) and isinstance(y, int | float) and np.isfinite((x, y)).all()
    ]


def _plot(
    title: str,
    x_name: str,
    y_name: str,
    lines: Mapping[str, Points],
    x_range: tuple[float, float] | None = None,
    y_range: tuple[float, float] | None = None,
) -> str:
    """A figure with its caption."""
    drawing = _draw(title, x_name, y_name, lines, x_range, y_range)
    return f'<figure class="plot"><figcaption>{escape(title)}</figcaption>{drawing}</figure>'


def _draw(
    title: str,
    x_name: str,
    y_name: str,
    lines: Mapping[str, Points],
    x_range: tuple[float, float] | None,
    y_range: tuple[float, float] | None,
) -> str:
    """Axes, ticks and one path for each line; keys are their classes."""
    every = [point for points in lines.values() for point in points]
    x_low, x_high = x_range or (0.0, max(x for x, _ in every))
    y_low, y_high = y_range or (0.0, float(np.quantile([y for _, y in every], 0.995)) * 1.05)
    spread = max(x_high - x_low, 1e-9), max(y_high - y_low, 1e-9)

    def at(x: float, y: float) -> str:
        across = LEFT + (WIDTH - LEFT - RIGHT) * (x - x_low) / spread[0]
        down = HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * (min(y, y_high) - y_low) / spread[1]
        return f"{across:.1f},{down:.1f}"

    drawn = ""
    for kind, points in lines.items():
        drawn += f'<path class="{kind}" d="M{"L".join(at(*point) for point in points)}"/>'
        for x, y in (at(*point).split(",") for point in points) if "dots" in kind else ():
            drawn += f'<circle class="dot" cx="{x}" cy="{y}" r="3"/>'
    return (
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(title)}">'
        f"{_axes(at, (x_low, x_high), (y_low, y_high), x_name, y_name)}{drawn}</svg>"
    )


def _axes(at: Any, x_range: tuple[float, float], y_range: tuple[float, float], x_name: str, y_name: str) -> str:
    parts = []
    for tick in _ticks(*x_range):
        x = at(tick, y_range[0]).split(",")[0]
        parts.append(f'<text x="{x}" y="{HEIGHT - BOTTOM + 14}" class="x">{tick:g}</text>')
    for tick in _ticks(*y_range):
        y = at(x_range[0], tick).split(",")[1]
        parts.append(f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y}" y2="{y}"/>')
        parts.append(f'<text x="{LEFT - 6}" y="{y}" class="y">{tick:g}</text>')
    middle = (LEFT + WIDTH - RIGHT) / 2
    parts.append(f'<text x="{middle}" y="{HEIGHT - 2}" class="x name">{escape(x_name)}</text>')
    parts.append(f'<text x="4" y="8" class="name">{escape(y_name)}</text>')
    return "".join(parts)


def _ticks(low: float, high: float) -> list[float]:
    step = nice_step(max(high - low, 1e-9) / 4)
    return [round(k * step, 10) for k in range(int(np.ceil(low / step - 1e-9)), int(high / step + 1e-9) + 1)]
