"""A user's image, and several as one study to report on: what is known of them is what the user states.

Of DICOM files modality and part of the body are read, and nothing else.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ...grounding.bad_input import BadInput, repeated
from ...grounding.foreign import decode, read_bytes
from ...grounding.imaging.open import open_image
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
    if twice := repeated(name.casefold() for name in names):
        raise BadInput(f"two images are called {twice[0]!r}, so are their reports.", fix="rename one of the files")
    first, *others = (user_image(image, modality, body_part) for image in images)
    prior, *older = [user_image(image, modality, body_part) for image in prior_images] or [None]
    prior_text, fix = "", "give a UTF-8 text file"
    if prior_report:
        prior_text = " ".join(decode(read_bytes(prior_report, fix), prior_report, fix=fix).split())
    study = {"image": first, "others": tuple(others), "text": ""}
    study |= {"prior_image": prior, "prior_others": tuple(older), "prior_text": prior_text}
    fields: dict[str, Any] = study | lines
    return Report(report_id=names[0], **fields)


def user_image(image: Path, modality: str | None, body_part: str = "") -> AnnotatedImage:
    """`open_image` of what a command line gives."""
    return open_image(image, modality or "", body_part)
