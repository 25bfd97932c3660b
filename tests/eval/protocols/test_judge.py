"""The protocol `judge`: a served model says who is right; prompt and name are kept, and so is what it said."""

import json
from pathlib import Path
from typing import Any

import pytest
from serving import completion, serve, words_of
from typer.testing import CliRunner

from medglip.eval.catalog import VQA_PROTOCOLS
from medglip.eval.compare import compare_runs
from medglip.eval.records import read_records
from medglip.eval.settings import EvalSettings
from medglip.grounding.bad_input import BadInput
from medglip.scripts.cli.main import app

PAIRS = [("left", "left"), ("the left side", "left"), ("right", "left"), ("", "left"), ("Yes.", "yes"), ("no", "yes")]


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MEDGLIP_CACHE", str(tmp_path / "cache"))


def write_records(path: Path) -> Path:
    row = {"task": "vqa", "dataset": "d", "split": "test"}
    rows = [
        row | {"id": str(k), "image_id": str(k), "question": f"Question {k}?", "answer": wanted, "prediction": said}
        for k, (said, wanted) in enumerate(PAIRS)
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def lenient(body: dict[str, Any], number: int) -> Any:
    """Right is an answer in which the correct one stands, in sentences as models write them."""
    lines = dict(line.split(": ", 1) for line in words_of(body).splitlines() if ": " in line)
    is_right = lines["Correct answer"] in lines["Answer to judge"].lower()
    return completion("<think>hm, no</think>Yes, it does." if is_right else "No.")


def test_the_judge_is_asked_once_and_its_agreement_with_exact_match_is_there(tmp_path: Path) -> None:
    records, out = write_records(tmp_path / "r.jsonl"), tmp_path / "scores.json"
    results = []
    with serve(lenient) as served:
        words = ["eval", "vqa", str(records), "--protocol", "judge", "--endpoint", served.url, "--model", "big"]
        for _ in range(2):
            made = CliRunner().invoke(app, [*words, "--json", str(out), "--set", "eval.resamples=10"])
            assert made.exit_code == 0, made.output
            assert "judge_agreement" in made.output
            results.append(out.read_text())
        assert len(served.requests) == 5  # the empty answer is not asked about
        settings = EvalSettings(protocol="judge", judge_endpoint=served.url, judge_model="big", resamples=10)
        rows = read_records([records], "vqa")
        (compared,) = compare_runs([rows, rows], ["a", "b"], "vqa", settings)
    assert compared.metrics["judge_accuracy"].difference.value == 0
    assert results[0] == results[1]
    result = json.loads(results[0])
    assert result["judge_model"] == "big"
    assert set(result["metrics"]) <= set(VQA_PROTOCOLS["judge"].names)
    assert "{reference}" in result["judge_prompt"]
    assert result["metrics"]["judge_accuracy"]["value"] == pytest.approx(3 / 6)
    assert result["metrics"]["overall_accuracy"]["value"] == pytest.approx(2 / 6)
    assert result["metrics"]["judge_agreement"]["value"] == pytest.approx(5 / 6)


def test_what_a_judge_said_is_kept_when_it_dies_and_replies_of_neither_kind_are_told(tmp_path: Path) -> None:
    records = write_records(tmp_path / "r.jsonl")
    words = ["eval", "vqa", str(records), "--protocol", "judge", "--model", "big", "--set", "eval.resamples=10"]
    bad = (400, {}, {"error": {"message": "context too long"}})
    with serve(lambda body, number: bad if "Question 2" in words_of(body) else completion("Perhaps.")) as served:
        with pytest.raises(BadInput, match="left 1 of 5 prompts without an answer"):
            CliRunner().invoke(app, [*words, "--endpoint", served.url], catch_exceptions=False)
        before = len(served.requests)
        with pytest.raises(BadInput):
            CliRunner().invoke(app, [*words, "--endpoint", served.url], catch_exceptions=False)
        assert all("Question 2" in text for text in served.texts[before:])
    with serve(lambda *_: completion("Perhaps.")) as served:
        made = CliRunner().invoke(app, [*words, "--endpoint", served.url], catch_exceptions=False)
    assert "5 of its replies are neither yes nor no" in made.output


def test_a_judge_needs_an_address(tmp_path: Path) -> None:
    words = ["eval", "vqa", str(write_records(tmp_path / "r.jsonl")), "--protocol", "judge"]
    with pytest.raises(BadInput, match="no address is given"):
        CliRunner().invoke(app, words, catch_exceptions=False)
