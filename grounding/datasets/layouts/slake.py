"""SLAKE: `imgs/xmlabN/{source.jpg, mask.png, detection.json}`, questions in `train.json`, `validate.json`, `test.json`.

Source: med-vqa.com/slake, also huggingface.co/datasets/BoKelvin/SLAKE (CC BY 4.0); Liu et al. 2021, arXiv 2102.09542.
`detection.json` is a list of one-key objects, `[{"Brain Edema": [x, y, width, height]}]`, in pixels of source.jpg.
Traps: the list may be empty; a name may occur several times; which organs were looked for is not stated, so only names
that occur are known, and any other is unknown. `mask.png` holds a class a pixel whose numbers the folder does not name:
it is read only when `classes` does. Modality comes from the questions. The official split is by question and one image
may stand in two files: it takes the first of test, validate, train, and else none. Patients are not recorded.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ...bad_input import BadInput, Skipped
from ...foreign import read_json
from ...geometry import xywh_to_xyxy
from ...imaging.read import image_size
from ...modalities import parse_modality
from ...types import AnnotatedImage, Region
from ...vocabulary.labels import load_labels
from ..rows import annotate, existing_folder, region, skipping
from .label_map import Classes, parse_classes, read_label_map

_SPLITS = {"test": "test", "validate": "val", "train": "train"}


def read(
    folder: Path, skipped: Skipped, *, classes: Mapping[Any, Any] | None = None, modality: str = "unknown"
) -> Iterator[AnnotatedImage]:
    """Images of every image folder, one at a time; `modality` counts where no question names one.

    `classes` names the values of mask.png: a region then takes its class's part inside its box. Rows that cannot be
    used go to `skipped`. Raises `BadInput` if `imgs/` is missing.
    """
    named = parse_classes(classes) if classes else {}
    # (split, modality) of each image folder that the question files name; the first file of `_SPLITS` counts
    facts: dict[str, tuple[str, str]] = {}
    for name, split in _SPLITS.items():
        file = folder / f"{name}.json"
        if not file.is_file():
            continue
        with skipping(skipped, file):
            for number, row in enumerate(read_json(file), 1):
                with skipping(skipped, file, number):
                    facts.setdefault(Path(row["img_name"]).parts[0], (split, parse_modality(row.get("modality"))))
    for inner in sorted(path for path in existing_folder(folder / "imgs").iterdir() if path.is_dir()):
        split, stated = facts.get(inner.name, ("", ""))
        with skipping(skipped, inner / "detection.json"):
            yield _image(folder, inner, split, stated or modality, named, skipped)


def _image(folder: Path, inner: Path, split: str, modality: str, named: Classes, skipped: Skipped) -> AnnotatedImage:
    image, file = inner / "source.jpg", inner / "detection.json"
    size = image_size(image)
    if not file.is_file():
        raise BadInput("no such file.", file=file, fix="copy it beside source.jpg: without it nothing is known")
    rows = read_json(file)
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise BadInput("not a list of objects.", file=file, fix="copy the file again")
    boxes = [(load_labels().label(name), box) for row in rows for name, box in row.items()]
    label_HW = None
    with skipping(skipped, inner / "mask.png"):  # the boxes stay where the mask cannot be used
        label_HW = read_label_map(inner / "mask.png", size) if named and (inner / "mask.png").is_file() else None
    regions: list[Region] = []
    for number, (phrase, box) in enumerate(boxes, 1):
        with skipping(skipped, file, number):
            mask = None if label_HW is None else np.isin(label_HW, named.get(phrase, ()))
            regions.append(region(phrase, xywh_to_xyxy(box), size, mask))
    phrases = [phrase for phrase, _ in boxes]
    return annotate(folder, inner.name, image, regions, phrases, phrases, size_px=size, modality=modality, split=split)
