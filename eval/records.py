"""Prediction records as scoring reads them: whole, of one task and one split, no id twice.

`Record` documents every field; `record.schema.json` is made of it (tests/eval/test_score_records.py says how).
"""

import hashlib
import json
import sys
from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import MISSING, fields
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal, NotRequired, TypeVar, cast, get_args

from pydantic import ConfigDict, Field, WithJsonSchema, with_config
from typing_extensions import TypedDict

from ..grounding.bad_input import ROW_ERRORS, BadInput
from ..grounding.files import numbered_lines
from ..grounding.records import PredictionRecord, Task
from ..grounding.types import Region, region_from_json
from .catalog import FIELD_METRICS

TEXT_SCHEMA: dict[str, Any] = {"type": ["string", "number"], "description": "Numbers are read as text."}
_FULL: list[dict[str, Any]] = [{"type": "string", "pattern": r"\S"}, {"type": "number"}]
_NAME: dict[str, Any] = {"anyOf": _FULL, "description": "A text that is not blank."}
Text = Annotated[str, WithJsonSchema(TEXT_SCHEMA)]
Name = Annotated[str, WithJsonSchema(_NAME)]
_OPEN = ConfigDict(extra="allow", use_attribute_docstrings=True)


@with_config(_OPEN)
class RecordMeta(TypedDict, total=False):
    """What protocols, strata, metrics and the page read beside the fields of a record; other keys are kept."""

    modality: Any
    """A stratum, like the next four."""
    body_region: Any
    question_type: Any
    content_type: Any
    picture: Any
    level: Any
    """A stratum: depth in the label tree, of all phrases or by phrase."""
    size_px: Any
    """Width and height of the image, for strata of region sizes; COCO's areas without."""
    presence: Any
    """That the phrase is there at all, in [0, 1], of all phrases or by phrase; without it the best region's score."""
    probe: Any
    """What stands in for the image: blank, blank_kept, shuffled, text_only, flipped, corrupt, rephrased; original."""
    options: Any
    """What there is to choose from, for protocol multiple_choice: texts, or an object from letter to text."""
    severity: Any
    """Of probe corrupt: 1 to 5."""
    original: Any
    """The id of a probe's original, where its own is another."""
    pair_id: Any
    """What a question and its adversarial partner share; or the id of a probe's original."""
    adversarial: Any
    """True for the second question of a pair."""
    qa_type: Any
    """ProbMed's kind of a question."""
    image_type: Any
    """ProbMed's kind of an image."""
    image_path: Any
    """The image file, for the page."""
    labels: Any
    """Findings of both sides; eval/metrics/clinical/chexbert.py has the form."""
    chexpert: Any
    """MIMIC-CXR-JPG's labels, the reference where `labels` has none; eval/metrics/clinical/chexpert.py."""
    radgraph: Any
    """Graphs of both sides; eval/metrics/clinical/radgraph.py."""
    radfact: Any
    """Judged phrases of both sides; eval/metrics/clinical/radfact.py."""
    green: Any
    """What a judge counted; eval/metrics/clinical/green.py."""
    crimson: Any
    """Findings of both sides, weighed by a judge; eval/metrics/clinical/crimson.py."""
    radcliq: Any
    """Four sub-scores; eval/metrics/clinical/radcliq.py."""
    citations: Any
    """Regions that the text cites; eval/metrics/citations.py."""
    sentences: Any
    """A report's sentences, each with its regions, for the page."""


@with_config(_OPEN)
class MaskRow(TypedDict):
    """Uncompressed COCO RLE: run lengths column by column, the first of background."""

    size: Annotated[list[Annotated[int, Field(ge=1)]], Field(min_length=2, max_length=2)]
    """Height and width."""
    counts: list[Annotated[int, Field(ge=0)]]


@with_config(_OPEN)
class RegionRow(TypedDict):
    """A box, and where there is one its mask."""

    box_xyxy_px: Annotated[list[float], Field(min_length=4, max_length=4)]
    """x0, y0, x1, y1 in pixels of the image; x0 < x1, y0 < y1."""
    phrase: NotRequired[str]
    score: NotRequired[Annotated[float, Field(ge=0, le=1)]]
    """Of a prediction it must be there: average precision ranks by it."""
    path: NotRequired[list[Any]]
    """Labels from the root of the label tree to the phrase."""
    mask_rle: NotRequired[MaskRow | None]


@with_config(_OPEN)
class Record(TypedDict):
    """One prediction of one model on one sample; other fields are kept."""

    id: Name
    """The sample; unique in a run."""
    dataset: Text
    split: Text
    """val, valid, validate and validation are one split."""
    task: Task
    image_id: Name
    question: NotRequired[Text | None]
    """For grounding, the phrase where `phrases` is empty; of a report it may be missing."""
    answer: Any
    """The reference: a text or several acceptable ones; regions for grounding, none where the phrase is absent."""
    prediction: Any
    """Raw text, or regions for grounding; null: the model failed, which counts as wrong."""
    cluster_id: NotRequired[Text | None]
    """The patient, which intervals resample; missing, null or empty: the image stands in."""
    answer_type: NotRequired[Text | None]
    """vqa: open, other, number, closed or yes/no, in any case; empty: told apart by a yes/no answer."""
    evidence: NotRequired[Any]
    """What the model was shown beside the image."""
    phrases: NotRequired[list[str] | None]
    """The phrases to be grounded (grounding), or that were shown as evidence."""
    regions: NotRequired[Any]
    """The regions that were shown as evidence."""
    parsed: NotRequired[Any]
    """What was read out of the raw text."""
    model: NotRequired[Any]
    adapter: NotRequired[Any]
    raw: NotRequired[Any]
    """Of a served model: its text as it came."""
    finish_reason: NotRequired[Any]
    """Of a served model: why its text ended; `length`: it was cut."""
    usage: NotRequired[Any]
    """Of a served model: prompt_tokens and completion_tokens."""
    probability: NotRequired[Any]
    """Of the tokens that were written, the geometric mean in [0, 1]."""
    failed: NotRequired[Any]
    """Set by the reader where the prediction is null."""
    meta: NotRequired[RecordMeta | None]
    """Whatever else a protocol or a stratum needs: modality, body_region, question_type, ..."""


Row = dict[str, Any]
"""One line of a file, before it is checked."""
Result = TypeVar("Result")

_GIVEN = [field.name for field in fields(PredictionRecord) if field.default is field.default_factory is MISSING]
REQUIRED = tuple(name for name in _GIVEN if name != "cluster_id")
"""The fields without a default in `PredictionRecord`; without a `cluster_id`, the image stands in.

Of a report the question may be missing as well."""

SCORED = (*REQUIRED, "cluster_id", "answer_type", "phrases")
"""The fields that scores depend on; the data hash covers these."""

SCORED_META = ("level", "pair_id", "presence", "probe", "severity", "options", "qa_type", "chexpert", *FIELD_METRICS)
"""Entries of `meta` that scores depend on, likewise."""

_NAMES = ("id", "dataset", "split", "image_id", "cluster_id", "question", "answer_type")
_META_NAMES = ("probe", "pair_id", "qa_type", "image_type", "modality", "body_region", "question_type")
_SPLITS = {"valid": "val", "validate": "val", "validation": "val"}


def read_records(paths: Sequence[Path | str], task: Task, references: Path | None = None) -> list[Record]:
    """The records of one run, from one file or several (one a process); unknown fields are kept.

    Numbers given as text fields become strings, a missing or empty `cluster_id` the `image_id`, a null prediction (the
    model failed) an empty one, with `failed` set; `validate` and `validation` are the split `val`. Files are read line
    by line. `references`: a file for `check_against`.

    Raises `BadInput` naming file and line for what is not JSON (a half-written last line is called so), lacks a field,
    is of another task or holds a broken region; naming the ids for ids that come twice and for those that disagree
    with the references; and for records of several splits, and for none.
    """
    records = [record for path in map(Path, paths) for record in _read_each(path, partial(_record, task=task))]
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
    if twice := [name for name, count in Counter(record["id"] for record in records).items() if count > 1]:
        problem = f"{len(twice)} ids come twice: {first_few(twice)}."
        raise BadInput(problem, file=file, fix="give the files of one run only")
    splits = sorted({_split(str(record["split"])) for record in records})
    if len(splits) > 1:
        raise BadInput(f"several splits: {', '.join(splits)}.", file=file, fix="score each split by itself")


def check_against(records: Sequence[Record], references: Path) -> None:
    """Compare a run with its reference file: JSONL of `id` and, where it is to be compared, `answer`.

    Raises `BadInput` with the ids of samples without a prediction, of predictions without a sample, and of those whose
    answers differ as texts; with the line for a reference without id.
    """
    answers: dict[str, Any] = {}

    def read(row: Row) -> tuple[str, Any]:
        name, answer = _text(row.get("id"), "id"), row.get("answer")
        if name in answers:
            raise BadInput(f"id {name!r} comes twice.", fix="give each sample once")
        # regions are no texts: of those only the id is compared
        has_regions = isinstance(answer, list) and any(isinstance(part, dict) for part in answer)
        return name, None if answer is None or has_regions or answer == [] else _answer(answer)

    for name, answer in _read_each(references, read):
        answers[name] = answer
    scored = {record["id"]: record["answer"] for record in records}
    missing = [name for name in answers if name not in scored]
    extra = [name for name in scored if name not in answers]
    unlike = [name for name, answer in answers.items() if answer is not None and scored.get(name, answer) != answer]
    for names, problem, fix in (
        (missing, "have no prediction", "predict the whole data set; nothing is left out silently"),
        (extra, "are not in the reference file", "score against the data set that was predicted"),
        (unlike, "have another answer than the reference file", "score against the data set that was predicted"),
    ):
        if names:
            raise BadInput(f"{len(names)} ids {problem}: {first_few(names)}.", file=references, fix=fix)


def first_few(names: Sequence[str]) -> str:
    """The first five names, for a message."""
    return ", ".join([*names[:5], *(["..."] if len(names) > 5 else [])])


def data_sha256(records: Sequence[Record]) -> str:
    """Hash of what is scored, whatever the order of the records and the time they took."""
    digest = hashlib.sha256(b"[")  # of one JSON list, hashed row by row to save memory
    for index, record in enumerate(sorted(records, key=lambda record: record["id"])):
        meta = meta_of(record)
        scored = {name: record.get(name) for name in SCORED}
        scored |= {name: meta[name] for name in SCORED_META if name in meta}
        if record["task"] == "vqa" and (probability := record.get("probability")) is not None:
            scored["probability"] = probability
        if draws := record.get("draws"):
            scored["draws"] = draws
        digest.update((", " * (index > 0) + json.dumps(scored, sort_keys=True, ensure_ascii=False)).encode())
    digest.update(b"]")
    return digest.hexdigest()


def cluster(record: Record) -> str:
    """The unit that intervals resample; cluster ids of different data sets are never the same."""
    return f"{record['dataset']}/{record.get('cluster_id') or record['image_id']}"


def meta_of(record: Record) -> Mapping[str, Any]:
    """The record's `meta`, empty where it has none."""
    return record.get("meta") or {}


def question_of(record: Record) -> str:
    """The question or phrase, "" where a report has none."""
    return record.get("question") or ""


def phrases_of(record: Record) -> list[str]:
    """The phrases that were to be grounded: `phrases`, or the question where there are none."""
    return list(dict.fromkeys(record.get("phrases") or [question_of(record)]))


def regions_by_phrase(record: Record, name: Literal["answer", "prediction"]) -> dict[str, list[Region]]:
    """The regions in field `name`, for each phrase of the record; all of them where it has a single one.

    Raises `BadInput` naming the record for a region of another phrase, and for broken regions.
    """
    phrases = phrases_of(record)
    regions: dict[str, list[Region]] = {phrase: [] for phrase in phrases}
    fix = "a region is {phrase, box_xyxy_px, score, mask_rle}, as eval/record.schema.json says"
    for row in record[name]:
        if not isinstance(row, Mapping) or "box_xyxy_px" not in row:
            raise BadInput(f"{name} of {record['id']!r} holds a region without box_xyxy_px.", fix=fix)
        phrase = phrases[0] if len(phrases) == 1 else str(row.get("phrase"))
        if phrase not in regions:
            problem = f"{name} of {record['id']!r} holds {phrase!r}, which its `phrases` do not name."
            raise BadInput(problem, fix="name every phrase of the record")
        if name == "prediction" and row.get("score") is None:
            problem = f"prediction of {record['id']!r} holds a region without score."
            raise BadInput(problem, fix="average precision ranks them")
        try:
            regions[phrase].append(region_from_json({"phrase": "", **row}))
        except BadInput:
            raise
        except ROW_ERRORS as error:
            raise BadInput(f"{name} of {record['id']!r} holds a broken region: {error}.", fix=fix) from error
    return regions


def _read_each(path: Path, read: Callable[[Row], Result]) -> Iterator[Result]:
    """What `read` makes of each object of a file; its errors name the file and the row."""
    for number, row in _rows(path):
        try:
            yield read(row)
        except BadInput as error:
            raise BadInput(error.problem, file=path, row=number, fix=error.fix) from error


def _rows(path: Path) -> Iterator[tuple[int, Row]]:
    """Line numbers and objects of a file; a last line without an end that is no JSON is called half-written."""
    if not path.is_file():
        raise BadInput("no such file.", file=path, fix="give the predictions.jsonl of a run")
    try:
        yield from numbered_lines(path)
    except BadInput as error:
        if error.row is None or not error.problem.startswith("not JSON"):  # one JSON list, or whole JSON
            raise
        with path.open("rb") as file:
            number, line = deque(enumerate(file, 1), maxlen=1).pop()
        if number != error.row or line.endswith(b"\n"):
            raise
        # a run that was stopped: the last line, and only that, has no end
        fix = "run the prediction again, it goes on after the last whole line; or delete this line"
        raise BadInput("the last line is half-written.", file=path, row=number, fix=fix) from error


def _record(row: Row, task: Task) -> Record:
    spare = {"prediction"} & row.keys() | ({"question"} if row.get("task") == "report" else set())
    missing = [name for name in REQUIRED if row.get(name) is None and name not in spare]
    if missing:
        raise BadInput(f"missing: {', '.join(missing)}.", fix="records hold the fields of eval/record.schema.json")
    if row["task"] != task:
        raise BadInput(f"task is {row['task']!r}.", fix=f"give records of task {task!r}, or score as {row['task']!r}")
    meta, phrases = row.get("meta"), row.get("phrases")
    _check_meta(meta)
    if phrases and not (isinstance(phrases, list) and all(isinstance(phrase, str) for phrase in phrases)):
        raise BadInput(f"phrases is {phrases!r}.", fix="give a list of strings")
    # a million records share the few texts of their names
    record = {sys.intern(name): value for name, value in row.items()}
    for name in _NAMES:
        if record.get(name) is not None:
            record[name] = sys.intern(_text(record[name], name))
    record["split"], record["answer_type"] = _split(record["split"]), record.get("answer_type") or ""
    record["cluster_id"] = record.get("cluster_id") or record["image_id"]
    record["question"] = record.get("question") or ""
    if not record["id"].strip() or not record["image_id"].strip():
        raise BadInput("id or image_id is empty.", fix="every sample has an id, and an image or what stands for it")
    if row["prediction"] is None:
        record |= {"prediction": [] if task == "grounding" else "", "failed": True}
    if task != "grounding":
        record["answer"], record["prediction"] = _answer(record["answer"]), _text(record["prediction"], "prediction")
        return cast(Record, record)
    for name in ("answer", "prediction"):
        if not isinstance(record[name], list):
            raise BadInput(f"{name} is not a list.", fix="give a list of regions, empty where there are none")
        regions_by_phrase(cast(Record, record), name)  # raises for broken ones
    return cast(Record, record)


def _check_meta(meta: Any) -> None:
    """Raises `BadInput` for what is no object, for a size that is none, and for a list where a name is expected."""
    if meta is not None and not isinstance(meta, dict):
        raise BadInput(f"meta is {meta!r:.60}.", fix="give an object")
    size = (meta or {}).get("size_px")
    is_size = (
        isinstance(size, list) and len(size) == 2 and all(isinstance(n, int | float) and 0 < n < 1e9 for n in size)
    )
    if size is not None and not is_size:
        raise BadInput(f"meta.size_px is {size!r:.60}.", fix="give [width, height] in pixels")
    for name in _META_NAMES:
        if isinstance((meta or {}).get(name), list | dict):
            raise BadInput(f"meta.{name} is no text.", fix="give a string")


def _split(name: str) -> str:
    return _SPLITS.get(name.lower(), name)


def _answer(value: Any) -> str | list[str]:
    """A text, or a list of acceptable ones."""
    return [_text(part, "answer") for part in value] if isinstance(value, list) else _text(value, "answer")


def _text(value: Any, name: str) -> str:
    if isinstance(value, str) and value.isascii():
        return value
    if isinstance(value, int | float) and not isinstance(value, bool) and value - value == 0:  # no NaN, no infinity
        return str(value)
    if not isinstance(value, str):
        raise BadInput(f"{name} is {value!r}.", fix="give a string")
    try:
        value.encode()
    except UnicodeEncodeError as error:  # a lone surrogate, which no file can hold
        raise BadInput(f"{name} holds half a character: {value!a}.", fix="write the text as UTF-8") from error
    return value
