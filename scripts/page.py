"""The page of a run: scores, cases with boxes, masks, answers and reports, loss curves, settings. One HTML file."""

import base64
import io
import json
from collections.abc import Sequence
from html import escape
from importlib.metadata import version
from importlib.resources import files
from pathlib import Path
from string import Template
from typing import Any

import yaml

from ..grounding.imaging.read import read_image
from ..grounding.records import read_lines, write_atomic
from ..grounding.types import Region, Study, region_from_json
from ..report.html import STYLE, figure
from .line import Line
from .recipe import Recipe

NUM_CASES = 14
LEGEND = "Solid: predicted boxes and masks. Dashed: the truth, where it is known."
SOFTWARE = ("torch", "transformers", "peft", "accelerate")


def write_page(line: Line, results: dict[str, Any], table_html: str) -> Path:
    """Write `index.html` of a finished run and return its path."""
    recipe = line.recipe
    synthetic = "All images are synthetic phantoms. " if recipe.phantoms else ""
    fields = {
        "title": escape(recipe.name),
        "subtitle": escape(recipe.title),
        "legend": synthetic + LEGEND,
        "style": STYLE,
        "table": table_html,
        "table_note": f"95 % intervals by cluster bootstrap over images or patients; n beside each. {_paired(results)}",
        "cases": "\n".join(_cases(line)),
        "curves": _curves(line.out),
        "seed": str(recipe.seed),
        "software": escape(", ".join(f"{name} {version(name)}" for name in SOFTWARE)),
        "settings": escape(settings_yaml(recipe)),
        "skipped": escape(line.skipped.summary()),
    }
    template = Template((files("medglip.scripts") / "page.html").read_text())
    path = line.out / "index.html"
    write_atomic(path, template.substitute(fields))
    return path


def settings_yaml(recipe: Recipe) -> str:
    """Every setting of the run, defaults included."""
    return yaml.safe_dump(json.loads(recipe.model_dump_json()), sort_keys=False)


def _paired(results: dict[str, Any]) -> str:
    """Paired differences of the accuracy against `none`, in words."""
    parts = [
        f"{source} minus none {_signed(found['overall_accuracy'])}"
        for source, found in results.get("paired", {}).get("vqa", {}).items()
    ]
    return f"Paired differences of VQA accuracy: {'; '.join(parts)}." if parts else ""


def _signed(found: dict[str, Any]) -> str:
    d, p_value = found["difference"], found["p_value"]
    interval = "" if d["low"] is None else f" [{d['low']:+.3f}, {d['high']:+.3f}]"
    return f"{d['value']:+.3f}{interval}" + ("" if p_value is None else f", p = {p_value:.3g}")


def _cases(line: Line) -> list[str]:
    """A spread of scored images over modalities, each with its regions, questions and report."""
    answers = _by_image(line, "vqa")
    reports = _by_image(line, "report")
    names = sorted({**answers, **reports}, key=lambda name: (name in answers) + (name in reports), reverse=True)
    studies = {study.study_id: study for study in line.scored_studies}
    chosen = _spread([studies[name] for name in names if name in studies], NUM_CASES)
    return [_case(line, study, answers.get(study.study_id, {}), reports.get(study.study_id, {})) for study in chosen]


def _spread(studies: Sequence[Study], most: int) -> list[Study]:
    """At most `most` studies, taken in turn from each modality."""
    by_modality: dict[str, list[Study]] = {}
    for study in studies:
        by_modality.setdefault(study.modality, []).append(study)
    turns = [s for turn in zip(*[_padded(group, most) for group in by_modality.values()], strict=True) for s in turn]
    return [study for study in turns if study is not None][:most]


def _padded(group: Sequence[Study], length: int) -> list[Study | None]:
    return [*group[:length], *[None] * (length - len(group[:length]))]


def _by_image(line: Line, task: str) -> dict[str, dict[str, list[dict[str, Any]]]]:
    """Image id -> source -> its records."""
    found: dict[str, dict[str, list[dict[str, Any]]]] = {}
    for source in line.recipe.sources:
        path = line.out / "records" / f"{task}-{source}.jsonl"
        for row in read_lines(path) if path.exists() else ():
            found.setdefault(row["image_id"], {}).setdefault(source, []).append(row)
    return found


def _case(line: Line, study: Study, answers: dict[str, list[Any]], reports: dict[str, list[Any]]) -> str:
    predicted = [r for r in line.caches.predicted.get(study.study_id, ()) if r.score >= line.recipe.evidence.min_score]
    picture = figure(read_image(study.image_path), predicted, true_regions=study.regions)
    head = f"<h3>{escape(study.study_id)} · {escape(study.modality)}</h3>"
    return (
        f'<section class="case"><div>{picture}</div><div>{head}{_answers(answers)}{_reports(reports)}</div></section>'
    )


def _answers(by_source: dict[str, list[dict[str, Any]]]) -> str:
    """One row a question, one column a source."""
    if not by_source:
        return ""
    sources = list(by_source)
    head = "".join(f"<th>{escape(name)}</th>" for name in ("question", "reference", *sources))
    rows = {row["id"]: row for row in by_source[sources[0]]}
    given = {source: {row["id"]: row for row in by_source[source]} for source in sources}
    body = "".join(
        f'<tr><td class="wide">{escape(row["question"])}</td><td>{escape(str(row["answer"]))}</td>'
        + "".join(_answer_cell(given[source].get(key), str(row["answer"])) for source in sources)
        + "</tr>"
        for key, row in rows.items()
    )
    return f'<div class="scroll"><table><tr>{head}</tr>{body}</table></div>'


def _answer_cell(row: dict[str, Any] | None, reference: str) -> str:
    if row is None:
        return "<td>–</td>"
    said = str(row["parsed"] or row["prediction"])
    kind = "right" if said.strip().lower() == reference.strip().lower() else "wrong"
    return f'<td class="{kind}">{escape(said)}</td>'


def _reports(by_source: dict[str, list[dict[str, Any]]]) -> str:
    """The reference and what was written with each source; sentences carry the regions they rest on."""
    if not by_source:
        return ""
    reference = str(next(iter(by_source.values()))[0]["answer"])
    lines = [f"<p><strong>Reference report.</strong> {escape(reference)}</p>"]
    for source, rows in by_source.items():
        lines.append(f"<p><strong>Report, {escape(source)}.</strong> {_sentences(rows[0])}</p>")
    return "".join(lines)


def _sentences(row: dict[str, Any]) -> str:
    sentences = (row.get("meta") or {}).get("sentences") or [{"text": row["prediction"], "regions": []}]
    return " ".join(
        escape(sentence["text"])
        + "".join(f' <span class="small">[{escape(_place(r))}]</span>' for r in sentence["regions"])
        for sentence in sentences
    )


def _place(row: dict[str, Any]) -> str:
    region: Region = region_from_json({**row, "mask_rle": None})
    return f"{region.phrase} {', '.join(str(round(float(x))) for x in region.box_xyxy_px)}"


def _curves(out: Path) -> str:
    """Loss of every training of the run, as one inline picture."""
    from matplotlib.figure import Figure

    logs = {p.parent.name: list(read_lines(p)) for p in sorted(out.glob("*/log.jsonl"))}
    if not logs:
        return ""
    drawing = Figure(figsize=(10, 2.6), layout="constrained")
    for axes, (name, log) in zip(drawing.subplots(1, len(logs), squeeze=False)[0], logs.items(), strict=True):
        axes.plot([row["step"] for row in log], [row["loss"] for row in log], linewidth=1, color="#2f6f8f")
        axes.set(title=name, xlabel="step", ylabel="loss")
        axes.spines[["top", "right"]].set_visible(False)
    data = io.BytesIO()
    drawing.savefig(data, format="png", dpi=150)
    return f'<img alt="loss curves" src="data:image/png;base64,{base64.b64encode(data.getvalue()).decode()}">'
