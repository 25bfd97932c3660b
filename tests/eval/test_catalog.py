"""The tables of metrics and protocols, with a toy of a protocol; toys of metrics are in `tests/test_extension.py`."""

import json
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
import sys
from medglip.eval.catalog import VQA_PROTOCOLS, Metric, VqaProtocolEntry

VQA_PROTOCOLS["always"] = VqaProtocolEntry(
    module="toy_always", title="toy", summary="all are right", metrics=(Metric("overall_accuracy"),)
)
from medglip.scripts.cli.main import app
app(sys.argv[1:])
"""
RULES = '''
"""Rules of a toy: every answer is right."""
from medglip.eval.protocols.vqa_rules import VqaRules
def rules(settings):
    return VqaRules(
        protocol="always", version="1", is_yes_no=lambda r: False, is_abstention=lambda p: False,
        score=lambda p, r, c: {"overall_accuracy": 1.0},
    )
'''


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
    # a judge needs a server, choosing needs options: test_judge.py, test_multiple_choice.py
    for protocol in (name for name in catalog.VQA_PROTOCOLS if name not in ("judge", "multiple_choice")):
        found = score(vqa, "vqa", EvalSettings(protocol=protocol, resamples=10))
        assert set(found.metrics) <= set(catalog.VQA_PROTOCOLS[protocol].names)
    found = score(grounding, "grounding", EvalSettings(resamples=10))
    assert set(found.metrics) <= {metric.name for metric in catalog.metrics_of("grounding")}


def test_a_file_and_a_row_make_a_protocol(record: Callable[..., Any], tmp_path: Path) -> None:
    (tmp_path / "toy_always.py").write_text(RULES)
    rows = [record(n, "vqa", "the lung", "a heart") for n in range(3)]
    (tmp_path / "vqa.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    command = [
        sys.executable,
        "-c",
        TOY,
        "eval",
        "vqa",
        "vqa.jsonl",
        "--protocol",
        "always",
        "--set",
        "eval.resamples=10",
    ]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert "always 1" in done.stdout
    assert "1.000" in done.stdout


def markdown() -> str:
    """The tables as `docs/evaluation.md` has them."""
    lines = ["| `--protocol` | whose | metrics |", "|---|---|---|"]
    lines += [f"| `{key}` | {entry.title} | {entry.summary} |" for key, entry in catalog.VQA_PROTOCOLS.items()]
    lines += ["", "| metrics | what | source | needs |", "|---|---|---|---|"]
    for table in (catalog.TEXT_METRICS, catalog.FIELD_METRICS, catalog.GROUNDING_MEASURES):
        for key, entry in table.items():
            names = ", ".join(f"`{m.name}`{'' if m.higher_is_better else ' (lower is better)'}" for m in entry.metrics)
            needs = f"`meta.{key}`" if isinstance(entry, catalog.FieldEntry) else ""
            needs = "Java" if isinstance(entry, catalog.TextEntry) and entry.needs_java else needs
            lines.append(f"| {names} | {entry.title} | {entry.source} | {needs} |")
    return "\n".join(lines)


def test_the_documentation_holds_the_tables() -> None:
    text = (Path(__file__).parents[2] / "docs" / "evaluation.md").read_text()
    assert markdown() in text, f"write between the marks of docs/evaluation.md:\n{markdown()}"
