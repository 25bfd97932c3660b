"""Prediction records as scoring reads them: whole, of one task and one split, no id twice."""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, fields
from pathlib import Path
from typing import Any, get_args

from ..grounding.bad_input import BadInput
from ..grounding.records import PredictionRecord, Task, numbered_lines, sha256
from ..grounding.types import Region, region_from_json

Record = dict[str, Any]

REQUIRED = tuple(field.name for field in fields(PredictionRecord) if field.default is field.default_factory is MISSING)
"""The fields without a default in `PredictionRecord`."""

SCORED = (*REQUIRED, "answer_type", "phrases")
"""The fields that scores depend on; the data hash covers these."""

_NAMES_SHOWN = 5


def read_records(paths: Sequence[Path], task: Task) -> list[Record]:
    """The records of one run, from one file or several (one a process); unknown fields are kept.

    Numbers given as `answer`, `prediction` or an id become strings. Raises `BadInput` naming file and line for what
    is not JSON, lacks a field, is of another task or holds a broken region; naming the ids for ids that come twice;
    and for records of several splits, and for none.
    """
    records: list[Record] = []
    for path in paths:
        if not path.is_file():
            raise BadInput("no such file.", file=path, fix="give the predictions.jsonl of a run")
        records += [_record(row, task, path, number) for number, row in numbered_lines(path)]
    names = ", ".join(str(path) for path in paths)
    if not records:
        raise BadInput("no records.", file=names, fix="predict first")
    check_run(records, names)
    return records


def task_of(path: Path) -> Task:
    """The task of a record file, read from its first record."""
    row = next((row for _, row in numbered_lines(path)), None) if path.is_file() else None
    if row is None or row.get("task") not in get_args(Task):
        raise BadInput("no record that names its task.", file=path, fix=f"a record's task is one of {get_args(Task)}")
    return row["task"]


def check_run(records: Sequence[Record], file: str | None = None) -> None:
    """Raise `BadInput` for ids that come twice or for records of more than one split."""
    twice = [name for name, count in Counter(record["id"] for record in records).items() if count > 1]
    if twice:
        raise BadInput(f"{len(twice)} ids come twice: {shown(twice)}.", file=file, fix="give the files of one run only")
    splits = sorted({str(record["split"]) for record in records})
    if len(splits) > 1:
        raise BadInput(f"several splits: {', '.join(splits)}.", file=file, fix="score each split by itself")


def shown(names: Sequence[str]) -> str:
    """The first few names, for a message."""
    return ", ".join(names[:_NAMES_SHOWN]) + (", ..." if len(names) > _NAMES_SHOWN else "")


def data_sha256(records: Sequence[Record]) -> str:
    """Hash of what is scored, whatever the order of the records and the time they took."""
    kept = [{name: record.get(name) for name in SCORED} for record in sorted(records, key=lambda record: record["id"])]
    return sha256(json.dumps(kept, sort_keys=True, ensure_ascii=False))


def cluster(record: Record) -> str:
    """The unit that intervals resample; cluster ids of different data sets are never the same."""
    return f"{record['dataset']}/{record['cluster_id']}"


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


def _record(row: Record, task: Task, path: Path, number: int) -> Record:
    try:
        missing = [name for name in REQUIRED if row.get(name) is None]
        if missing:
            raise BadInput(f"missing: {', '.join(missing)}.", fix="records hold the fields of PredictionRecord")
        if row["task"] != task:
            raise BadInput(
                f"task is {row['task']!r}.", fix=f"give records of task {task!r}, or score as {row['task']!r}"
            )
        names = ("id", "dataset", "split", "image_id", "cluster_id", "question")
        texts = {name: _text(row, name) for name in names} | {"answer_type": _text(row, "answer_type", "")}
        if task != "grounding":
            return row | texts | {name: _text(row, name) for name in ("answer", "prediction")}
        return _checked_regions(row | texts)
    except BadInput as error:
        raise BadInput(error.problem, file=path, row=number, fix=error.fix) from error


def _text(row: Record, name: str, default: str | None = None) -> str:
    value = row.get(name, default)
    value = default if value is None else value
    if isinstance(value, str):
        return value
    if isinstance(value, int | float) and not isinstance(value, bool):
        return str(value)
    raise BadInput(f"{name} is {value!r}.", fix="give a string")


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
