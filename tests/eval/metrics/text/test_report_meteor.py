import shutil
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from medglip.eval.metrics.text import java
from medglip.eval.metrics.text import meteor as program
from medglip.eval.metrics.text.java import JavaFailed, run_java
from medglip.eval.metrics.text.meteor import measures, meteor_of_sums
from medglip.eval.settings import EvalSettings
from medglip.eval.tasks.report import measure_report

Record = Any
needs_java = pytest.mark.skipif(shutil.which("java") is None, reason="no Java on this machine")


@pytest.mark.thorough
@needs_java
def test_equal_to_pycocoevalcap() -> None:
    """Values of `pycocoevalcap.meteor.meteor.Meteor().compute_score`, version 1.2."""
    found = ["no pleural effusions are seen", "the heart is normal", "", "xyz", "heart ||| enlarged", "naïve\u2028café"]
    wanted = [
        ["there is no pleural effusion", "effusion\nin the left lung"],
        ["the heart is normal"],
        ["the lungs are clear"],
        ["the lungs are clear"],
        ["the heart ||| is mildly enlarged"],
        ["a naïve cafés"],
    ]
    part = measures(found, wanted, [])["meteor"]
    assert part.value == pytest.approx(VALUE, abs=1e-12)
    assert part.value_at(np.ones((1, 6)))[0] == part.value
    assert meteor_of_sums(part.columns_NK) == pytest.approx(EACH, abs=1e-12)


VALUE = 0.2621449907313175
EACH = [0.3507475628716524, 1.0, 0.0, 0.0, 0.23414634146341462, 0.3347174274025055]


def test_without_java_the_rest_is_scored(monkeypatch: pytest.MonkeyPatch, record: Callable[..., Record]) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: None)
    monkeypatch.setattr(program, "_ANSWERS", {})
    records = [record(number, "report", "heart normal", "heart is normal") for number in range(4)]
    measured = measure_report(records, EvalSettings())
    assert list(measured.measures)[:6] == ["bleu_1", "bleu_2", "bleu_3", "bleu_4", "rouge_l", "cider"]
    assert "meteor is missing, it needs Java: no `java` command was found." in measured.notes
    with pytest.raises(JavaFailed, match="no `java`"):
        measures(["a"], [["a"]], [])["meteor"]


@pytest.fixture
def stand_in(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[[str], None]:
    """`stand_in(script)` puts a shell script in the place of Java."""

    def put(script: str) -> None:
        path = tmp_path / "java"
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(path.stat().st_mode | stat.S_IXUSR)
        monkeypatch.setattr(shutil, "which", lambda name: str(path))

    return put


def test_a_line_for_each_line(stand_in: Callable[[str], None]) -> None:
    stand_in("cat")
    assert run_java([], ["a", "", "naïve \ud800"]) == ["a", "", "naïve ?"]
    assert run_java([], []) == []


@pytest.mark.parametrize(
    ("script", "reason"),
    [
        ("echo one", "1 lines for 2 texts"),
        ("cat; echo no memory >&2; exit 1", "code 1: no memory"),
        ("exec sleep 60", "took over 0 s for 2 texts"),
    ],
)
def test_a_program_that_fails_is_an_error_at_once(
    stand_in: Callable[[str], None], monkeypatch: pytest.MonkeyPatch, script: str, reason: str
) -> None:
    stand_in(script)
    monkeypatch.setattr(java, "_START_S", 0.2 if "sleep" in script else 30.0)
    monkeypatch.setattr(java, "_LINE_S", 0.0)
    with pytest.raises(JavaFailed, match=reason):
        run_java([], ["a", "b"])


def test_what_was_scored_once_is_not_asked_again(
    stand_in: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(program, "_ANSWERS", {})
    counts = " ".join(["2", "3", *["1"] * 21])
    stand_in(f"while read -r line; do echo {counts}; done")
    first = program.measures(["a lung", "a heart"], [["the lung"], ["the heart"]], [])["meteor"]
    stand_in("exit 1")
    again = program.measures(["a heart", "a lung", "a heart"], [["the heart"], ["the lung"], ["the heart"]], [])[
        "meteor"
    ]
    assert np.array_equal(again.columns_NK, first.columns_NK[[1, 0, 1]])
    with pytest.raises(JavaFailed):
        program.measures(["a liver"], [["the liver"]], [])["meteor"]
