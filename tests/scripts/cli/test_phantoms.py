"""`medglip data phantoms`: what it writes is listed, checked, asked about and scored as any other set."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from medglip.grounding.bad_input import BadInput
from medglip.grounding.files import read_lines
from medglip.report.datasets.load import load_reports
from medglip.scripts.cli.main import app
from medglip.scripts.inference.evaluate_coco import read_dataset
from medglip.scripts.inference.predict_set import PredictRequest, predict_dataset
from medglip.vqa.datasets.load import load_questions
from medglip.vqa.inference.settings import GenerateSettings


def call(*words: str | Path) -> str:
    result = CliRunner().invoke(app, [str(word) for word in words], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("phantoms") / "drawn"
    assert f"7 images, their questions and reports; written: {folder}" in call(
        "data", "phantoms", folder, "--images", "7", "--size", "96", "--seed", "3"
    )
    return folder


def test_all_of_it_is_to_report_on(folder: Path) -> None:
    assert {question.image.split for question in load_questions("phantom", folder)[0]} == {"test"}
    assert len(load_reports("phantom", folder, split="test")[0]) == 7
    with pytest.raises(BadInput, match=r"give --split test$"):
        load_questions("phantom", folder, split="train")
    assert len(read_dataset("phantom", folder).images) == 7
    assert len(read_dataset("phantom", folder, limit=2).images) == 2


def test_it_is_listed_and_checked_by_its_folder(folder: Path, tmp_path: Path) -> None:
    assert call("data", "list", folder).count("phantom ") == 7
    assert "7 images checked, 0 faults" in call("data", "check", folder)
    call("data", "phantoms", tmp_path, "--images", "1", "--size", "96")
    assert "\n1 image checked, 0 faults" in call("data", "check", tmp_path)


@pytest.mark.parametrize("name", ["derived", "jsonl"])
def test_what_is_derived_from_it_is_asked_as_it_is(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """Given by a path from the current folder, its images by paths below MEDGLIP_DATA."""
    monkeypatch.setenv("MEDGLIP_DATA", str(folder.parent))
    call("data", "export", "qa", folder, "--out", tmp_path / "qa.jsonl")
    monkeypatch.chdir(tmp_path)
    rows = {row["id"]: row for row in read_lines(tmp_path / "qa.jsonl")}
    assert not Path(next(iter(rows.values()))["image"]).is_absolute()
    questions, skipped = load_questions(name, Path("qa.jsonl"), split="test")
    assert questions
    assert not skipped.entries
    for question in questions:
        row = rows[question.question_id]
        assert (question.question, question.answer, question.content_type) == (
            row["question"],
            row["answer"],
            row["kind"],
        )
        assert question.image.image_path.is_file()


@pytest.mark.slow
@pytest.mark.parametrize("source", ["none", "predicted"])
def test_its_reports_are_written_without_a_recipe(folder: Path, tiny_base: Path, tmp_path: Path, source: str) -> None:
    wanted = {"root": folder, "base": str(tiny_base), "source": source, "generate": GenerateSettings(max_new_tokens=2)}
    request = PredictRequest(task="report", dataset="phantom", out=tmp_path / "r.jsonl", limit=2, **wanted)  # pyright: ignore[reportArgumentType]
    assert predict_dataset(request)
    rows = list(read_lines(request.out))
    assert [row["id"] for row in rows] == ["phantom-test-00000-r", "phantom-test-00001-r"]
    assert {row["task"] for row in rows} == {"report"}
    assert all(set(row["meta"]["labels"]) == {"reference", "prediction"} for row in rows)


def test_a_layout_that_is_none_is_refused(folder: Path) -> None:
    with pytest.raises(BadInput, match="phantom"):
        read_dataset("phantoms", folder)
