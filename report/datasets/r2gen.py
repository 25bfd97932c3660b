"""R2Gen's `annotation.json`: the form in which most work on IU X-ray and MIMIC-CXR has its reports.

Layout: `{"train" | "val" | "test": [{id, report, image_path: [...], split}, ...]}` beside `images/` (paths below it);
IU X-ray has two paths a report (`CXR2384_IM-0942/0.png`, `/1.png`: frontal first, as its makers say of most), MIMIC-CXR
one, and `study_id` and `subject_id` besides. `report` is the findings section; there is nothing else of the report.
Source: Chen et al., "Generating Radiology Reports via Memory-driven Transformer", EMNLP 2020
(github.com/cuhksz-nlp/R2Gen). Licence: that of the reports, see `iu_xray` and `mimic_cxr` (credentials needed).
Split: theirs, by the file. Groups: subject_id, else the patient of the path, else the report's number (`CXR2384`).
"""

import re
from pathlib import Path
from typing import Any

from ...grounding.bad_input import BadInput, Skipped
from ...grounding.datasets.corpus import stay_inside
from ...grounding.foreign import read_json
from ..text.sections import Sections
from .rows import ReportRow, View, first_file, list_bad

FILE = "annotation.json"
SPLITS = ("train", "val", "test")
# MIMIC-CXR's paths name the patient: p10/p10000032/s50414267/...
_PATIENT = re.compile(r"(?:^|/)(p\d{8})(?:/|$)")


def read_rows(folder: Path, dataset: str, skipped: Skipped, allow_outside: bool = False) -> list[ReportRow]:
    """Every report in file order, train first. Raises `BadInput` for a missing or torn file and one of another form."""
    file = folder / FILE
    fix = 'R2Gen\'s file: {"train": [{id, report, image_path}], "val": [...], "test": [...]}'
    splits = read_json(file, fix)
    if not isinstance(splits, dict) or not splits.keys() & {*SPLITS}:
        raise BadInput("no list under train, val or test.", file=file, fix=fix)
    if other := [split for split in SPLITS if not isinstance(splits.get(split, []), list)]:
        raise BadInput(f"no list under {', '.join(other)}.", file=file, fix=fix)
    rows: list[ReportRow] = []
    for split in SPLITS:
        for number, row in enumerate(splits.get(split, []), 1):
            with list_bad(skipped, file, f"{split} {number}"):
                rows.append(_to_row(row, split, folder, dataset, f"{split} {number}", allow_outside))
    return rows


def _to_row(row: Any, split: str, folder: Path, dataset: str, number: str, allow_outside: bool) -> ReportRow:
    names = row.get("image_path") if isinstance(row, dict) else None
    if not isinstance(row, dict) or not isinstance(row.get("report"), str) or "id" not in row:
        raise BadInput("a row needs id, report and image_path.", fix="remove the row")
    if not isinstance(names, list) or not names or not all(isinstance(name, str) and name for name in names):
        raise BadInput(f"image_path is {names!r}.", fix="a list of paths below images/")
    if row.get("subject_id"):
        group = f"p{row['subject_id']}"
    else:
        patient = _PATIENT.search(names[0])
        group = patient[1] if patient else str(row["id"]).split("_")[0]
    folders = (folder / "images", folder / "files", folder)
    return ReportRow(
        report_id=str(row["id"]),
        dataset=dataset,
        split=split,
        group=group,
        sections=Sections(findings=" ".join(row["report"].split())),
        images=tuple(
            View(path=first_file(stay_inside(parent, name, allow_outside) for parent in folders)) for name in names
        ),
        file=folder / FILE,
        row=number,
    )
