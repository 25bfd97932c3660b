"""The page's tables: headline scores, all scores, counts that add up, what was read and with what software."""

import json
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from html import escape
from typing import Any

from ...grounding.records import Task
from ..catalog import page_metrics, protocol_rules
from ..score import Scores
from .content import TITLES, Content, System
from .intervals import estimate_text
from .provenance import origins
from .statements import statements
from .wording import words

COUNTED = ("scored", "abstained", "failed", "skipped")


def _table(head: str, body: str, kind: str = "") -> str:
    """A table that scrolls where it is too wide."""
    table = f'<table class="{kind}">' if kind else "<table>"
    return f'<div class="scroll" tabindex="0">{table}<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'


def _head(names: Iterable[str]) -> str:
    return "".join(f'<th scope="col">{escape(name)}</th>' for name in names)


def headline(content: Content) -> str:
    """One table for each task: a row for each system, a column for each metric, all metrics below.

    Value, interval and n stand in every cell.
    """
    parts = ""
    for task in content.tasks:
        systems = content.of(task)
        names = [name for name in page_metrics(task) if any(name in s.scores.metrics for s in systems)]
        body = ""
        for s in systems:
            body += f'<tr><th scope="row">{escape(s.name)}</th>'
            for score in map(s.scores.metrics.get, names):
                if score is None:
                    body += '<td class="none">–</td>'
                    continue
                interval = "no interval" if score.low is None else f"{score.low:.3f} – {score.high:.3f}"
                body += f'<td title="{escape(score.method)}"><b>{score.value:.3f}</b>'
                body += f'<span class="interval">{interval}</span><span class="n">n = {score.n}</span></td>'
            body += "</tr>"
        protocols = dict.fromkeys(f"{s.scores.protocol} {s.scores.version}" for s in systems)
        images = origins(record for s in systems for record in s.records)
        under = (
            f"images: {images}; protocol {', '.join(protocols)}; {systems[0].scores.counts.get('clusters', 0)} clusters"
        )
        parts += f'<h3>{TITLES[task]} <span class="under">{escape(under)}</span></h3>'
        parts += _table(_head(words(name) for name in ("", *names)), body, "scores") + _every_metric(systems, names)
        pairs = {pair.name: pair.metrics for pair in content.pairs if pair.task == task}
        base = next((pair.base for pair in content.pairs if pair.task == task), "")
        parts += "".join(f'<p class="shows">{escape(text)}</p>' for text in statements(pairs, base, task))
        notes = dict.fromkeys(note for s in systems for note in s.scores.notes)
        parts += "".join(f'<p class="note">{escape(note)}</p>' for note in notes)
    return parts


def _every_metric(systems: Sequence[System], shown: Sequence[str]) -> str:
    """All metrics to unfold, where there are more than are shown."""
    names = dict.fromkeys(name for s in systems for name in s.scores.metrics)
    if set(names) <= set(shown):
        return ""
    body = ""
    for name in names:
        cells = [s.scores.metrics.get(name) for s in systems]
        row = ["<td>–</td>" if c is None else f'<td class="num">{estimate_text(c)} n={c.n}</td>' for c in cells]
        body += f'<tr><th scope="row">{escape(words(name))}</th>{"".join(row)}</tr>'
    table = _table(_head(["metric", *(s.name for s in systems)]), body)
    return f"<details><summary>All {len(names)} metrics</summary>{table}</details>"


def counts(content: Content) -> str:
    """A row for each system: n and where every sample went; the other counts of the protocol in words."""
    head = "".join(f'<th scope="col" class="num">{name}</th>' for name in ("n", *COUNTED))
    body = ""
    for system in content.systems:
        numbers = system.scores.counts
        total = numbers.get("n", numbers.get("records", len(system.records)))
        others = ", ".join(f"{words(k)} {v}" for k, v in numbers.items() if k not in (*COUNTED, "n"))
        added = sum(numbers.get(name, 0) for name in COUNTED)
        if "n" in numbers and set(COUNTED) & set(numbers) and added != numbers["n"]:
            others += f" · these add up to {added}, not to n"
        body += f'<tr><th scope="row">{escape(system.task)} · {escape(system.name)}</th>'
        body += "".join(f'<td class="num">{n}</td>' for n in (total, *(numbers.get(name, "–") for name in COUNTED)))
        body += f"<td>{escape(others)}</td></tr>"
    return _table(f'<th scope="col">records</th>{head}<th scope="col">further counts</th>', body, "counts")


def skipped(content: Content) -> str:
    """What the runs left out before prediction, by reason."""
    text = ""
    for run in [run for run in content.runs if run.skipped]:
        reasons = Counter[str]()
        for why in (str(row.get("why", "")) for row in run.skipped):
            # without the file and row that a message names, so that equal reasons count together
            parts = [part for part in why.split(": ") if "/" not in part and not part.startswith("row ")]
            reasons[parts[0] if parts else why] += 1
        items = "".join(f"<li>{count} × {escape(reason)}</li>" for reason, count in reasons.most_common(12))
        more = f"<li>{len(reasons) - 12} further reasons</li>" if len(reasons) > 12 else ""
        text += f"<p>{escape(run.name)}: {len(run.skipped)} items left out of the data.</p><ul>{items}{more}</ul>"
    return text or '<p class="note">Nothing was left out of the runs.</p>'


def protocols(content: Content) -> str:
    """Each protocol in the words of the module that holds its rules."""
    used: dict[tuple[Task, str], Scores] = {(s.task, s.scores.protocol): s.scores for s in content.systems}
    text = ""
    for (task, name), scores in used.items():
        text += f"<h3>{TITLES[task]}: {escape(words(name))} {escape(scores.version)}</h3>"
        text += "".join(_rules(part) for part in protocol_rules(name, task).split("\n\n") if part.strip())
    return text


def _rules(part: str) -> str:
    """A paragraph of a docstring without the line ends of the source: points become a list, `names` code."""
    head, *points = (
        re.sub(r"`+([^`]+)`+", r"<code>\1</code>", escape(re.sub(r"\n\s*", " ", text)))
        for text in re.split(r"(?:^|\n)- ", part)
    )
    items = "".join(f"<li>{point}</li>" for point in points)
    text = f'<p class="rules">{head}</p>' if head.strip() else ""
    return text + (f'<ul class="rules">{items}</ul>' if items else "")


def provenance(content: Content) -> str:
    """Commands, hashes, versions, settings and seeds."""
    rows = ""
    for s in content.systems:
        models = dict.fromkeys(f"{r.get('model', '')} {r.get('adapter', '')}".strip() for r in s.records)
        rows += (
            f'<tr><th scope="row">{escape(s.task)} · {escape(s.name)}</th><td>{escape(s.file)}</td>'
            f"<td><code>{s.file_sha256[:16]}</code></td><td><code>{s.scores.data_sha256[:16]}</code></td>"
            f"<td>{escape(', '.join(name for name in models if name) or '–')}</td></tr>"
        )
    commands = "\n".join(content.commands)
    software = ", ".join(f"{name} {version}" for name, version in content.systems[0].scores.software.items())
    text = f'<p class="note">To paste in the folder of this page:</p><pre tabindex="0">{escape(commands)}</pre>'
    text += _table(_head(("records", "file", "file sha256", "scored data sha256", "model")), rows)
    text += f"<p>{escape(f'Software: {software}.')}</p>"
    settings: dict[Task, dict[str, Any]] = {s.task: s.scores.settings for s in content.systems}
    for task, values in settings.items():
        text += _details(f"Settings of the scores: {TITLES[task]}", json.dumps(values, indent=1, default=str))
    for run in content.runs:
        total = run.name + ("" if run.seed is None else f", seed {run.seed}")
        if run.seconds:
            stages = ", ".join(f"{name} {seconds:g} s" for name, seconds in run.seconds.items())
            total += f": {sum(run.seconds.values()):.0f} s in all ({stages})"
        total += "".join(f"; {name} {value}" for name, value in run.made.items() if value)
        core = f" Its core learned from {run.learned_from}." if run.learned_from else ""
        text += f"<p>{escape(total)}.{escape(core)}</p>"
        text += _details(f"Every setting of {run.name}", run.settings) if run.settings else ""
    return text


def _details(title: str, text: str) -> str:
    return f'<details><summary>{escape(title)}</summary><pre tabindex="0">{escape(text)}</pre></details>'
