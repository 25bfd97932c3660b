"""Files: written whole or not at all, hashed, read line by line."""

import hashlib
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from .bad_input import BadInput


def sha256(data: bytes | str) -> str:
    """Hex digest of bytes, or of a text's UTF-8."""
    return hashlib.sha256(data.encode() if isinstance(data, str) else data).hexdigest()


def file_sha256(path: Path) -> str:
    """Hex digest of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_atomic(path: Path, data: str | bytes) -> None:
    """Write beside the target and rename, so that a kill or a full disk leaves the old file or the new one, whole."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        partial.write_bytes(data.encode() if isinstance(data, str) else data)
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def read_lines(path: Path) -> Iterator[dict[str, Any]]:
    """Each line's object. Raises `BadInput` with the line number for anything that is not a JSON object."""
    return (row for _, row in numbered_lines(path))


def numbered_lines(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """Each line's number, from 1, and object; empty lines are passed over. Errors as in `read_lines`."""
    with path.open("rb") as file:
        for number, line in enumerate(file, 1):
            if not line.strip():
                continue
            try:
                row = json.loads(line)
            except ValueError as error:  # of JSON, or of UTF-8
                raise BadInput(f"not JSON: {error}", file=path, row=number, fix="one JSON object a line") from error
            if not isinstance(row, dict):
                raise BadInput("not a JSON object.", file=path, row=number, fix="one JSON object a line")
            yield number, row
