"""The tables of metrics and protocols: a new one is its own file and one row, and is then everywhere."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from medglip.eval import catalog
from medglip.eval.records import Record
from medglip.eval.score import score
from medglip.eval.settings import EvalSettings
from medglip.grounding.records import Task

TOY = """
import json, sys, types
from medglip.eval import catalog
from medglip.eval.catalog import FieldEntry, Metric, TextEntry, VqaProtocolEntry

catalog.TEXT_METRICS["length"] = TextEntry(
    module="toy_length", title="length", metrics=(Metric("length_ratio", test=-1, page=-1),)
)
catalog.FIELD_METRICS["mood"] = FieldEntry(module="toy_mood", title="mood", metrics=(Metric("mood"),))
catalog.VQA_PROTOCOLS["always"] = VqaProtocolEntry(
    module="toy_always", title="toy", summary="all are right", metrics=(Metric("overall_accuracy"),)
)
from medglip.scripts.cli.main import app
app(sys.argv[1:])
"""
FILES = {
    "toy_length.py": """
from medglip.eval.statistics.measure import mean
def measures(predictions, references, names):
    return {"length_ratio": mean([len(p) / len(r[0]) for p, r in zip(predictions, references)])}
""",
    "toy_mood.py": """
from pydantic import BaseModel
from medglip.eval.statistics.measure import mean
class Form(BaseModel):
    value: float
def measures(values, rows, ids, settings):
    return {"mood": mean([one.value for one in values], rows)}, []
""",
    "toy_always.py": '''
"""Rules of a toy: every answer is right."""
from medglip.eval.protocols.vqa_rules import VqaRules
def rules(settings):
    return VqaRules(
        protocol="always", version="1", is_yes_no=lambda r: False, is_abstention=lambda p: False,
        score=lambda p, r, c: {"overall_accuracy": 1.0},
    )
''',
}


@pytest.mark.parametrize("task", ["vqa", "report", "grounding"])
def test_ranks_are_used_once_and_names_too(task: Task) -> None:
    metrics = list(catalog.metrics_of(task))
    for ranks in ([metric.test for metric in metrics], [metric.page for metric in metrics]):
        given = [rank for rank in ranks if rank is not None]
        assert sorted(given) == list(range(len(given)))
    assert len({metric.name for metric in metrics}) == len(metrics)
    assert catalog.tested_metrics(task)
    assert set(catalog.page_metrics(task)) <= set(catalog.tested_metrics(task))


def test_every_score_has_a_row(record: Callable[..., Any], region: Callable[..., Any]) -> None:
    box = region(0, 0, 8, 8)
    grounding: list[Record] = [record(n, "grounding", [box] * (n > 0), [box]) for n in range(4)]
    vqa: list[Record] = [record(n, "vqa", "left lung", "left", answer_type="open" if n else "") for n in range(4)]
    for protocol in catalog.VQA_PROTOCOLS:
        found = score(vqa, "vqa", EvalSettings(protocol=protocol, resamples=10))
        assert set(found.metrics) <= set(catalog.VQA_PROTOCOLS[protocol].names)
    found = score(grounding, "grounding", EvalSettings(resamples=10))
    assert set(found.metrics) <= {metric.name for metric in catalog.metrics_of("grounding")}


def test_a_file_and_a_row_make_a_metric(record: Callable[..., Any], tmp_path: Path) -> None:
    import json

    for name, text in FILES.items():
        (tmp_path / name).write_text(text)
    for task, meta in (("report", {"mood": {"value": 0.25}}), ("vqa", {})):
        rows = [record(n, task, "the lung", "the lung is", meta=meta) for n in range(3)]
        (tmp_path / f"{task}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))

    def run(*words: str) -> str:
        command = [sys.executable, "-c", TOY, "eval", *words]
        return subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True).stdout

    text = run("report", "report.jsonl", "--metrics", "length,mood", "--set", "eval.resamples=10")
    assert "length_ratio" in text
    assert "mood" in text
    assert "always 1" in run("vqa", "vqa.jsonl", "--protocol", "always", "--set", "eval.resamples=10")
    run("page", "vqa.jsonl", "report.jsonl", "--resamples", "10", "--out", "page.html")
    assert "length ratio" in (tmp_path / "page.html").read_text()
    assert "length_ratio" in run("report", "--help").replace("\n", "")


def test_the_documentation_holds_the_tables() -> None:
    text = (Path(__file__).parents[2] / "docs" / "evaluation.md").read_text()
    assert catalog.markdown() in text, "write catalog.markdown() between the marks of docs/evaluation.md"
