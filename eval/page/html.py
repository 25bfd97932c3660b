"""The page as text: template, style, script and data in one; nothing is loaded from anywhere."""

import json
from html import escape
from pathlib import Path
from string import Template

from ...grounding.imaging.drawing import FAVICON
from .abstention import abstention
from .answer import answer, chart
from .cases import page_data
from .content import Content
from .curves import calibration, losses
from .intervals import forest, strata
from .provenance import where_from
from .robustness import robustness
from .tables import counts, headline, protocols, provenance, skipped

_HERE = Path(__file__).parent
CORRUPT = "Dashed: interval of the paired difference from the originals. `medglip eval probes` gives every metric."
HELD = "Risk: part of the answers given that is wrong; coverage: part of the questions answered, the surest first."


def page(content: Content) -> str:
    """The whole HTML file. Texts of records are escaped; cases travel as JSON and are drawn by the page's script."""
    settings = content.systems[0].scores.settings
    titles = dict.fromkeys(run.title for run in content.runs if run.title)
    titles[where_from(record for system in content.systems for record in system.records)] = None
    how = (
        f"{100 * settings.get('confidence', 0.95):g} % intervals by bootstrap of whole clusters "
        f"(patients, else images), {settings.get('resamples')} resamples, seed {settings.get('seed', 0)}; n: samples."
    )
    paired = (
        "Paired over the same samples. Whiskers: cluster bootstrap; filled where the interval leaves out zero. "
        "p: permutation of the two systems within clusters, as it is and after Holm's correction; with < none was "
        "as extreme, and more of them (eval.resamples) could tell a smaller one."
    )
    total = sum(len({record["id"] for s in content.of(task) for record in s.records}) for task in content.tasks)
    picks = f"All {total} samples."
    if len(content.cases) < total:
        picks = f"{len(content.cases)} of {total} samples: of each task a third the worst, a third the best "
        picks += "by their own score, the rest drawn with the seed."
    picks += " The lowest scores come first."
    template = Template((_HERE / "page.html").read_text(encoding="utf-8"))
    return template.substitute(
        title=escape(content.title),
        subtitle=escape(" ".join(titles)),
        style=(_HERE / "page.css").read_text(encoding="utf-8"),
        script=(_HERE / "page.js").read_text(encoding="utf-8"),
        answer=answer(content),
        favicon=FAVICON,
        headline=headline(content),
        chart=section("chart", "Chart", chart(content), "Every system by metric; filled: with evidence."),
        how=escape(how),
        forest=section("differences", "Differences", forest(content), paired),
        strata=section("strata", "Strata", strata(content), "Every value with its interval and n."),
        calibration=section("calibration", "Calibration and detection", calibration(content), ""),
        abstention=section("abstention", "Abstention", abstention(content), HELD),
        robustness=section("robustness", "Corrupted pictures", robustness(content), CORRUPT),
        losses=section("losses", "Losses", losses(content), "Every step, and a running mean."),
        num_cases=str(len(content.cases)),
        picks=escape(picks),
        notes="".join(f'<p class="note">{escape(note)}</p>' for note in content.notes),
        protocols=protocols(content),
        counts=counts(content),
        skipped=skipped(content),
        provenance=provenance(content),
        data=embed(page_data(content, float(settings.get("score_threshold", 0.5)))),
    )


def section(name: str, title: str, body: str, note: str) -> str:
    """A section of the page, or nothing where there is nothing to show."""
    under = f'<p class="note">{escape(note)}</p>' if note else ""
    return f'<section id="{name}"><h2>{escape(title)}</h2>{under}{body}</section>' if body else ""


def embed(data: object) -> str:
    """JSON that can stand inside a `<script>` element whatever the texts hold."""
    text = json.dumps(data, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return text.replace("<", "\\u003c")  # so that no text can end the element, or begin a comment
