import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from medglip.eval.records import read_records
from medglip.grounding.bad_input import BadInput


def _write(path: Path, *lines: Any) -> Path:
    path.write_text("".join((line if isinstance(line, str) else json.dumps(line)) + "\n" for line in lines))
    return path


def test_numbers_become_strings_and_unknown_fields_stay(record: Callable[..., Any], tmp_path: Path) -> None:
    row = record(0, "vqa", 3, 2.5, note="kept") | {"id": 7, "cluster_id": 12}
    (found,) = read_records([_write(tmp_path / "a.jsonl", row)], "vqa")
    assert (found["answer"], found["prediction"], found["id"], found["cluster_id"]) == ("3", "2.5", "7", "12")
    assert found["note"] == "kept"
    assert found["answer_type"] == ""


def test_several_files_are_one_run(record: Callable[..., Any], tmp_path: Path) -> None:
    paths = [_write(tmp_path / f"{n}.jsonl", record(n, "vqa", "yes", "no"), "") for n in range(3)]
    assert [row["id"] for row in read_records(paths, "vqa")] == ["s0", "s1", "s2"]


def test_broken_lines_name_file_and_line(record: Callable[..., Any], tmp_path: Path) -> None:
    good = record(0, "vqa", "yes", "no")
    with pytest.raises(BadInput, match=r"a\.jsonl: row 3: not JSON"):
        read_records([_write(tmp_path / "a.jsonl", good, "", '{"id": 1, ')], "vqa")
    with pytest.raises(BadInput, match="row 1: not a JSON object"):
        read_records([_write(tmp_path / "b.jsonl", "[1]")], "vqa")
    (tmp_path / "c.jsonl").write_bytes(b'{"id": "\xff"}\n')
    with pytest.raises(BadInput, match=r"c\.jsonl: row 1: not JSON"):
        read_records([tmp_path / "c.jsonl"], "vqa")


def test_missing_fields_are_named_with_their_line(record: Callable[..., Any], tmp_path: Path) -> None:
    row = record(1, "vqa", "yes", None)
    del row["cluster_id"]
    path = _write(tmp_path / "a.jsonl", "", record(0, "vqa", "yes", "no"), row)
    with pytest.raises(BadInput, match=r"a\.jsonl: row 3: missing: cluster_id, prediction"):
        read_records([path], "vqa")


def test_runs_that_cannot_be_scored_are_refused(record: Callable[..., Any], tmp_path: Path) -> None:
    row = record(0, "vqa", "yes", "no")
    for rows, said in (
        ([row, row], "1 ids come twice: s0"),
        ([row, record(1, "vqa", "yes", "no") | {"split": "val"}], "several splits: test, val"),
        ([record(0, "report", "yes", "no")], "task is 'report'"),
        ([row | {"answer": True}], "answer is True"),
        ([row | {"prediction": ["yes"]}], "prediction is"),
        ([], "no records"),
    ):
        with pytest.raises(BadInput, match=said):
            read_records([_write(tmp_path / "a.jsonl", *rows)], "vqa")
    with pytest.raises(BadInput, match="no such file"):
        read_records([tmp_path / "none.jsonl"], "vqa")


def test_broken_regions_name_the_line(record: Callable[..., Any], region: Callable[..., Any], tmp_path: Path) -> None:
    box = region(0, 0, 4, 4)
    unscored = {name: value for name, value in box.items() if name != "score"}
    other = box | {"phrase": "nodule"}
    for answer, prediction, others, said in (
        ("box", [], {}, "answer is not a list"),
        ([box], [unscored], {}, "without score"),
        ([region(4, 0, 4, 4)], [], {}, "no area"),
        ([{"phrase": "opacity"}], [], {}, "without box_xyxy_px"),
        ([box], [box | {"box_xyxy_px": "left"}], {}, "broken region"),
        ([box], [box | {"mask_rle": {"size": [4, 4], "counts": [3]}}], {}, "RLE of 3 pixels"),
        ([box], [other], {"phrases": ["opacity", "mass"]}, "'nodule', which its `phrases` do not name"),
    ):
        path = _write(tmp_path / "a.jsonl", record(0, "grounding", answer, prediction, **others))
        with pytest.raises(BadInput, match=f"row 1: .*{said}"):
            read_records([path], "grounding")
    (found,) = read_records([_write(tmp_path / "a.jsonl", record(0, "grounding", [unscored], [box]))], "grounding")
    assert found["answer"] == [unscored]
