"""Examples run without arguments from the root of the checkout, on the images that come along."""

import json
import re
import runpy
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
SCRIPTS = sorted((ROOT / "examples").glob("*.py"))
FAST = {"score_my_answers"}
PRINTS = {"ask_with_and_without_evidence"}
"""Those that write no file."""


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that looks like the root of the checkout, whose `runs` nobody keeps."""
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_there_are_five_of_less_than_forty_lines() -> None:
    assert len(SCRIPTS) == 5
    assert all(script.read_text().count("\n") < 40 for script in SCRIPTS)


@pytest.mark.parametrize(
    "script", [pytest.param(s, marks=() if s.stem in FAST else pytest.mark.thorough, id=s.stem) for s in SCRIPTS]
)
def test_an_example_runs(script: Path, root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    runpy.run_path(str(script), run_name="__main__")
    said = {
        "find_phrases": "left lung: score 0.",
        "ask_with_and_without_evidence": "shown nothing: ",
        "report_to_dicom": "chest.sr.dcm: SR of Phantom^Drawn, UNVERIFIED",
        "score_my_answers": "overall_accuracy: 0.",
        "train_on_coco": "'ap50': ",
    }[script.stem]
    out = capsys.readouterr().out
    assert said in out
    if ap50 := re.search(r"'ap50': ([\d.]+)", out):
        assert float(ap50[1]) > 0.8  # what a core knew is not unlearned
    if script.stem not in PRINTS:
        assert any((root / "runs" / "examples").iterdir())


@pytest.mark.thorough
def test_the_notebook_runs_cell_by_cell(root: Path) -> None:
    notebook = json.loads((ROOT / "examples" / "tour.ipynb").read_text())
    cells = ["".join(cell["source"]) for cell in notebook["cells"] if cell["cell_type"] == "code"]
    assert len(cells) >= 4
    names: dict[str, object] = {"display": lambda shown: None}
    for cell in cells:
        exec(compile(cell, "tour.ipynb", "exec"), names)
    assert names["answer"]


def test_the_sample_images_are_drawn_and_say_so() -> None:
    data = ROOT / "examples" / "data"
    assert "CC0" in (data / "LICENSE").read_text()
    coco = json.loads((data / "annotations.json").read_text())
    assert len(list((data / "images").iterdir())) == len(coco["images"]) == 14
    assert sum(file.stat().st_size for file in data.rglob("*") if file.is_file()) < 1e6
