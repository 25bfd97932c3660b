"""A forest plot as plain SVG: a line an interval, a dot a value, a faint dot a seed."""

from collections.abc import Mapping, Sequence
from html import escape

from ...eval.statistics.bootstrap import Estimate

LEFT, WIDTH, ROW, TOP = 230, 380, 26, 46


def forest_svg(rows: Mapping[str, Estimate], dots: Mapping[str, Sequence[float]], title: str) -> str:
    """`rows`: name -> difference with its interval; `dots`: name -> values of single seeds."""
    values = [v for e in rows.values() for v in (e.value, e.low, e.high) if v is not None]
    values += [0.0, *(v for seeds in dots.values() for v in seeds)]
    low, high = min(values), max(values)
    room = 0.08 * (high - low) or 0.05
    low, high = low - room, high + room

    def x(value: float) -> float:
        return round(LEFT + WIDTH * (value - low) / (high - low), 1)

    bottom = TOP + ROW * len(rows)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{LEFT + WIDTH + 20}" height="{bottom + 40}" '
        'font-family="sans-serif" font-size="13">',
        f'<text x="10" y="22" font-weight="bold">{escape(title)}</text>',
        f'<line x1="{x(0)}" x2="{x(0)}" y1="{TOP - 8}" y2="{bottom}" stroke="#999" stroke-dasharray="4 3"/>',
    ]
    for number, (name, estimate) in enumerate(rows.items()):
        y = TOP + ROW * number + ROW / 2
        parts.append(f'<text x="{LEFT - 10}" y="{y + 4}" text-anchor="end">{escape(name)}</text>')
        if estimate.low is not None and estimate.high is not None:
            ends = f'x1="{x(estimate.low)}" x2="{x(estimate.high)}" y1="{y}" y2="{y}"'
            parts.append(f'<line {ends} stroke="#225" stroke-width="2"/>')
        seeds = dots.get(name, ())  # faint, so that those of one value show as one darker dot
        parts += [f'<circle cx="{x(value)}" cy="{y}" r="3" fill="#225" opacity="0.3"/>' for value in seeds]
        parts.append(f'<circle cx="{x(estimate.value)}" cy="{y}" r="5" fill="#225"/>')
    marks = (low + room, 0.0, high - room)  # the smallest and the largest value, and no difference between them
    for value in marks:
        parts.append(f'<text x="{x(value)}" y="{bottom + 20}" text-anchor="middle">{value:+.2f}</text>')
    return "\n".join([*parts, "</svg>\n"])
