"""MIMIC-CXR: free-text reports of chest X-rays with their images, as MIMIC-CXR-JPG (or the DICOM files).

Layout: `<path>/files/p10/p10000032/s50414267/<dicom_id>.jpg` (also .png, .dcm), `<path>/mimic-cxr-2.0.0-split.csv.gz`
and `-metadata.csv.gz`, where it is there `-chexpert.csv.gz` (to `meta.chexpert`, 1 / 0 / -1, never given to a model);
the reports of mimic-cxr-reports.zip `files/p10/p10000032/s50414267.txt` in the same folder, in `mimic-cxr-reports` in
it, or in `reports`. Versions
2.0.0 and 2.1.0, .csv as well as .csv.gz. Not read here: R2Gen's `annotation.json` (see `r2gen`).

Source: physionet.org/content/mimic-cxr (2.1.0) and physionet.org/content/mimic-cxr-jpg (2.1.0): 227,835 studies of
65,379 patients at Beth Israel Deaconess Medical Center 2011-2016. Cite Johnson et al., "MIMIC-CXR, a de-identified
publicly available database of chest radiographs with free-text reports", Sci Data 6:317 (2019); Johnson et al.,
"MIMIC-CXR-JPG", arXiv:1901.07042; Goldberger et al., PhysioNet (2000). Licence: PhysioNet Credentialed Health Data
License 1.5.0: access by training and signed agreement only; nothing of it may be passed on, and no text of it may be
sent to services of others.
Split: official (train, validate, test), by patient. Patients are the groups. Images of MS-CXR and of Chest ImaGenome
are of the same patients: keep the scored ones out of other training.
True regions: those of MS-CXR, on its 1,047 frontal images (`ms_cxr`); other findings of an image are unknown.
Sections: `report.text.sections`. Priors: the same patient's latest study strictly before this one by StudyDate and
StudyTime (the dates are shifted, a patient's all alike). Views: ViewPosition, PA and AP are frontal; where it is empty
ViewCodeSequence_CodeMeaning.
"""

import logging
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

from tqdm.auto import tqdm

from ...grounding.bad_input import ROW_ERRORS, BadInput, Skipped, explain_row
from ...grounding.datasets.corpus import data_folder
from ...grounding.datasets.layouts.ms_cxr import read_boxes, regions_of
from ...grounding.datasets.mimic import is_frontal
from ...grounding.foreign import read_csv, read_text
from ..text.sections import parse_sections
from . import r2gen
from .reading import rows_to_reports
from .rows import Outline, ReportRow, ReportSettings, View, find_earlier, first_file, list_bad

logger = logging.getLogger("medglip")

SPLITS = {"train": "train", "validate": "val", "test": "test"}
COLUMNS = {
    "split": ("dicom_id", "study_id", "subject_id", "split"),
    "metadata": ("dicom_id", "study_id", "subject_id", "ViewPosition", "StudyDate", "StudyTime"),
    "chexpert": ("subject_id", "study_id"),
}
_SUFFIXES = (".jpg", ".jpeg", ".png", ".dcm")


class MimicCxrSettings(ReportSettings):
    """Where MIMIC-CXR lies."""

    path: Path = Path("mimic_cxr")
    """Folder with files/ and the csv files, or with R2Gen's annotation.json; absolute or below MEDGLIP_DATA."""
    reports: Path | None = None
    """Folder whose files/ holds the reports, where it is another one."""
    ms_cxr: Path | None = None
    """Folder of MS-CXR, or its file: its boxes are true regions, for the source `oracle`, each called by its category
    (its sentences are of the reports that are to be written). Studies without boxes have none."""
    decode_images: bool = False
    """As for every set; off, because decoding every film takes a day."""


@dataclass(frozen=True, kw_only=True)
class _Study:
    """One study as the csv files have it, no file of its own opened."""

    subject: str
    study: str
    split: str
    row: int
    taken: str = ""
    views: list[tuple[str, str, bool | None]] = field(default_factory=list)
    """(dicom_id, ViewPosition, whether it is frontal)"""


def read_rows(settings: MimicCxrSettings, seed: int, skipped: Skipped) -> list[ReportRow]:
    """Every study with a report, in the split file's order; `seed` counts for nothing, the split is official.

    Raises `BadInput` for a missing csv file or column; studies without a report file go to `skipped`.
    """
    folder = data_folder(settings.path)
    tables: dict[str, Path] = {}
    for kind in COLUMNS:  # the newest of a kind, packed or not
        if files := [*folder.glob(f"mimic-cxr-*-{kind}.csv.gz"), *folder.glob(f"mimic-cxr-*-{kind}.csv")]:
            tables[kind] = max(files)
    if "split" not in tables and (folder / r2gen.FILE).is_file():
        return r2gen.read_rows(folder, "mimic_cxr", skipped, settings.allow_outside)
    for kind in ("metadata", "split"):
        if kind not in tables:
            fix = "it is part of MIMIC-CXR-JPG: put it into this folder"
            raise BadInput("no such file.", file=folder / f"mimic-cxr-2.0.0-{kind}.csv.gz", fix=fix)
    if "chexpert" not in tables:
        logger.warning("note: %s holds no -chexpert.csv.gz, so label F1 has no labels of MIMIC-CXR-JPG", folder)
    studies = _read_studies(tables["split"], tables["metadata"], skipped)
    # Study id -> its labels 1, 0 or -1 (uncertain); those not mentioned are left out.
    labels: dict[str, dict[str, int]] = {}
    for number, row in _read_table(tables["chexpert"], "chexpert", skipped) if "chexpert" in tables else ():
        values = {name: value for name, value in row.items() if value and name not in COLUMNS["chexpert"]}
        with list_bad(skipped, tables["chexpert"], number):
            labels[row["study_id"]] = {name: round(float(value)) for name, value in values.items()}
    outlines = _outlines(settings.ms_cxr, skipped) if settings.ms_cxr else {}
    earlier = find_earlier([(study.subject, study.taken) for study in studies])
    # With a limit twice as many of each split are read, since some have no usable report.
    counts: Counter[str] = Counter()
    wanted: list[int] = []
    for index, study in enumerate(studies):
        counts[study.split] += 1
        if settings.limit is None or counts[study.split] <= 2 * settings.limit:
            wanted.append(index)
    built: dict[int, ReportRow | None] = {}  # a study may be read for itself and as the prior of another
    rows: list[ReportRow] = []
    for index in tqdm(wanted, desc="reports", unit="report", disable=None):
        prior = earlier[index]
        for needed in (index, prior):
            if needed is not None and needed not in built:
                built[needed] = _to_row(studies[needed], folder, settings, tables["split"], labels, outlines, skipped)
        if (row := built[index]) is not None:
            rows.append(replace(row, prior=None if prior is None else built[prior]))
    _note_gaps(folder, [studies[index] for index in built], rows)
    return rows


read = partial(rows_to_reports, "mimic_cxr", read_rows)


def _note_gaps(folder: Path, studies: Sequence[_Study], rows: Sequence[ReportRow]) -> None:
    """One line where reports are not there, and one where pictures are not: a copy may be half of the set."""
    usable = {row.report_id for row in rows}
    no_report = [f"s{study.study}" for study in studies if f"s{study.study}" not in usable]
    no_picture = [row.report_id for row in rows if not all(view.path.is_file() for view in row.images)]
    for names, what in ((no_report, "a report that can be read"), (no_picture, "a picture")):
        if names:
            note = "note: %s: %d of %d studies lack %s, first %s; what is there is used"
            logger.warning(note, folder, len(names), len(studies), what, names[0])


def _outlines(place: Path, skipped: Skipped) -> dict[str, Outline]:
    """By DICOM id what finds the boxes of MS-CXR in an image of a size."""
    folder = data_folder(place.parent) / place.name if place.suffix in (".csv", ".json") else data_folder(place)
    file, by_image = read_boxes(folder, skipped)

    def outline(rows: Any) -> Outline:
        return lambda size: regions_of(rows, size, file, skipped, by_category=True)[0]

    return {dicom_id: outline(rows) for dicom_id, rows in by_image.items()}


def _to_row(
    study: _Study,
    folder: Path,
    settings: MimicCxrSettings,
    file: Path,
    labels: dict[str, Any],
    outlines: dict[str, Outline],
    skipped: Skipped,
) -> ReportRow | None:
    """The study with its report read; None, and listed, where that is not there or holds no text."""
    below = f"files/p{study.subject[:2]}/p{study.subject}/s{study.study}"
    try:
        given = [data_folder(settings.reports)] if settings.reports else []
        folders = [*given, folder, folder / "mimic-cxr-reports"]
        report = first_file(parent / f"{below}.txt" for parent in folders)
        if not report.is_file():
            fix = "unpack mimic-cxr-reports.zip there, or set reports"
            raise BadInput("no report of this study.", file=folder / f"{below}.txt", fix=fix)
        sections = parse_sections(read_text(report).replace("\r\n", "\n"))
    except ROW_ERRORS as error:
        skipped.add(f"study s{study.study}", explain_row(error, file, study.row))
        return None
    images: list[View] = []
    for dicom, name, frontal in study.views:
        path = first_file(folder / below / f"{dicom}{suffix}" for suffix in _SUFFIXES)
        images.append(View(path=path, name=name, is_frontal=frontal, outline=outlines.get(dicom)))
    return ReportRow(
        report_id=f"s{study.study}",
        dataset="mimic_cxr",
        split=study.split,
        group=f"p{study.subject}",
        sections=sections,
        images=tuple(images),
        taken=study.taken,
        meta={"chexpert": labels[study.study]} if labels.get(study.study) else {},
        file=file,
        row=study.row,
    )


# --- csv files -------------------------------------------------------------------------------------------------------


def _read_studies(file: Path, metadata: Path, skipped: Skipped) -> list[_Study]:
    """Studies in the split file's order, images in the same, views and times from the metadata."""
    known = {  # no more of a row: there are 377,110
        row["dicom_id"]: (row["ViewPosition"], is_frontal(row), row["StudyDate"], row["StudyTime"])
        for _, row in _read_table(metadata, "metadata", skipped)
    }
    studies: dict[str, _Study] = {}
    times: defaultdict[str, list[str]] = defaultdict(list)
    num_rows = unknown = 0
    for number, row in _read_table(file, "split", skipped):
        num_rows, unknown = num_rows + 1, unknown + (row["dicom_id"] not in known)
        if (split := SPLITS.get(row["split"])) is None:
            problem = f"split is {row['split']!r}."
            raise BadInput(problem, file=file, row=number, fix="train, validate or test, as published")
        name, unseen = row["study_id"], ("", None, "", "")
        position, frontal, date, time = known.get(row["dicom_id"], unseen)
        # One row an image: the first makes the study, the others join it.
        new = _Study(subject=row["subject_id"], study=name, split=split, row=number)
        studies.setdefault(name, new).views.append((row["dicom_id"], position, frontal))
        if date:
            times[name].append(join_time(date, time))
    if unknown:
        note = "note: %s lacks %d of the %d images of %s: take both of one version; these go without view and time"
        logger.warning(note, metadata, unknown, num_rows, file.name)
    return [replace(study, taken=min(times[name], default="")) for name, study in studies.items()]


def join_time(date: str, time: str) -> str:
    """StudyDate `21800506`, StudyTime `80556.875` (8 h 5 min: leading zeros are lost) -> `21800506080556875`."""
    whole, _, part = time.partition(".")
    return f"{date.strip()}{whole.strip().zfill(6)}{part.strip().ljust(3, '0')[:3]}"


def _read_table(file: Path, kind: str, skipped: Skipped) -> Iterator[tuple[int, dict[str, str]]]:
    """Each row and its number from 1. Raises `BadInput` for a missing column and a torn file."""
    for number, row in read_csv(file, COLUMNS[kind], skipped):
        yield number, {name: value.strip() for name, value in row.items()}
