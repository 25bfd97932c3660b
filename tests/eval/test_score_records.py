import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any, cast

import jsonschema
import pytest
from pydantic import TypeAdapter

from medglip.eval.records import (
    TEXT_SCHEMA,
    Record,
    RegionRow,
    check_run,
    cluster,
    data_sha256,
    read_records,
    task_of,
)
from medglip.grounding.bad_input import BadInput
from medglip.grounding.records import PredictionRecord, Task

SCHEMA = Path(__file__).parents[2] / "eval" / "record.schema.json"


def record_schema() -> dict[str, Any]:
    """The content of eval/record.schema.json: `Record`, and what answers and predictions are for each task."""
    forms = [(form.__name__, "validation", TypeAdapter(form)) for form in (Record, RegionRow)]
    _, definitions = TypeAdapter.json_schemas(cast(Any, forms))
    schema = definitions["$defs"].pop("Record")
    region, texts = {"$ref": "#/$defs/RegionRow"}, {"anyOf": [TEXT_SCHEMA, {"type": "array", "items": TEXT_SCHEMA}]}
    asked = {"required": ["question"], "properties": {"question": TEXT_SCHEMA}}
    scored = {"allOf": [region, {"required": ["score"]}]}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": "urn:medglip:prediction-record",
        **schema,
        "anyOf": [{"properties": {"task": {"const": "report"}}}, asked],
        "if": {"required": ["task"], "properties": {"task": {"const": "grounding"}}},
        "then": {
            "properties": {
                "answer": {"type": "array", "items": region},
                "prediction": {"anyOf": [{"type": "array", "items": scored}, {"type": "null"}]},
            }
        },
        "else": {"properties": {"answer": texts, "prediction": {"anyOf": [TEXT_SCHEMA, {"type": "null"}]}}},
        **definitions,
    }


def _write(path: Path, *lines: Any) -> Path:
    path.write_text("".join((line if isinstance(line, str) else json.dumps(line)) + "\n" for line in lines))
    return path


def test_numbers_become_strings_and_unknown_fields_stay(record: Callable[..., Any], tmp_path: Path) -> None:
    row = record(0, "vqa", 3, 2.5, note="kept") | {"id": 7, "cluster_id": 12}
    (found,) = read_records([_write(tmp_path / "a.jsonl", row)], "vqa")
    assert (found["answer"], found["prediction"], found["id"], found.get("cluster_id")) == ("3", "2.5", "7", "12")
    assert found.get("note") == "kept"
    assert found.get("answer_type") == ""


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
    with pytest.raises(BadInput, match=r"c\.jsonl: row 1: not utf-8"):
        read_records([tmp_path / "c.jsonl"], "vqa")


def test_missing_fields_are_named_with_their_line(record: Callable[..., Any], tmp_path: Path) -> None:
    row = record(1, "vqa", None, "yes")
    del row["prediction"]
    path = _write(tmp_path / "a.jsonl", "", record(0, "vqa", "yes", "no"), row)
    with pytest.raises(BadInput, match=r"a\.jsonl: row 3: missing: answer, prediction"):
        read_records([path], "vqa")


def test_a_half_written_last_line_is_called_so(record: Callable[..., Any], tmp_path: Path) -> None:
    whole = json.dumps(record(0, "vqa", "yes", "no"))
    path = tmp_path / "a.jsonl"
    for torn in (whole[:40], whole[:-1], '{"id": "é'.encode()[:-1].decode(errors="ignore")):
        path.write_text(f"{whole}\n\n{torn}")
        with pytest.raises(BadInput, match=r"a\.jsonl: row 3: the last line is half-written\. Fix: run the prediction"):
            read_records([path], "vqa")
        path.write_text(f"{whole}\n{torn}\n{whole}\n")
        with pytest.raises(BadInput, match=r"row 2: not JSON"):
            read_records([path], "vqa")
    path.write_text(whole)  # by hand, without a line end
    assert len(read_records([path], "vqa")) == 1


def test_marks_of_other_editors_are_borne(record: Callable[..., Any], tmp_path: Path) -> None:
    rows = [json.dumps(record(n, "vqa", "é", "肺", note=None), ensure_ascii=n > 0) for n in range(2)]
    (tmp_path / "a.jsonl").write_bytes(b"\xef\xbb\xbf" + "\r\n\r\n".join(rows).encode() + b"\r\n  \r\n")
    assert [row["answer"] for row in read_records([tmp_path / "a.jsonl"], "vqa")] == ["é", "é"]
    assert task_of(tmp_path / "a.jsonl") == "vqa"


def test_no_patient_means_the_image(record: Callable[..., Any], tmp_path: Path) -> None:
    rows = [record(n, "vqa", "yes", "no") for n in range(4)]
    del rows[0]["cluster_id"]
    rows[1]["cluster_id"], rows[2]["cluster_id"] = "", None
    found = read_records([_write(tmp_path / "a.jsonl", *rows)], "vqa")
    assert [row.get("cluster_id") for row in found] == ["image0", "image1", "image2", "patient1"]
    assert [cluster(row) for row in rows] == [cluster(row) for row in found]


def test_a_failed_prediction_is_an_empty_one(record: Callable[..., Any], tmp_path: Path) -> None:
    cases: list[tuple[Task, Any, Any]] = [("vqa", "yes", ""), ("report", "clear", ""), ("grounding", [], [])]
    for task, answer, empty in cases:
        (found,) = read_records([_write(tmp_path / "a.jsonl", record(0, task, answer, None))], task)
        assert (found["prediction"], found.get("failed")) == (empty, True)
    (found,) = read_records([_write(tmp_path / "a.jsonl", record(0, "vqa", "yes", ""))], "vqa")
    assert "failed" not in found


def test_one_split_in_several_spellings(record: Callable[..., Any], tmp_path: Path) -> None:
    names = ["val", "validate", "Validation", "valid"]
    rows = [record(n, "vqa", "yes", "no") | {"split": name} for n, name in enumerate(names)]
    check_run(rows)
    found = read_records([_write(tmp_path / "a.jsonl", *rows)], "vqa")
    assert {row["split"] for row in found} == {"val"}


def test_references_name_missing_and_surplus_ids(record: Callable[..., Any], tmp_path: Path) -> None:
    path = _write(tmp_path / "a.jsonl", record(0, "vqa", 3, "no"), record(1, "vqa", ["a", "b"], "no"))
    rows = [{"id": "s1", "answer": ["a", "b"]}, {"id": "s0", "answer": 3}]
    references = tmp_path / "references.jsonl"
    assert len(read_records([path], "vqa", _write(references, *rows))) == 2
    assert len(read_records([path], "vqa", _write(references, {"id": "s0"}, {"id": "s1"}))) == 2
    for given, said in (
        ([*rows, {"id": 7, "answer": "x"}], "1 ids have no prediction: 7"),
        (rows[:1], "1 ids are not in the reference file: s0"),
        ([rows[0], {"id": "s0", "answer": "4"}], "1 ids have another answer than the reference file: s0"),
        ([rows[0], rows[0]], "row 2: id 's1' comes twice"),
        ([{"answer": "x"}], "row 1: id is None"),
    ):
        with pytest.raises(BadInput, match=said):
            read_records([path], "vqa", _write(references, *given))


def test_the_hash_is_of_what_is_scored(record: Callable[..., Any]) -> None:
    rows = [record(n, "vqa", "yes", "é") for n in range(3)]
    assert data_sha256(rows) == data_sha256([row | {"seconds": 1.0} for row in reversed(rows)])
    assert data_sha256(rows) != data_sha256([rows[0] | {"prediction": "no"}, *rows[1:]])
    assert data_sha256([]) == "4f53cda18c2baa0c0354bb5f9a3ecbe5ed12ab4d8e11ba873c2f11161202b945"  # of "[]"


def test_runs_that_cannot_be_scored_are_refused(record: Callable[..., Any], tmp_path: Path) -> None:
    row = record(0, "vqa", "yes", "no")
    for rows, said in (
        ([row, row], "1 ids come twice: s0"),
        ([row, record(1, "vqa", "yes", "no") | {"split": "val"}], "several splits: test, val"),
        ([record(0, "report", "yes", "no")], "task is 'report'"),
        ([row | {"id": " "}], "id or image_id is empty"),
        ([row | {"answer": float("nan")}], "answer is nan"),
        ([row | {"answer": ["yes", {}]}], "answer is {}"),
        ([row | {"answer": "\ud800"}], "holds half of a character"),
        ([row | {"meta": ["CT"]}], "meta is"),
        ([row | {"phrases": "mass"}], "phrases is"),
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
        ([box], [box | {"score": float("nan")}], {}, "score of 'opacity' is nan"),
        ([box], [region(0, 0, float("inf"), 4)], {}, "four finite numbers"),
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


def _ours(task: Any, answer: Any, prediction: Any) -> dict[str, Any]:
    made = PredictionRecord(
        id="a",
        dataset="d",
        split="test",
        image_id="i",
        cluster_id="p",
        question="q",
        task=task,
        answer=answer,
        prediction=prediction,
    )
    return asdict(made)


def test_the_schema_is_made_of_the_types() -> None:
    again = json.dumps(record_schema(), indent=1, ensure_ascii=False) + "\n"
    assert SCHEMA.read_text() == again, "write record_schema() to eval/record.schema.json"


def test_the_schema_and_the_reader_agree(
    record: Callable[..., Any], region: Callable[..., Any], tmp_path: Path
) -> None:
    form = json.loads(SCHEMA.read_text())
    jsonschema.Draft202012Validator.check_schema(form)
    schema = jsonschema.Draft202012Validator(form)
    box, vqa = region(0, 0, 4, 4), record(0, "vqa", "yes", "no")
    unscored = {name: value for name, value in box.items() if name != "score"}
    grounding = record(0, "grounding", [unscored], [box])
    unasked = {name: value for name, value in _ours("report", "clear", "").items() if name != "question"}
    good = [
        *(_ours("vqa", "yes", "no"), _ours("report", "clear", ""), _ours("grounding", [box], [])),
        *(vqa, vqa | {"answer": ["yes", 3]}, vqa | {"prediction": None, "cluster_id": None, "own": [1]}),
        *({**_ours("report", "clear", ""), "question": None}, unasked),
        *(grounding, grounding | {"prediction": None}, grounding | {"answer": []}, vqa | {"id": 4, "answer": 2.5}),
    ]
    bad = [
        *({name: value for name, value in vqa.items() if name != key} for key in (*form["required"], "question")),
        *(vqa | {"answer": None}, vqa | {"answer": True}, vqa | {"answer": {}}, vqa | {"prediction": ["no"]}),
        *(vqa | {"id": ""}, vqa | {"image_id": " "}, vqa | {"task": "vq"}, vqa | {"split": None}, vqa | {"meta": [1]}),
        *(vqa | {"phrases": [1]}, vqa | {"answer_type": []}, grounding | {"answer": "box"}),
        *(grounding | {"answer": [{}]}, grounding | {"prediction": [unscored]}, grounding | {"question": None}),
        *(grounding | {"answer": [box | {"score": 2}]}, grounding | {"answer": [box | {"box_xyxy_px": [1, 2, 3]}]}),
    ]
    for rows, is_good in ((good, True), (bad, False)):
        for row in rows:
            plain = json.loads(json.dumps(row))
            assert schema.is_valid(plain) == is_good, row
            path = _write(tmp_path / "a.jsonl", plain)
            if is_good:
                assert len(read_records([path], plain["task"])) == 1
            else:
                with pytest.raises(BadInput, match="row 1: "):
                    read_records([path], "grounding" if plain.get("task") == "grounding" else "vqa")


@pytest.mark.parametrize("indent", [None, 1])
def test_one_json_list_is_read(record: Callable[..., Any], tmp_path: Path, indent: int | None) -> None:
    rows = [record(n, "vqa", "yes", "é") for n in range(3)]
    path, lines = tmp_path / "results.json", _write(tmp_path / "a.jsonl", *rows)
    for mark in (b"", b"\xef\xbb\xbf\r\n "):
        path.write_bytes(mark + json.dumps(rows, indent=indent).encode())
        assert read_records([path], "vqa") == read_records([lines], "vqa")
        assert task_of(path) == "vqa"
    for text, said in (("[1]", "row 1: not a JSON object"), ('[{"id": 1}, ', "not JSON"), ("[" * 100_000, "not JSON")):
        path.write_text(text)
        with pytest.raises(BadInput, match=rf"results\.json: {said}.* Fix: "):
            read_records([path], "vqa")


def test_other_encodings_and_deep_lines_name_their_row(record: Callable[..., Any], tmp_path: Path) -> None:
    whole = json.dumps(record(0, "vqa", "yes", "no")).encode()
    for line, fix in ((whole.replace(b"no", b"n\xe9"), "UTF-8"), (b'{"id": ' * 100_000 + b"\n", "one JSON object")):
        (tmp_path / "a.jsonl").write_bytes(whole + b"\n" + line + b"\n")
        with pytest.raises(BadInput, match=rf"a\.jsonl: row 2: not .*{fix}"):
            read_records([tmp_path / "a.jsonl"], "vqa")
