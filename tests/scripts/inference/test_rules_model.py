"""`--model rules` answers a set without a language model, with any source, and by itself."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from medglip.grounding.bad_input import BadInput
from medglip.grounding.datasets.phantoms import dataset as phantoms
from medglip.grounding.datasets.settings import PhantomSettings
from medglip.grounding.files import read_lines
from medglip.scripts.cli.main import app
from medglip.scripts.inference.systems import load_system
from medglip.vqa.inference.rules import ABSTENTION


def test_phantoms_are_answered_from_true_regions_and_not_at_all_without(tmp_path: Path) -> None:
    phantoms.write(tmp_path / "set", PhantomSettings(num_train=1, num_val=0, num_test=3, size_px=96))
    for source in ("oracle", "none"):
        out = tmp_path / f"{source}.jsonl"
        words = ["vqa", "predict", "--dataset", "phantom", "--root", str(tmp_path / "set"), "--evidence", source]
        made = CliRunner().invoke(app, [*words, "--model", "rules", "--out", str(out)], catch_exceptions=False)
        assert made.exit_code == 0, made.output
    rows = list(read_lines(tmp_path / "oracle.jsonl"))
    numbers = {"zero": "0", "one": "1", "two": "2", "three": "3"}
    assert [row["prediction"] for row in rows] == [numbers.get(row["answer"], row["answer"]) for row in rows]
    assert {row["model"] for row in rows} == {"rules"}
    assert {row["prediction"] for row in read_lines(tmp_path / "none.jsonl")} == {ABSTENTION}


def test_a_model_answers_by_itself_and_an_unknown_one_is_named() -> None:
    with pytest.raises(BadInput, match="answers by itself"):
        load_system(Path("small"), model="rules")
    with pytest.raises(BadInput, match="did you mean 'rules'"):
        load_system(None, model="rule")
