"""What is wrong in records is told with the file that holds it."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from medglip.grounding.bad_input import BadInput
from medglip.scripts.cli.main import app

ROW = {
    **{"id": "q1", "dataset": "d", "split": "test", "image_id": "i", "cluster_id": "p", "question": "nodule"},
    **{"task": "grounding", "answer": [], "prediction": [], "meta": {"presence": 7}},
}


def test_a_protocol_that_is_none_is_told_in_our_words(tmp_path: Path) -> None:
    said = CliRunner().invoke(app, ["eval", "vqa", str(tmp_path / "r.jsonl"), "--protocol", "nosuch"]).output
    assert "'nosuch' is not one of" in said
    assert "Value error" not in said


@pytest.mark.parametrize("command", ["grounding", "compare"])
def test_a_value_that_makes_no_sense_names_file_and_fix(tmp_path: Path, command: str) -> None:
    file = tmp_path / "records.jsonl"
    file.write_text(json.dumps(ROW) + "\n")
    files = [str(file)] * (2 if command == "compare" else 1)
    result = CliRunner().invoke(app, ["eval", command, *files, "--set", "eval.resamples=20"])
    assert result.exit_code != 0
    assert isinstance(result.exception, BadInput | SystemExit)
    assert str(file) in result.output + str(result.exception)
    assert "Fix:" in result.output + str(result.exception)
