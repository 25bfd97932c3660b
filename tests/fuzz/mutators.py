"""Damage to a file, drawn from a generator: bytes, numbers, values, cells, chunks and elements of the known formats."""

import csv
import gzip
import io
import json
import re
import struct
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pydicom
from pydicom.dataelem import RawDataElement

Damage = Callable[[bytes, Random], bytes]
"""Takes what a file holds, gives what it holds then; raises whatever it likes where it finds nothing of its kind."""

NUMBERS = ("-1", "0", "1", "0.5", "1e30", "1e999", "-1e999", "NaN", "Infinity", "1" + "0" * 400, "4294967296", "1e-320")
WORDS = (
    "",
    " ",
    "x",
    "é",
    "\x00",
    "\ufeff",
    "../../x",
    "/dev/stdin",
    "x" * 300,
    "none",
    "true",
    "2024-13-45",
    "a\nb",
    '"',
    "'",
)
VALUES = (*NUMBERS, *map(json.dumps, WORDS), "null", "true", "[]", "{}", "[[]]", "[null]", '{"a": 1}', '"\\ud800"')
VALUES += ("[1e308, 1e308, 1e308, 1e308]", '["x", "x"]', '[1, "x"]', "[" * 100_000, '{"a":' * 100_000)
_SIZES = (1, 2, 4, 8)
_HEAD = 400  # bytes where formats keep what decides most


def mutate(name: str, data: bytes, rng: Random) -> bytes:
    """One damage to a file of this name, sometimes two or three."""
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        data = _damage_once(name, data, rng)
    return data


def _damage_once(name: str, data: bytes, rng: Random) -> bytes:
    if not data:
        return rng.randbytes(3)
    suffix = Path(name).suffix.lower()
    if suffix == ".gz" and rng.random() < 0.8:
        try:
            inner = gzip.decompress(data)
        except (OSError, EOFError, zlib.error):
            return rng.choice(BYTES)(data, rng)
        return gzip.compress(_damage_once(Path(name).stem, inner, rng), 1, mtime=0)
    own, plain = OF_SUFFIX.get(suffix, ()), TEXT if suffix in _TEXTS else BYTES
    damage = rng.choice(own) if own and rng.random() < 0.7 else rng.choice(plain)
    try:
        return damage(data, rng)
    except Exception:  # an earlier damage left nothing of the format
        return rng.choice(BYTES)(data, rng)


# ---- bytes


def _span(data: bytes, rng: Random) -> tuple[int, int]:
    start = rng.randrange(min(len(data), _HEAD) if rng.random() < 0.5 else len(data))
    return start, min(len(data), start + rng.choice((1, 2, 4, 16, 64, len(data))))


def set_byte(data: bytes, rng: Random) -> bytes:
    start, _ = _span(data, rng)
    return data[:start] + bytes([rng.choice((0, 1, 0x7F, 0x80, 0xFF, rng.randrange(256)))]) + data[start + 1 :]


def set_number(data: bytes, rng: Random) -> bytes:
    start, size = _span(data, rng)[0], rng.choice(_SIZES)
    number = rng.choice(
        (0, 1, 2 ** (8 * size - 1) - 1, 2 ** (8 * size - 1), 2 ** (8 * size) - 1, 60000 % 2 ** (8 * size))
    )
    return data[:start] + number.to_bytes(size, rng.choice(("little", "big"))) + data[start + size :]


def cut_out(data: bytes, rng: Random) -> bytes:
    start, end = _span(data, rng)
    return data[:start] + data[end:]


def repeat(data: bytes, rng: Random) -> bytes:
    start, end = _span(data, rng)
    return data[:end] + data[start:]


def cut_off(data: bytes, rng: Random) -> bytes:
    return data[: _span(data, rng)[0]]


def zero(data: bytes, rng: Random) -> bytes:
    start, end = _span(data, rng)
    return data[:start] + bytes(end - start) + data[end:]


BYTES: tuple[Damage, ...] = (set_byte, set_number, cut_out, repeat, cut_off, zero)


# ---- texts

_NUMBER = re.compile(rb"-?\d+(\.\d+)?")
_WORD = re.compile(rb"[A-Za-z_]{2,}")


def _replace(data: bytes, pattern: re.Pattern[bytes], new: bytes, rng: Random) -> bytes:
    match = rng.choice([*pattern.finditer(data)])
    return data[: match.start()] + new + data[match.end() :]


def odd_number(data: bytes, rng: Random) -> bytes:
    return _replace(data, _NUMBER, rng.choice(NUMBERS).encode(), rng)


def odd_word(data: bytes, rng: Random) -> bytes:
    return _replace(data, _WORD, rng.choice(WORDS).encode(), rng)


def other_encoding(data: bytes, rng: Random) -> bytes:
    text = data.decode().replace("e", "é", 1)
    return text.encode(rng.choice(("cp1252", "utf-16", "utf-8-sig", "utf-32")))


def other_line(data: bytes, rng: Random) -> bytes:
    lines = data.splitlines(keepends=True)
    index = rng.randrange(len(lines))
    lines[index : index + 1] = rng.choice(([], [lines[index]] * 2, [lines[index][: len(lines[index]) // 2]], [b"\n"]))
    return rng.choice((b"".join(lines), b"".join(lines).replace(b"\n", b"\r\n"), b"".join(lines).replace(b"\n", b"\r")))


TEXT: tuple[Damage, ...] = (odd_number, odd_word, other_encoding, other_line, set_byte, cut_out, repeat, cut_off)


# ---- JSON: one value or key


def odd_value(data: bytes, rng: Random) -> bytes:
    root = [json.loads(data)]
    holder, key = rng.choice([*_places(root)])
    match rng.randrange(5):
        case 0 if isinstance(holder, dict):
            holder[rng.choice(WORDS)] = holder.pop(key)
        case 1 if holder is not root:
            del holder[key]
        case 2 if isinstance(holder, list):
            holder.insert(key, holder[key])
        case _:
            holder[key] = "@@"
    return json.dumps(root[0]).replace('"@@"', rng.choice(VALUES)).encode()


def _places(holder: Any) -> Iterator[tuple[Any, Any]]:
    for key in [*holder] if isinstance(holder, dict) else range(len(holder)):
        yield holder, key
        if isinstance(holder[key], dict | list):
            yield from _places(holder[key])


def odd_line(data: bytes, rng: Random) -> bytes:
    lines = data.splitlines()
    index = rng.randrange(len(lines))
    lines[index] = odd_value(lines[index], rng)
    return b"\n".join(lines) + b"\n"


# ---- tables


def odd_cell(data: bytes, rng: Random) -> bytes:
    rows = [*csv.reader(io.StringIO(data.decode(), newline=""))]
    row = rng.choice(rows)
    place = rng.randrange(len(row))
    new: Any = rng.choice((*NUMBERS, *WORDS, "x" * 140_000))
    row[place : place + 1] = rng.choice(([new], [new], [], [row[place]] * 2))
    text = io.StringIO()
    csv.writer(text).writerows(rows)
    return text.getvalue().encode()


def odd_column(data: bytes, rng: Random) -> bytes:
    """A Parquet table with a column of another type, of nulls, of another name, or without it; or with an odd cell."""
    table = pq.read_table(io.BytesIO(data))
    place = rng.randrange(table.num_columns)
    name, rows = table.column_names[place], table.num_rows
    odd = [
        None,
        7,
        -1.5,
        "x",
        [],
        [1],
        {"a": 1},
        {"bytes": b"x", "path": None},
        b"x",
        "x" * 300,
        float("nan"),
        2**62,
        "../../x",
    ]
    match rng.randrange(4):
        case 0:
            table = table.drop_columns([name])
        case 1:
            table = table.set_column(place, rng.choice(WORDS), table[name])
        case 2:
            table = table.set_column(place, name, pa.array([rng.choice(odd)] * rows))
        case _:
            values = table[name].to_pylist()
            values[rng.randrange(rows)] = rng.choice(odd)
            table = table.set_column(place, name, pa.array(values, table.schema.field(place).type))
    file = io.BytesIO()
    pq.write_table(table, file)
    return file.getvalue()


# ---- pictures, DICOM, weights


def odd_chunk(data: bytes, rng: Random) -> bytes:
    """A PNG one of whose chunks is damaged, missing or there twice, its checksums right."""
    chunks, at = [], 8
    while at < len(data):
        (length,) = struct.unpack(">I", data[at : at + 4])
        chunks.append((data[at + 4 : at + 8], data[at + 8 : at + 8 + length]))
        at += 12 + length
    index = rng.randrange(len(chunks))
    kind, content = chunks[index]
    chunks[index : index + 1] = rng.choice(([(kind, rng.choice(BYTES)(content, rng))],) * 4 + ([], [chunks[index]] * 2))
    parts = (struct.pack(">I", len(c)) + k + c + struct.pack(">I", zlib.crc32(k + c)) for k, c in chunks)
    return data[:8] + b"".join(parts)


_ODD_ELEMENT = (
    b"",
    b" ",
    b"0",
    b"1 ",
    b"-1",
    b"0.5 ",
    b"abc ",
    b"inf ",
    b"NaN ",
    b"1e400 ",
    b"1\\2\\3 ",
    b"1\\",
    b"\0\0",
    b"\xff\xff",
)
_ODD_ELEMENT += (
    b"\xff\xff\xff\xff",
    b"MONOCHROME1 ",
    b"RGB ",
    b"PALETTE COLOR ",
    b"60000 ",
    b"2000000000",
    b"x" * 80_000,
)


def odd_element(data: bytes, rng: Random) -> bytes:
    """A DICOM file with odd bytes in one element, also inside sequences, or without it."""
    dataset = pydicom.dcmread(io.BytesIO(data))
    holder, tag = rng.choice([*_elements(dataset)])
    if rng.random() < 0.2:
        del holder[tag]
    else:
        vr, value = holder[tag].VR, rng.choice(_ODD_ELEMENT)
        if vr == "SQ":
            holder[tag].value = rng.choice(([], [*holder[tag].value] * 2))
        else:
            vr = rng.choice((vr, vr, vr, "US", "OW", "DS", "UN"))
            holder[tag] = RawDataElement(tag, vr, len(value), value, 0, False, True)
    file = io.BytesIO()
    dataset.save_as(file, enforce_file_format=True)
    return file.getvalue()


def _elements(dataset: pydicom.Dataset) -> Iterator[tuple[pydicom.Dataset, Any]]:
    for element in dataset:
        yield dataset, element.tag
        for item in element.value if element.VR == "SQ" else ():
            yield from _elements(item)


def odd_header(data: bytes, rng: Random) -> bytes:
    """A safetensors file with an odd value in its header, the stated length right."""
    end = 8 + int.from_bytes(data[:8], "little")
    header = odd_value(data[8:end], rng)
    return len(header).to_bytes(8, "little") + header + data[end:]


OF_SUFFIX: dict[str, tuple[Damage, ...]] = {
    ".json": (odd_value,),
    ".jsonl": (odd_line,),
    ".csv": (odd_cell,),
    ".tsv": (odd_cell,),
    ".parquet": (odd_column,),
    ".png": (odd_chunk,),
    ".dcm": (odd_element,),
    ".safetensors": (odd_header,),
}
_TEXTS = (".json", ".jsonl", ".csv", ".tsv", ".yaml", ".xml", ".txt", ".jinja", "")
