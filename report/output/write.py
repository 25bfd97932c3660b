"""A grounded report to disk: JSON for programs, HTML for people; PDF and DICOM objects where they are asked for."""

import json
from pathlib import Path

from PIL import Image

from ...grounding.bad_input import BadInput
from ...grounding.files import write_atomic
from ...grounding.imaging.read import is_dicom
from .grounded import GroundedReport, file_stem, to_json
from .html import page
from .pdf import write_pdf


def write(
    report: GroundedReport, image: Image.Image, folder: Path, *, pdf: bool = False, heading: str = "Findings"
) -> list[Path]:
    """Write `<report_id>.json` and `<report_id>.html` into the folder, each whole or not at all; returns both.

    `image`: the original image, embedded in the page. `pdf`: `<report_id>.pdf` too; raises `BadInput`, with the other
    files written, where no browser can print. Characters of the id that a file name cannot hold become `_`.
    """
    stem = file_stem(report.report_id)
    files = [folder / f"{stem}.json", folder / f"{stem}.html"]
    write_atomic(files[0], json.dumps(to_json(report), indent=1, ensure_ascii=False) + "\n")
    write_atomic(files[1], page(report, image, heading=heading))
    return [*files, write_pdf(files[1], folder / f"{stem}.pdf")] if pdf else files


def write_dicom(report: GroundedReport, source: Path, folder: Path) -> list[Path]:
    """Write `<report_id>.sr.dcm` and, where a region has a mask, `<report_id>.seg.dcm` about the DICOM file `source`.

    They carry the patient and study of `source`, as DICOM asks of derived objects. Raises `BadInput` for other files,
    and where highdicom is not installed.
    """
    if not is_dicom(source):
        raise BadInput("DICOM objects are written about DICOM files.", file=source, fix="leave --dicom out")
    try:  # highdicom is an extra, so what needs it is imported only here
        from .dicom_seg import write_seg
        from .dicom_sr import write_sr
    except ImportError:
        raise BadInput("highdicom is not installed.", fix="pip install 'medglip[dicom]'") from None
    stem = file_stem(report.report_id)
    files = [write_sr(report, source, folder / f"{stem}.sr.dcm")]
    if any(region.mask is not None for region in report.all_regions):
        files.append(write_seg(report, source, folder / f"{stem}.seg.dcm"))
    return files
