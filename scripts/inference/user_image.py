"""A user's image, and several as one study to report on: what is known of them is what the user states.

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
class ClinicalContext:
    """What a user states beside the images: lines of the prompt, "" where there is none.

    `prior_images`: of the previous study; `prior_report`: its text file.
    """

    indication: str = ""
    technique: str = ""
    comparison: str = ""
    prior_images: Sequence[Path] = ()
    prior_report: Path | None = None


def user_report(images: Sequence[Path], modality: str | None, context: ClinicalContext) -> Report:
    """The images of one study, in their order, as a report to be written.

    Raises `BadInput` as `user_image` does, for two images of one name, whose outputs would be one file, and for a prior
    report that is no text.
    """
    names = [image.stem for image in images]  # each view's report is a file of its name
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise BadInput(f"two images are called {twice!r}, so are their reports.", fix="rename one of the files")
    first, *others = (user_image(image, modality) for image in images)
    priors = [user_image(image, modality) for image in context.prior_images]
    prior_text = ""
    if file := context.prior_report:
        try:
            prior_text = " ".join(file.read_text(encoding="utf-8").split())
        except (OSError, UnicodeDecodeError) as error:
            raise BadInput("the prior report cannot be read.", file=file, fix="give a UTF-8 text file") from error
    return Report(
        report_id=names[0],
        image=first,
        text="",
        others=tuple(others),
        indication=context.indication,
        technique=context.technique,
        comparison=context.comparison,
        prior_image=priors[0] if priors else None,
        prior_others=tuple(priors[1:]),
        prior_text=prior_text,
    )


def user_image(image: Path, modality: str | None) -> AnnotatedImage:
    """An image file without regions; a DICOM file knows its modality, `modality` overrides it.

    Raises `BadInput` for an image that cannot be read, and for an unknown modality.
    """
    size_px = read_image(image).size
    if not modality and is_dicom(image):
        from ...grounding.imaging.dicom import read_dicom

        modality = read_dicom(image).modality
    return AnnotatedImage(
        image_id=file_sha256(image)[:16],
        image_path=image,
        modality=parse_modality(modality or "unknown"),
        group=image.name,
        dataset="user",
        split="test",
        size_px=size_px,
    )
