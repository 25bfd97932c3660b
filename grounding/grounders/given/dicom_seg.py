"""DICOM SEG: a segmentation, or a folder of them. A segment names the image it lies on, wherever that is kept.

A picture that is no DICOM file is that of the DICOM image of the same name beside the segmentations.
"""

from pathlib import Path

from ...bad_input import BadInput, Skipped
from ...datasets.corpus import one_spelling
from ...datasets.layouts import dicom_seg
from ...imaging.read import is_dicom
from ...types import AnnotatedImage, Region
from .by_name import GivenRegions
from .lines import check_size


def fits(path: Path) -> bool:
    """By the class of the file, or of one in the folder."""
    return any(is_dicom(file) and dicom_seg.is_segmentation(file) for file in _files(path))


def read(path: Path, references: Path | None) -> "Segmentations":
    """Raises `BadInput` for a segmentation without names."""
    files = [file for file in _files(path) if is_dicom(file)]
    segmentations = [file for file in files if dicom_seg.is_segmentation(file)]
    beside = [file for file in (files if path.is_dir() else _files(path.parent)) if is_dicom(file)]
    return Segmentations(segmentations, {one_spelling(file.stem): file for file in beside if file not in segmentations})


class Segmentations(GivenRegions):
    """The files, and DICOM images beside them by their names."""

    def __init__(self, files: list[Path], images: dict[str, Path]):
        self.files, self.images = files, images
        self.phrases = tuple(dict.fromkeys(phrase for file in files for phrase in dicom_seg.phrases_of(file)))

    def of(self, image: AnnotatedImage) -> list[Region] | None:
        """The segments on a picture; None where no segmentation refers to it."""
        path = image.image_path
        source = path if is_dicom(path) else self.images.get(one_spelling(path.stem))
        if source is None:
            return None
        skipped = Skipped()  # frames on other images
        own = next(dicom_seg.read(path.parent, skipped, files=[source, *self.files]), None)
        if own is None:
            return None
        check_size(own.size_px, image.size_px, self.files[0], path.name)
        if lost := set(self.phrases) - set(own.phrases) - {region.phrase for region in own.regions}:
            problem = f"segments of {path.name} cannot be used: {', '.join(sorted(lost))}."
            raise BadInput(problem, file=self.files[0], fix=skipped.entries[0]["why"] if skipped.entries else "")
        return list(own.regions)


def _files(path: Path) -> list[Path]:
    return [path] if path.is_file() else sorted(file for file in path.rglob("*") if file.is_file())
