"""Questions on chest X-rays in their published layouts: the oracle finds what an answer is seen in."""

import csv
import gzip
import io
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from making import write_image
from PIL import Image

from medglip.grounding.bad_input import BadInput
from medglip.grounding.grounders.oracle import TruthGrounder
from medglip.vqa.datasets.load import load_questions
from medglip.vqa.task import Question

SIZE = (60, 40)
SUBJECTS = {"10000001": "train", "10000002": "test"}


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MEDGLIP_CACHE", str(tmp_path / "cache"))


def write_mimic(folder: Path) -> Path:
    """A lateral and a frontal image a study, of 60 x 40 px, recorded as 600 x 400."""
    folder.mkdir(parents=True)
    ids = [{"dicom_id": f"{view}{p}", "study_id": f"5{p[1:]}", "subject_id": p} for p in SUBJECTS for view in "lf"]
    for row in ids:
        write_image(folder / f"files/p10/p{row['subject_id']}/s{row['study_id']}/{row['dicom_id']}.jpg", SIZE)
    views = {"l": "LATERAL", "f": "AP"}
    facts = [{**row, "ViewPosition": views[row["dicom_id"][0]], "Rows": "400", "Columns": "600"} for row in ids]
    splits = [{**row, "split": SUBJECTS[row["subject_id"]]} for row in ids]
    for kind, rows in (("metadata", facts), ("split", splits)):
        with gzip.open(folder / f"mimic-cxr-2.0.0-{kind}.csv.gz", "wt", newline="") as lines:
            table = csv.DictWriter(lines, [*rows[0]])
            table.writeheader()
            table.writerows(rows)
    return folder


def oracle(question: Question) -> list[tuple[str, list[int]]]:
    """What the oracle finds in the question's image for the phrases that the question names."""
    (found,) = TruthGrounder().ground([question.image], [question.phrases])
    return [(region.phrase, region.box_xyxy_px.round().astype(int).tolist()) for region in found]


# ---- GEMeX


def gemex_row(number: int, **changes: Any) -> dict[str, Any]:
    row = {"q_id": number, "image_path": "p10/p10000002/s50000002/f10000002.jpg", "type": "abnormality"}
    row |= {
        "question": "Is there pneumothorax in the left lung?",
        "answer": "No.",
        "reason": "clear",
        "ori_report": ".",
    }
    return row | {"visual_regions": ["left lung"], "visual_locations": [[168, 112, 252, 168]]} | changes


def write_gemex(folder: Path) -> Path:
    write_mimic(folder)
    rows = {
        "closed_ended": [gemex_row(1), gemex_row(2, image_path="p10/p10000002/s50000002/gone.jpg")],
        "open_ended": [gemex_row(1, question="Where is the pleural effusion?", answer="On the left.")],
        "multi_choice": [gemex_row(1, answer=["A", "B"], choices=["A: one", "B: two"])],
    }
    for kind, lines in rows.items():
        (folder / f"{kind}_question.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return folder


def test_gemex_shows_places_and_what_an_answer_affirms(tmp_path: Path) -> None:
    questions, skipped = load_questions("gemex", write_gemex(tmp_path / "gemex"))
    opened, closed, choice = questions
    # 336 px square, padded: 60 px are 336, and 56 px above and below are padding
    box = [30, 10, 45, 20]
    assert oracle(closed) == [("left lung", box)]
    assert oracle(opened) == [("pleural effusion", box)]
    assert (choice.question.split("? ")[1], choice.answer, choice.answer_type) == ("A: one B: two", "A, B", "closed")
    assert {q.image.split for q in questions} == {"test"}
    assert {q.image.group for q in questions} == {"p10000002"}
    assert [entry["item"] for entry in skipped.entries] == ["closed_ended_question.jsonl row 2"]


def test_gemex_needs_its_files_and_mimics_split(tmp_path: Path) -> None:
    folder = write_gemex(tmp_path / "gemex")
    next(folder.glob("*-split.csv.gz")).unlink()
    with pytest.raises(BadInput, match=r"split.csv.gz: no such file. Fix: link it"):
        load_questions("gemex", folder)
    for file in folder.glob("*.jsonl"):
        file.unlink()
    with pytest.raises(BadInput, match="none of the files"):
        load_questions("gemex", folder)


# ---- HEAL-MedVQA


@pytest.mark.parametrize(
    "runs",
    [
        pytest.param([24, 6, 14, 6, 190], id="lengths in turn"),
        pytest.param([24, 6, 44, 6], id="starts and lengths, by rows"),
        pytest.param([49, 2, 61, 2, 73, 2, 85, 2, 97, 2, 109, 2], id="starts and lengths, by columns"),
    ],
)
def test_heal_medvqa_reads_masks_of_every_kind_of_runs(tmp_path: Path, runs: list[int]) -> None:
    content = io.BytesIO()
    Image.new("L", (40, 24), 9).save(content, "PNG")
    shared = {"image": {"bytes": content.getvalue(), "path": "a.png"}, "image_id": "a", "anatomy": "left_lower_lung"}
    shared |= {"mask_rle": runs, "mask_h": 12, "mask_w": 20}
    asked = "Does the patient have {} in the left lower lung?"
    rows = [
        {**shared, "question_id": "1", "question": asked.format("atelectasis"), "answer": "Yes", "question_type": 1},
        {**shared, "question_id": "2", "question": asked.format("pneumothorax"), "answer": "No", "question_type": 0},
    ]
    folder = tmp_path / "heal"
    folder.mkdir()
    pq.write_table(pa.Table.from_pylist(rows), folder / "test-00000-of-00001.parquet")
    (folder / "data").mkdir()  # of the release before, which is not read twice
    pq.write_table(pa.Table.from_pylist(rows[:1]), folder / "data" / "test-00000-of-00001.parquet")
    (yes, no), skipped = load_questions("heal_medvqa", folder)
    box = [8, 2, 20, 6]
    assert sorted(oracle(yes)) == [("atelectasis", box), ("left lower lobe", box)]
    assert oracle(no) == [("left lower lobe", box)]
    assert (yes.content_type, yes.answer_type, no.image.split) == ("closed_yes", "closed", "test")
    assert not skipped.entries


# ---- MIMIC-Ext-CXR-QBA


def qba_answer(text: str, positiveness: str, **changes: Any) -> dict[str, Any]:
    boxes = {"f10000002": {"bboxes": [[100, 100, 300, 200]], "localization_reference_ids": ["left lung"]}}
    answer = {"answer_id": "A", "answer_type": "main_answer", "text": text, "positiveness": positiveness}
    return answer | {"regions": ["left lung"], "obs_entities": ["consolidation"], "localization": boxes} | changes


@pytest.mark.parametrize("from_scene", [False, True])
def test_cxr_qba_shows_what_answers_affirm_on_the_frontal_image(tmp_path: Path, from_scene: bool) -> None:
    folder = write_mimic(tmp_path / "qba")
    seen, denied = qba_answer("There is consolidation.", "pos"), qba_answer("None is seen.", "neg")
    if from_scene:
        scene = folder / "scene_data/p10/p10000002/s50000002.scene_graph.json"
        scene.parent.mkdir(parents=True)
        scene.write_text(json.dumps({"observations": {"O01": seen}}))
        seen = {**seen, "localization": {}}
    rows = [
        {"question_id": "Q1", "question": "Is there consolidation?", "answers": [seen], "obs_ids": ["O01"]},
        {"question_id": "Q2", "question": "Is there pneumonia?", "answers": [denied | {"obs_entities": ["pneumonia"]}]},
    ]
    # a box of a template is no place of a finding
    stand_in = {"f10000002": {"bboxes": [[1, 1, 9, 9]], "is_fallback": True}}
    rows[1]["answers"].append(qba_answer("A tube.", "pos", obs_entities=["pneumonia"], localization=stand_in))
    file = folder / ("p10" if from_scene else "qa/p10") / "p10000002/s50000002.qa.json"
    file.parent.mkdir(parents=True)
    questions = [{**row, "question_type": "D02_has_finding"} for row in rows]
    file.write_text(json.dumps({"patient_id": "p10000002", "study_id": "s50000002", "questions": questions}))
    (yes, no), skipped = load_questions("cxr_qba", folder)
    assert oracle(yes) == [("consolidation", [10, 10, 30, 20])]
    assert oracle(no) == []
    assert (yes.image.image_path.stem, yes.image.split, yes.image.group) == ("f10000002", "test", "p10000002")
    assert (yes.answer, yes.content_type, skipped.entries) == ("There is consolidation.", "d02_has_finding", [])


# ---- PadChest-GR


@pytest.mark.parametrize("language", ["en", "es"])
def test_padchest_sentences_become_questions_of_both_answers(tmp_path: Path, language: str) -> None:
    positive = {"sentence_en": "Cardiomegaly.", "sentence_es": "Cardiomegalia.", "abnormal": True}
    positive |= {"labels": ["cardiomegaly"], "boxes": [[0.1, 0.5, 0.5, 1.0]], "extra_boxes": []}
    negative = {"sentence_en": "No pneumothorax.", "sentence_es": "No hay neumotórax.", "abnormal": False}
    study = {"StudyID": "1", "ImageID": "1_x.png", "findings": [positive, negative]}
    (tmp_path / "grounded_reports_20240819.json").write_text(json.dumps([study]))
    (tmp_path / "master_table.csv").write_text("StudyID,ImageID,PatientID,split\n1,1_x.png,P1,test\n")
    write_image(tmp_path / "Padchest_GR_files/PadChest_GR/1_x.png", SIZE)
    (there, described, absent), skipped = load_questions("padchest_gr", tmp_path, language=language)
    answers = ("yes", "Cardiomegaly.", "no") if language == "en" else ("sí", "Cardiomegalia.", "no")
    assert (there.answer, described.answer, absent.answer) == answers
    assert [q.answer_type for q in (there, described, absent)] == ["closed", "open", "closed"]
    assert oracle(there) == oracle(described) == [("cardiomegaly", [6, 20, 30, 40])]
    assert (oracle(absent), absent.phrases, skipped.entries) == ([], ("pneumothorax",), [])
