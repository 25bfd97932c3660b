"""A user's image as a study: nothing known of it but its pixels and, of DICOM files, its modality."""

from pathlib import Path

from ..grounding.imaging.read import is_dicom, read_image
from ..grounding.records import file_sha256
from ..grounding.types import Study, parse_modality


def user_study(image: Path, modality: str | None) -> Study:
    """The image as a study; a DICOM file knows its modality, `modality` overrides it.

    Raises `BadInput` for an image that cannot be read, and for a modality that is none.
    """
    picture = read_image(image)
    return Study(
        study_id=file_sha256(image)[:16],
        image_path=image,
        modality=parse_modality(modality or _dicom_modality(image)),
        group=image.name,
        dataset="user",
        split="test",
        size_px=picture.size,
    )


def _dicom_modality(image: Path) -> str:
    from ..grounding.imaging.dicom import read_dicom

    return read_dicom(image).modality if is_dicom(image) else "unknown"
