import io
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from making import write_image
from PIL import Image

from medglip.grounding.bad_input import BadInput, Skipped
from medglip.grounding.evidence.evidence import Evidence
from medglip.vqa.datasets import hub, pathvqa, slake, vqa_rad
from medglip.vqa.datasets.load import load_questions, load_rows


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MEDGLIP_CACHE", str(tmp_path / "cache"))


def public_row(qid: int, **changes: Any) -> dict[str, Any]:
    values = {
        "qid": str(qid),
        "phrase_type": "freeform",
        "qid_linked_id": "03f451ca",
        "image_case_url": "https://medpix.nlm.nih.gov/case?id=1",
        "image_name": f"synpic{qid}.jpg",
        "image_organ": "CHEST",
        "evaluation": "not evaluated",
        "question": "Is there a pneumothorax?",
        "question_rephrase": "NULL",
        "question_relation": "NULL",
        "question_frame": "NULL",
        "question_type": "PRSE",
        "answer": "Yes",
        "answer_type": "CLOSED ",
    }
    return values | changes


def test_the_public_file_of_vqa_rad_says_test_and_its_frames_become_rows(tmp_path: Path) -> None:
    rows = [
        public_row(0, answer=3, answer_type="OPEN"),
        public_row(1, phrase_type="test_para", question_frame="Is/Are there a pneumothorax?"),
        public_row(2, phrase_type="para", question_frame=None),
        public_row(3, answer=" "),
        public_row(4, answer=None),
    ]
    (tmp_path / vqa_rad.PUBLIC).write_text(json.dumps(rows))
    for qid in range(5):
        write_image(tmp_path / "VQA_RAD Image Folder" / f"synpic{qid}.jpg")
    questions, skipped = load_questions("vqa_rad", tmp_path)
    assert [(q.question_id, q.image.split, q.phrase_type) for q in questions] == [
        ("vqa_rad-0", "train", "freeform"),
        ("vqa_rad-1", "test", "para"),
        ("vqa_rad-2", "train", "para"),
        ("vqa_rad-1-frame", "train", "frame"),
    ]
    assert questions[0].answer == "3"
    assert questions[0].content_type == "pres"
    assert questions[1].answer_type == "closed"
    assert [entry["item"] for entry in skipped.entries] == [f"{vqa_rad.PUBLIC} row 4", f"{vqa_rad.PUBLIC} row 5"]
    no_frame, _ = load_rows("vqa_rad", tmp_path, "official_no_frame", split="train")
    assert [row.question_id for row in no_frame] == ["vqa_rad-0", "vqa_rad-2"]


def hub_rows(*answers: str) -> list[dict[str, Any]]:
    def content(width: int) -> bytes:
        buffer = io.BytesIO()
        Image.new("L", (width, 6)).save(buffer, "JPEG")
        return buffer.getvalue()

    return [
        {"image": {"bytes": content(8 + n // 2), "path": None}, "question": "what is this?", "answer": answer}
        for n, answer in enumerate(answers)
    ]


@pytest.mark.parametrize("name", ["vqa_rad", "pathvqa"])
def test_hub_rows_know_an_image_by_its_bytes(tmp_path: Path, name: str) -> None:
    (tmp_path / "data").mkdir()
    files = (
        "train-00000-of-00002-e5bc.parquet",
        "train-00001-of-00002-e5bc.parquet",
        "validation-00000-of-00001.parquet",
    )
    for file, answers in zip(files, [("yes", "lung", "no"), ("", "left"), ("yes",)], strict=True):
        pq.write_table(pa.Table.from_pylist(hub_rows(*answers)), tmp_path / "data" / file)
    questions, skipped = load_questions(name, tmp_path)
    assert [q.question_id.split("-", 1)[1] for q in questions] == ["train-1", "train-2", "train-3", "train-5", "val-1"]
    assert [q.answer_type for q in questions] == ["closed", "open", "closed", "open", "closed"]
    first, second, third = (q.image for q in questions[:3])
    assert first.image_path == second.image_path != third.image_path
    assert first.size_px == (8, 6)
    assert skipped.entries[0]["item"].endswith("row 1")


def test_hub_folders_of_save_to_disk_and_of_the_converter_are_read(tmp_path: Path) -> None:
    table = pa.Table.from_pylist(hub_rows("yes"))
    (tmp_path / "default" / "test").mkdir(parents=True)
    pq.write_table(table, tmp_path / "default" / "test" / "0000.parquet")
    (tmp_path / "train").mkdir()
    path = str(tmp_path / "train" / "data-00000-of-00001.arrow")
    with pa.OSFile(path, "wb") as file, pa.ipc.new_stream(file, table.schema) as out:
        out.write_table(table)
    rows = hub.read_rows(tmp_path, "vqa_rad", Skipped())
    assert sorted(row.split for row in rows) == ["test", "train"]


def slake_row(qid: int, image: int, language: str = "en", **changes: Any) -> dict[str, Any]:
    values = {
        "img_id": image,
        "img_name": f"xmlab{image}/source.jpg",
        "question": "Which organs are here? ",
        "answer": "Liver, Heart",
        "q_lang": language,
        "location": "Abdomen",
        "modality": "X-Ray",
        "answer_type": "OPEN",
        "base_type": "vqa",
        "content_type": "Organ",
        "triple": ["vhead", "_", "_"],
        "qid": qid,
    }
    return values | changes


@pytest.mark.parametrize("validation", ["validate.json", "validation.json"])
def test_slake_is_english_with_the_regions_of_its_images(tmp_path: Path, validation: str) -> None:
    files = {
        "train.json": [slake_row(1, 1), slake_row(2, 1, "zh"), slake_row(3, 1, answer=""), slake_row(4, 9)],
        validation: [slake_row(5, 2, modality="MRI")],
        "test.json": [slake_row(6, 3, content_type="KG")],
    }
    for name, rows in files.items():
        (tmp_path / name).write_text(json.dumps(rows))
    for image in (1, 2, 3):
        folder = write_image(tmp_path / "imgs" / f"xmlab{image}" / "source.jpg").parent
        (folder / "detection.json").write_text(json.dumps([{"Liver": [1, 1, 4, 3]}] if image == 1 else []))
    questions, skipped = load_questions("slake", tmp_path)
    assert [(q.question_id, q.image.split) for q in questions] == [
        ("slake-1", "train"),
        ("slake-5", "val"),
        ("slake-6", "test"),
    ]
    assert [q.image.modality for q in questions] == ["xray", "mr", "xray"]
    assert [region.phrase for region in questions[0].image.regions] == ["liver"]
    assert questions[0].image.size_px == (8, 6)
    assert questions[2].content_type == "kg"
    assert [entry["item"] for entry in skipped.entries] == ["train.json row 3", "train.json row 4"]
    assert "no such image" in skipped.entries[1]["why"]
    rows, _ = load_rows("slake", tmp_path, split="train")
    assert [row.question_id for row in rows] == ["slake-1", "slake-4"]  # text needs no image
    assert [row.question_id for row in load_rows("slake", tmp_path, language="zh")[0]] == ["slake-2"]


def test_slake_refuses_languages_together_and_two_validation_files(tmp_path: Path) -> None:
    (tmp_path / "train.json").write_text(json.dumps([slake_row(1, 1)]))
    for language in ("all", "en+zh", ""):
        with pytest.raises(BadInput, match="leak test images"):
            load_rows("slake", tmp_path, language=language)
    for name in ("validate.json", "validation.json"):
        (tmp_path / name).write_text(json.dumps([slake_row(2, 2)]))
    with pytest.raises(BadInput, match=r"validate\.json and validation\.json are both the split val\..*remove one"):
        slake.read_rows(slake.SlakeSettings(path=tmp_path), Skipped())


def path_entry(name: str, *pairs: tuple[Any, Any]) -> dict[str, Any]:
    return {
        "img_id": name,
        "sentf": {"pvqa": [question for question, _ in pairs]},
        "labelf": {"pvqa": [{answer: 1} for _, answer in pairs]},
    }


def test_question_i_of_pathvqa_goes_with_answer_i(tmp_path: Path) -> None:
    odd = path_entry("train_0003", ("what?", "a"), ("who?", "b"))
    odd["labelf"]["pvqa"].pop()
    entries = [
        path_entry("train_0000"),
        path_entry("train_0001", ("What  is shown ?", "a nodule"), ("Is it so?", "yes"), ("Empty?", " ")),
        odd,
        {"img_id": "train_0004"},
    ]
    (tmp_path / "pvqa_train.json").write_text(json.dumps(entries))
    skipped = Skipped()
    rows = pathvqa.read_rows(pathvqa.PathVqaSettings(path=tmp_path), skipped)
    assert [(row.question, row.answer, row.answer_type) for row in rows] == [
        ("What is shown ?", "a nodule", "open"),
        ("Is it so?", "yes", "closed"),
    ]
    assert [entry["item"] for entry in skipped.entries] == [
        "pvqa_train.json row 2, question 3",
        "pvqa_train.json row 3",
        "pvqa_train.json row 4",
    ]
    with pytest.raises(BadInput, match="no question has its image"):
        load_questions("pathvqa", tmp_path)
    write_image(tmp_path / "images" / "train" / "train_0001.jpg")
    questions, _ = load_questions("pathvqa", tmp_path, split="train")
    assert {q.image.image_id for q in questions} == {"pathvqa/train_0001"}


def test_a_question_may_have_several_images_and_loses_none_silently(tmp_path: Path) -> None:
    rows = [
        {"image": ["a.png", "b.png"], "question": "Which is larger?", "answer": "first", "group": "patient 7"},
        {"image": "a.png", "question": "Is it large?", "answer": "No", "split": "validation", "modality": "CT"},
        {"image": ["a.png", "c.png"], "question": "Same?", "answer": "no"},
        {"image": [], "question": "Same?", "answer": "no"},
    ]
    (tmp_path / "questions.jsonl").write_text("\n".join(json.dumps(row) for row in rows))
    write_image(tmp_path / "a.png", (9, 6))
    write_image(tmp_path / "images" / "b.png", (7, 6))  # beside the file, or in images there
    (two, one), skipped = load_questions("jsonl", tmp_path)
    assert [image.size_px for image in two.images] == [(9, 6), (7, 6)]
    assert {image.group for image in two.images} == {"patient 7"}
    assert (one.image.split, one.image.modality, one.others, one.answer_type) == ("val", "ct", (), "closed")
    assert len(skipped.entries) == 2
    example = two.to_example(Evidence.none())
    assert [example.image_path, *example.other_paths] == [image.image_path for image in two.images]


def test_wrong_names_are_answered_with_the_right_ones(tmp_path: Path) -> None:
    (tmp_path / "pvqa_val.json").write_text(json.dumps([path_entry("val_0", ("q?", "a"))]))
    with pytest.raises(BadInput, match="'vqa_rad'"):
        load_questions("vqarad", tmp_path)
    with pytest.raises(BadInput, match="'image_grouped'"):
        load_questions("pathvqa", tmp_path, "image_group")
    with pytest.raises(BadInput, match="splits with rows: val"):
        load_rows("pathvqa", tmp_path, split="test")
    for name in ("vqa_rad", "slake", "jsonl"):
        with pytest.raises(BadInput, match="Fix:"):
            load_rows(name, tmp_path)
