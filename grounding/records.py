"""Records on disk between the stages: JSONL, one object a line, append-only, resumable. Every number starts here."""

import hashlib
import json
import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from .bad_input import BadInput

Task = Literal["vqa", "report", "grounding"]


@dataclass(frozen=True, kw_only=True)
class PredictionRecord:
    """One prediction of one model on one sample.

    `cluster_id` is the patient, else the image: intervals resample it. `answer`: the reference, a string or, for
    grounding, a list of region dictionaries (`types.region_to_json`); `prediction`: raw text, or such a list.
    `parsed`: what was read out of the raw text. `meta` keeps everything else a protocol may need.
    """

    id: str
    dataset: str
    split: str
    task: Task
    image_id: str
    cluster_id: str
    question: str
    answer: Any
    prediction: Any
    answer_type: str = ""
    parsed: Any = None
    evidence: str = "none"
    forms: tuple[str, ...] = ()
    phrases: tuple[str, ...] = ()
    regions: tuple[dict[str, Any], ...] = ()
    prompt_sha256: str = ""
    model: str = ""
    adapter: str = ""
    seconds: float = 0.0
    meta: dict[str, Any] = field(default_factory=dict)


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


class RecordFile:
    """An append-only file of records that continues after its last complete line.

    Opening it cuts off a half-written last line (a kill in the middle of a write); `done` holds the ids on disk,
    so that a rerun loses and doubles nothing.
    """

    def __init__(self, path: Path):
        self.path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.exists():
            self._cut_torn_line()
        self.done = {row["id"] for row in read_lines(path)} if path.exists() else set[str]()

    def _cut_torn_line(self) -> None:
        data = self.path.read_bytes()
        whole = data.rfind(b"\n") + 1
        if whole < len(data):
            os.truncate(self.path, whole)

    def append(self, records: list[PredictionRecord]) -> None:
        """Write the records that are not there yet, in one flush to disk."""
        new = [record for record in records if record.id not in self.done]
        with self.path.open("a", encoding="utf-8") as file:
            file.write("".join(json.dumps(asdict(record), ensure_ascii=False) + "\n" for record in new))
            file.flush()
            os.fsync(file.fileno())
        self.done.update(record.id for record in new)
