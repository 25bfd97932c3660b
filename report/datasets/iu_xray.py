"""IU X-ray (Indiana University, Open-i): 3955 chest X-ray reports, 7470 images.

Layout, either: the XML reports `ecgen-radiology/<n>.xml` or their archive `NLMCXR_reports.tgz` as published (read as
it is), and the PNG images of NLMCXR_png.tgz in `images/`, `NLMCXR_png/` or beside (`CXR1_1_IM-0001-3001.png`; also
`1_IM-0001-3001.dcm.png`), where it is there `indiana_projections.csv` (filename, projection: Frontal or Lateral); or
R2Gen's `annotation.json` with `images/`, which goes first (see `r2gen`). Reports without images serve as text.

Source: openi.nlm.nih.gov; Demner-Fushman et al., "Preparing a collection of radiology examinations for distribution and
retrieval", JAMIA 23(2):304-310 (2016). Licence: CC BY-NC-ND 4.0, by the licenceURL of every report: no changed copy may
be passed on. Access: open.
Sections: COMPARISON, INDICATION, FINDINGS, IMPRESSION as tagged; 530 reports have no findings and 28 neither. MeSH
codes go to `meta.mesh`. Marks `XXXX` stand for names and dates, and for many ordinary words ("x-XXXX").
Split: none official; by report (a patient is not named, and few have two), drawn with the seed. Many normal reports
are alike word for word, so that train and test share texts. R2Gen's split by its file. Dates: none, so no priors.
"""

import re
import tarfile
import xml.etree.ElementTree as ElementTree
import zlib
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Literal

from pydantic import Field

from ...grounding.bad_input import BadInput, Skipped, explain
from ...grounding.datasets.corpus import data_folder, stay_inside
from ...grounding.foreign import read_csv
from ..text.sections import Sections
from . import r2gen
from .reading import rows_to_reports
from .rows import ReportRow, ReportSettings, View, draw_splits, first_file, list_bad

ARCHIVE = "NLMCXR_reports.tgz"
XML_FOLDER = "ecgen-radiology"
PROJECTIONS = "indiana_projections.csv"
_MAX_BYTES = 1_000_000  # a report has some 5 kB; larger members of the archive are none


class IuXraySettings(ReportSettings):
    """Where IU X-ray lies, and how much of it is held out."""

    path: Path = Path("iu_xray")
    """Folder of the set; absolute or below MEDGLIP_DATA."""
    layout: Literal["auto", "xml", "r2gen"] = "auto"
    """auto: r2gen where annotation.json is there, else xml."""
    val_fraction: float = Field(default=0.1, ge=0, lt=0.5)
    """Of xml: part of the reports that becomes `val`."""
    test_fraction: float = Field(default=0.2, ge=0, lt=0.5)
    """Of xml: part of the reports that becomes `test`."""


def read_rows(settings: IuXraySettings, seed: int, skipped: Skipped) -> list[ReportRow]:
    """Every report, by number (R2Gen: in file order). Raises `BadInput` for no reports at all and a torn archive."""
    folder = data_folder(settings.path)
    if settings.layout == "r2gen" or (settings.layout == "auto" and (folder / r2gen.FILE).is_file()):
        return r2gen.read_rows(folder, "iu_xray", skipped, settings.allow_outside)
    projections: dict[str, str] = {}  # file name -> Frontal or Lateral
    if (table := folder / PROJECTIONS).is_file():
        table_rows = read_csv(table, ("filename", "projection"), skipped)
        projections = {row["filename"]: row["projection"].strip() for _, row in table_rows}
    rows: list[ReportRow] = []

    def number(document: tuple[Path, bytes]) -> tuple[int, str]:
        file, _ = document
        return int(file.stem) if file.stem.isdigit() else 10**9, file.name

    for file, content in sorted(_read_documents(folder), key=number):
        with list_bad(skipped, file, None):
            rows.append(_to_row(content, file, folder, projections, settings.allow_outside))
    return draw_splits(rows, settings.val_fraction, settings.test_fraction, seed)


read = partial(rows_to_reports, "iu_xray", read_rows)


def _read_documents(folder: Path) -> Iterator[tuple[Path, bytes]]:
    """Every XML report: unpacked ones, else those of the archive."""
    if files := sorted((folder / XML_FOLDER).glob("*.xml")):
        yield from ((file, file.read_bytes()) for file in files)
        return
    archive = folder / ARCHIVE
    if not archive.is_file():
        fix = f"{ARCHIVE} of Open-i, or its folder {XML_FOLDER}, or R2Gen's {r2gen.FILE} belongs there"
        raise BadInput("no reports.", file=folder, fix=fix)
    errors, fix = (tarfile.TarError, OSError, EOFError, zlib.error), "download the archive again"
    with explain("not readable", *errors, file=archive, fix=fix), tarfile.open(archive) as members:
        for member in members:
            if member.isfile() and member.name.endswith(".xml") and member.size <= _MAX_BYTES:
                content = members.extractfile(member)
                assert content is not None  # it is a file
                yield archive / Path(member.name).name, content.read()


def _to_row(content: bytes, file: Path, folder: Path, projections: dict[str, str], allow_outside: bool) -> ReportRow:
    if b"<!ENTITY" in content:  # entities can expand without end
        raise BadInput("XML with entities of its own.", fix="take the file as published")
    with explain("not XML", ElementTree.ParseError, fix="take the file out of the archive again"):
        tree = ElementTree.fromstring(content)
    texts = {node.get("Label", ""): " ".join("".join(node.itertext()).split()) for node in tree.iter("AbstractText")}
    sections = {name: texts.get(name.upper(), "") for name in ("findings", "impression", "indication", "comparison")}
    name = next((node.get("id") for node in tree.findall("uId")), None) or f"CXR{file.stem}"
    folders = [folder / "images", folder / "NLMCXR_png", folder / "images" / "images_normalized", folder]
    images: list[View] = []
    for image in filter(None, (image.get("id") for image in tree.iter("parentImage"))):
        # CXR1_1_IM-0001-3001 -> 1_IM-0001-3001.dcm.png, as a copy on Kaggle calls it
        kaggle = re.sub(r"^CXR(\d+)_(?:\d+_)?", r"\1_", image) + ".dcm.png"
        names = (f"{image}.png", kaggle)
        path = first_file(stay_inside(parent, one, allow_outside) for parent in folders for one in names)
        projection = (projections.get(kaggle, "") or projections.get(path.name, "")).lower()
        is_frontal = {"frontal": True, "lateral": False}.get(projection)
        images.append(View(path=path, name=projection, is_frontal=is_frontal))
    return ReportRow(
        report_id=name,
        dataset="iu_xray",
        split="train",
        group=name,
        sections=Sections(**sections),
        images=tuple(images),
        meta={"mesh": [code.text.strip() for code in tree.iter("major") if code.text and code.text.strip()]},
        file=file,
        row=name,
    )
