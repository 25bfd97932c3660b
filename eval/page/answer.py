"""The line on top of a page, which answers its title with figures, and the chart of every system by metric."""

from html import escape

from ...grounding.records import Task
from ..catalog import metrics_of, page_metrics
from ..statistics.bootstrap import Difference
from ..statistics.significance import p_words
from .content import TITLES, Content, Pair, System
from .intervals import axis, is_clear, scale_of, whisker
from .wording import words


def answer(content: Content) -> str:
    """Of each task whether evidence helps in its first metric, by how much and how sure; without pairs the value.

    The systems are the base and the regions found (`predicted`), else the first that is paired; with them stands what
    another image's regions do, where those were asked.
    """
    asks = any("?" in run.title for run in content.runs)
    parts = [_of_task(content, task, asks=asks) for task in content.tasks]
    return "".join(f"<span>{part}</span>" for part in parts if part)


def _of_task(content: Content, task: Task, *, asks: bool) -> str:
    names, systems = page_metrics(task), content.of(task)
    pairs = {pair.name: pair for pair in content.pairs if pair.task == task and pair.metrics}
    pair = pairs.get("predicted") or next(iter(pairs.values()), None)
    metric = next((name for name in names if name in (pair.metrics if pair else systems[0].scores.metrics)), "")
    if not metric:
        return ""
    if pair is None:
        score = systems[0].scores.metrics[metric]
        return escape(f"{TITLES[task]}: {words(metric)} {score.value:.3f} [{score.interval()}], n = {score.n}.")
    found = pair.metrics[metric]
    told = f"{words(metric)} {found.b:.3f} with {pair.base}, {found.a:.3f} with {pair.name}: {_change(found)}"
    control = pairs["shuffled"].metrics.get(metric) if "shuffled" in pairs and pairs["shuffled"] is not pair else None
    if control:
        told += f"; with another image's regions {control.difference.value:+.3f}"
    return f"<b>{escape(f'{TITLES[task]}: {_verdict(pair, control, metric, asks=asks)}.')}</b> {escape(told)}."


def _verdict(pair: Pair, control: Difference | None, metric: str, *, asks: bool) -> str:
    """Yes where the interval lies on the better side of zero, no on the worse side, else it is not shown.

    A yes says so where another image's regions gain no clearly smaller part: then it is not what they show that helps.
    """
    found = pair.metrics[metric]
    if not is_clear(found):
        return "not shown" if asks else "not told apart"
    higher_is_better = next((m.higher_is_better for m in metrics_of(pair.task) if m.name == metric), True)
    is_better = (found.difference.value > 0) == higher_is_better
    if not asks:
        verdict = f"{pair.name} is {'better' if is_better else 'worse'}"
    else:
        verdict = "yes" if is_better else "no, worse"
    return f"{verdict}, but so with another image's regions" if is_better and _as_well(control, found) else verdict


def _as_well(control: Difference | None, found: Difference) -> bool:
    """Whether both change the same way, and their intervals meet."""
    if control is None or not is_clear(control):
        return False
    ours, theirs = found.difference, control.difference
    if (ours.value > 0) != (theirs.value > 0):
        return False
    far, near = (theirs.high, ours.low) if ours.value > 0 else (ours.high, theirs.low)
    return far is not None and near is not None and far >= near


def _change(found: Difference) -> str:
    """`+0.364 [+0.296, +0.438], p < 0.002`."""
    p = f", p {p_words(found.p_value, found.is_on_floor)}" if found.p_value is not None else ""
    return f"{found.difference.value:+.3f} [{found.difference.interval('+.3f')}]{p}"


def chart(content: Content) -> str:
    """A panel for each headline metric: every system's value, its interval, and the scale they share."""
    parts = ""
    for task in content.tasks:
        systems = content.of(task)
        if len(systems) > 1:  # one value is no picture
            base = next((pair.base for pair in content.pairs if pair.task == task), "")
            panels = "".join(_panel(systems, name, base) for name in page_metrics(task))
            parts += f'<h3>{TITLES[task]}</h3><div class="plots">{panels}</div>' if panels else ""
    return parts


def _panel(systems: list[System], metric: str, base: str) -> str:
    scores = {s.name: s.scores.metrics[metric] for s in systems if metric in s.scores.metrics}
    if not scores:
        return ""
    scale = scale_of(x for score in scores.values() for x in (score.value, score.low, score.high))
    rows = "".join(
        f'<span class="who">{escape(name)}</span>{whisker(score, scale, "" if name == base else "clear")}'
        f"<b>{score.value:.3f}</b>"
        for name, score in scores.items()
    )
    title = escape(words(metric))
    body = f'<div class="chart">{rows}<span></span>{axis(scale)}<span></span></div>'
    return f'<figure class="plot"><figcaption>{title}</figcaption>{body}</figure>'
