import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from medglip.eval.leaks import Leak, SplitQuestion, leaks, leaks_between, near_images, read_questions, text
from medglip.grounding.bad_input import BadInput


def _q(name: str, image: str, question: str, answer: str, image_hash: str = "") -> SplitQuestion:
    return SplitQuestion(id=name, image_id=image, question=question, answer=answer, image_hash=image_hash)


TRAIN = [
    _q("t0", "a", "Is there a fracture?", "Yes"),
    _q("t1", "a", "is there fracture", "no"),  # the same question after normalisation
    _q("t2", "b", "Which organ is seen?", "the liver"),
    _q("t3", "c", "What is the plane?", "Axial"),
]


def test_each_kind_of_leak_by_hand() -> None:
    test = [
        _q("q0", "a", "Is there a fracture", "yes"),  # repeat, near duplicate, prior
        _q("q1", "b", "Which organ is seen here?", "Liver"),  # 4 of 5 words
        _q("q2", "b", "Name the big thing", "liver"),  # same open answer only
        _q("q3", "z", "What is the plane?", "axial"),  # prior only
    ]
    found = leaks(TRAIN, test)
    assert {name: (leak.count, leak.n, leak.ids) for name, leak in found.items()} == {
        "image_overlap": (2, 3, ("a", "b")),
        "question_overlap": (3, 4, ("q0", "q1", "q2")),
        "exact_repeat": (1, 4, ("q0",)),
        "same_answer": (3, 4, ("q0", "q1", "q2")),
        "same_open_answer": (2, 3, ("q1", "q2")),
        "near_duplicate": (2, 4, ("q0", "q1")),
        "answer_prior": (2, 4, ("q0", "q3")),
        "train_duplicate": (1, 4, ("t1",)),
    }


def test_jaccard_of_exactly_the_threshold_counts() -> None:
    train = [_q("t", "a", "one two three four", "left")]  # numbers are words of the normalisation, so 1 2 3 4
    at = _q("at", "a", "one two three five", "left")  # 3 of 5
    below = _q("below", "a", "one two six five", "left")  # 2 of 6
    assert leaks(train, [at, below])["near_duplicate"].ids == ("at",)


def test_a_split_without_shared_images_leaks_nothing() -> None:
    test = [_q("q", "z", "Where is the mass?", "left lung")]
    found = leaks(TRAIN, test)
    assert [leak.count for name, leak in found.items() if name != "train_duplicate"] == [0] * 7
    assert "near_duplicate    0 of 1 (0.0%)" in text(found)


def test_images_are_the_same_by_their_bytes_whatever_their_name() -> None:
    train, test = [_q("t", "a", "x", "left", "hash")], [_q("q", "renamed", "x", "left", "hash")]
    assert leaks(train, test)["exact_repeat"] == Leak(1, 1, ("q",))


def test_public_forms_are_read_by_their_own_keys(tmp_path: Path) -> None:
    vqa_rad = {"qid": 7, "image_name": "a.jpg", "question": "x", "answer": 3, "phrase_type": "freeform"}
    slake = {"qid": 8, "img_name": "b/source.jpg", "question": "x", "answer": "y", "q_lang": "en"}
    record = {"id": "9", "image_id": "c", "question": "x", "answer": ["y", "z"], "task": "vqa"}
    files = {"v.json": json.dumps([vqa_rad]), "s.json": json.dumps([slake, slake | {"q_lang": "zh"}])}
    files["r.jsonl"] = json.dumps(record) + "\n"
    for name, data in files.items():
        (tmp_path / name).write_text(data)
    assert read_questions(tmp_path / "v.json") == [_q("7", "a.jpg", "x", "3")]
    assert read_questions(tmp_path / "s.json", language="en") == [_q("8", "b/source.jpg", "x", "y")]
    assert len(read_questions(tmp_path / "s.json")) == 2
    assert read_questions(tmp_path / "r.jsonl") == [_q("9", "c", "x", "y, z")]


@pytest.mark.parametrize(
    ("data", "said"),
    [
        ("[]", "no questions"),
        ("[1]", "not a list of objects"),
        ("{", "not JSON"),
        ('[{"a": 1}]', r"row 1: unknown keys \['a'\]"),
        ('[{"qid": 1, "image_name": "a", "question": "x", "answer": null}]', "row 1: missing, or no text: answer"),
    ],
)
def test_bad_files_are_refused(data: str, said: str, tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text(data)
    with pytest.raises(BadInput, match=said):
        read_questions(tmp_path / "a.json")
    with pytest.raises(BadInput, match="no such file"):
        read_questions(tmp_path / "b.json")


def _image(path: Path, pixels: Any) -> None:
    Image.fromarray(np.asarray(pixels, np.uint8)).save(path)


def test_images_that_look_alike_are_found(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (8, 9)).repeat(8, 0).repeat(8, 1)
    _image(tmp_path / "a.png", noise)
    _image(tmp_path / "brighter.png", noise // 2 + 60)
    _image(tmp_path / "other.png", np.random.default_rng(1).integers(0, 256, (8, 9)).repeat(8, 0).repeat(8, 1))
    assert near_images(["a.png"], ["brighter.png", "other.png", "a.png"], tmp_path).ids == ("brighter.png",)
    rows = [
        {"qid": n, "image_name": name, "question": "x", "answer": "y"} for n, name in enumerate(["a.png", "other.png"])
    ]
    (tmp_path / "train.json").write_text(json.dumps(rows[:1]))
    (tmp_path / "test.json").write_text(json.dumps([*rows, rows[0] | {"image_name": "brighter.png"}]))
    found = leaks_between(tmp_path / "train.json", tmp_path / "test.json", tmp_path)
    assert (found["near_image"].ids, found["image_overlap"].ids) == (("brighter.png",), ("a.png",))
    (tmp_path / "test.json").write_text(json.dumps([rows[0] | {"image_name": "none.png"}]))
    with pytest.raises(BadInput, match=r"none\.png: no such image"):
        leaks_between(tmp_path / "train.json", tmp_path / "test.json", tmp_path)
