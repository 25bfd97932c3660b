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
                plots.append(plot(title, "step", "loss", {"faint": points, "line": line}))
    return f'<div class="plots">{"".join(plots)}</div>' if plots else ""


def calibration(content: Content) -> str:
    """For every grounding system a reliability diagram and precision over recall, as far as the data are there."""
    plots = []
    for name, curves in content.curves.items():
        if lines := _reliability(curves):
            plots.append(plot(f"{name}: reliability", "score", "found right", lines, 1))
        if pr := points_of(curves.get("pr"), "recall", "precision"):
            plots.append(plot(f"{name}: precision and recall, IoU 0.5", "recall", "precision", {"line": pr}, 1))
        froc = points_of(curves.get("froc"), "false_positives", "sensitivity")
        if froc := [point for point in froc if point[0] <= MAX_FALSE]:
            axes = "false positives an image", "sensitivity"
            plots.append(plot(f"{name}: FROC", *axes, {"line": froc}, MAX_FALSE))
    return f'<div class="plots">{"".join(plots)}</div>' if plots else ""


def _reliability(curves: Mapping[str, Any]) -> dict[str, Points]:
    points = points_of(curves.get("reliability"), "score", "accuracy")
    return {"guide": [(0.0, 0.0), (1.0, 1.0)], "line dots": points} if points else {}


def reliability_file(curves: Mapping[str, Any]) -> str:
    """The reliability diagram of `eval.grounding.curves` as an SVG file of its own; empty where there are no points."""
    if not (lines := _reliability(curves)):
        return ""
    drawing = _draw("Reliability", "score", "found right", lines, 1)
    # alone it has no page whose style sheet it could use
    style = (
        "><style>svg{background:#fff;font-family:sans-serif}text{font-size:10px;fill:#555}.x{text-anchor:middle}"
        ".y{text-anchor:end;dominant-baseline:central}.grid{stroke:#ddd}"
        "path{fill:none;stroke:#1f6fb4;stroke-width:1.75}"
        "path.guide{stroke:#999;stroke-dasharray:3}.dot{fill:#1f6fb4}</style>"
    )
    return drawing.replace("<svg", '<svg xmlns="http://www.w3.org/2000/svg" width="600"', 1).replace(">", style, 1)


def points_of(rows: Sequence[Mapping[str, Any]] | None, x_name: str, y_name: str) -> Points:
    """(x, y) of every row; rows without numbers are passed over."""
    pairs = [(row.get(x_name), row.get(y_name)) for row in rows or ()]
    numbers = [(x, y) for x, y in pairs if isinstance(x, int | float) and isinstance(y, int | float)]
    return [(float(x), float(y)) for x, y in numbers if np.isfinite((x, y)).all()]


def plot(title: str, x_name: str, y_name: str, lines: Mapping[str, Points], x_high: float | None = None) -> str:
    """A figure with its caption; `lines`: by their class in the style sheet."""
    drawing = _draw(title, x_name, y_name, lines, x_high)
    return f'<figure class="plot"><figcaption>{escape(title)}</figcaption>{drawing}</figure>'


def _draw(title: str, x_name: str, y_name: str, lines: Mapping[str, Points], x_high: float | None) -> str:
    """Axes from 0, ticks and one path for each line; keys are their classes. With an `x_high`, y ends at 1."""
    every = [point for points in lines.values() for point in points]
    # the few highest losses, those of the first steps, may leave the axes: the rest would lie flat below them
    y_high = float(np.quantile([y for _, y in every], 0.995)) * 1.05 if x_high is None else 1.0
    x_end = max(x for x, _ in every) if x_high is None else x_high

    def at(x: float, y: float) -> tuple[str, str]:
        across = LEFT + (WIDTH - LEFT - RIGHT) * x / max(x_end, 1e-9)
        down = HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * min(y, y_high) / max(y_high, 1e-9)
        return f"{across:.1f}", f"{down:.1f}"

    def ticks(high: float) -> list[float]:
        step = nice_step(max(high, 1e-9) / 4)
        return [round(k * step, 10) for k in range(int(high / step + 1e-9) + 1)]

    parts = [f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(title)}">']
    for tick in ticks(x_end):
        parts.append(f'<text x="{at(tick, 0)[0]}" y="{HEIGHT - BOTTOM + 14}" class="x">{tick:g}</text>')
    for tick in ticks(y_high):
        y = at(0, tick)[1]
        parts.append(f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y}" y2="{y}"/>')
        parts.append(f'<text x="{LEFT - 6}" y="{y}" class="y">{tick:g}</text>')
    middle = (LEFT + WIDTH - RIGHT) / 2
    parts.append(f'<text x="{middle}" y="{HEIGHT - 2}" class="x name">{escape(x_name)}</text>')
    parts.append(f'<text x="4" y="8" class="name">{escape(y_name)}</text>')
    for kind, points in lines.items():
        parts.append(f'<path class="{kind}" d="M{"L".join(",".join(at(*point)) for point in points)}"/>')
        for x, y in [at(*point) for point in points] if "dots" in kind else ():
            parts.append(f'<circle class="dot" cx="{x}" cy="{y}" r="3"/>')
    return "".join([*parts, "</svg>"])
