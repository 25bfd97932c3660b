"""docs/evaluation.md shows lines of records that are scored as they stand."""

import json
import re
from pathlib import Path

import pytest

from medglip.eval import EvalSettings, read_records, score_records
from medglip.eval.records import REQUIRED

PAGE = (Path(__file__).parents[2] / "docs" / "evaluation.md").read_text()
LINES = re.findall(r"^```json\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)[0].splitlines()


@pytest.mark.parametrize("line", LINES, ids=["vqa", "report", "grounding"])
def test_a_line_of_the_page_is_scored(line: str, tmp_path: Path) -> None:
    row, file = json.loads(line), tmp_path / "records.jsonl"
    file.write_text(line + "\n")
    settings = EvalSettings(resamples=20, metrics=("rouge_l",) if row["task"] == "report" else ())
    assert score_records(read_records([file], row["task"]), row["task"], settings).metrics
    assert set(row) == set(REQUIRED) - ({"question"} if row["task"] == "report" else set())


def test_the_page_names_what_is_required() -> None:
    sentence = next(line for line in PAGE.splitlines() if line.startswith("Required are"))
    assert set(re.findall(r"`(\w+)`", sentence)) == set(REQUIRED)
