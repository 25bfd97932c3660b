"""What DICOM objects about a report carry: the file it is about, what made it, labels as codes. Needs highdicom.

DICOM asks that derived objects carry the patient and study of their source. They are copied from the source's data
set and from nowhere else, are never printed, and no message here quotes an element of the file. Texts beyond those
that say who and which study (comments, descriptions, physicians, institution, station) leave only where asked for.
"""

import logging
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

from highdicom.coding_schemes import CodingSchemeIdentificationItem
from highdicom.sr import CodedConcept
from pydicom import DataElement, Dataset
from pydicom.sr.codedict import codes
from pydicom.sr.coding import Code
from pydicom.uid import generate_uid

from ...grounding.bad_input import BadInput
from ...grounding.files import sha256, write_atomic
from ...grounding.imaging.dicom import parse_dicom
from ...grounding.types import NOTICE
from ...grounding.vocabulary.labels import load_labels
from .grounded import GroundedReport

SERIES_NUMBER = 9001
"""Of segmentations; reports have the next. Far from those of scanners."""
SCHEME = "99MEDGLIP"
"""Designator of our private codes: labels as the label tree has them."""
_OTHER_MEANING = ("radius", "ventricle")
"""Labels whose name is another thing in the dictionary: a length, and the heart's chamber."""
_NEEDED = ("SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID", "Rows", "Columns", "Modality")
_MAY_BE_EMPTY = (
    *("PatientID", "PatientName", "PatientBirthDate", "PatientSex"),
    *("AccessionNumber", "StudyID", "StudyDate", "StudyTime", "ReferringPhysicianName"),
)
"""Elements that a derived object must hold, empty where nothing is known."""
_IDENTITY = ("PatientName", "PatientID", "IssuerOfPatientID", "AccessionNumber", "StudyID", "ReferringPhysicianName")
_PLACE = ("PositionReferenceIndicator", "ContainerIdentifier")
"""Texts that are no description: who and which study; where the pixels lie."""
_TEXTS = ("LO", "LT", "PN", "SH", "ST", "UC", "UT")
_ABOUT_VISIT = (0x0010, 0x0032, 0x0038)
"""Groups of the patient and the visit: their sequences are descriptions, as are those that these words are in."""
_WORDS = re.compile("Physician|Operator|Diagnos|Procedure|Institution|Patient")
_ANIMAL = range(0x0010_2200, 0x0010_2297)  # species and breed, which DICOM asks for where the patient is no human
_EQUIPMENT = ("InstitutionName", "StationName")


@dataclass(frozen=True, kw_only=True, eq=False)
class DicomSource:
    """`header`: the data set without its pixels. `frame`: number, from 1, of the frame that was read; None: only one.

    `num_frames`: of the file.
    """

    header: Dataset
    frame: int | None
    num_frames: int


def read_source(path: Path, report: GroundedReport, keep_descriptive: bool = False) -> DicomSource:
    """The file as the source of objects about a report of it.

    What it must hold and does not is set empty in memory; nothing is invented. Unless `keep_descriptive`, texts and
    sequences that describe patient, visit or place beyond `_IDENTITY` are taken out. Raises `BadInput` for a file that
    is no DICOM file, is no image, or is not of the report's size.
    """
    with silence(path):
        header = parse_dicom(path, None, stop_before_pixels=True)
        for item in () if keep_descriptive else list(header):
            if _is_descriptive(item):
                del header[item.tag]
        missing = [name for name in _NEEDED if not header.get(name)]
    if missing:
        raise BadInput(f"the file lacks {', '.join(missing)}.", file=path, fix="export the image again")
    for name in _MAY_BE_EMPTY:
        if name not in header:
            setattr(header, name, "")
    size_px = (int(header.Columns), int(header.Rows))
    if size_px != report.size_px:
        raise BadInput(f"image of {size_px}, report of {report.size_px} pixels.", file=path)
    count = int(header.get("NumberOfFrames") or 1)
    # Of several frames the middle one is read (`grounding.imaging.dicom`), so that is the one referred to.
    return DicomSource(header=header, frame=count // 2 + 1 if count > 1 else None, num_frames=count)


def _is_descriptive(item: DataElement) -> bool:
    if item.keyword in (*_IDENTITY, *_PLACE) or item.tag in _ANIMAL:
        return False
    is_about = item.tag.group in _ABOUT_VISIT or _WORDS.search(item.keyword) is not None
    return item.VR in _TEXTS or (item.VR == "SQ" and is_about)


@contextmanager
def silence(path: Path) -> Iterator[None]:
    """Logs and warnings of libraries are silent, errors carry no text: any may quote a patient's name."""
    before = logging.root.manager.disable
    logging.disable()
    try:
        with warnings.catch_warnings(action="ignore"):
            yield
    except BadInput:
        raise
    except Exception as error:
        fix = "is it a radiograph, CT, MR or another image with the elements DICOM asks for?"
        raise BadInput(f"no DICOM object can be made of it ({type(error).__name__}).", file=path, fix=fix) from None
    finally:
        logging.disable(before)


def software_facts(report: GroundedReport) -> dict[str, str]:
    """What made the report, by name, without backslashes; empty values are left out."""
    values = {
        "Notice": NOTICE,
        "Model": report.model,
        "Adapter": report.adapter,
        "Grounder": report.grounder,
        "Evidence": report.evidence,
        "Versions": " ".join(f"{name} {version}" for name, version in report.versions.items()),
    }
    return {name: value.replace("\\", "/") for name, value in values.items() if value}


def object_facts(report: GroundedReport, series_number: int) -> dict[str, Any]:
    """A new object's ids, what made it, and the notice, as arguments of highdicom's classes."""
    return {
        "series_instance_uid": generate_uid(),
        "series_number": series_number,
        "sop_instance_uid": generate_uid(),
        "instance_number": 1,
        "manufacturer": "medglip",
        "manufacturer_model_name": f"{report.model} {report.adapter}".strip()[:64] or "medglip",
        "software_versions": [f"{name} {version}"[:64] for name, version in report.versions.items()] or "medglip",
        "device_serial_number": sha256(f"{report.model} {report.adapter} {report.grounder}")[:16],
        "series_description": NOTICE,
        "specific_character_set": "ISO_IR 192",  # UTF-8: a report's words may be of any language
        "coding_schemes": [CodingSchemeIdentificationItem(designator=SCHEME, name="Labels of medglip")],
    }


def tracking_uid(report: GroundedReport, source: DicomSource, number: int) -> str:
    """The same for a region in every object about one report of one image: it ties segments and findings together."""
    return str(generate_uid(entropy_srcs=[str(source.header.SOPInstanceUID), report.report_id, str(number)]))


def save(dataset: Dataset, source: DicomSource, out: Path) -> None:
    """Write a DICOM object whole or not at all, with institution and station where the source still holds them."""
    for name in _EQUIPMENT:
        if source.header.get(name):
            setattr(dataset, name, source.header.get(name))
    buffer = BytesIO()
    dataset.save_as(buffer, enforce_file_format=True)
    write_atomic(out, buffer.getvalue())


# --- labels as codes -------------------------------------------------------------------------------------------------
# SNOMED CT where pydicom's dictionary knows the label by its own name, else a private code. Synonyms are not tried:
# "lung cancer" is narrower than our "lung tumor", and a code that says more than the image is worse than none.


def concept(phrase: str) -> CodedConcept:
    """The code of a phrase, without its side where the rest is a SNOMED CT concept (`side` has it).

        nodule -> SCT Nodule      left lung -> SCT Lung, side Left      blue spot -> 99MEDGLIP blue-spot

    A private code's meaning are the phrase's own words. The side is a modifier, as DICOM's templates have it (PS3.16,
    TID 1410 and CID 244).
    """
    label = load_labels().label(phrase) or phrase
    if (known := _snomed(label) or _snomed(label.removeprefix("left ").removeprefix("right "))) is not None:
        return CodedConcept.from_code(known)
    private = re.sub(r"[^a-z0-9]+", "-", phrase.lower())[:64].strip("-")
    return CodedConcept(private or "region", SCHEME, shorten(phrase))


def side(phrase: str) -> CodedConcept | None:
    """Left or right (the patient's), where `concept` left it out; None for one without a side or that holds it."""
    label = load_labels().label(phrase) or phrase
    rest = label.removeprefix("left ").removeprefix("right ")
    if rest == label or _snomed(label) is not None or _snomed(rest) is None:
        return None
    return CodedConcept.from_code(codes.SCT.Left if label.startswith("left ") else codes.SCT.Right)


def shorten(text: str) -> str:
    """The text as DICOM's long strings allow it: at most 64 characters, no backslash, no line break."""
    return " ".join(text.replace("\\", "/").split())[:64]


def _snomed(label: str) -> Code | None:
    """The SNOMED CT concept of this name, which is a keyword of the dictionary ("PleuralEffusion")."""
    keyword = "".join(word.capitalize() for word in re.findall(r"[a-z0-9]+", label.lower()))
    return None if label in _OTHER_MEANING else getattr(codes.SCT, keyword, None)
