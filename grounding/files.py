"""Files and folders: written whole or not at all, claimed by one run, hashed, read line by line."""

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from .bad_input import BadInput
from .foreign import parse_json


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
    partial = path.with_name(f".{path.name}.{os.getpid()}")  # in the same folder: renaming is atomic
    try:
        partial.write_bytes(data.encode() if isinstance(data, str) else data)
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


@contextmanager
def write_folder(folder: Path) -> Iterator[Path]:
    """An empty folder beside the target, which takes the target's place when the `with` block ends.

    A kill, an error or a full disk leaves the old folder or the new one, whole.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    partial = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{folder.name}."))
    partial.chmod(0o755)  # a temporary folder is its owner's alone
    try:
        yield partial
        shutil.rmtree(folder, ignore_errors=True)
        partial.rename(folder)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def claim_folder(
    file: Path,
    values: Mapping[str, Any],
    problem: str,
    fix: str = "give another folder, or remove this one to start anew",
    upgrade: Callable[[dict[str, Any]], Mapping[str, Any]] = dict,
) -> None:
    """Write down in `file` what the content of its folder is made of.

    `upgrade` turns what an earlier version wrote into the keys of today. Raises `BadInput` with the `problem`, and the
    keys that differ, where the folder holds the result of other values.
    """
    ours = json.loads(json.dumps(values))  # tuples become lists, as in the file
    if file.exists():
        refuse_other(upgrade(json.loads(file.read_text())), ours, problem, file, fix)
    write_atomic(file, json.dumps(ours, indent=1))


def refuse_other(theirs: Mapping[str, Any], ours: Mapping[str, Any], problem: str, file: Path, fix: str) -> None:
    """Raises `BadInput` with the `problem` and the dotted names of the keys in which two JSON objects differ."""
    if keys := _differing_keys(theirs, ours):
        raise BadInput(f"{problem} (differs in {', '.join(keys)}).", file=file, fix=fix)


def _differing_keys(theirs: Any, ours: Any, name: str = "") -> list[str]:
    if isinstance(theirs, Mapping) and isinstance(ours, Mapping):
        keys = dict.fromkeys([*theirs, *ours])
        parts = [_differing_keys(theirs.get(key), ours.get(key), f"{name}.{key}".lstrip(".")) for key in keys]
        return [key for part in parts for key in part]
    return [] if theirs == ours else [name]


def read_lines(path: Path) -> Iterator[dict[str, Any]]:
    """Each line's object. Raises `BadInput` with the line number for anything that is not a JSON object."""
    return (row for _, row in numbered_lines(path))


def numbered_lines(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """Each line's number, from 1, and object; empty lines are passed over. Errors as in `read_lines`.

    A file that is one JSON list, over one line or many, gives its objects and their places, from 1.
    """
    with path.open("rb") as file:
        is_list = file.read(64).removeprefix(b"\xef\xbb\xbf").lstrip().startswith(b"[")
        file.seek(0)
        if is_list:
            content = parse_json(file.read(), path, fix="one JSON object a line, or one JSON list of objects")
            rows = ((number, row) for number, row in enumerate(content, 1))
        else:
            lines = ((number, line) for number, line in enumerate(file, 1) if line.strip())
            rows = ((number, parse_json(line, path, number, "one JSON object a line")) for number, line in lines)
        for number, row in rows:
            if not isinstance(row, dict):
                raise BadInput("not a JSON object.", file=path, row=number, fix="one JSON object a line")
            yield number, row
