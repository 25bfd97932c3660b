"""A user's image, and several as one study to report on: what is known of them is what the user states.

Of DICOM files modality and part of the body are read, and nothing else.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ...grounding.bad_input import BadInput, repeated
from ...grounding.files import file_sha256
from ...grounding.imaging.read import is_dicom, read_image
from ...grounding.modalities import parse_modality
from ...grounding.types import AnnotatedImage
from ...report.task import Report


def user_report(
    images: Sequence[Path],
    modality: str | None,
    prior_images: Sequence[Path] = (),
    prior_report: Path | None = None,
    body_part: str = "",
    **lines: str,
) -> Report:
    """The images of one study, in their order, as a report to be written.

    `prior_images`: of the previous study; `prior_report`: its text file; `lines`: what else the user states for the
    prompt, `indication`, `technique` and `comparison`.

    Raises `BadInput` as `user_image` does, for two images of one name, whose outputs would be one file, and for a prior
    report that is no text.
    """
    names = [image.stem for image in images]  # each view's report is a file of its name
    if twice := repeated(names):
        raise BadInput(f"two images are called {twice[0]!r}, so are their reports.", fix="rename one of the files")
    first, *others = (user_image(image, modality, body_part) for image in images)
    prior, *older = [user_image(image, modality, body_part) for image in prior_images] or [None]
    try:
        prior_text = " ".join(prior_report.read_text(encoding="utf-8").split()) if prior_report else ""
    except (OSError, UnicodeDecodeError) as error:
        raise BadInput("the prior report cannot be read.", file=prior_report, fix="give a UTF-8 text file") from error
    study = {"image": first, "others": tuple(others), "text": ""}
    study |= {"prior_image": prior, "prior_others": tuple(older), "prior_text": prior_text}
    fields: dict[str, Any] = study | lines
    return Report(report_id=names[0], **fields)


def user_image(image: Path, modality: str | None, body_part: str = "") -> AnnotatedImage:
    """An image file without regions; a DICOM file tells modality and part of the body, what is given overrides it.

    Raises `BadInput` for an image that cannot be read, and for an unknown modality.
    """
    size_px = read_image(image).size
    if not (modality and body_part) and is_dicom(image):
        from ...grounding.imaging.dicom import read_dicom

        file = read_dicom(image)
        modality, body_part = modality or file.modality, body_part or file.body_part
    return AnnotatedImage(
        image_id=file_sha256(image)[:16],
        image_path=image,
        modality=parse_modality(modality or "unknown"),
        group=image.name,
        dataset="user",
        split="test",
        size_px=size_px,
        body_part=body_part,
    )
