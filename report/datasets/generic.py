"""Reports of your own: one table (.csv, .tsv or .jsonl), a row a study, image paths beside the text.

    image,report,patient,date,split
    a/front.png|a/side.png,"Small nodule, left. No effusion.",17,2024-01-31,train

Needed: image (one path or several, `|` between them, or a list), relative to the table or to `images`; and report, or
findings, or impression. A report with headers ("Findings:", "Impression:", "Befund:" ... at the start of a line, any
case) is taken apart. Also read, where they are there: id, patient, split (train, val, test), date (2024-01-31,
20240131, 31.01.2024, with a time or without), view (one an image, `|` between them), modality, indication, technique,
comparison, prior_image, prior_report, prior_date. Column names in any case; `columns` says what yours are called. Every
path must be there; without an image column the table serves as text.

Split: the column, else by patient, else by row, drawn with the seed. Without a column patient nothing keeps the images
of one patient together: give it. Priors: the columns; without them, with patient and date, the patient's study before.
Licence, citation and consent are yours to state. Nothing but these columns is read.
"""

import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from pydantic import Field

from ...grounding.bad_input import BadInput, Skipped, nearest
from ...grounding.datasets.corpus import data_folder, stay_inside
from ...grounding.files import numbered_lines
from ...grounding.foreign import check_columns, parse_json, read_csv
from ...grounding.modalities import parse_modality
from ..text.sections import Sections, parse_sections
from .reading import rows_to_reports
from .rows import ReportRow, ReportSettings, View, check_groups, draw_splits, find_earlier, list_bad

SPLITS = {"train": "train", "val": "val", "valid": "val", "validate": "val", "validation": "val", "test": "test"}
COLUMNS: dict[str, tuple[str, ...]] = {
    "image": ("image", "images", "image_path", "image_paths", "path", "file", "filename"),
    "report": ("report", "text", "report_text", "full_report"),
    "findings": ("findings",),
    "impression": ("impression",),
    "id": ("id", "study_id", "report_id", "accession"),
    "patient": ("patient", "patient_id", "patientid", "subject_id"),
    "split": ("split", "part"),
    "date": ("date", "study_date", "datetime"),
    "view": ("view", "views", "projection", "view_position"),
    "modality": ("modality",),
    "indication": ("indication", "history", "clinical_information"),
    "technique": ("technique",),
    "comparison": ("comparison",),
    "prior_image": ("prior_image", "prior_images"),
    "prior_report": ("prior_report", "prior_text"),
    "prior_date": ("prior_date",),
}
"""Our name of a column -> what it may be called."""
_FRONTAL = re.compile(r"\s*(?:pa|ap|frontal)\b", re.IGNORECASE)
# 2024-01-31 or 20240131, with a time behind it or none: 08:05, 080500, T08:05:00+01:00.
_DATE = re.compile(r"(\d{4})-?(\d\d)-?(\d\d)(?:[T ]*(\d\d):?(\d\d)(?::?(\d\d))?.*)?")
_GERMAN = re.compile(r"(\d\d?)\.(\d\d?)\.(\d{4})(.*)")
Row = dict[str, str | list[str]]


class GenericSettings(ReportSettings):
    """Where the table lies and what its columns are called."""

    path: Path = Path("reports.csv")
    """The table, .csv, .tsv or .jsonl; absolute or below MEDGLIP_DATA."""
    images: Path | None = None
    """Folder of the image paths; that of the table when left out."""
    columns: dict[str, str] = Field(default_factory=dict)
    """Our name of a column to yours, `{report: Befund, image: Pfad}`."""
    modality: str = "xray"
    """Of rows that do not say."""
    encoding: str = "utf-8-sig"
    """Of a .csv: utf-8-sig (UTF-8, with a mark at its beginning or without), cp1252 ..."""
    val_fraction: float = Field(default=0.1, ge=0, lt=0.5)
    """Part of the patients that becomes `val`, without a column split."""
    test_fraction: float = Field(default=0.2, ge=0, lt=0.5)
    """Part of the patients that becomes `test`, without a column split."""


def read_rows(settings: GenericSettings, seed: int, skipped: Skipped) -> list[ReportRow]:
    """Every usable row in file order; the others go to `skipped`.

    Raises `BadInput` for no such table, a column that is not there, an id that stands twice, and a patient in two
    splits.
    """
    file = data_folder(settings.path.parent) / settings.path.name
    images = file.parent if settings.images is None else data_folder(settings.images)
    rows: list[ReportRow] = []
    columns = set[str]()
    for number, row in _read_table(file, settings, skipped):
        columns |= set(row)
        with list_bad(skipped, file, number):
            rows.append(_to_row(row, number, file, images, settings))
    first: dict[str, ReportRow] = {}
    for row in rows:
        if (other := first.setdefault(row.report_id, row)) is not row:
            problem = f"id {row.report_id!r} stands in row {other.row} already."
            raise BadInput(problem, file=row.file, row=row.row, fix="one id a study, or leave the column out")
    if "split" in columns:
        check_groups(rows)
    else:
        rows = draw_splits(rows, settings.val_fraction, settings.test_fraction, seed)
    if columns & {"prior_image", "prior_report"} or "patient" not in columns:
        return rows
    earlier = find_earlier([(row.group, row.taken) for row in rows])
    return [row if k is None else replace(row, prior=rows[k]) for row, k in zip(rows, earlier, strict=True)]


read = partial(rows_to_reports, "generic", read_rows)


# --- a row -----------------------------------------------------------------------------------------------------------


def _to_row(row: Row, number: int, file: Path, images: Path, settings: GenericSettings) -> ReportRow:
    one_line = (name for name in COLUMNS if name not in ("image", "prior_image", "view", "report"))
    text = {name: " ".join(_raw(row, name).split()) for name in one_line}
    split = text["split"].lower()
    if "split" in row and split not in SPLITS:
        raise BadInput(f"split is {text['split']!r}.", fix="train, val or test")
    report_id = text["id"] or f"{file.stem}-{number}"
    # The report's own sections; columns of that name replace them.
    report, prior_text = _raw(row, "report"), _raw(row, "prior_report")
    own = {name: text[name] for name in ("findings", "impression", "indication", "technique", "comparison")}
    sections = parse_sections(report, is_strict=False) if report.strip() else Sections()
    current = ReportRow(
        report_id=report_id,
        dataset=file.stem,
        split=SPLITS.get(split, "train"),
        group=text["patient"] or report_id,
        sections=replace(sections, **{name: words for name, words in own.items() if words}),
        images=_views(row, "image", images, settings.allow_outside),
        modality=parse_modality(text["modality"] or settings.modality),
        taken=parse_date(text["date"]),
        file=file,
        row=number,
    )
    prior_images = _views(row, "prior_image", images, settings.allow_outside)
    if not prior_images and not prior_text.strip():
        return current
    prior = replace(
        current,
        report_id=f"{report_id}-prior",
        sections=parse_sections(prior_text, is_strict=False) if prior_text.strip() else Sections(),
        images=prior_images,
        taken=parse_date(text["prior_date"]),
    )
    return replace(current, prior=prior)


def _views(row: Row, column: str, images: Path, allow_outside: bool) -> tuple[View, ...]:
    """The images of a column and their views. Raises `BadInput` for one that is not there, and for one named twice."""
    names = _list(row, column)
    if column == "image" and column in row and not names:
        raise BadInput("no image named.", fix="give its path, or remove the row")
    if len(set(names)) < len(names):
        raise BadInput(f"one image twice: {names}.", fix="name each once")
    paths = [stay_inside(images, name, allow_outside) for name in names]
    if missing := [path.name for path in paths if not path.is_file()]:
        raise BadInput(f"no image {missing[0]!r} below {images}.", fix="mend the path, or set `images` to its folder")
    views = _list(row, "view") if column == "image" else []
    if views and len(views) != len(names):
        raise BadInput(f"{len(views)} views of {len(names)} images.", fix="one view an image, | between them")
    return tuple(
        View(path=path, name=view, is_frontal=bool(_FRONTAL.match(view)) if view else None)
        for path, view in zip(paths, views or [""] * len(names), strict=True)
    )


def _list(row: Row, column: str) -> list[str]:
    value = row.get(column, "")
    return [name.strip() for name in (value.split("|") if isinstance(value, str) else value) if name.strip()]


def _raw(row: Row, column: str) -> str:
    value = row.get(column, "")
    if not isinstance(value, str):
        raise BadInput(f"{column} is a list.", fix="give one text")
    return value


def parse_date(date: str) -> str:
    """A date as digits that sort, `20240131` or with a time `20240131080500`; "" for none.

    Raises `BadInput` for a date of another form.
    """
    if german := _GERMAN.fullmatch(date):
        day, month, year, time = german.groups()
        date = f"{year}-{int(month):02d}-{int(day):02d}{time}"
    if not date:
        return ""
    if (match := _DATE.fullmatch(date)) is None:
        raise BadInput(f"date is {date!r}.", fix="2024-01-31, 20240131 or 31.01.2024, a time after it or none")
    return "".join(part or "" for part in match.groups())


# --- a table ---------------------------------------------------------------------------------------------------------


def _read_table(file: Path, settings: GenericSettings, skipped: Skipped) -> Iterator[tuple[int, Row]]:
    """Each row under our column names, all of the table's, and its number from 1 (.jsonl: of its line)."""
    if not file.is_file():
        fix = "set `path` to a .csv, .tsv or .jsonl with a row a study, or MEDGLIP_DATA to the folder that holds it"
        raise BadInput("no such table.", file=file, fix=fix)
    if file.suffix.lower() in (".jsonl", ".json"):
        lines = list(numbered_lines(file))
        names = _map_columns(list(dict.fromkeys(name for _, row in lines for name in row)), file, settings)
        for number, row in lines:
            yield number, {ours: _to_cell(row.get(theirs)) for ours, theirs in names.items()}
        return
    fix = "save it as UTF-8, or set `encoding` (cp1252 for most Windows exports)"
    names: dict[str, str] = {}
    for number, row in read_csv(file, (), skipped, delimiter=",;\t", encoding=settings.encoding, fix=fix):
        names = names or _map_columns(list(row), file, settings)
        yield number, {ours: _to_cell(row[theirs], is_csv=True) for ours, theirs in names.items()}


def _map_columns(names: list[str], file: Path, settings: GenericSettings) -> dict[str, str]:
    """Our name of each column that is there -> theirs. Raises `BadInput` naming one that is missing."""
    check_columns(names, (), file)
    lower = {name.strip().lower(): name for name in names}
    for ours, theirs in settings.columns.items():
        if ours not in COLUMNS:
            raise BadInput(f"no column {ours!r} of ours; {nearest(ours, COLUMNS)}", fix="mend `columns` in the recipe")
        if theirs.strip().lower() not in lower:
            hint = nearest(theirs, names)
            raise BadInput(f"no column {theirs!r}.", file=file, row=1, fix=f"mend `columns`: {hint}")
    names_of = COLUMNS | {ours: (theirs.strip().lower(),) for ours, theirs in settings.columns.items()}
    present = {ours: [lower[name] for name in theirs if name in lower] for ours, theirs in names_of.items()}
    columns = {ours: theirs[0] for ours, theirs in present.items() if theirs}
    if not columns.keys() & {"report", "findings", "impression"}:
        problem = f"no column report, findings or impression among: {', '.join(names) or 'nothing'}."
        fix = "rename one, or say which it is: `columns: {report: YOUR_COLUMN}`"
        raise BadInput(problem, file=file, row=1, fix=fix)
    return columns


def _to_cell(value: Any, is_csv: bool = False) -> str | list[str]:
    """Text, numbers as text, null as nothing, a list of paths as it is; in a CSV a JSON list is that list."""
    if is_csv and (value or "").lstrip().startswith("["):
        with suppress(ValueError):  # no JSON: a text in brackets
            value = parse_json(value)
    if isinstance(value, list):
        return [str(part) for part in value]
    return "" if value is None or value != value else str(value)  # NaN, as pandas writes an empty cell
