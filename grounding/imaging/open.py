"""An image of one's own, as everything that finds regions takes it."""

from pathlib import Path

from ..files import file_sha256
from ..modalities import parse_modality
from ..types import AnnotatedImage
from .read import image_size, is_dicom, read_image


def open_image(path: Path | str, modality: str = "", body_part: str = "") -> AnnotatedImage:
    """An image file without regions: PNG, JPEG, TIFF or DICOM. Its pixels are read when they are needed.

    `modality`: a name of `MODALITIES` ("xray"), `body_part`: in words ("chest"); what is left out a DICOM file tells,
    else it is unknown. Raises `BadInput` for no file, for one that cannot be read, and for an unknown modality.
    """
    path = Path(path)
    size_px = image_size(path)
    if is_dicom(path):
        from .dicom import read_dicom

        file = read_dicom(path)
        modality, body_part = modality or file.modality, body_part or file.body_part
    else:
        read_image(path)  # a damaged file is told now, not after a model was loaded
    return AnnotatedImage(
        image_id=file_sha256(path)[:16],
        image_path=path,
        modality=parse_modality(modality or "unknown"),
        group=path.name,
        dataset="user",
        split="test",
        size_px=size_px,
        body_part=body_part,
    )
