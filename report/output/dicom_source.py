"""The DICOM file that a report is about, as far as objects derived from it must name it. Needs highdicom.

DICOM asks that derived objects carry the patient and study of their source. They are copied from the source's data
set and from nowhere else, are never printed, and no message here quotes an element of the file.
"""

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from pydicom import Dataset, dcmread
from pydicom.errors import InvalidDicomError

from ...grounding.bad_input import BadInput
from ...grounding.types import NOTICE
from .grounded import GroundedReport

_NEEDED = ("SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID", "Rows", "Columns", "Modality")
_MAY_BE_EMPTY = (
    "PatientID",
    "PatientName",
    "PatientBirthDate",
    "PatientSex",
    "AccessionNumber",
    "StudyID",
    "StudyDate",
    "StudyTime",
    "ReferringPhysicianName",
)
"""Elements that a derived object must hold, empty where nothing is known."""


@dataclass(frozen=True, kw_only=True, eq=False)
class DicomSource:
    """`header`: the data set without its pixels. `frame`: number, from 1, of the frame that was read; None: only one.

    `num_frames`: of the file.
    """

    header: Dataset
    frame: int | None
    num_frames: int

    @property
    def size_px(self) -> tuple[int, int]:
        """(width, height) of a frame."""
        return int(self.header.Columns), int(self.header.Rows)


def read_source(path: Path, report: GroundedReport) -> DicomSource:
    """The file as the source of objects about a report of it.

    What it must hold and does not is set empty in memory; nothing is invented. Raises `BadInput` for a file that is no
    DICOM file, is no image, or is not of the report's size.
    """
    need_highdicom()
    with quiet(path):
        header = _header(path)
        missing = [name for name in _NEEDED if not header.get(name)]
    if missing:
        raise BadInput(f"the file lacks {', '.join(missing)}.", file=path, fix="export the image again")
    for name in _MAY_BE_EMPTY:
        if name not in header:
            setattr(header, name, "")
    count = int(header.get("NumberOfFrames") or 1)
    source = DicomSource(header=header, frame=count // 2 + 1 if count > 1 else None, num_frames=count)
    if source.size_px != report.size_px:
        raise BadInput(f"image of {source.size_px}, report of {report.size_px} pixels.", file=path)
    return source


def _header(path: Path) -> Dataset:
    try:
        return dcmread(path, stop_before_pixels=True)
    except InvalidDicomError:
        raise BadInput("not a DICOM file.", file=path, fix="DICOM objects are written about DICOM images") from None


def need_highdicom() -> None:
    """Raises `BadInput` where highdicom is not installed."""
    try:
        import highdicom  # noqa: F401
    except ImportError:
        raise BadInput("highdicom is not installed.", fix="pip install 'medglip[dicom]'") from None


@contextmanager
def quiet(path: Path) -> Iterator[None]:
    """Logs and warnings of highdicom and pydicom are silent, errors carry no text: any may quote a patient's name."""
    known = logging.Logger.manager.loggerDict.items()
    ours = [log for name, log in known if name.split(".")[0] in ("highdicom", "pydicom")]
    loggers = [log for log in ours if isinstance(log, logging.Logger)]
    before = [log.disabled for log in loggers]
    for log in loggers:
        log.disabled = True
    try:
        with warnings.catch_warnings(action="ignore"):
            yield
    except BadInput:
        raise
    except (ValueError, TypeError, KeyError, AttributeError, IndexError, RuntimeError, EOFError) as error:
        fix = "is it a radiograph, CT, MR or another image with the elements DICOM asks for?"
        raise BadInput(f"no DICOM object can be made of it ({type(error).__name__}).", file=path, fix=fix) from None
    finally:
        for log, was in zip(loggers, before, strict=True):
            log.disabled = was


def made_by(report: GroundedReport) -> dict[str, str]:
    """What made the report, each in at most 64 characters, as DICOM's long strings allow."""
    versions = " ".join(f"{name} {version}" for name, version in report.versions.items())
    values = {
        "Notice": NOTICE,
        "Model": report.model,
        "Adapter": report.adapter,
        "Grounder": report.grounder,
        "Evidence": report.evidence,
        "Versions": versions,
    }
    return {name: value.replace("\\", "/") for name, value in values.items() if value}
