"""NIfTI label maps: `NAME.nii.gz`, alone or in a folder; `classes.yaml` or `dataset.json` beside it names the values.

The picture `NAME` is its one slice; `NAME-axial-0012`, as slices of volumes are called here, is slice 12 of an axis.
"""

import re
from pathlib import Path

import numpy as np

from ...bad_input import BadInput
from ...datasets.corpus import one_spelling
from ...datasets.layouts.label_map import Classes, parse_classes, read_classes
from ...datasets.layouts.mask_folder import mask_regions
from ...files import read_object
from ...imaging.nifti import AXES, Axis, Volume, plane, plane_spacing_mm, read_labels, resize, square_size
from ...types import AnnotatedImage, Region
from .by_name import GivenRegions

_NAMES = list[str](AXES)
_SLICE = re.compile(rf"(?P<name>.+)-(?P<axis>{'|'.join(AXES)})-(?P<index>\d+)(-[0-9a-f]+)?")


def fits(path: Path) -> bool:
    """By the suffixes in it."""
    return bool(_volumes(path))


def read(path: Path, references: Path | None) -> "LabelMaps":
    """Raises `BadInput` where nothing names the values."""
    folder = path if path.is_dir() else path.parent
    file = folder / "dataset.json"
    classes = parse_classes(read_object(file).get("labels"), file) if file.is_file() else read_classes("", folder)
    return LabelMaps(_volumes(path), classes)


class LabelMaps(GivenRegions):
    """Volumes of labels by name; the one read last is kept, for slices come one after the other."""

    def __init__(self, files: dict[str, Path], classes: Classes):
        self.files, self.classes, self.phrases = files, classes, tuple(classes)
        self._last: tuple[str, Volume] | None = None

    def of(self, image: AnnotatedImage) -> list[Region] | None:
        """The labels of a slice, a region each. Raises `BadInput` for a slice that the volume does not have."""
        axis: Axis
        name = one_spelling(image.image_path.name).removesuffix(".gz").rpartition(".")[0]
        match = _SLICE.fullmatch(name)
        if name in self.files:
            axis, index = self._only_axis(name), 0
        elif match and match["name"] in self.files:
            name, axis, index = match["name"], AXES[_NAMES.index(match["axis"])], int(match["index"])
        else:
            return None
        volume = self._volume(name)
        if index >= volume.values.shape[AXES.index(axis)]:
            raise BadInput(f"has no {axis} slice {index}.", file=self.files[name], fix="is it this volume's picture?")
        labels_HW = plane(volume.values, axis, index)
        size = (labels_HW.shape[1], labels_HW.shape[0])
        # a slice is written with square pixels, or as it is
        if image.size_px not in (size, square_size(size, plane_spacing_mm(volume, axis))):
            problem = f"labels of {size} pixels for a picture of {image.size_px}."
            raise BadInput(problem, file=self.files[name], fix="use the picture that was labelled")
        masks = {phrase: np.isin(labels_HW, values) for phrase, values in self.classes.items()}
        return [
            region
            for phrase, mask in masks.items()
            for region in mask_regions(phrase, resize(mask, image.size_px), image.size_px)
        ]

    def _volume(self, name: str) -> Volume:
        if self._last is None or self._last[0] != name:
            self._last = name, read_labels(self.files[name])
        return self._last[1]

    def _only_axis(self, name: str) -> Axis:
        thin: list[Axis] = [axis for axis, num in zip(AXES, self._volume(name).values.shape, strict=True) if num == 1]
        if len(thin) != 1:
            fix = f"name pictures {name}-axial-0012 after their slice"
            raise BadInput("a volume of several slices for one picture.", file=self.files[name], fix=fix)
        return thin[0]


def _volumes(path: Path) -> dict[str, Path]:
    files = [path] if path.is_file() else sorted(path.iterdir()) if path.is_dir() else []
    files = [file for file in files if file.name.endswith((".nii", ".nii.gz")) and not file.name.startswith(".")]
    return {one_spelling(file.name).removesuffix(".gz").removesuffix(".nii"): file for file in files}
