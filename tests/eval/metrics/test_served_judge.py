"""RadFact's entailment and GREEN's counts, as a served model judges reports."""

import json
from pathlib import Path
from typing import Any

import pytest
from serving import completion, serve, words_of
from typer.testing import CliRunner

from medglip.eval.metrics.clinical.green import Counts, green
from medglip.eval.metrics.clinical.served_judge import read_counts, read_numbers
from medglip.scripts.cli.main import app


def test_replies_are_read_as_models_write_them() -> None:
    assert read_numbers("<think>1 or 3</think>\n2, 3.", 3) == [1, 2]
    assert read_numbers("None.", 3) is None
    assert read_numbers("7", 3) is None
    counts = read_counts('Sure:\n```json\n{"matched": 2, "significant": {"a": 1}, "insignificant": {"c": 4}}\n```')
    assert counts is not None
    assert green(Counts.model_validate(counts)) == pytest.approx(2 / 3)
    assert read_counts('{"matched": -1}') is None
    assert read_counts("I cannot say.") is None
    assert green(Counts(matched=0)) == 0


def judge(body: dict[str, Any], number: int) -> Any:
    """Entailed by the premise of the same words; one finding in common and one significant error."""
    words = words_of(body)
    if words.startswith("Compare"):
        return completion('{"matched": 1, "significant": {"b": 1}}' if "nodule" in words else "no JSON")
    phrase = words.splitlines()[0].removeprefix("Hypothesis: ")
    numbers = [line.split(".")[0] for line in words.splitlines() if line.endswith(f". {phrase}")]
    return completion(", ".join(numbers) or "none")


def test_reports_are_judged_where_records_do_not_hold_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MEDGLIP_CACHE", str(tmp_path / "cache"))
    row = {"task": "report", "dataset": "d", "split": "test"}
    texts = [("There is a nodule. Heart normal.", "There is a nodule. Clear lungs. No effusion."), ("Clear.", "Clear.")]
    rows = [
        row | {"id": str(k), "image_id": str(k), "answer": wanted, "prediction": said}
        for k, (said, wanted) in enumerate(texts)
    ]
    (tmp_path / "r.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    out = tmp_path / "scores.json"
    metrics = "radfact_logical_precision,radfact_logical_recall,green"
    words = ["eval", "report", str(tmp_path / "r.jsonl"), "--metrics", metrics, "--json", str(out)]
    with serve(judge) as served:
        made = CliRunner().invoke(
            app,
            [*words, "--endpoint", served.url, "--model", "big", "--set", "eval.resamples=10"],
            catch_exceptions=False,
        )
    assert made.exit_code == 0
    result = json.loads(out.read_text())
    values = {name: metric["value"] for name, metric in result["metrics"].items() if name != "green_errors"}
    assert values == pytest.approx(
        {"radfact_logical_precision": (1 / 2 + 1) / 2, "radfact_logical_recall": (1 / 3 + 1) / 2, "green": 1 / 2}
    )
    assert result["judge_model"] == "big"
    assert "1 of 2 replies of the judge hold no counts" in " ".join(result["notes"])
