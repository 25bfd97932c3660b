"""Label maps: `images/` and `masks/` with the same file names but for the suffix; a pixel's value is its class.

`classes.yaml` or `classes.json` beside them names the values (`1: liver`, or `liver: 1`; several values may share a
name), unless the settings do. Most public segmentation sets come so or are one step away, e.g. CHAOS (chaos.grand-
challenge.org, CC BY-NC-SA 4.0) and AMOS slices (amos22.grand-challenge.org, CC BY 4.0); cite each by its own page.
Traps: a palette image stores indices, its colours mean nothing; 0 is background and 255 without a name is void; a
value without a name is reported, its pixels belong to no region, and classes without a region are unknown there. Every
named class is annotated exhaustively on the others. Patients are not recorded: every image is a group of its own.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...bad_input import BadInput, Skipped, explain
from ...foreign import read_yaml
from ...imaging.masks import open_mask
from ...imaging.read import image_size
from ...types import AnnotatedImage, Region
from ...vocabulary.labels import load_labels
from ..rows import annotate, image_mask_pairs, skipping
from .mask_folder import mask_regions

Classes = Mapping[str, tuple[int, ...]]
"""Phrase -> the values that mean it."""

ClassNames = Mapping[Any, Any] | str
"""Names of the values as a set or its settings give them, or the file in the folder that does."""

_FILES = ("classes.yaml", "classes.yml", "classes.json")
_NOT_CLASSES = ("", "background", "void", "ignore", "unlabeled", "unlabelled")
_VOID = 255
_MAX_UNNAMED = 256  # listed one by one, of one file
_FIX = "one line a class, `1: liver`"


def read(
    folder: Path, skipped: Skipped, *, classes: ClassNames = "", components: bool = False, modality: str = "unknown"
) -> Iterator[AnnotatedImage]:
    """Images of the folder, one at a time, with split "". A class is one region an image, or one a blob.

    `classes` names the values, or is the file that does, in the folder. Rows that cannot be used go to `skipped`.
    Raises `BadInput` if a folder or the names of the classes are missing.
    """
    named = read_classes(classes, folder)
    for image, mask in image_mask_pairs(folder, skipped):
        with skipping(skipped, image):
            size = image_size(image)
            label_HW = read_label_map(mask, size)
            unnamed = report_unnamed(label_HW, named, mask, skipped)
            regions: list[Region] = []
            for phrase, values in named.items():
                regions += mask_regions(phrase, np.isin(label_HW, values), size, components)
            unknown = named if unnamed else ()  # a class without a region may be what has no name
            yield annotate(folder, image.stem, image, regions, named, unknown, size_px=size, modality=modality)


def read_classes(classes: ClassNames, folder: Path) -> Classes:
    """Classes from a mapping, from a YAML or JSON file of the folder, or from its `classes.yaml` or `.json`.

    Raises `BadInput` for a missing file, and for anything but values and names.
    """
    if not isinstance(classes, str):
        return parse_classes(classes)
    file = folder / (classes or next((name for name in _FILES if (folder / name).is_file()), _FILES[0]))
    if not file.is_file():
        raise BadInput("no such file.", file=file, fix="name the classes there (`1: liver`), or set `classes`")
    return parse_classes(read_yaml(file, _FIX), file)  # JSON is YAML


def parse_classes(rows: Any, file: Path | None = None) -> Classes:
    """Classes from `{1: "liver"}`, `{"liver": 1}` or, as nnU-Net has regions, `{"whole tumor": [1, 2]}`.

    Value 0 and names of background are left out. Raises `BadInput` for anything else, and for no class at all.
    """
    classes: dict[str, tuple[int, ...]] = {}
    with explain("not a list of classes", AttributeError, TypeError, ValueError, ArithmeticError, file=file, fix=_FIX):
        for key, value in rows.items():
            # 1: liver is value and name; anything else is a name with its value or values
            name, values = (value, [key]) if str(key).isdecimal() else (key, np.ravel(value).tolist())
            if isinstance(name, list | dict) or any(isinstance(n, bool) or int(n) != float(n) for n in values):
                raise ValueError(f"{key!r}: {value!r}")
            numbers = tuple(int(number) for number in values if int(number) != 0)
            if numbers and str(name or "").lower() not in _NOT_CLASSES:
                phrase = phrase_of(str(name))
                classes[phrase] = (*classes.get(phrase, ()), *numbers)
    if not classes:
        raise BadInput("names no class.", file=file, fix=_FIX)
    return classes


def phrase_of(name: str) -> str:
    """The label of a class name; `kidney_left`, as machines write it, reads "left kidney"."""
    words = name.split("_")
    side = [word for word in words if word in ("left", "right")]
    return load_labels().label(" ".join([*side, *(word for word in words if word not in side)]))


def read_label_map(file: Path, size_px: tuple[int, int]) -> NDArray[Any]:
    """Whole numbers [H, W] of a mask file: values as stored, palette indices and not their colours.

    Raises `BadInput` for a colour image, a damaged file, and another size than the image has.
    """
    values, _ = open_mask(file, size_px)
    if values.ndim != 2 or values.dtype.kind not in "biu":
        raise BadInput("a colour image or fractions hold no classes.", file=file, fix="store one whole number a pixel")
    return values


def report_unnamed(labels: NDArray[Any], named: Classes, file: Path, skipped: Skipped) -> list[int]:
    """Note and return every value that occurs, is neither background nor void, and has no name; the rest goes on."""
    known = {0, _VOID, *(value for values in named.values() for value in values)}
    unnamed = sorted(set(np.unique(labels).tolist()) - known)
    for value in unnamed[:_MAX_UNNAMED]:
        error = BadInput(f"value {value} has no name.", file=file, row=f"value {value}", fix="add it to classes")
        skipped.add(str(file), error)
    return unnamed
