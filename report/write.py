"""A grounded report to disk: one JSON file for programs, one HTML page for people."""

import hashlib
import json
import re
from pathlib import Path

from PIL import Image

from ..grounding.records import write_atomic
from .grounded import GroundedReport, to_json
from .html import page


def write(report: GroundedReport, image: Image.Image, folder: Path) -> list[Path]:
    """Write `<report_id>.json` and `<report_id>.html` into the folder, each whole or not at all; returns both.

    `image`: the original picture, embedded in the page. Characters of the id that a file name cannot hold become `_`.
    """
    stem = file_stem(report.report_id)
    files = [folder / f"{stem}.json", folder / f"{stem}.html"]
    write_atomic(files[0], json.dumps(to_json(report), indent=1, ensure_ascii=False) + "\n")
    write_atomic(files[1], page(report, image))
    return files


def file_stem(report_id: str) -> str:
    """A file name of the id; a changed id gets a few characters of its hash, so that no two ids share a file."""
    stem = re.sub(r"[^\w.-]", "_", report_id, flags=re.ASCII).lstrip(".")[:100]
    return stem if stem == report_id else f"{stem}-{hashlib.sha256(report_id.encode()).hexdigest()[:8]}"
