"""Records on disk between the stages: JSONL, one object a line, append-only, resumable. Every number starts here."""

import json
import os
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from .files import read_lines

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
