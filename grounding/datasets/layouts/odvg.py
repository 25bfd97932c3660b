"""ODVG: `*.jsonl`, one image a line, with `detection` (boxes and labels) or `grounding` (a caption and its phrases).

The format of MM-Grounding-DINO (github.com/open-mmlab/mmdetection, configs/mm_grounding_dino/dataset_prepare.md; Zhao
et al. 2024, arXiv 2401.02361; Apache-2.0, each data set under its own licence). Boxes are x0, y0, x1, y1 in pixels.
`label_map.json` beside the lines, or `NAME_label_map.json` beside `NAME.jsonl`, names the labels of detection.
Traps: labels of a label map are annotated exhaustively, as training with it assumes; phrases of a caption are only
known where they occur, any other is unknown. One region may have several boxes, and its phrase several words or parts.
A file named train, val or test (or `..._train`) is that split; patients are not recorded.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from ...bad_input import BadInput, Skipped, explain, repeated
from ...foreign import parse_json, read_json
from ...types import AnnotatedImage, Region
from ...vocabulary.labels import load_labels
from ..rows import annotate, image_path, plain_id, region, skipping, stated_size

_SPLITS = {"train": "train", "val": "val", "valid": "val", "validation": "val", "test": "test"}


def read(
    folder: Path, skipped: Skipped, *, modality: str = "unknown", allow_outside: bool = False
) -> Iterator[AnnotatedImage]:
    """Images of every `.jsonl` of the folder, one line at a time; `modality` counts where a line names none.

    Images lie in `images/` or the folder itself, with `allow_outside` elsewhere too. Rows that cannot be used go to
    `skipped`. Raises `BadInput` for a folder without lines, or a label map that is none.
    """
    files = sorted(folder.glob("*.jsonl"))
    if not files:
        raise BadInput("holds no .jsonl file.", file=folder, fix="is `layout` right?")
    for file in files:
        labels = _label_map(file)
        with file.open("rb") as lines:
            for number, line in enumerate(lines, 1):
                with skipping(skipped, file, number):
                    if line.strip():
                        yield _image(line, labels, file, number, modality, skipped, allow_outside)


def _label_map(file: Path) -> dict[str, str]:
    """Phrase of each label number, as text; empty where no label map lies beside the lines."""
    names = (f"{file.stem}_label_map.json", f"{file.stem.removesuffix('_od')}_label_map.json", "label_map.json")
    map_file = next((file.with_name(name) for name in names if file.with_name(name).is_file()), None)
    if map_file is None:
        return {}
    fix = 'write {"0": "liver", "1": "spleen"}'
    with explain("not a label map", ValueError, AttributeError, TypeError, file=map_file, fix=fix):
        names = read_json(map_file, fix)
        if twice := repeated(plain_id(int(key)) for key in names):
            raise ValueError(f"label {twice[0]} stands twice")
        return {plain_id(int(key)): load_labels().label(name) for key, name in names.items()}


def _image(
    line: bytes,
    labels: dict[str, str],
    file: Path,
    number: int,
    modality: str,
    skipped: Skipped,
    allow_outside: bool,
) -> AnnotatedImage:
    row = parse_json(line, file, number)
    if not isinstance(row, dict):
        raise BadInput("not a JSON object.", fix="one JSON object a line")
    if not ("detection" in row or "grounding" in row):
        raise BadInput("neither detection nor grounding.", fix="see the ODVG format")
    path = image_path(file.parent, row["filename"], allow_outside)
    size = stated_size(path, row)
    # An instance is named by the label map, else by its own category; a region of a caption may have several boxes.
    items = (row.get("detection") or {}).get("instances", [])
    boxes = [
        (labels.get(plain_id(item.get("label", ""))) or _phrase(item.get("category")), item.get("bbox"))
        for item in items
    ]
    for item in (row.get("grounding") or {}).get("regions", []):
        box = item.get("bbox")
        several = box if isinstance(box, list) and box and isinstance(box[0], list) else [box]
        boxes += [(_phrase(item.get("phrase")), one) for one in several]
    regions: list[Region] = []
    for index, (phrase, box) in enumerate(boxes, 1):
        with skipping(skipped, file, f"{number}, box {index}"):
            if not phrase:
                raise BadInput("has no phrase, or a label without a name.", fix="name it, or add label_map.json")
            if not isinstance(box, list) or len(box) != 4:
                raise BadInput(f"box {box} is not four numbers.", fix="give x0, y0, x1, y1")
            regions.append(region(phrase, np.array(box, np.float32), size))
    # a label of the map that no instance bears is absent, unless a box has no name; a caption knows what it names
    known = labels.values() if "detection" in row and all(phrase for phrase, _ in boxes) else ()
    named = [phrase for phrase, _ in boxes if phrase]
    name, known = f"{file.stem}/{number}", [*known, *named]
    facts = {
        "modality": row.get("modality") or modality,
        "group": str(row.get("group") or row["filename"]),
        "split": _SPLITS.get(file.stem.lower().removesuffix("_od").split("_")[-1], ""),
    }
    return annotate(file.parent, name, path, regions, known, named, size_px=size, **facts)


def _phrase(words: Any) -> str:
    """The label of a phrase; one in parts is joined."""
    return load_labels().label(words if isinstance(words, str) else " ".join(words or ()))
