import json
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from medglip.grounding.bad_input import BadInput, Skipped
from medglip.vqa.datasets import vqa_rad
from medglip.vqa.datasets.sets import ReadContext
from medglip.vqa.datasets.vqa_rad import VqaRadSettings
from medglip.vqa.task import Question

ORGANS = ("CHEST", "ABD", "HEAD")


def read(settings: VqaRadSettings, seed: int) -> tuple[list[Question], Skipped]:
    skipped = Skipped()
    return vqa_rad.read(settings, ReadContext(seed=seed), skipped), skipped


def row(qid: int, image: int, **changes: Any) -> dict[str, Any]:
    values = {
        "qid": qid,
        "image_name": f"synpic{image}.jpg",
        "image_organ": ORGANS[image % 3],
        "answer": "Yes",
        "answer_type": "CLOSED",
        "question_type": "PRES",
        "question": "Is there a pneumothorax?",
        "phrase_type": "freeform",
    }
    return values | changes


def write_set(folder: Path, rows: list[Any], name: str = "trainset.json") -> VqaRadSettings:
    (folder / "images").mkdir(exist_ok=True)
    for image in range(12):
        Image.new("L", (8 + image, 6)).save(folder / "images" / f"synpic{image}.jpg")
    (folder / name).write_text(json.dumps(rows))
    return VqaRadSettings(path=folder)


def test_rows_become_clean_questions(tmp_path: Path) -> None:
    rows = [
        row(1, 0, answer=3, answer_type="OPEN", question_type="PRES, ATRIB", question="How  many\nribs? "),
        row(2, 1, answer_type="CLOSED "),
        row(3, 2, phrase_type="para"),
    ]
    questions, skipped = read(write_set(tmp_path, rows), seed=0)
    assert [q.question_id for q in questions] == ["vqa_rad-1", "vqa_rad-2", "vqa_rad-3"]
    assert [q.answer for q in questions] == ["3", "Yes", "Yes"]
    assert [q.answer_type for q in questions] == ["open", "closed", "closed"]
    assert [q.image.modality for q in questions] == ["xray", "ct", "unknown"]
    assert questions[0].content_type == "pres, attrib"
    assert questions[0].question == "How many ribs?"
    assert questions[0].image.size_px == (8, 6)
    assert questions[1].phrases == ("pneumothorax",)
    assert not skipped.entries


def test_frame_rows_come_only_when_asked_for(tmp_path: Path) -> None:
    settings = write_set(tmp_path, [row(1, 0), row(2, 1, phrase_type="frame")])
    assert len(read(settings, seed=0)[0]) == 1
    assert len(read(VqaRadSettings.model_validate({"path": settings.path, "include_frame": True}), seed=0)[0]) == 2


def test_no_image_is_in_both_splits_and_the_seed_decides(tmp_path: Path) -> None:
    settings = write_set(tmp_path, [row(qid, qid % 12) for qid in range(48)])

    def split(seed: int) -> dict[str, set[str]]:
        questions, _ = read(settings, seed)
        return {name: {q.image.group for q in questions if q.image.split == name} for name in ("train", "val")}

    seeds = [split(seed) for seed in range(8)]
    assert all(sides["train"] and sides["val"] and not sides["train"] & sides["val"] for sides in seeds)
    assert split(3) == seeds[3]
    assert len({frozenset(sides["val"]) for sides in seeds}) > 1


def test_bad_rows_are_listed_with_file_and_row_and_the_rest_goes_on(tmp_path: Path) -> None:
    no_answer = row(2, 1)
    del no_answer["answer"]
    rows = [
        row(1, 0),
        no_answer,
        row(3, 99),
        row(4, 1, question="  "),
        row(5, 1, answer_type="both"),
        "text",
        row(7, 2, answer=""),
        row(8, 3),
    ]
    settings = write_set(tmp_path, rows)
    (tmp_path / "images" / "synpic3.jpg").write_bytes((tmp_path / "images" / "synpic2.jpg").read_bytes()[:200])
    questions, skipped = read(settings, seed=0)
    assert [q.question_id for q in questions] == ["vqa_rad-1"]
    assert sorted(entry["item"] for entry in skipped.entries) == [f"trainset.json row {n}" for n in range(2, 9)]
    assert all("trainset.json: row" in entry["why"] and "Fix:" in entry["why"] for entry in skipped.entries)


def test_test_set_is_read_when_it_is_there(tmp_path: Path) -> None:
    write_set(tmp_path, [row(1, 0), row(2, 1)])
    settings = write_set(tmp_path, [row(3, 0, phrase_type="test_freeform")], "testset.json")
    questions, _ = read(settings, seed=0)
    assert [q.image.split for q in questions if q.question_id == "vqa_rad-3"] == ["test"]


def test_limit_takes_the_first_rows(tmp_path: Path) -> None:
    settings = write_set(tmp_path, [row(qid, qid % 12) for qid in range(9)]).model_copy(update={"limit": 4})
    assert [q.question_id for q in read(settings, seed=0)[0]] == [f"vqa_rad-{n}" for n in range(4)]


@pytest.mark.parametrize("text", ["", "{", "{}", "[]", '[{"qid": 1}]'])
def test_an_unusable_file_is_bad_input(tmp_path: Path, text: str) -> None:
    (tmp_path / "trainset.json").write_text(text)
    with pytest.raises(BadInput, match=r"trainset\.json"):
        read(VqaRadSettings(path=tmp_path), seed=0)


def test_a_missing_folder_is_bad_input(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="MEDGLIP_DATA"):
        read(VqaRadSettings(path=tmp_path / "nowhere"), seed=0)


def test_relative_paths_start_at_the_data_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "rad").mkdir()
    write_set(tmp_path / "rad", [row(1, 0)])
    monkeypatch.setenv("MEDGLIP_DATA", str(tmp_path))
    assert len(read(VqaRadSettings(path=Path("rad")), seed=0)[0]) == 1
