"""Prediction records as scoring reads them: whole, of one task and one split, no id twice.

Their form is written down in `record.schema.json`.
"""

import hashlib
import json
import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import MISSING, fields
from pathlib import Path
from typing import Any, get_args

from ..grounding.bad_input import BadInput
from ..grounding.files import numbered_lines
from ..grounding.records import PredictionRecord, Task
from ..grounding.types import Region, region_from_json

Record = dict[str, Any]

SCHEMA = Path(__file__).with_name("record.schema.json")
"""JSON schema (draft 2020-12) of one record."""

REQUIRED = tuple(
    field.name
    for field in fields(PredictionRecord)
    if field.default is field.default_factory is MISSING and field.name != "cluster_id"
)
"""The fields without a default in `PredictionRecord`; without a `cluster_id`, the image stands in."""

SCORED = (*REQUIRED, "cluster_id", "answer_type", "phrases")
"""The fields that scores depend on; the data hash covers these."""

SCORED_META = (
    *("citations", "labels", "level", "pair_id", "presence", "probe", "qa_type"),
    *("radcliq", "radfact", "radgraph"),
)
"""Entries of `meta` that scores depend on, likewise."""

_NAMES = ("id", "dataset", "split", "image_id", "cluster_id", "question", "answer_type")
_SPLITS = {"valid": "val", "validate": "val", "validation": "val"}
_NAMES_SHOWN = 5


def read_records(paths: Sequence[Path], task: Task, references: Path | None = None) -> list[Record]:
    """The records of one run, from one file or several (one a process); unknown fields are kept.

    Numbers given as text fields become strings, a missing or empty `cluster_id` the `image_id`, a null prediction (the
    model failed) an empty one, with `failed` set; `validate` and `validation` are the split `val`. Files are read line
    by line. `references`: a file for `check_against`.

    Raises `BadInput` naming file and line for what is not JSON (a half-written last line is called so), lacks a field,
    is of another task or holds a broken region; naming the ids for ids that come twice and for those that disagree
    with the references; and for records of several splits, and for none.
    """
    records = [record for path in paths for record in _records(path, task)]
    names = ", ".join(str(path) for path in paths)
    if not records:
        raise BadInput("no records.", file=names, fix="predict first")
    check_run(records, names)
    if references is not None:
        check_against(records, references)
    return records


def task_of(path: Path) -> Task:
    """The task of a record file, read from its first record."""
    row = next((row for _, row in _rows(path)), None) if path.is_file() else None
    if row is None or row.get("task") not in get_args(Task):
        raise BadInput("no record that names its task.", file=path, fix=f"a record's task is one of {get_args(Task)}")
    return row["task"]


def check_run(records: Sequence[Record], file: str | None = None) -> None:
    """Raise `BadInput` for ids that come twice or for records of more than one split."""
    twice = [name for name, count in Counter(record["id"] for record in records).items() if count > 1]
    if twice:
        raise BadInput(f"{len(twice)} ids come twice: {shown(twice)}.", file=file, fix="give the files of one run only")
    splits = sorted({_split(str(record["split"])) for record in records})
    if len(splits) > 1:
        raise BadInput(f"several splits: {', '.join(splits)}.", file=file, fix="score each split by itself")


def check_against(records: Sequence[Record], references: Path) -> None:
    """Compare a run with its reference file: JSONL of `id` and, where it is to be compared, `answer`.

    Raises `BadInput` with the ids of samples without a prediction, of predictions without a sample, and of those whose
    answers differ as texts; with the line for a reference without id.
    """
    answers = _references(references)
    found = {record["id"]: record["answer"] for record in records}
    missing = [name for name in answers if name not in found]
    extra = [name for name in found if name not in answers]
    unlike = [name for name, answer in answers.items() if answer is not None and found.get(name, answer) != answer]
    for names, problem, fix in (
        (missing, "have no prediction", "predict the whole data set; nothing is left out silently"),
        (extra, "are not in the reference file", "score against the data set that was predicted"),
        (unlike, "have another answer than the reference file", "score against the data set that was predicted"),
    ):
        if names:
            raise BadInput(f"{len(names)} ids {problem}: {shown(names)}.", file=references, fix=fix)


def _references(path: Path) -> dict[str, Any]:
    """Id -> answer, text or texts; None where there is none, or where it is regions."""
    answers: dict[str, Any] = {}
    for number, row in _rows(path):
        try:
            name = _text(row, "id")
            if name in answers:
                raise BadInput(f"id {name!r} comes twice.", fix="give each sample once")
            answer = row.get("answer")
            has_regions = isinstance(answer, list) and any(isinstance(part, dict) for part in answer)
            answers[name] = None if answer is None or has_regions or answer == [] else _answer(row)
        except BadInput as error:
            raise BadInput(error.problem, file=path, row=number, fix=error.fix) from error
    return answers


def shown(names: Sequence[str]) -> str:
    """The first few names, for a message."""
    return ", ".join(names[:_NAMES_SHOWN]) + (", ..." if len(names) > _NAMES_SHOWN else "")


def data_sha256(records: Sequence[Record]) -> str:
    """Hash of what is scored, whatever the order of the records and the time they took."""
    digest = hashlib.sha256(b"[")
    for place, record in enumerate(sorted(records, key=lambda record: record["id"])):
        meta = record.get("meta") or {}
        scored = {name: record.get(name) for name in SCORED} | {
            name: meta[name] for name in SCORED_META if name in meta
        }
        row = json.dumps(scored, sort_keys=True, ensure_ascii=False)
        digest.update((", " * (place > 0) + row).encode())
    digest.update(b"]")
    return digest.hexdigest()


def cluster(record: Record) -> str:
    """The unit that intervals resample; cluster ids of different data sets are never the same."""
    return f"{record['dataset']}/{record.get('cluster_id') or record['image_id']}"


def clustered_by_image(records: Sequence[Record]) -> int:
    """How many records have the image for their cluster, no patient being known."""
    return sum((record.get("cluster_id") or record["image_id"]) == record["image_id"] for record in records)


def asked_phrases(record: Record) -> list[str]:
    """The phrases that were to be grounded: `phrases`, or the question where there are none."""
    return list(dict.fromkeys(record.get("phrases") or [record["question"]]))


def regions_by_phrase(record: Record, name: str) -> dict[str, list[Region]]:
    """The regions in field `name`, for each asked phrase; all of them where a single phrase was asked.

    Raises `BadInput` naming the record for a region of a phrase that was not asked, and for broken regions.
    """
    asked = asked_phrases(record)
    regions: dict[str, list[Region]] = {phrase: [] for phrase in asked}
    for row in record[name]:
        phrase = asked[0] if len(asked) == 1 else row.get("phrase")
        if phrase not in regions:
            raise BadInput(f"{name} of {record['id']!r} holds {phrase!r}, which its `phrases` do not name.")
        regions[phrase].append(_region(row, name, record["id"]))
    return regions


def _rows(path: Path) -> Iterator[tuple[int, Record]]:
    """Line numbers and objects of a file; a last line without an end that is no JSON is called half-written."""
    if not path.is_file():
        raise BadInput("no such file.", file=path, fix="give the predictions.jsonl of a run")
    try:
        yield from numbered_lines(path)
    except BadInput as error:
        if error.row is not None and _is_torn(path, int(error.row)):
            fix = "run the prediction again, it goes on after the last whole line; or delete this line"
            raise BadInput("the last line is half-written.", file=path, row=error.row, fix=fix) from error
        raise
    except RecursionError as error:
        raise BadInput("JSON nested too deeply.", file=path, fix="records are flat") from error


def _is_torn(path: Path, number: int) -> bool:
    """Line `number` is the last of its file and has no end."""
    with path.open("rb") as file:
        line, lines = b"", 0
        for lines, line in enumerate(file, 1):  # noqa: B007
            pass
    return lines == number and not line.endswith(b"\n")


def _records(path: Path, task: Task) -> Iterator[Record]:
    for number, row in _rows(path):
        try:
            yield _record(row, task)
        except BadInput as error:
            raise BadInput(error.problem, file=path, row=number, fix=error.fix) from error


def _record(row: Record, task: Task) -> Record:
    missing = [name for name in REQUIRED if row.get(name) is None and not (name == "prediction" and name in row)]
    if missing:
        raise BadInput(f"missing: {', '.join(missing)}.", fix="records hold the fields of eval/record.schema.json")
    if row["task"] != task:
        raise BadInput(f"task is {row['task']!r}.", fix=f"give records of task {task!r}, or score as {row['task']!r}")
    _check_kinds(row)
    record = {sys.intern(name): value for name, value in row.items()}  # one copy of a name for all records
    for name in _NAMES:
        if record.get(name) is not None:
            record[name] = sys.intern(_text(record, name))
    record["split"], record["answer_type"] = _split(record["split"]), record.get("answer_type") or ""
    record["cluster_id"] = record.get("cluster_id") or record["image_id"]
    if not record["id"].strip() or not record["image_id"].strip():
        raise BadInput("id or image_id is empty.", fix="every sample has an id, and an image or what stands for it")
    if row["prediction"] is None:
        record |= {"prediction": [] if task == "grounding" else "", "failed": True}
    if task == "grounding":
        return _checked_regions(record)
    record["answer"], record["prediction"] = _answer(record), _text(record, "prediction")
    return record


def _check_kinds(row: Record) -> None:
    """`meta` is an object, `phrases` a list of texts; either may be missing."""
    meta, phrases = row.get("meta"), row.get("phrases")
    if meta is not None and not isinstance(meta, dict):
        raise BadInput(f"meta is {meta!r}.", fix="give an object")
    if phrases and not (isinstance(phrases, list) and all(isinstance(phrase, str) for phrase in phrases)):
        raise BadInput(f"phrases is {phrases!r}.", fix="give a list of strings")


def _split(name: str) -> str:
    return _SPLITS.get(name.lower(), name)


def _answer(row: Record) -> str | list[str]:
    """A text, or a list of acceptable ones."""
    if not isinstance(row["answer"], list):
        return _text(row, "answer")
    return [_text({"answer": part}, "answer") for part in row["answer"]]


def _text(row: Record, name: str) -> str:
    value = row.get(name)
    if isinstance(value, str) and value.isascii():
        return value
    if isinstance(value, int | float) and not isinstance(value, bool) and value - value == 0:  # no NaN, no infinity
        return str(value)
    if not isinstance(value, str):
        raise BadInput(f"{name} is {value!r}.", fix="give a string")
    if not _is_unicode(value):
        raise BadInput(f"{name} holds half a character: {value!a}.", fix="write the text as UTF-8")
    return value


def _is_unicode(text: str) -> bool:
    """No lone surrogate, which no file can hold."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _checked_regions(record: Record) -> Record:
    for name in ("answer", "prediction"):
        if not isinstance(record[name], list):
            raise BadInput(f"{name} is not a list.", fix="give a list of regions, empty where there are none")
    regions_by_phrase(record, "answer")
    regions_by_phrase(record, "prediction")
    return record


def _region(row: Any, name: str, record_id: str) -> Region:
    if not isinstance(row, Mapping) or "box_xyxy_px" not in row:
        raise BadInput(f"{name} of {record_id!r} holds a region without box_xyxy_px.")
    if name == "prediction" and row.get("score") is None:
        raise BadInput(f"prediction of {record_id!r} holds a region without score.", fix="average precision ranks them")
    try:
        return region_from_json({"phrase": "", **row})
    except BadInput:
        raise
    except (TypeError, ValueError, KeyError) as error:
        raise BadInput(f"{name} of {record_id!r} holds a broken region: {error}.") from error
