"""The page's tables: headline scores, all scores, counts that add up, what was read and with what software."""

import json
import re
from collections import Counter
from collections.abc import Sequence
from html import escape
from typing import Any

from ...grounding.records import Task
from ..catalog import page_metrics, protocol_rules
from ..score import Scores
from ..statistics.bootstrap import Estimate
from .content import TITLES, Content, RunFacts, System
from .intervals import estimate_text, words

COUNTED = ("scored", "abstained", "failed", "skipped")


def headline(content: Content) -> str:
    """A table a task: a row a system, a column a metric; value, interval and n in every cell; all metrics below."""
    return "".join(_headline_of(content.of(task)) for task in content.tasks)


def _headline_of(systems: Sequence[System]) -> str:
    scores = systems[0].scores
    names = [name for name in page_metrics(systems[0].task) if any(name in s.scores.metrics for s in systems)]
    head = "".join(f'<th scope="col">{escape(words(name))}</th>' for name in ("", *names))
    body = "".join(
        f'<tr><th scope="row">{escape(s.name)}</th>{"".join(_cell(s.scores.metrics.get(name)) for name in names)}</tr>'
        for s in systems
    )
    protocols = dict.fromkeys(f"{s.scores.protocol} {s.scores.version}" for s in systems)
    under = f"protocol {', '.join(protocols)}; {scores.counts.get('clusters', 0)} clusters"
    return (
        f'<h3>{TITLES[systems[0].task]} <span class="under">{escape(under)}</span></h3>'
        f'<div class="scroll" tabindex="0"><table class="scores">'
        f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"
        f"{_every_metric(systems)}{_notes(systems)}"
    )


def _cell(found: Estimate | None) -> str:
    if found is None:
        return '<td class="none">–</td>'
    interval = "no interval" if found.low is None else f"{found.low:.3f} – {found.high:.3f}"
    return (
        f'<td title="{escape(found.method)}"><b>{found.value:.3f}</b><span class="interval">{interval}</span>'
        f'<span class="n">n = {found.n}</span></td>'
    )


def _every_metric(systems: Sequence[System]) -> str:
    names = dict.fromkeys(name for s in systems for name in s.scores.metrics)
    head = "".join(f'<th scope="col">{escape(name)}</th>' for name in ("metric", *(s.name for s in systems)))
    body = "".join(
        f'<tr><th scope="row">{escape(words(name))}</th>'
        + "".join(_small_cell(s.scores.metrics.get(name)) for s in systems)
        + "</tr>"
        for name in names
    )
    return (
        f"<details><summary>All {len(names)} metrics</summary>"
        f'<div class="scroll" tabindex="0"><table><thead><tr>{head}</tr></thead>'
        f"<tbody>{body}</tbody></table></div></details>"
    )


def _small_cell(found: Estimate | None) -> str:
    return "<td>–</td>" if found is None else f'<td class="num">{estimate_text(found)} n={found.n}</td>'


def _notes(systems: Sequence[System]) -> str:
    notes = dict.fromkeys(note for s in systems for note in s.scores.notes)
    return "".join(f'<p class="note">{escape(note)}</p>' for note in notes)


def counts(content: Content) -> str:
    """A row a system: n and where every sample went; the other counts of the protocol in words."""
    head = "".join(f'<th scope="col" class="num">{name}</th>' for name in ("n", *COUNTED))
    body = "".join(_counts_row(system) for system in content.systems)
    return (
        '<div class="scroll" tabindex="0"><table class="counts"><thead><tr><th scope="col">records</th>'
        f'{head}<th scope="col">further counts</th></tr></thead><tbody>{body}</tbody></table></div>'
    )


def _counts_row(system: System) -> str:
    found = system.scores.counts
    total = found.get("n", found.get("records", len(system.records)))
    cells = "".join(f'<td class="num">{found.get(name, "–")}</td>' for name in COUNTED)
    others = ", ".join(f"{words(k)} {v}" for k, v in found.items() if k not in (*COUNTED, "n"))
    return (
        f'<tr><th scope="row">{escape(system.task)} · {escape(system.name)}</th><td class="num">{total}</td>{cells}'
        f"<td>{escape(others)}{escape(_mismatch(found))}</td></tr>"
    )


def _mismatch(found: dict[str, int]) -> str:
    if "n" not in found or not set(COUNTED) & set(found):
        return ""
    total = sum(found.get(name, 0) for name in COUNTED)
    return "" if total == found["n"] else f" · these add up to {total}, not to n"


def skipped(content: Content) -> str:
    """What the runs left out before prediction, by reason."""
    return "".join(_skipped_of(run) for run in content.runs) or '<p class="note">Nothing was left out of the runs.</p>'


def _skipped_of(run: RunFacts) -> str:
    if not run.skipped:
        return ""
    reasons = Counter(_reason(str(row.get("why", ""))) for row in run.skipped)
    items = "".join(f"<li>{count} × {escape(reason)}</li>" for reason, count in reasons.most_common(12))
    more = f"<li>{len(reasons) - 12} further reasons</li>" if len(reasons) > 12 else ""
    return f"<p>{escape(run.name)}: {len(run.skipped)} items left out of the data.</p><ul>{items}{more}</ul>"


def _reason(why: str) -> str:
    """A message without the file and row it names, so that equal reasons count together."""
    parts = why.split(": ")
    return next((part for part in parts if "/" not in part and not part.startswith("row ")), why)


def protocols(content: Content) -> str:
    """Each protocol in the words of the module that holds its rules."""
    shown: dict[tuple[Task, str], Scores] = {(s.task, s.scores.protocol): s.scores for s in content.systems}
    return "".join(
        f"<h3>{TITLES[task]}: {escape(words(name))} {escape(scores.version)}</h3>"
        f"{_paragraphs(protocol_rules(name, task))}"
        for (task, name), scores in shown.items()
    )


def _paragraphs(text: str) -> str:
    return "".join(f'<p class="rules">{escape(_unwrapped(part))}</p>' for part in text.split("\n\n") if part.strip())


def _unwrapped(paragraph: str) -> str:
    """A paragraph without the line ends of the source; points of a list keep theirs."""
    return re.sub(r"\n(?!- )\s*", " ", paragraph)


def provenance(content: Content) -> str:
    """Commands, hashes, versions, settings and seeds."""
    commands = "\n".join(content.commands)
    rows = "".join(
        f'<tr><th scope="row">{escape(s.task)} · {escape(s.name)}</th><td>{escape(s.file)}</td>'
        f"<td><code>{s.file_sha256[:16]}</code></td><td><code>{s.scores.data_sha256[:16]}</code></td>"
        f"<td>{escape(_models(s))}</td></tr>"
        for s in content.systems
    )
    head = "".join(
        f'<th scope="col">{n}</th>' for n in ("records", "file", "file sha256", "scored data sha256", "model")
    )
    settings: dict[Task, dict[str, Any]] = {s.task: s.scores.settings for s in content.systems}
    return (
        f"<pre>{escape(commands)}</pre>"
        f'<div class="scroll" tabindex="0"><table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></div>'
        f"<p>{escape(_software(content))}</p>"
        + "".join(_details(f"Settings of the scores: {TITLES[t]}", _json(v)) for t, v in settings.items())
        + "".join(_run_facts(run) for run in content.runs)
    )


def _models(system: System) -> str:
    names = dict.fromkeys(f"{r.get('model', '')} {r.get('adapter', '')}".strip() for r in system.records)
    return ", ".join(name for name in names if name) or "not said"


def _software(content: Content) -> str:
    software = content.systems[0].scores.software
    return "Software: " + ", ".join(f"{name} {version}" for name, version in software.items()) + "."


def _run_facts(run: RunFacts) -> str:
    seed = "" if run.seed is None else f", seed {run.seed}"
    stages = ", ".join(f"{name} {seconds:g} s" for name, seconds in run.seconds.items())
    total = (
        f"{run.name}{seed}: {sum(run.seconds.values()):.0f} s in all ({stages})." if stages else f"{run.name}{seed}."
    )
    settings = _details(f"Every setting of {run.name}", run.settings) if run.settings else ""
    return f"<p>{escape(total)}</p>{settings}"


def _details(title: str, text: str) -> str:
    return f"<details><summary>{escape(title)}</summary><pre>{escape(text)}</pre></details>"


def _json(settings: dict[str, object]) -> str:
    return json.dumps(settings, indent=1, default=str)
