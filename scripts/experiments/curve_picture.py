"""The picture of a learning curve: a line a form, its intervals, budgets on a logarithmic axis."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape

from ...eval.statistics.bootstrap import Estimate

COLOURS = ("#555555", "#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#8c564b", "#7f7f7f")
"""Okabe and Ito's, told apart by most people who are colour-blind; the first is of no evidence."""
LEFT, TOP, WIDTH, HEIGHT, LEGEND = 60, 46, 420, 300, 250
"""Pixels: axis of values, title, the field, names beside it."""


@dataclass(frozen=True)
class Point:
    """One line at one budget. `examples`: different ones among its draws; `seconds`: of a training, mean of seeds."""

    value: Estimate
    draws: int
    examples: int
    seconds: float


def curve_svg(lines: Mapping[str, Sequence[Point]], levels: Mapping[str, Estimate], title: str) -> str:
    """Values from 0 to 1 over draws; controls dashed, `levels` dotted. Below a budget its examples and seconds."""
    budgets = sorted({(point.draws, point.examples) for points in lines.values() for point in points})
    low, high = (math.log(budgets[index][0]) for index in (0, -1))

    def x(draws: int) -> float:
        return round(LEFT + 20 + (WIDTH - 40) * ((math.log(draws) - low) / (high - low) if high > low else 0.5), 1)

    def y(value: float) -> float:
        return round(TOP + HEIGHT * (1 - value), 1)

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{LEFT + WIDTH + LEGEND}" height="{TOP + HEIGHT + 76}" '
        'font-family="sans-serif" font-size="12">',
        '<rect width="100%" height="100%" fill="white"/>',
        f'<text x="{LEFT}" y="22" font-weight="bold" font-size="14">{escape(title)}</text>',
    ]
    for tenth in range(0, 11, 2):
        line = f'x1="{LEFT}" x2="{LEFT + WIDTH}" y1="{y(tenth / 10)}" y2="{y(tenth / 10)}"'
        parts.append(f'<line {line} stroke="#ddd"/>')
        parts.append(f'<text x="{LEFT - 8}" y="{y(tenth / 10) + 4}" text-anchor="end">{tenth / 10:.1f}</text>')
    for draws, examples in budgets:
        seconds = [point.seconds for points in lines.values() for point in points if point.draws == draws]
        texts = f"{draws} draws", f"{examples} examples", f"{min(seconds):.0f} to {max(seconds):.0f} s"
        for number, text in enumerate(texts, 1):
            parts.append(
                f'<text x="{x(draws)}" y="{TOP + HEIGHT + 4 + 18 * number}" text-anchor="middle">{text}</text>'
            )
    for number, (name, points) in enumerate(lines.items()):
        colour, dashes = COLOURS[number % len(COLOURS)], ' stroke-dasharray="5 4"' if "shuffled" in name else ""
        path = " ".join(f"{x(point.draws)},{y(point.value.value)}" for point in points)
        parts.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"{dashes}/>')
        for point in points:
            at = x(point.draws) + 2 * (number - len(lines) / 2)  # beside each other, so that no interval hides another
            if point.value.low is not None and point.value.high is not None:
                ends = f'x1="{at}" x2="{at}" y1="{y(point.value.low)}" y2="{y(point.value.high)}"'
                parts.append(f'<line {ends} stroke="{colour}"/>')
            parts.append(f'<circle cx="{at}" cy="{y(point.value.value)}" r="3.5" fill="{colour}"/>')
        parts += _legend(number, name, colour, dashes)
    for number, (name, level) in enumerate(levels.items(), len(lines)):
        dots, at = ' stroke-dasharray="1 4"', y(level.value)
        ends = f'x1="{LEFT}" x2="{LEFT + WIDTH}" y1="{at}" y2="{at}"'
        colour = COLOURS[number % len(COLOURS)]
        parts.append(f'<line {ends} stroke="{colour}" stroke-width="2"{dots}/>')
        parts += _legend(number, f"{name} {level.value:.3f}", colour, dots)
    return "\n".join([*parts, "</svg>\n"])


def _legend(number: int, name: str, colour: str, dashes: str) -> list[str]:
    left, at = LEFT + WIDTH + 14, TOP + 8 + 19 * number
    line = f'<line x1="{left}" x2="{left + 24}" y1="{at}" y2="{at}" stroke="{colour}" stroke-width="2"{dashes}/>'
    return [line, f'<text x="{left + 30}" y="{at + 4}">{escape(name)}</text>']
