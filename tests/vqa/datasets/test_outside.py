"""Names of images in question files stay in the folder of the set, on the command line, too, unless that is allowed."""

import json
from pathlib import Path

import pytest
from PIL import Image
from typer.testing import CliRunner

from medglip.grounding.bad_input import BadInput
from medglip.vqa.datasets.load import load_questions

DERIVED = {
    **{"id": "1", "image_id": "a", "dataset": "d", "split": "test", "group": "g", "modality": "xray", "kind": "side"},
    **{"size_px": [8, 8], "question": "Where?", "answer": "left", "answer_type": "open", "phrases": []},
}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of sets, beside it a private picture."""
    folder = tmp_path / "sets"
    folder.mkdir()
    monkeypatch.setenv("MEDGLIP_DATA", str(folder))
    for path in (tmp_path / "face.png", folder / "a.png"):
        Image.new("L", (8, 8)).save(path)
    return folder


def write(folder: Path, name: str, image: str) -> Path:
    file = folder / f"{name}.jsonl"
    file.write_text(json.dumps({**DERIVED, "image": image}) + "\n")
    return file


@pytest.mark.parametrize("name", ["derived", "jsonl"])
@pytest.mark.parametrize("is_absolute", [True, False])
def test_a_name_that_leaves_the_folder_is_refused_unless_allowed(folder: Path, name: str, is_absolute: bool) -> None:
    file = write(folder, name, str(folder.parent / "face.png") if is_absolute else "../face.png")
    with pytest.raises(BadInput, match=r"row 1: .*leaves the folder.*--allow-outside"):
        load_questions(name, file)
    (question,), _ = load_questions(name, file, allow_outside=True)
    assert question.image.image_path.samefile(folder.parent / "face.png")
    for inside in ("a.png", str(folder / "a.png")):
        assert load_questions(name, write(folder, name, inside))[0][0].image.image_path.samefile(folder / "a.png")


@pytest.mark.parametrize("flag", [[], ["--allow-outside"]])
def test_the_command_line_allows_it_by_name_alone(folder: Path, tmp_path: Path, flag: list[str]) -> None:
    from medglip.scripts.cli.main import app

    file = write(folder, "jsonl", "../face.png")
    command = ["vqa", "predict", "--dataset", "jsonl", "--root", file, "--model", "rules", "--evidence", "none"]
    result = CliRunner().invoke(app, [*map(str, command), "--out", str(tmp_path / "out.jsonl"), *flag])
    assert (result.exit_code == 0) is bool(flag), result.output
    assert ("leaves the folder" in (result.output + str(result.exception))) is not bool(flag)
