"""Text of other people: what would be read wrongly is refused with file, row and fix, and a row costs itself."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from medglip.grounding.bad_input import BadInput, Skipped
from medglip.grounding.datasets.corpus import stay_inside
from medglip.grounding.datasets.rows import skipping
from medglip.grounding.foreign import open_parquet, parse_json, read_csv, read_json, read_text, read_yaml


def written(folder: Path, data: bytes, name: str = "file.csv") -> Path:
    (folder / name).write_bytes(data)
    return folder / name


def rows_of(file: Path, delimiter: str = ",") -> tuple[list[dict[str, str]], str]:
    skipped = Skipped()
    return [row for _, row in read_csv(file, ("a",), skipped, delimiter=delimiter)], skipped.summary()


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_a_mark_at_the_beginning_says_the_encoding(tmp_path: Path, encoding: str) -> None:
    assert read_text(written(tmp_path, "Röntgen".encode(encoding))) == "Röntgen"


def test_text_of_another_encoding_is_refused_with_its_line(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"file\.csv: row 2: not utf-8.*UTF-8"):
        read_text(written(tmp_path, "a\nRöntgen".encode("cp1252")))


def test_a_row_with_surplus_cells_is_listed_and_the_rest_goes_on(tmp_path: Path) -> None:
    rows, why = rows_of(written(tmp_path, b"a,b\r\n1,x, y\r\n2,z\r\n\r\n3\r\n4,w,,\r\n"))
    assert rows == [{"a": "2", "b": "z"}, {"a": "3", "b": ""}, {"a": "4", "b": "w"}]
    assert "file.csv: row 1" in why
    assert "3 cells under 2 columns" in why


def test_the_first_line_tells_the_separator(tmp_path: Path) -> None:
    assert rows_of(written(tmp_path, b"a;b\n1;x, y\n"), ",;")[0] == [{"a": "1", "b": "x, y"}]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (b"a,b,A\n1,2,3\n", "two columns are called 'a'"),
        (b"b\n1\n", "has no column a"),
        (b'a,b\n1,"open\n', "row 1: not a table"),
        (b"a\n" + b"x" * 140_000, "row 1: not a table: field larger"),
    ],
)
def test_tables_that_cannot_be_read_are_refused(tmp_path: Path, text: bytes, problem: str) -> None:
    with pytest.raises(BadInput, match=problem):
        rows_of(written(tmp_path, text))


def test_a_header_that_comes_again_is_no_row_and_blanks_before_a_quote_are_none(tmp_path: Path) -> None:
    rows, why = rows_of(written(tmp_path, b'a, b\n1, "x, y"\na, b\n2, z\n'))
    assert rows == [{"a": "1", "b": "x, y"}, {"a": "2", "b": "z"}]
    assert why == "nothing skipped"


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-32"])
def test_a_byte_of_zero_is_no_text(tmp_path: Path, encoding: str) -> None:
    with pytest.raises(BadInput, match=r"file\.csv: row 1: .*zero.*UTF-8"):
        read_text(written(tmp_path, "a,b".encode(encoding)))


def test_a_key_that_stands_twice_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"file\.csv: .*'a' stands twice"):
        read_json(written(tmp_path, b'[{"a": 1, "b": {"a": 2}}, {"a": 1, "a": 2}]'))
    with pytest.raises(BadInput, match=r"r\.yaml: .*'a' stands twice, from line 2"):
        read_yaml(written(tmp_path, b"x:\n  a: 1\n  a: 2\n", "r.yaml"))


@pytest.mark.parametrize("text", ["[" * 100_000, '{"a":' * 100_000, '["\\ud83d"]', "{", b"\xff"])
def test_json_that_is_none_is_refused_with_its_file(tmp_path: Path, text: str | bytes) -> None:
    with pytest.raises(BadInput, match=r"file\.csv.*Fix"):
        read_json(written(tmp_path, text.encode() if isinstance(text, str) else text))


def test_a_whole_pair_of_surrogates_is_a_character() -> None:
    assert parse_json('"\\ud83d\\ude00"') == "\N{GRINNING FACE}"


@pytest.mark.parametrize(
    "text", ["a: 2024-13-45", "a: 0b_", "a: !!timestamp x", "a: !!bool x", 'a: !!int ""', "[" * 9999]
)
def test_odd_yaml_is_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(BadInput, match=r"r\.yaml: not valid YAML"):
        read_yaml(written(tmp_path, text.encode(), "r.yaml"))


@pytest.mark.parametrize("leaf", ["[{}]", "{{<<: [{}]}}"])
def test_aliases_are_counted_before_anything_is_built(tmp_path: Path, leaf: str) -> None:
    rows = ["a0: &a0 {x: 1}", *(f"a{k}: &a{k} " + leaf.format(",".join([f"*a{k - 1}"] * 10)) for k in range(1, 9))]
    with pytest.raises(BadInput, match="aliases counted"):
        read_yaml(written(tmp_path, "\n".join(rows).encode(), "r.yaml"))


def test_aliases_that_stand_for_little_are_read(tmp_path: Path) -> None:
    assert read_yaml(written(tmp_path, b"a: &a [1]\nb: *a\n", "r.yaml")) == {"a": [1], "b": [1]}


@pytest.mark.parametrize("error", [OverflowError("inf"), OSError(36, "File name too long"), RecursionError("deep")])
def test_an_odd_row_costs_itself(error: Exception) -> None:
    skipped = Skipped()
    with skipping(skipped, Path("set.json"), 3):
        raise error
    assert "set.json: row 3: malformed" in skipped.summary()


def test_a_full_disk_is_no_fault_of_a_row() -> None:
    with pytest.raises(OSError, match="No space"), skipping(Skipped(), Path("set.json"), 3):
        raise OSError(28, "No space left on device")


def test_names_stay_inside_their_folder_unless_allowed(tmp_path: Path) -> None:
    for name in ("../x.png", "/etc/x.png", "a/../../x.png"):
        with pytest.raises(BadInput, match=r"leaves the folder.*--allow-outside"):
            stay_inside(tmp_path, name)
        assert stay_inside(tmp_path, name, allow_outside=True) == tmp_path / name
    assert stay_inside(tmp_path, "a/../x.png") == tmp_path / "a/../x.png"


def test_rows_that_cost_a_file_nothing_are_counted_first(tmp_path: Path) -> None:
    rows = pa.table({"question": pa.nulls(2**20 + 1, pa.string())})
    pq.write_table(rows, tmp_path / "train.parquet")
    assert (tmp_path / "train.parquet").stat().st_size < 10_000
    with pytest.raises(BadInput, match=r"train\.parquet: 1,048,577 rows, more than .* Fix:"):
        open_parquet(tmp_path / "train.parquet")
