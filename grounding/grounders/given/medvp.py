"""MedVP's files: a list of rows, one a question, with `image`, `bboxes` and `entities` (arXiv 2501.02385, MIT).

Boxes are x, y, width, height in pixels; `scores` may stand beside them. The rows of one picture are joined.
"""

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from ...bad_input import BadInput, explain
from ...datasets.rows import region
from ...foreign import read_json
from ...geometry import xywh_to_xyxy
from ...types import Region
from ...vocabulary.labels import load_labels
from .by_name import ByName

Marked = tuple[str, tuple[float, ...], float]
"""Phrase, box and score."""


def fits(path: Path) -> bool:
    """By the keys of its first row."""
    rows = read_json(path) if path.suffix == ".json" and path.is_file() else None
    return isinstance(rows, list) and bool(rows) and isinstance(rows[0], dict) and {"image", "bboxes"} <= set(rows[0])


def read(path: Path, references: Path | None) -> ByName:
    """Raises `BadInput` with the row whose boxes and entities are not as many."""
    marked: dict[str, dict[Marked, None]] = {}  # in the order of the rows, none twice
    for number, row in enumerate(read_json(path), 1):
        with explain("no row of MedVP", KeyError, TypeError, ValueError, file=path, fix="image, bboxes, entities"):
            marked.setdefault(str(row["image"]), {}).update(dict.fromkeys(_marked(row, path, number)))
    phrases = [phrase for rows in marked.values() for phrase, _, _ in rows]
    return ByName(path, {name: partial(_regions, list(rows)) for name, rows in marked.items()}, phrases)


def _marked(row: dict[str, Any], path: Path, number: int) -> list[Marked]:
    boxes, names = row["bboxes"], row.get("entities", row.get("entity", []))
    scores = row.get("scores") or [1.0] * len(boxes)
    if not len(boxes) == len(names) == len(scores):
        problem = f"{len(boxes)} boxes, {len(names)} entities, {len(scores)} scores."
        raise BadInput(problem, file=path, row=number, fix="one entity for each box")
    labels = map(load_labels().label, map(str, names))
    return [(n, tuple(map(float, b)), float(s)) for n, b, s in zip(labels, boxes, scores, strict=True)]


def _regions(rows: list[Marked], size_px: tuple[int, int]) -> list[Region]:
    boxes = [region(name, xywh_to_xyxy(np.array(box)), size_px) for name, box, _ in rows]
    return [replace(one, score=score) for one, (_, _, score) in zip(boxes, rows, strict=True)]
