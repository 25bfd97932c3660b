"""Values with whiskers: one small SVG a row, on a scale that all rows of a table share; the numbers stand beside it."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape
from itertools import chain, product

from ..catalog import metric_scale, page_metrics
from ..statistics.bootstrap import Difference, Estimate
from ..statistics.significance import p_words
from .content import TITLES, Content, Pair, System
from .wording import words

WIDTH, HEIGHT, PAD = 260, 20, 6


@dataclass(frozen=True)
class Scale:
    """Values between `low` and `high` across a cell; `ticks` are written below the last row."""

    low: float
    high: float
    ticks: tuple[float, ...]

    def x(self, value: float) -> float:
        """Place in the cell."""
        share = (value - self.low) / (self.high - self.low)
        return round(PAD + (WIDTH - 2 * PAD) * min(max(share, 0.0), 1.0), 1)


def scale_of(values: Iterable[float | None], *, around_zero: bool = False) -> Scale:
    """A scale with round ends that holds all values: about zero, or from zero (1 at the end of fractions)."""
    known = [abs(v) if around_zero else v for v in values if v is not None and math.isfinite(v)]
    high = max(known, default=0.0)
    high = 1.0 if high < 1e-3 else high  # all zero, as it is written: to 1
    step = nice_step(high / 3 if around_zero else high / 4)
    high = math.ceil(high / step - 1e-9) * step
    if not around_zero and 0.6 < high <= 1:  # fractions: the scale ends where they end
        high, step = 1.0, 0.25
    low = -high if around_zero else min(0.0, math.floor(min(known, default=0.0) / step) * step)
    num = round((high - low) / step)
    return Scale(low, high, tuple(round(low + k * step, 6) for k in range(num + 1)))


def nice_step(rough: float) -> float:
    """The next of 1, 2, 5 times a power of ten."""
    power = 10.0 ** math.floor(math.log10(rough))
    return next(k * power for k in (1, 2, 5, 10) if rough <= k * power * (1 + 1e-9))


def whisker(score: Estimate, scale: Scale, kind: str = "") -> str:
    """The dot of a value on its interval, with the scale's grid behind."""
    middle = HEIGHT // 2
    lines = [("zero" if tick == 0 and scale.low < 0 else "grid", scale.x(tick)) for tick in scale.ticks]
    parts = [f'<line class="{kind_of_line}" x1="{x}" x2="{x}" y2="{HEIGHT}"/>' for kind_of_line, x in lines]
    if score.low is not None and score.high is not None:
        low, high = scale.x(score.low), scale.x(score.high)
        parts.append(f'<path class="bar" d="M{low},{middle}H{high}M{low},{middle - 4}v8M{high},{middle - 4}v8"/>')
    parts.append(f'<circle class="dot" cx="{scale.x(score.value)}" cy="{middle}" r="4"/>')
    return f'<svg class="whisker {kind}" viewBox="0 0 {WIDTH} {HEIGHT}" aria-hidden="true">{"".join(parts)}</svg>'


def axis(scale: Scale, *, is_signed: bool = False) -> str:
    """The ticks' values."""
    form = "+g" if is_signed else "g"
    ticks = "".join(f'<text x="{scale.x(t)}" y="13">{f"{t:{form}}" if t else "0"}</text>' for t in scale.ticks)
    return f'<svg class="whisker axis" viewBox="0 0 {WIDTH} {HEIGHT}" aria-hidden="true">{ticks}</svg>'


def forest(content: Content) -> str:
    """Each system less the base: a table for each task, metrics of one scale together; p as it is and by Holm."""
    parts = ""
    for task in content.tasks:
        pairs = [pair for pair in content.pairs if pair.task == task]
        if not pairs:
            continue
        metrics = [name for name in page_metrics(task) if any(name in pair.metrics for pair in pairs)]
        scales = {name: metric_scale(task, name) for name in metrics}
        parts += f"<h3>{escape(f'{TITLES[task]}: difference from {pairs[0].base}')}</h3>"
        for scale in sorted({*scales.values()}):  # CIDEr ends at 10: beside it all others would look alike
            parts += _forest_table(pairs, [name for name in metrics if scales[name] == scale])
        parts += next((f'<p class="note">{escape(_family(pair))}.</p>' for pair in pairs if pair.family), "")
        for pair in pairs:
            if pair.why_not:
                problem = f"{pair.name} is not compared with {pair.base}: {pair.why_not}"
                parts += f'<p class="note">{escape(problem)}</p>'
    return parts


def _family(pair: Pair) -> str:
    """What Holm corrects for, its metrics as they are read."""
    tests, metrics, names = pair.family.partition("metrics ")
    return tests + metrics + ", ".join(map(words, names.split(", ")))


def _forest_table(pairs: Sequence[Pair], metrics: Sequence[str]) -> str:
    entries = [(metric, pair, pair.metrics[metric]) for metric in metrics for pair in pairs if metric in pair.metrics]
    ends = [(d.difference.value, d.difference.low, d.difference.high) for *_, d in entries]
    scale = scale_of(chain(*ends), around_zero=True)
    rows, last = "", ""
    for metric, pair, difference in entries:
        d = difference.difference
        rows += _row_start("" if metric == last else words(metric), pair.name)
        rows += f'<td class="plot">{whisker(d, scale, "clear" if is_clear(difference) else "")}</td>'
        texts = (estimate_text(d, "+.3f"), d.n, *p_texts(difference))
        rows += "".join(f'<td class="num">{text}</td>' for text in texts) + "</tr>"
        last = metric
    head = '<th scope="col">metric</th><th scope="col">system</th><th scope="col" class="plot">difference</th>'
    head += "".join(f'<th scope="col" class="num">{name}</th>' for name in ("value [interval]", "n", "p", "p, Holm"))
    foot = f'<td></td><td></td><td class="plot">{axis(scale, is_signed=True)}</td><td colspan="4"></td>'
    return (
        f'<div class="scroll" tabindex="0"><table class="forest"><thead><tr>{head}</tr></thead>'
        f"<tbody>{rows}</tbody><tfoot><tr>{foot}</tr></tfoot></table></div>"
    )


def _row_start(head: str, name: str) -> str:
    """The first two cells of a row; one with a head begins a group."""
    start = ' class="group"' if head else ""
    return f'<tr{start}><th scope="row">{escape(head)}</th><td>{escape(name)}</td>'


def strata(content: Content) -> str:
    """A table for each task, axis and headline metric: stratum by stratum, every system. Two selects choose one."""
    parts = ""
    for task in content.tasks:
        systems = content.of(task)
        axes = dict.fromkeys(name for s in systems for name in s.scores.strata)
        parts += "".join(_strata_table(systems, *pair) for pair in product(axes, page_metrics(task)))
    return parts


def _strata_table(systems: Sequence[System], axis_name: str, metric: str) -> str:
    labels = sorted({label for s in systems for label in s.scores.strata.get(axis_name, {})})
    strata = [(label, s.name, s.scores.strata.get(axis_name, {}).get(label, {})) for label in labels for s in systems]
    cells = [(label, name, estimates[metric]) for label, name, estimates in strata if metric in estimates]
    if not cells:
        return ""
    scale = scale_of(x for *_, score in cells for x in (score.value, score.low, score.high))
    rows, last = "", ""
    for label, name, estimate in cells:
        kind = "base" if name == systems[0].name and len(systems) > 1 else ""
        rows += _row_start("" if label == last else label, name)
        rows += f'<td class="plot">{whisker(estimate, scale, kind)}</td>'
        rows += f'<td class="num">{estimate_text(estimate)}</td><td class="num">{estimate.n}</td></tr>'
        last = label
    part = f"{TITLES[systems[0].task]} by {words(axis_name)}"
    return (
        f'<figure class="stratum" data-part="{escape(part)}" data-metric="{escape(words(metric))}">'
        f"<figcaption>{escape(part)}: {escape(words(metric))}</figcaption>"
        '<div class="scroll" tabindex="0"><table class="forest"><tbody>'
        f'{rows}</tbody><tfoot><tr><td></td><td></td><td class="plot">{axis(scale)}</td><td colspan="2"></td>'
        "</tr></tfoot></table></div></figure>"
    )


def is_clear(difference: Difference) -> bool:
    """Whether the interval, as it is written, leaves out zero."""
    d = difference.difference
    return d.low is not None and d.high is not None and (round(d.low, 3) > 0 or round(d.high, 3) < 0)


def estimate_text(score: Estimate, form: str = ".3f") -> str:
    """`0.812 [0.750, 0.861]`."""
    return f'{score.value:{form}} <span class="interval">[{score.interval(form)}]</span>'


def p_texts(difference: Difference) -> list[str]:
    """The p-value and Holm's as they are printed in a table; `< 0.002` where no permutation was as extreme."""
    values = (difference.p_value, difference.p_holm)
    written = ["–" if p is None else p_words(p, difference.is_on_floor or p < 0.001, ".3f") for p in values]
    return [escape(text.removeprefix("= ")) for text in written]
