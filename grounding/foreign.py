"""Text files of other people: one opener each for text, JSON, CSV and YAML. What would be read wrongly is refused."""

import codecs
import csv
import gzip
import json
import re
import zlib
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from .bad_input import BadInput, Skipped, nearest, repeated

if TYPE_CHECKING:
    from pyarrow.parquet import ParquetFile

MAX_BYTES = 2**29
"""The largest text file that is read, unpacked."""
_MAX_ROWS = 2**20
_MAX_NODES = 200_000  # of a YAML file, aliases counted as often as they stand for something
_LINE = re.compile(r"[^\r\n]*(?:\r\n|\r|\n)|[^\r\n]+")
_HALF = re.compile(r"\\u[dD][89a-fA-F]")
_MARKS = {codecs.BOM_UTF8: "utf-8-sig", codecs.BOM_UTF16_LE: "utf-16", codecs.BOM_UTF16_BE: "utf-16"}
_YAML = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # in C where it is there


def read_bytes(file: Path, fix: str = "the folder of the set must hold it") -> bytes:
    """The bytes of a file, those of a `.gz` unpacked. Raises `BadInput` for a missing, torn or too large one."""
    try:
        with gzip.open(file) if file.suffix == ".gz" else file.open("rb") as content:
            data = content.read(MAX_BYTES + 1)
    except FileNotFoundError as error:
        raise BadInput("no such file.", file=file, fix=fix) from error
    except (OSError, EOFError, zlib.error) as error:
        raise BadInput(f"not readable: {error}.", file=file, fix="copy or download the file again") from error
    if len(data) > MAX_BYTES:
        raise BadInput(f"more than {MAX_BYTES:,} bytes of text.", file=file, fix="split the file")
    return data


def read_text(
    file: Path, encoding: str = "utf-8", errors: str = "strict", fix: str = "save it as UTF-8, then read it again"
) -> str:
    """The text of a file, line ends as they are, without the byte order mark, which goes before `encoding`.

    Raises `BadInput` with the line of the first byte that is not of this encoding.
    """
    return decode(read_bytes(file), file, encoding, errors, fix)


def decode(
    data: bytes,
    file: Path | None,
    encoding: str = "utf-8",
    errors: str = "strict",
    fix: str = "",
    row: int | None = None,
) -> str:
    """The text of bytes; errors as in `read_text`, with `row` where the bytes are one of a file; no NUL in it."""
    encoding = next((name for mark, name in _MARKS.items() if data.startswith(mark)), encoding)
    try:
        text = data.decode(encoding, errors)
    except UnicodeDecodeError as error:
        row = row or data.count(b"\n", 0, error.start) + 1
        raise BadInput(f"not {encoding.removesuffix('-sig')}: {error.reason}.", file=file, row=row, fix=fix) from error
    except (LookupError, UnicodeError) as error:
        raise BadInput(f"not {encoding}: {error}.", file=file, fix="utf-8, cp1252 ...") from error
    if "\0" in text:  # UTF-16 without its mark, or a file that a full disk cut
        row = row or text.count("\n", 0, text.index("\0")) + 1
        raise BadInput("holds a byte of zero, which no text does.", file=file, row=row, fix=fix or "save it as UTF-8")
    return text


def parse_json(
    text: bytes | str, file: Path | None = None, row: int | None = None, fix: str = "copy or export it again"
) -> Any:
    """What a JSON text holds.

    Raises `BadInput` for no JSON, for one that is nested too deep, for a key that stands twice in an object, and for
    half a surrogate pair, which no file can hold as text.
    """
    text = decode(text, file, row=row, fix="save it as UTF-8, then read it again") if isinstance(text, bytes) else text
    try:
        value = json.loads(text, object_pairs_hook=_to_object)
        if _HALF.search(text):
            json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError as error:
        raise BadInput("holds half of a character (a lone surrogate).", file=file, row=row, fix=fix) from error
    except RecursionError as error:
        raise BadInput("not JSON that can be read: nested too deep.", file=file, row=row, fix=fix) from error
    except MemoryError as error:
        raise BadInput("does not fit into memory.", file=file, row=row, fix="split it into several files") from error
    except ValueError as error:
        raise BadInput(f"not JSON: {error}.", file=file, row=row, fix=fix) from error
    return value


def _to_object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) < len(pairs):
        raise ValueError(f"the key {repeated(key for key, _ in pairs)[0]!r} stands twice in one object")
    return value


def read_json(file: Path, fix: str = "copy or export it again") -> Any:
    """What a JSON file holds. Raises `BadInput` for a missing file, and as `parse_json`."""
    return parse_json(read_text(file), file, fix=fix)


def read_csv(
    file: Path,
    columns: Collection[str],
    skipped: Skipped | None = None,
    *,
    delimiter: str = ",",
    encoding: str = "utf-8",
    errors: str = "strict",
    fix: str = "save it as UTF-8",
) -> Iterator[tuple[int, dict[str, str]]]:
    """Each row by the names of the columns, and its number from 1, the header not counted; "" for a missing cell.

    `delimiter`: several stand for whichever of them the first line has most of. A row with more cells than the header
    goes to `skipped`, or raises where there is none; a row that is the header again (tables put together) is passed
    over. Raises `BadInput` for a missing file or column, for a column that
    is named twice, and for quotes that do not close.
    """
    text, number = read_text(file, encoding, errors, fix), 0
    head = text.split("\n", 1)[0]
    lines = (match.group() for match in _LINE.finditer(text))  # one at a time: StringIO takes four bytes a letter
    separator = max(delimiter, key=head.count)
    table = csv.reader(lines, delimiter=separator, strict=True, skipinitialspace=True)
    try:
        names = next(table, [])
        check_columns(names, columns, file)
        for number, cells in enumerate(filter(None, table), 1):
            if cells == names:
                continue
            if any(cells[len(names) :]):
                problem = f"{len(cells)} cells under {len(names)} columns."
                error = BadInput(problem, file=file, row=number, fix="quote texts that hold the separator")
                if skipped is None:
                    raise error
                skipped.add(f"{file.name} row {number}", error)
                continue
            yield number, dict(zip(names, [*cells, *[""] * (len(names) - len(cells))], strict=False))
    except csv.Error as error:
        fix = "quote texts that hold quotes, separators or line breaks, and close every quote"
        raise BadInput(f"not a table: {error}.", file=file, row=number + 1, fix=fix) from error


def open_parquet(file: Path) -> "ParquetFile":
    """A Parquet file, its footer read. Raises `BadInput` for more rows than memory has room for: a repeated one costs
    the file nothing.
    """
    from pyarrow.parquet import ParquetFile

    table = ParquetFile(file)
    if table.metadata.num_rows > _MAX_ROWS:
        problem = f"{table.metadata.num_rows:,} rows, more than {_MAX_ROWS:,}."
        raise BadInput(problem, file=file, fix="split it into several files")
    return table


def check_columns(names: list[str], columns: Collection[str], file: Path) -> None:
    """Raises `BadInput` for a name that stands twice, in any case, and for a column that is not among the names."""
    plain = [name.strip().lower() for name in names if name.strip()]
    if twice := repeated(plain):
        problem = f"two columns are called {twice[0]!r}."
        raise BadInput(problem, file=file, fix="rename one of them, or take it out")
    if missing := [name for name in columns if name not in names]:
        fix = f"{nearest(missing[0], plain)} Take the file as published"
        raise BadInput(f"has no column {', '.join(sorted(missing))}.", file=file, fix=fix)


def parse_yaml(text: str, file: Path | None = None, fix: str = "check indentation and colons") -> Any:
    """What a YAML text holds.

    Raises `BadInput` for wrong YAML, a key that stands twice in a mapping, and aliases that stand for too much.
    """
    loader = _YAML(text)
    try:
        node = loader.get_single_node()
        if node is None:
            return None
        if _count_nodes(node, {}) > _MAX_NODES:
            raise BadInput(
                f"more than {_MAX_NODES:,} values, aliases counted.", file=file, fix="write less, no aliases"
            )
        return loader.construct_document(node)
    except BadInput:
        raise
    # odd scalars raise what Python's own parsers do: 2024-13-45, 0b_, !!timestamp x, !!bool x, !!int ""
    except (yaml.YAMLError, ValueError, AttributeError, TypeError, LookupError, OverflowError, RecursionError) as error:
        reason = " ".join(str(error).split())
        raise BadInput(f"not valid YAML: {reason}", file=file, fix=fix) from error
    finally:
        loader.dispose()


def read_yaml(file: Path, fix: str = "check indentation and colons") -> Any:
    """What a YAML or JSON file holds. Raises `BadInput` for a missing file, and as `parse_yaml`."""
    return parse_yaml(read_text(file), file, fix)


def _count_nodes(node: yaml.Node, counts: dict[int, float]) -> float:
    """Nodes below a node and itself; those of an alias as often as it is named. An alias inside itself has no end."""
    if isinstance(node, yaml.ScalarNode):
        node.value.encode()  # "\ud800" is a text that no file can hold
        return 1
    if id(node) not in counts:
        counts[id(node)] = float("inf")
        if isinstance(node, yaml.MappingNode):
            keys = [key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode)]
            if twice := repeated(key for key in keys if key != "<<"):
                raise ValueError(f"the key {twice[0]!r} stands twice, from line {node.start_mark.line + 1} on")
        pairs = [part for pair in node.value for part in pair] if isinstance(node, yaml.MappingNode) else node.value
        counts[id(node)] = 1 + sum(_count_nodes(part, counts) for part in pairs)
    return counts[id(node)]
