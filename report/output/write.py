"""A grounded report to disk: JSON for programs, HTML for people; PDF and DICOM objects where they are asked for."""

import json
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from PIL import Image

from ...grounding.bad_input import BadInput
from ...grounding.files import write_together
from ...grounding.imaging.read import is_dicom
from .grounded import GroundedReport, file_stem, to_json
from .html import page

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome", "msedge")
"""Commands of browsers that print a page to PDF, in order of preference."""
# The first line prints; the second keeps the browser from the network.
_FLAGS = (
    *("--headless", "--disable-gpu", "--no-first-run", "--no-pdf-header-footer"),
    *("--disable-quic", "--disable-background-networking", "--disable-component-update", "--disable-sync"),
)


def write(
    report: GroundedReport, image: Image.Image, folder: Path, *, pdf: bool = False, heading: str = "Findings"
) -> list[Path]:
    """Write `<report_id>.json` and `<report_id>.html` into the folder, both whole or neither; returns both.

    `image`: the original image, embedded in the page. `pdf`: `<report_id>.pdf` too; raises `BadInput`, with the other
    files written, where no browser can print. Characters of the id that a file name cannot hold become `_`.
    """
    stem = file_stem(report.report_id)
    files = [folder / f"{stem}.json", folder / f"{stem}.html"]
    text = json.dumps(to_json(report), indent=1, ensure_ascii=False) + "\n"
    write_together(dict(zip(files, (text, page(report, image, heading=heading)), strict=True)))
    return [*files, write_pdf(files[1], folder / f"{stem}.pdf")] if pdf else files


def find_browser() -> str:
    """The browser that prints. Raises `BadInput` where none is installed."""
    if browser := next(filter(None, map(shutil.which, BROWSERS)), None):
        return browser
    fix = "install Chromium or Chrome, or leave --pdf out, open the HTML page and print it from your browser"
    raise BadInput("no browser here can print a PDF.", fix=fix)


def write_pdf(page: Path, pdf: Path, *, timeout_s: float = 120) -> Path:
    """Print an HTML file to a PDF in an installed browser, whole or not at all; returns it. Nothing is fetched.

    Raises `BadInput` where no such browser is installed, and where it fails or takes longer than `timeout_s`.
    """
    browser = find_browser()
    with tempfile.TemporaryDirectory() as folder:
        partial = Path(folder) / "page.pdf"
        command = [browser, *_FLAGS, f"--user-data-dir={folder}/profile", f"--print-to-pdf={partial}"]
        if hasattr(os, "geteuid") and os.geteuid() == 0:
            command.append("--no-sandbox")  # Chromium refuses root otherwise; the page may load nothing at all
        try:
            done = subprocess.run([*command, page.resolve().as_uri()], capture_output=True, timeout=timeout_s)
            why = f"exit code {done.returncode}" if done.returncode or not partial.is_file() else ""
        except (OSError, subprocess.TimeoutExpired) as error:
            why = type(error).__name__
        if why:
            raise BadInput(f"the browser printed no PDF ({why}).", file=page, fix="open the page and print it")
        pdf.parent.mkdir(parents=True, exist_ok=True)
        # The temporary folder may be on another disk, where a rename is no longer whole or nothing.
        beside = pdf.with_name(f".{pdf.name}.{os.getpid()}")
        shutil.copyfile(partial, beside)
        return beside.replace(pdf)


def write_dicom(report: GroundedReport, source: Path, folder: Path, keep_descriptive: bool = False) -> list[Path]:
    """Write `<report_id>.sr.dcm` and, where a region has a mask, `<report_id>.seg.dcm` about the DICOM file `source`.

    They carry who the patient is and which study, as DICOM asks of derived objects; comments, descriptions, institution
    and station only with `keep_descriptive`. Raises `BadInput` for other files.
    """
    if not is_dicom(source):
        raise BadInput("DICOM objects are written about DICOM files.", file=source, fix="leave --dicom out")
    from .dicom_seg import write_seg  # highdicom takes a second, so it is imported only here
    from .dicom_sr import write_sr

    stem = file_stem(report.report_id)
    files = [write_sr(report, source, folder / f"{stem}.sr.dcm", keep_descriptive)]
    if any(region.mask is not None for region in report.all_regions):
        files.append(write_seg(report, source, folder / f"{stem}.seg.dcm", keep_descriptive))
    return files
