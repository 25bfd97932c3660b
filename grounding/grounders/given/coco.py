"""COCO: one file whose annotations may have a `score`, or a list of results that an instances file explains."""

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from ...bad_input import BadInput, Skipped, explain
from ...datasets.layouts.coco import CocoFile, read_file, segmentation_to_mask
from ...datasets.rows import plain_id, region
from ...foreign import read_json
from ...geometry import xywh_to_xyxy
from ...types import Region
from ...vocabulary.labels import load_labels
from .by_name import ByName
from .lines import check_size

Row = dict[str, Any]


def fits(path: Path) -> bool:
    """By its suffix, once MedVP's list was looked for."""
    return path.suffix == ".json" and path.is_file()


def read(path: Path, references: Path | None) -> ByName:
    """Raises `BadInput` for results without their references, and for a row that meets no image or category."""
    content, skipped = read_json(path), Skipped()
    if isinstance(content, list) and references is None:
        raise BadInput("COCO results, which name no picture.", file=path, fix="--references instances.json")
    explained = references if isinstance(content, list) and references else path
    coco = read_file(explained, load_labels().label, skipped)
    if skipped.entries:
        raise BadInput(
            f"{len(skipped.entries)} rows cannot be used, first: {skipped.entries[0]['why']}", file=coco.path
        )
    rows = _results(content, coco, path) if isinstance(content, list) else coco.rows
    named = {str(image["file_name"]): partial(_regions, path, coco, image, rows) for image in coco.images}
    return ByName(path, named, coco.phrases.values())


def _results(content: list[Any], coco: CocoFile, path: Path) -> dict[str, list[Row]]:
    rows: dict[str, list[Row]] = {key: [] for key in coco.rows}
    for number, row in enumerate(content, 1):
        with explain("no COCO result", KeyError, TypeError, file=path, fix="image_id, category_id, bbox, score"):
            key, _ = plain_id(row["image_id"]), float(row["score"])
            if key not in rows or plain_id(row["category_id"]) not in coco.phrases:
                problem = f"image {key} or category {row['category_id']} is not in {coco.path.name}."
                raise BadInput(problem, file=path, row=number, fix="give the references of these results")
        rows[key].append(row)
    return rows


def _regions(
    path: Path, coco: CocoFile, image: Row, rows: dict[str, list[Row]], size_px: tuple[int, int]
) -> list[Region]:
    if "width" in image and "height" in image:
        check_size((image["width"], image["height"]), size_px, coco.path, image["file_name"])
    found: list[Region] = []
    for row in rows[plain_id(image["id"])]:
        with explain("no COCO annotation", KeyError, TypeError, ValueError, file=path, fix="category_id and bbox"):
            phrase, mask = (
                coco.phrases[plain_id(row["category_id"])],
                segmentation_to_mask(row.get("segmentation"), size_px),
            )
            one = region(phrase, xywh_to_xyxy(row["bbox"]), size_px, mask)
            found.append(replace(one, score=float(row.get("score", 1.0))))
    return found
