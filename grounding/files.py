"""Files and folders: written whole or not at all, claimed and locked by one run, hashed, read line by line."""

import errno
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from .bad_input import BadInput, damaged
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
    write_together({path: data})


def write_together(files: Mapping[Path, str | bytes]) -> None:
    """`write_atomic` for files that belong together: a full disk leaves all of them as they were."""
    partials: dict[Path, Path] = {}
    try:
        for path, data in files.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            partial = path.with_name(f".{path.name}.{os.getpid()}")  # in the same folder: renaming is atomic
            partials[partial] = path
            partial.write_bytes(data.encode() if isinstance(data, str) else data)
        for partial, path in partials.items():
            partial.replace(path)
    finally:
        for partial in partials:
            partial.unlink(missing_ok=True)


@contextmanager
def write_folder(folder: Path) -> Iterator[Path]:
    """An empty folder beside the target, which takes the target's place when the `with` block ends.

    A kill, an error or a full disk leaves the old folder or the new one, whole.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    partial = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{folder.name}.{os.getpid()}."))
    partial.chmod(0o755)  # a temporary folder is its owner's alone
    try:
        with told_when_full(partial):
            yield partial
        shutil.rmtree(folder, ignore_errors=True)
        partial.rename(folder)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


@contextmanager
def told_when_full(folder: Path) -> Iterator[None]:
    """Inside, what torch and safetensors raise on a full disk becomes the `OSError` that says so."""
    try:
        yield
    except (OSError, BadInput):
        raise
    except Exception as error:  # a RuntimeError of torch.save, a SafetensorError, neither of which needs to say why
        if "No space left" in str(error) or shutil.disk_usage(folder).free < 2**20:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(folder)) from error
        raise


@contextmanager
def locked(file: Path, what: str, wait_s: float = 0) -> Iterator[None]:
    """Inside, no other process is where this lock file is asked for, too; it is freed however the process ends.

    Of several processes of one launch the first holds it for all. A folder made for the lock alone goes with it.
    Raises `BadInput` where another process holds it for longer than `wait_s`.
    """
    lock = FileLock(file, timeout=0, is_singleton=True)  # the same in every call of a process, which may ask twice
    is_first, is_new = os.environ.get("RANK", "0") == "0", not file.parent.exists()
    file.parent.mkdir(parents=True, exist_ok=True)
    try:
        if is_first:
            lock.acquire(timeout=wait_s)
    except Timeout as error:
        fix = "wait until it has ended, or give another folder"
        raise BadInput(f"another process is writing {what} here.", file=file.parent, fix=fix) from error
    except NotImplementedError:  # a file system without locks
        is_first = False
    try:
        yield
    finally:
        if is_first:
            lock.release()
            if is_new and [*file.parent.iterdir()] == [file]:
                shutil.rmtree(file.parent)


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
        theirs = read_object(file, fix)
        with damaged(file, fix):
            theirs = upgrade(theirs)
        refuse_other(theirs, ours, problem, file, fix)
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


def read_object(file: Path, fix: str = "copy it again, whole") -> dict[str, Any]:
    """The JSON object in a file of ours. Raises `BadInput` for no such file, and for anything else in it."""
    with damaged(file, fix):
        values = json.loads(file.read_text(encoding="utf-8"))
    if not isinstance(values, dict):
        raise BadInput("not a JSON object.", file=file, fix=fix)
    return values


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
