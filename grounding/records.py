"""Records on disk between the stages: JSONL, one object a line, append-only, resumable. Every number starts here."""

import json
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from .bad_input import BadInput
from .files import numbered_lines
from .types import AnnotatedImage, Region, region_to_json
from .vocabulary.labels import load_labels

Task = Literal["vqa", "report", "grounding"]


@dataclass(frozen=True, kw_only=True)
class PredictionRecord:
    """One prediction of one model on one sample.

    `cluster_id` is the patient, else the image: intervals resample it. `answer`: the reference, a string or, for
    grounding, a list of region dictionaries (`types.region_to_json`); `prediction`: raw text, or such a list.
    `parsed`: the answer read out of the raw text. Of a served model, whose `prediction` is None where it refused:
    `raw`, its text as it came; `finish_reason` ("length": it was cut) and `usage` (`prompt_tokens`,
    `completion_tokens`), as its server says. `probability`: exp of the mean log-probability of the tokens written, in
    [0, 1]; None where nobody gave any. `grounder`: who found the regions of the evidence, where it has any. `meta`
    keeps everything else a protocol may need.
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
    grounder: str | None = None
    seconds: float = 0.0
    raw: str | None = None
    finish_reason: str | None = None
    usage: dict[str, int] | None = None
    probability: float | None = None
    meta: dict[str, Any] = field(default_factory=dict)


_SPARE = ("grounder", "raw", "finish_reason", "usage", "probability")


class RecordFile:
    """An append-only file of records that continues after its last complete line.

    Opening it cuts off a half-written last line (a kill in the middle of a write); `done` holds the ids on disk,
    so that a rerun loses and doubles nothing. Raises `BadInput` where it holds no records; a file that is no such file
    at all stays as it is.
    """

    def __init__(self, path: Path):
        self.path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        data = path.read_bytes() if path.exists() else b""
        # b'{...}\n{...}\n{"id": "a' is cut behind its last line end; without any, everything goes
        whole = data.rfind(b"\n") + 1
        torn, start = data[whole:], b'{"id": '
        if not torn.startswith(start[: len(torn)]) or data.lstrip().startswith(b"["):
            problem = "not a file of records, which could be continued."
            raise BadInput(problem, file=path, fix="give another file for the records, or move this one away")
        if torn and _is_json(torn):  # whole but for its line end
            with path.open("ab") as file:
                file.write(b"\n")
        elif torn:
            os.truncate(path, whole)
        self.done: set[str] = set()
        for number, row in numbered_lines(path) if data else ():
            if not isinstance(row.get("id"), str):
                raise BadInput("no record: it has no id.", file=path, row=number, fix="give another file, or move it")
            self.done.add(row["id"])

    def append(self, records: list[PredictionRecord]) -> None:
        """Write the records that are not there yet, in one flush to disk; a write that fails leaves no half line."""
        new = [record for record in records if record.id not in self.done]
        size = self.path.stat().st_size if self.path.exists() else 0
        try:
            with self.path.open("a", encoding="utf-8") as file:
                file.write("".join(to_line(record) for record in new))
                file.flush()
                os.fsync(file.fileno())  # what `done` holds from here on survives a power cut
        except OSError:
            if self.path.exists():
                os.truncate(self.path, size)
            raise
        self.done.update(record.id for record in new)


def to_line(record: PredictionRecord) -> str:
    """One line of a file; what not every model has is left out where it is not known."""
    known = {key: value for key, value in asdict(record).items() if value is not None or key not in _SPARE}
    return json.dumps(known, ensure_ascii=False) + "\n"


def _is_json(text: bytes) -> bool:
    try:
        return isinstance(json.loads(text), dict)
    except (ValueError, RecursionError):
        return False


def record_meta(
    image: AnnotatedImage, phrases: Sequence[str] = (), others: Sequence[AnnotatedImage] = ()
) -> dict[str, Any]:
    """What strata and the page need of an image: modality, body part and region, size, path; ids of all its images.

    The body region is that of the phrases in the label tree, else that of the image's true regions.
    """
    names = phrases or [region.phrase for region in image.regions]
    body_regions = [name for name in map(load_labels().body_region, names) if name]
    return {
        "modality": image.modality,
        "body_part": image.body_part,
        "body_region": body_regions[0] if body_regions else "",
        "size_px": list(image.size_px),
        "image_path": str(image.image_path),
        "image_ids": [other.image_id for other in (image, *others)],
    }


def record_identity(image: AnnotatedImage) -> dict[str, str]:
    """Fields that say which image a record is about, and which patient, else image, it counts for."""
    return {"image_id": image.image_id, "cluster_id": f"{image.dataset}/{image.group}"}


def record_id(image: AnnotatedImage, phrase: str) -> str:
    """Id of the record of one phrase looked for in one image."""
    return f"{image.dataset}/{image.image_id}/{phrase}"


def grounding_record(
    image: AnnotatedImage, phrase: str, regions: Sequence[Region], presence: float | None = None, **fields: Any
) -> PredictionRecord:
    """The record of one phrase looked for in one image.

    `regions`: of the grounder; `presence`: the probability in [0, 1] that the phrase is there at all, None
    where the grounder gives none; `fields`: further fields of the record, `meta` is added to.
    """
    # the level in the label tree (organ, part, finding) is a stratum of the scores
    meta = record_meta(image, [phrase]) | {"level": load_labels().level(phrase)}
    if presence is not None:
        meta["presence"] = presence
    return PredictionRecord(
        id=record_id(image, phrase),
        dataset=image.dataset,
        split=image.split,
        task="grounding",
        **record_identity(image),
        question=phrase,
        answer=[region_to_json(region) for region in image.regions if region.phrase == phrase],
        prediction=[region_to_json(region) for region in regions],
        evidence="predicted",
        phrases=(phrase,),
        meta=meta | fields.pop("meta", {}),
        **fields,
    )
