"""The tool `report` and what the page downloads: a grounded report, or the description of one box, in every form."""

import base64
import json
import mimetypes
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...grounding.bad_input import BadInput
from ...grounding.imaging.read import is_dicom
from ..inference.system import TrainedSystem
from ..inference.user_image import user_image, user_report
from ..inference.write_report import Outputs, write_description, write_grounded
from .switch import plain_source

FORMS = ("html", "pdf", "dicom")
"""Beside the JSON."""


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """What a report is written of and for. `box`: x0,y0,x1,y1, which alone is described; "": the whole image."""

    images: tuple[Path, ...]
    modality: str = ""
    indication: str = ""
    prior: tuple[Path, ...] = ()
    prior_report: str = ""
    evidence: str = "predicted"
    box: str = ""
    forms: Collection[str] = ()


def write_files(system: TrainedSystem, wanted: Wanted, folder: Path) -> tuple[dict[str, Any], list[Path]]:
    """The report of the first image as JSON with its list to check, and every file that was written into the folder."""
    source = plain_source(system) if wanted.evidence == "none" else wanted.evidence
    if "dicom" in wanted.forms and not all(is_dicom(image) for image in wanted.images):
        raise BadInput("DICOM objects are written about DICOM files.", fix="leave dicom out, or give a DICOM file")
    outputs = Outputs(folder=folder, pdf="pdf" in wanted.forms, dicom="dicom" in wanted.forms)
    if wanted.box:
        image = user_image(wanted.images[0], wanted.modality)
        lines = write_description(system, image, wanted.box, outputs)
    else:
        prior_file = folder / "prior.txt" if wanted.prior_report.strip() else None
        if prior_file:
            folder.mkdir(parents=True, exist_ok=True)
            prior_file.write_text(wanted.prior_report, encoding="utf-8")
        study = user_report(
            wanted.images, wanted.modality, wanted.prior, prior_file, indication=" ".join(wanted.indication.split())
        )
        lines = write_grounded(system, study, source, outputs)
        if prior_file:
            prior_file.unlink()
    files = sorted(file for file in folder.iterdir() if not file.name.startswith("."))
    first = next(file for file in files if file.suffix == ".json" and file.stem.startswith(wanted.images[0].stem))
    told: dict[str, Any] = json.loads(first.read_text(encoding="utf-8"))
    checks = [line.removeprefix("to check: ") for line in lines if line.startswith("to check: ")]
    notes = [line for line in lines if line.startswith("note: ")]
    return told | {"to_check": checks, "notes": [*notes, *told.get("notes", [])]}, files


def as_address(file: Path) -> str:
    """A file as a `data:` address."""
    kind = "application/dicom" if file.suffix == ".dcm" else mimetypes.guess_type(file.name)[0]
    return f"data:{kind or 'application/octet-stream'};base64,{base64.b64encode(file.read_bytes()).decode()}"
