"""RadFact's entailment, GREEN's counts and CRIMSON's findings, as a served model judges reports."""

import json
from pathlib import Path
from typing import Any

import pytest
from serving import completion, serve, words_of
from typer.testing import CliRunner

from medglip.eval.metrics.clinical.crimson import Findings, crimson
from medglip.eval.metrics.clinical.green import Counts, green
from medglip.eval.metrics.clinical.served_judge import read_form, read_numbers
from medglip.scripts.cli.main import app


def test_replies_are_read_as_models_write_them() -> None:
    assert read_numbers("<think>1 or 3</think>\n2, 3.", 3) == [1, 2]
    assert read_numbers("None.", 3) is None
    assert read_numbers("7", 3) is None
    counts = read_form(
        'Sure:\n```json\n{"matched": 2, "significant": {"a": 1}, "insignificant": {"c": 4}}\n```', Counts
    )
    assert counts is not None
    assert green(Counts.model_validate(counts)) == pytest.approx(2 / 3)
    assert read_form('{"matched": -1}', Counts) is None
    assert read_form("I cannot say.", Counts) is None
    assert green(Counts(matched=0)) == 0


def findings(
    wanted: list[str], written: list[str], matched: list[str], flaws: list[str] | None = None
) -> dict[str, Any]:
    """Findings R1, R2 ..., P1, P2 ... of these weights; `matched`: "1 2" for R1 and P2; `flaws`: "1 significant"."""
    sides = (wanted, written)
    ours, theirs = (
        [{"id": f"{letter}{n}", "clinical_significance": kind} for n, kind in enumerate(side, 1)]
        for letter, side in zip("RP", sides, strict=True)
    )
    pairs = [{"ref_id": f"R{one[0]}", "pred_id": f"P{one[-1]}"} for one in matched]
    known = {name for pair in pairs for name in pair.values()}
    lost, false = ([one["id"] for one in side if one["id"] not in known] for side in (ours, theirs))
    wrong = [{"ref_id": f"R{one[0]}", "pred_id": "P1", "severity": one.split()[1]} for one in flaws or ()]
    errors = {"false_findings": false, "missing_findings": lost, "attribute_errors": wrong}
    return {"reference_findings": ours, "predicted_findings": theirs, "matched_findings": pairs, "errors": errors}


URGENT, ACT, MINOR, BENIGN = "urgent", "actionable_not_urgent", "not_actionable_not_urgent", "benign_expected"


@pytest.mark.parametrize(
    ("found", "value"),
    [
        pytest.param(findings([], [], []), 1, id="normal, and said to be"),
        pytest.param(findings([URGENT, ACT], [URGENT, ACT], ["1 1", "2 2"]), 1, id="all right"),
        pytest.param(findings([URGENT, ACT], [], []), 0, id="a normal report"),
        pytest.param(findings([URGENT, ACT], [ACT, MINOR], ["2 1"]), (0.5 - 0.25) / 1.5, id="one of two, one false"),
        pytest.param(findings([ACT], [ACT, ACT], ["1 1", "1 2"]), 1, id="split in two, counted once"),
        pytest.param(findings([URGENT], [URGENT], ["1 1"], ["1 significant"]), 1 / 1.5, id="the wrong side"),
        pytest.param(findings([URGENT], [URGENT], ["1 1"], ["1 negligible"]), 1, id="another word"),
        pytest.param(findings([], [URGENT], []), -1 / 2, id="false alarm"),
        pytest.param(findings([MINOR], [URGENT, MINOR], ["1 2"]), -0.75 / 1.75, id="more false than right"),
        pytest.param(findings([BENIGN], [BENIGN], []), 1, id="what means nothing weighs nothing"),
    ],
)
def test_crimson_weighs_findings_by_what_they_mean(found: dict[str, Any], value: float) -> None:
    assert crimson(Findings.model_validate(found)) == pytest.approx(value)


def judge(body: dict[str, Any], number: int) -> Any:
    """Entailed by the premise of the same words; one finding in common and one significant error."""
    words = words_of(body)
    if words.startswith("List and match"):
        return completion(json.dumps(findings([URGENT, ACT], [URGENT], ["1 1"])) if "is a nodule" in words else "{}")
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
    metrics = "radfact_logical_precision,radfact_logical_recall,green,crimson"
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
        | {"crimson": 1 / 1.5}
    )
    assert result["judge_model"] == "big"
    assert "1 of 2 replies of the judge hold no counts" in " ".join(result["notes"])
    assert "1 of 2 replies of the judge hold no findings" in " ".join(result["notes"])
