"""The command as a user meets it: unseen images and DICOM files, one clear line for bad input."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import UID, ExplicitVRLittleEndian, generate_uid
from typer.testing import CliRunner

from medglip.scripts.cli.main import app, main


def call(*words: str | Path) -> str:
    result = CliRunner().invoke(app, [str(word) for word in words], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    path = tmp_path / "unseen.png"
    Image.fromarray(np.random.default_rng(1).integers(0, 255, (60, 90, 3), dtype=np.uint8)).save(path)
    return path


@pytest.fixture
def dicom(tmp_path: Path) -> Path:
    meta = FileMetaDataset()
    meta.TransferSyntaxUID, meta.MediaStorageSOPClassUID = ExplicitVRLittleEndian, UID("1.2.840.10008.5.1.4.1.1.7")
    meta.MediaStorageSOPInstanceUID = generate_uid()
    data = FileDataset(str(tmp_path / "chest.dcm"), {}, file_meta=meta, preamble=b"\0" * 128)
    data.PatientName, data.PatientID, data.Modality = "Secret^Person", "12345", "DX"
    data.Rows, data.Columns, data.SamplesPerPixel = 40, 50, 1
    data.BitsAllocated, data.BitsStored, data.HighBit, data.PixelRepresentation = 16, 12, 11, 0
    data.PhotometricInterpretation = "MONOCHROME1"
    data.PixelData = np.random.default_rng(0).integers(0, 4096, (40, 50), dtype=np.uint16).tobytes()
    data.save_as(tmp_path / "chest.dcm")
    return tmp_path / "chest.dcm"


@pytest.mark.slow
def test_grounding_finds_phrases_and_goes_on_past_a_broken_file(tiny_run: Path, picture: Path, dicom: Path) -> None:
    broken = picture.with_name("broken.png")
    broken.write_bytes(picture.read_bytes()[:200])
    out = picture.with_name("out")
    words = ["grounding", "predict", broken, picture, dicom, "--run", tiny_run, "--out", out, "--min-score", "0"]
    result = CliRunner().invoke(app, [str(word) for word in [*words, "--phrase", "left lung"]], catch_exceptions=False)
    assert result.exit_code == 1
    assert "broken.png" in result.output
    rows = [json.loads(line) for line in (out / "regions.jsonl").read_text().splitlines()]
    assert [row["image"] for row in rows] == ["unseen.png", "chest.dcm"]
    assert [row["modality"] for row in rows] == ["unknown", "xray"]
    with Image.open(out / rows[1]["picture"]) as drawn:
        assert drawn.size == (650, 520)  # enlarged by a whole number, labels have no room in 50 pixels
    assert "Secret" not in result.output + (out / "regions.jsonl").read_text()


@pytest.mark.slow
def test_ask_answers_with_and_without_evidence(tiny_run: Path, picture: Path, dicom: Path) -> None:
    shown = call("vqa", "ask", dicom, "Is there a nodule?", "--run", tiny_run, "--show", picture.with_name("show"))
    assert "answer:" in shown
    assert "evidence 1:" in shown
    assert "not for diagnosis" in shown
    blind = call("vqa", "ask", picture, "What is this?", "--evidence", "none", "--run", tiny_run)
    assert "evidence 1:" not in blind


@pytest.mark.slow
def test_an_adapter_by_itself_answers_about_several_images(tiny_run: Path, picture: Path, dicom: Path) -> None:
    adapter = tiny_run / "adapter-grounded"
    words = ["vqa", "ask", picture, dicom, "Is there a nodule in both images?"]
    said = call(*words, "--adapter", adapter, "--modality", "xray")
    lines = said.splitlines()
    sure = next(line for line in lines if line.startswith("probability: "))
    assert all(0 <= float(word.rstrip(",")) <= 1 for word in sure.split() if word[0].isdigit())
    assert "of yes" in sure
    answer = next(k for k, line in enumerate(lines) if line.startswith("answer: "))
    assert all(line.startswith("held back: ") for line in lines[answer + 1 : lines.index(sure)])
    assert lines[-3:] == call(*words, "--run", tiny_run, "--modality", "xray").splitlines()[-3:]  # progress is before


@pytest.mark.slow
def test_a_run_is_exported_and_its_folder_answers(tiny_run: Path, picture: Path, tmp_path: Path) -> None:
    said = call("vqa", "export", tiny_run, tmp_path / "served", "--adapter", "--image", picture)
    assert "largest logit difference" in said
    assert "vLLM refuses it: modules_to_save" in said
    assert "not for diagnosis" in (tmp_path / "served" / "README.md").read_text()
    core = tiny_run / "grounding" / "model"
    again = call("vqa", "ask", picture, "What is this?", "--adapter", tmp_path / "served", "--checkpoint", core)
    assert "answer:" in again


@pytest.mark.slow
def test_a_question_without_any_groundable_phrase_is_answered(tiny_run: Path, picture: Path) -> None:
    said = call("vqa", "ask", picture, "Why?", "--run", tiny_run)
    assert "answer:" in said
    assert "no region found, looked for nothing" in said


@pytest.mark.slow
def test_nothing_to_look_for_is_said(tiny_run: Path, picture: Path) -> None:
    out = picture.with_name("out")
    words = ["grounding", "predict", str(picture), "--run", str(tiny_run), "--out", str(out)]
    result = CliRunner().invoke(app, words, catch_exceptions=False)
    assert result.exit_code == 1
    assert "give --phrase or --modality" in result.output


@pytest.mark.slow
def test_a_report_is_json_and_a_page(tiny_run: Path, dicom: Path) -> None:
    out = dicom.with_name("reports")
    call("report", "write", dicom, "--run", tiny_run, "--out", out)
    report = json.loads((out / "chest.json").read_text())
    assert "not for diagnosis" in report["notice"]
    page = (out / "chest.html").read_text()
    assert "<svg" in page
    assert "Secret" not in page + json.dumps(report)


@pytest.mark.slow
def test_scores_and_comparisons_come_from_records_alone(tiny_run: Path, tmp_path: Path) -> None:
    records = tiny_run / "records"
    assert "closed_accuracy" in call("eval", "vqa", records / "vqa-none.jsonl", "--json", tmp_path / "s.json")
    assert "closed_accuracy" in json.loads((tmp_path / "s.json").read_text())["metrics"]
    assert "cider" in call(
        "eval", "report", records / "report-none.jsonl", "--resamples", "20", "--metrics", "cider,bleu"
    )
    assert "ap50" in call("eval", "grounding", records / "grounding.jsonl", "--resamples", "20")
    pair = [records / f"vqa-{name}.jsonl" for name in ("predicted", "none")]
    assert "vqa-predicted minus vqa-none" in call("eval", "compare", *pair, "--resamples", "20")


@pytest.mark.slow
def test_data_are_listed_checked_and_exported(tiny_run: Path, tmp_path: Path) -> None:
    recipe = tiny_run.parent / "recipe.yaml"
    assert "phantom" in call("data", "list", recipe)
    assert "0 faults" in call("data", "check", recipe)
    call("data", "export", recipe, tmp_path / "export")
    assert list((tmp_path / "export").glob("*.parquet"))


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["run", "nothing.yaml"], "no such recipe"),
        (["vqa", "ask", "x.png", "Where?", "--run", "nowhere"], "no run in this folder"),
        (["eval", "vqa", "nothing.jsonl"], "nothing.jsonl"),
        (["assets", "fetch", "smollm"], "smollm2-135m"),
    ],
)
def test_bad_input_is_one_clear_line(
    words: list[str], said: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["medglip", *words])
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as stop:
        main()
    lines = capsys.readouterr().err.splitlines()
    assert stop.value.code == 2
    assert len(lines) == 1
    assert said in lines[0]
    assert "\n" not in str(stop.value)
