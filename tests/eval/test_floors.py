"""Floors answer from the text of questions alone, as counted by hand on a few rows."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from medglip.eval.floors import FLOORS, AskedQuestion, floor_records, read_train
from medglip.eval.records import Record, read_records
from medglip.grounding.bad_input import BadInput
from medglip.scripts.cli.main import app

TRAIN = [
    AskedQuestion("Is there a fracture?", "Yes", "a", "PRES", "closed"),
    AskedQuestion("Is there a mass?", "no", "b", "PRES", "closed"),
    AskedQuestion("Is there any fracture?", "yes", "c", "PRES", "closed"),
    AskedQuestion("Where is the mass?", "Left lobe", "d", "POS", "open"),
    AskedQuestion("Where is the large mass?", "left lobe.", "e", "POS", "open"),
    AskedQuestion("What plane is this?", "Axial", "f", "PLANE", "open"),
]


def asked(question: str, kind: str = "", answer_type: str = "", image: str = "z") -> Any:
    row = {"id": question, "dataset": "d", "split": "test", "task": "vqa", "image_id": image, "question": question}
    more = {"answer": "x", "answer_type": answer_type, "prediction": "whatever", "model": "m", "regions": [1]}
    return {**row, **more, "meta": {"question_type": kind, "citations": {}}}


def answers(name: str, *rows: Record) -> list[str]:
    return [record["prediction"] for record in floor_records(rows, TRAIN)[name]]


def test_the_most_frequent_answer_is_that_of_the_type_in_the_words_of_the_first_row() -> None:
    rows = [asked("?", "POS"), asked("?", "new", "closed"), asked("?", "new", "open"), asked("?")]
    assert answers("most_frequent", *rows) == ["Left lobe", "Yes", "Left lobe", "Yes"]


def test_the_bag_of_words_and_the_nearest_question_hear_the_words_alone() -> None:
    rows = [asked("is a mass there"), asked("where, the mass"), asked("plane?")]
    assert answers("bag_of_words", *rows) == answers("nearest_question", *rows) == ["no", "Left lobe", "Axial"]


def test_the_name_of_an_image_counts_where_both_parts_have_it() -> None:
    assert "bag_of_words_and_image" not in floor_records([asked("what")], TRAIN)
    row = asked("what is this", image="d")
    assert answers("bag_of_words", row) == ["Axial"]
    known = [
        AskedQuestion("what is this", answer, image) for answer, image in (("cat", "d"), ("dog", "e"), ("dog", "f"))
    ]
    made = floor_records([row], known)
    assert (made["bag_of_words"][0]["prediction"], made["bag_of_words_and_image"][0]["prediction"]) == ("dog", "cat")


def test_a_single_answer_and_nothing_of_the_model_in_a_record() -> None:
    made = floor_records([asked("what")], TRAIN[:1])
    assert {name: rows[0]["prediction"] for name, rows in made.items()} == dict.fromkeys(list(FLOORS)[:3], "Yes")
    record = dict(made["bag_of_words"][0])
    assert (record["model"], record["evidence"], record["meta"]) == ("bag_of_words", "none", {"question_type": ""})
    assert "regions" not in record


def test_the_command_scores_each_floor_as_eval_vqa_does(record: Callable[..., Any], tmp_path: Path) -> None:
    rows = [
        record(n, "vqa", answer, "", question=q) for n, (q, answer) in enumerate([("Is it?", "no"), ("What?", "b")])
    ]
    train = [{"question": "Is it?", "answer": "no"}, {"question": "What?", "answer": ["b", "c"]}] * 2
    for name, lines in (("test", rows), ("train", [*train, {"question": "?", "answer": ""}])):
        (tmp_path / name).write_text("".join(json.dumps(row) + "\n" for row in lines))
    out = tmp_path / "floors.json"
    words = ["eval", "floors", str(tmp_path / "test"), "--train", str(tmp_path / "train"), "--resamples", "10"]
    made = CliRunner().invoke(app, [*words, "--json", str(out), "--out", str(tmp_path)], catch_exceptions=False)
    assert made.exit_code == 0, made.output
    metrics = {name: scores["metrics"] for name, scores in json.loads(out.read_text()).items()}
    assert list(metrics) == ["most_frequent", "bag_of_words", "nearest_question"]
    assert metrics["nearest_question"]["overall_accuracy"]["value"] == 1
    assert metrics["most_frequent"]["overall_accuracy"]["value"] == 0.5  # "no" to all: no type is told
    assert len(read_records([tmp_path / "vqa-bag_of_words.jsonl"], "vqa")) == 2


def test_a_training_row_without_an_answer_and_a_missing_file_are_named(tmp_path: Path) -> None:
    file = tmp_path / "train.jsonl"
    file.write_text('{"question": "a", "answer": "b"}\n{"question": "a"}\n')
    with pytest.raises(BadInput, match=r"row 2"):
        read_train([file])
    with pytest.raises(BadInput, match=r"missing\.jsonl: no such file\. Fix"):
        read_train([tmp_path / "missing.jsonl"])
