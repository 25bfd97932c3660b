"""Questions on chest films are asked with their true regions by `vqa predict --evidence oracle`, set by set."""

import io
import json
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from mimic_tree import films, link_mimic, picture, write_mimic, write_padchest, write_vindr
from typer.testing import CliRunner

from medglip.grounding.files import read_lines
from medglip.scripts.cli.main import app

FILM = next(row for row in films() if row["study_id"] == "50000008")
BOX = [10.0, 20.0, 40.0, 60.0]
ASKED = "Is there a pleural effusion?"


def gemex(root: Path) -> Path:
    write_mimic(root)
    link_mimic(root, folder := root / "gemex")
    # 336 px square: 96 px are 336, padded by 28 above and below
    row = {
        "q_id": 1,
        "image_path": FILM["path"].removeprefix("files/"),
        "question": ASKED,
        "answer": "Yes.",
        "reason": "",
    }
    row |= {"type": "abnormality", "visual_regions": ["left lung"], "visual_locations": [[35, 98, 140, 238]]}
    (folder / "closed_ended_question.jsonl").write_text(json.dumps(row) + "\n")
    return folder


def cxr_qba(root: Path) -> Path:
    write_mimic(root)
    link_mimic(root, folder := root / "cxr_qba")
    boxes = {FILM["dicom_id"]: {"bboxes": [[100, 200, 400, 600]]}}
    answer = {
        "answer_type": "main_answer",
        "text": "There is an effusion.",
        "positiveness": "pos",
        "localization": boxes,
    }
    answer |= {"obs_entities": ["pleural effusion"], "regions": ["left lung"]}
    file = folder / f"qa/p10/p{FILM['subject_id']}/s{FILM['study_id']}.qa.json"
    file.parent.mkdir(parents=True)
    asked = [{"question_id": "Q1", "question_type": "D02_has_finding", "question": ASKED, "answers": [answer]}]
    file.write_text(json.dumps({"study_id": f"s{FILM['study_id']}", "questions": asked}))
    return folder


def heal_medvqa(root: Path) -> Path:
    content = io.BytesIO()
    picture("1", 1).save(content, "PNG")
    runs = [part for row in range(20, 60) for part in (row * 96 + 10, 30)]
    row = {
        "image": {"bytes": content.getvalue(), "path": "a.png"},
        "image_id": "a",
        "question_id": "1",
        "anatomy": "left_lung",
    }
    row |= {"question": ASKED, "answer": "Yes", "question_type": 1, "mask_rle": runs, "mask_h": 80, "mask_w": 96}
    (root / "heal").mkdir()
    pq.write_table(pa.Table.from_pylist([row]), root / "heal" / "test-00000-of-00001.parquet")
    return root / "heal"


def padchest_gr(root: Path) -> Path:
    write_mimic(root)
    folder = write_padchest(root)
    table = folder / "master_table.csv"
    table.write_text(table.read_text().replace("validation", "test"))
    return folder


@pytest.mark.parametrize("write", [gemex, cxr_qba, heal_medvqa, padchest_gr], ids=lambda write: write.__name__)
def test_the_oracle_shows_what_a_set_outlines(
    write: Callable[[Path], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MEDGLIP_CACHE", str(tmp_path / "cache"))
    out = tmp_path / "out.jsonl"
    words = ["--dataset", write.__name__, "--root", str(write(tmp_path)), "--evidence", "oracle", "--model", "rules"]
    result = CliRunner().invoke(app, ["vqa", "predict", *words, "--out", str(out)], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    record, *_ = (row for row in read_lines(out) if "effusion" in row["question"])
    (region,) = (region for region in record["regions"] if region["phrase"] == "pleural effusion")
    wanted = BOX if write is not padchest_gr else [9.6, 40.0, 38.4, 72.0]
    assert region["box_xyxy_px"] == pytest.approx(wanted, abs=0.1)
    assert record["prediction"].lower() == "yes"
    assert record["evidence"] == "oracle"


def test_questions_derived_from_vindr_are_asked_with_its_boxes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_vindr(tmp_path)
    monkeypatch.setenv("MEDGLIP_DATA", str(tmp_path))
    sets = [{"layout": "vindr_cxr", "path": "vindr_cxr", "merge": True, "split": "hash"}]
    recipe = {"name": "v", "out_dir": str(tmp_path / "run"), "grounding": {"data": sets}}
    (tmp_path / "v.yaml").write_text(yaml.safe_dump(recipe))
    asked = tmp_path / "vindr.jsonl"
    words = ["data", "export", "qa", str(tmp_path / "v.yaml"), "--out", str(asked)]
    result = CliRunner().invoke(app, words, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    out = tmp_path / "out.jsonl"
    words = ["vqa", "predict", "--dataset", "derived", "--root", str(asked), "--split", "train", "--out", str(out)]
    result = CliRunner().invoke(app, [*words, "--evidence", "oracle", "--model", "rules"], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    rows = read_lines(out)
    shown = {region["phrase"] for row in rows for region in row["regions"]}
    assert shown & {"pleural effusion", "nodule", "cardiomegaly"}
