"""A user's image as a study, and several as one to report on: what is known of them is what the user says.

Of DICOM files the modality is read, and nothing else.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ...grounding.bad_input import BadInput
from ...grounding.files import file_sha256
from ...grounding.imaging.read import is_dicom, read_image
from ...grounding.modalities import parse_modality
from ...grounding.types import AnnotatedImage
from ...report.task import Report


@dataclass(frozen=True, kw_only=True)
class Known:
    """What a user tells beside the images: lines of the prompt, "" where there is none.

    `prior_images`: of the study before; `prior_report`: its text file.
    """

    indication: str = ""
    technique: str = ""
    comparison: str = ""
    prior_images: Sequence[Path] = ()
    prior_report: Path | None = None


def user_report(images: Sequence[Path], modality: str | None, known: Known) -> Report:
    """The images of one study, the first first, as a report to be written.

    Raises `BadInput` as `user_study` does, for two images of one name, whose outputs would be one file, and for a prior
    report that is no text.
    """
    names = [image.stem for image in images]
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise BadInput(f"two images are called {twice!r}, so are their reports.", fix="rename one of the files")
    first, *others = (user_image(image, modality) for image in images)
    prior, *priors = [*(user_image(image, modality) for image in known.prior_images), None]
    return Report(
        report_id=names[0],
        image=first,
        text="",
        others=tuple(others),
        indication=known.indication,
        technique=known.technique,
        comparison=known.comparison,
        prior_image=prior,
        prior_others=tuple(annotated for annotated in priors if annotated),
        prior_text=_text(known.prior_report) if known.prior_report else "",
    )


def _text(file: Path) -> str:
    try:
        return " ".join(file.read_text(encoding="utf-8").split())
    except (OSError, UnicodeDecodeError) as error:
        raise BadInput("the prior report cannot be read.", file=file, fix="give a UTF-8 text file") from error


def user_image(image: Path, modality: str | None) -> AnnotatedImage:
    """The image as a study; a DICOM file knows its modality, `modality` overrides it.

    Raises `BadInput` for an image that cannot be read, and for a modality that is none.
    """
    picture = read_image(image)
    return AnnotatedImage(
        image_id=file_sha256(image)[:16],
        image_path=image,
        modality=parse_modality(modality or _dicom_modality(image)),
        group=image.name,
        dataset="user",
        split="test",
        size_px=picture.size,
    )


def _dicom_modality(image: Path) -> str:
    from ...grounding.imaging.dicom import read_dicom

    return read_dicom(image).modality if is_dicom(image) else "unknown"
