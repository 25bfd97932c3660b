"""Records lose and double nothing: torn lines, reruns, atomic writes."""

import json
from pathlib import Path

import pytest

from medglip.grounding.bad_input import BadInput, Skipped, told
from medglip.grounding.files import read_lines, write_atomic
from medglip.grounding.records import PredictionRecord, RecordFile


def record(name: str) -> PredictionRecord:
    return PredictionRecord(
        id=name,
        dataset="t",
        split="test",
        task="vqa",
        image_id="i",
        cluster_id="c",
        question="q",
        answer="a",
        prediction="é",
    )


def test_a_torn_last_line_is_cut_and_written_again(tmp_path: Path) -> None:
    path = tmp_path / "r.jsonl"
    RecordFile(path).append([record("1"), record("2")])
    path.write_bytes(path.read_bytes()[:-7])
    again = RecordFile(path)
    assert again.done == {"1"}
    again.append([record("1"), record("2"), record("3")])
    assert [row["id"] for row in read_lines(path)] == ["1", "2", "3"]


def test_a_broken_line_in_the_middle_names_its_row(tmp_path: Path) -> None:
    path = tmp_path / "r.jsonl"
    path.write_text('{"id": "1"}\nnot json\n{"id": "2"}\n')
    with pytest.raises(BadInput, match="row 2"):
        list(read_lines(path))
    path.write_text("[1]\n")
    with pytest.raises(BadInput, match="row 1"):
        list(read_lines(path))


def test_an_atomic_write_that_fails_keeps_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "f.json"
    write_atomic(path, "old")

    def full(self: Path, data: bytes) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(OSError, match="No space"):
        write_atomic(path, "new")
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_skipped_lists_what_and_why(tmp_path: Path) -> None:
    skipped = Skipped()
    skipped.write(tmp_path / "s.jsonl")
    assert not (tmp_path / "s.jsonl").exists()
    for _ in ("questions", "reports"):  # two readers of one set
        skipped.add("a.png", BadInput("truncated.", file="a.png", row=3, fix="copy it again"))
    skipped.write(tmp_path / "s.jsonl")
    row = json.loads((tmp_path / "s.jsonl").read_text())
    assert row["item"] == "a.png"
    assert "row 3" in row["why"]
    assert "copy it again" in row["why"]
    assert "skipped 1" in skipped.summary()
    for item, row in (("m.csv row 2", 2), ("/data/m.csv: row object 3", "object 3"), ("/data/m.csv", None)):
        why = str(BadInput("no note.", file="/data/m.csv", row=row, fix="add one"))
        assert told(item, why) == why  # its name once
    assert told("q7", why) == f"q7: {why}"


def test_a_disk_that_fills_up_in_the_middle_of_a_record_loses_and_doubles_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "r.jsonl"
    file = RecordFile(path)
    file.append([record("1")])

    def full(descriptor: int) -> None:
        with path.open("a") as torn:
            torn.write('{"id": "3", "half')
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("os.fsync", full)
        with pytest.raises(OSError, match="No space"):
            file.append([record("2")])
    again = RecordFile(path)
    again.append([record(name) for name in ("1", "2", "3")])
    assert [row["id"] for row in read_lines(path)] == ["1", "2", "3"]


FOREIGN = (
    '[{"id": "1"}]',
    '[\n {"id": "1"}\n]\n',
    "id,answer\n1,yes\n",
    "notes",
    "{}\n",
    '{"id": ["x"]}\n',
    '{"a": 1}',
)


@pytest.mark.parametrize("text", FOREIGN)
def test_a_file_of_something_else_is_refused_and_kept(tmp_path: Path, text: str) -> None:
    path = tmp_path / "results.json"
    path.write_text(text)
    with pytest.raises(BadInput, match=r"results\.json: .* Fix: "):
        RecordFile(path)
    assert path.read_text() == text


def test_a_last_line_that_lacks_its_end_alone_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "r.jsonl"
    RecordFile(path).append([record("1"), record("2")])
    whole = path.read_bytes()
    path.write_bytes(whole[:-1])
    assert RecordFile(path).done == {"1", "2"}
    assert path.read_bytes() == whole


def test_a_write_that_fails_leaves_no_half_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = RecordFile(tmp_path / "r.jsonl")
    file.append([record("1")])
    whole = file.path.read_bytes()

    def full(number: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("os.fsync", full)
        with pytest.raises(OSError, match="No space"):
            file.append([record("2")])
    assert file.path.read_bytes() == whole
    file.append([record("2")])
    assert RecordFile(file.path).done == {"1", "2"}
