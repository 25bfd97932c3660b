"""What a table of differences shows, in sentences made from its intervals: nothing is written in advance."""

from collections.abc import Mapping, Sequence

from ...grounding.records import Task
from ..catalog import metrics_of, page_metrics, text_names
from ..statistics.bootstrap import Difference
from .intervals import is_clear
from .wording import words

Differences = Mapping[str, Difference]
"""By metric, one system less the base."""


def statements(pairs: Mapping[str, Differences], base: str, task: Task) -> list[str]:
    """A sentence for each system: in which metrics its interval lies above that of the base, below it, or about zero.

    Metrics stand in the order of the page's table, what is true of the picture first. Then one on metrics of words that
    another image's regions raise as well. `pairs`: by the name of the system.
    """
    first = page_metrics(task)
    pairs = {name: {m: own[m] for m in (*first, *own) if m in own} for name, own in pairs.items()}
    better = {metric.name: metric.higher_is_better for metric in metrics_of(task)}
    sentences = [_compared(name, base, own, better) for name, own in pairs.items() if own]
    return sentences + _not_of_this_image(pairs, better)


def _compared(name: str, base: str, metrics: Differences, better: Mapping[str, bool]) -> str:
    parts = []
    for verb, sign in (("better", 1), ("worse", -1)):
        clear = [m for m, d in metrics.items() if is_clear(d) and sign * _gain(m, d, better) > 0]
        named = [f"{words(m)} ({metrics[m].a:.3f} against {metrics[m].b:.3f})" for m in clear]
        parts += [f"{verb} in {_listed(named)}"] if named else []
    if even := [words(m) for m, d in metrics.items() if not is_clear(d)]:
        parts.append(f"not told apart in {_listed(even)}")
    return f"{name}, compared with {base}, is {'; '.join(parts)}."


def _not_of_this_image(pairs: Mapping[str, Differences], better: Mapping[str, bool]) -> list[str]:
    """Metrics of words that rise with regions of this image and no less clearly with those of another one."""
    right, wrong = ([own for name, own in pairs.items() if name == source] for source in ("predicted", "shuffled"))
    both = [
        metric
        for metric in text_names()
        if right and wrong and all(metric in own and _rises(metric, own, better) for own in (*right, *wrong))
    ]
    if not both:
        return []
    named = _listed([words(metric) for metric in both])
    return [f"Another image's regions raise {named} as well: more words in common do not make a report truer here."]


def _rises(metric: str, own: Differences, better: Mapping[str, bool]) -> bool:
    return is_clear(own[metric]) and _gain(metric, own[metric], better) > 0


def _gain(metric: str, difference: Difference, better: Mapping[str, bool]) -> float:
    return difference.difference.value * (1 if better.get(metric, True) else -1)


def _listed(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
