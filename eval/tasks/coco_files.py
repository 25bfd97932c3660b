"""COCO's own files, read whole and checked: `instances` references and a `results` list."""

import json
import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from faster_coco_eval.core import mask as coco_mask
from faster_coco_eval.core.mask import segmToRle

from ...grounding.bad_input import BadInput, explain
from ..records import first_few
from ..settings import IouType

Row = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class CocoFiles:
    """References and predictions that fit each other.

    `images`, `categories`, `truths` (annotations) and `predictions` as COCO has them, in the order of the
    files; annotation ids count from 1, every annotation has `area` and `iscrowd`; with masks, `segmentation` is a
    compressed RLE of the image's size.
    """

    images: list[Row]
    categories: list[Row]
    truths: list[Row]
    predictions: list[Row]

    @property
    def references(self) -> Row:
        """As one COCO dictionary."""
        return {"images": self.images, "categories": self.categories, "annotations": self.truths}


def read_coco(references: Path, predictions: Path, iou_type: IouType) -> CocoFiles:
    """Both files.

    Raises `BadInput`, with the row where there is one, for files that are not COCO's, ids that come twice,
    annotations or predictions on images or categories that the references do not hold, references without single
    objects, numbers that are not finite, negative sizes, and masks that do not fit their image.
    """
    images, categories, truths = _references(references)
    results = _json(predictions)
    if not isinstance(results, list):
        fix = "give a list of image_id, category_id, bbox, score"
        raise BadInput("not a COCO results list.", file=predictions, fix=fix)
    form = "bbox" if iou_type == "bbox" else "segmentation"
    names = ("image_id", "category_id", "score", form)
    _check_rows(results, names, predictions)
    # COCO takes boxes or masks from whichever key a first row has, so that only one may be there.
    results = [{name: row[name] for name in names} for row in results]
    for number, row in enumerate(results, 1):
        _check_number(row, "score", predictions, number)
        if form == "bbox":
            row["area"] = _box_area(row, predictions, number)
    for rows, file, fix in (
        (truths, references, "list every image and category"),
        (results, predictions, f"use the ids of {references}"),
    ):
        for name, known in (("image_id", images), ("category_id", categories)):
            ids = {row["id"] for row in known}
            if unknown := sorted({str(row[name]) for row in rows if row[name] not in ids}):
                raise BadInput(f"unknown {name}: {first_few(unknown)}.", file=file, fix=fix)
    if iou_type == "segm":
        truths = list(_compress(truths, images, references))
        masks = _compress(results, images, predictions)
        results = [row | {"area": float(coco_mask.area(row["segmentation"]))} for row in masks]
    return CocoFiles(images=images, categories=categories, truths=truths, predictions=results)


def _references(path: Path) -> tuple[list[Row], list[Row], list[Row]]:
    truth = _json(path)
    names = ("images", "categories", "annotations")
    if missing := [name for name in names if not (isinstance(truth, dict) and truth.get(name))]:
        raise BadInput(f"not COCO references: no {', '.join(missing)}.", file=path, fix="give an instances file")
    for name in names[:2]:
        _check_rows(truth[name], ("id",), path)
        if twice := [str(key) for key, count in Counter(row["id"] for row in truth[name]).items() if count > 1]:
            raise BadInput(f"ids of {name} come twice: {first_few(twice)}.", file=path, fix="give each its own id")
    _check_rows(truth["annotations"], ("bbox", "category_id", "image_id"), path)
    # Annotation ids start at 1 here: COCO's matching reads the id 0 as "unmatched".
    rows = [{"iscrowd": 0, **row, "id": number} for number, row in enumerate(truth["annotations"], 1)]
    for row in rows:
        row.setdefault("area", _box_area(row, path, row["id"]))  # of its mask, where the file says so
        _check_number(row, "area", path, row["id"])
    if all(row["iscrowd"] for row in rows):
        raise BadInput("every annotation is a crowd.", file=path, fix="give references with single objects")
    return truth["images"], truth["categories"], rows


def _check_rows(rows: Any, names: Sequence[str], path: Path) -> None:
    for number, row in enumerate(rows, 1):
        if not isinstance(row, dict):
            raise BadInput(f"not an object: {row!r}.", file=path, row=number)
        if missing := [name for name in names if row.get(name) is None]:
            raise BadInput(f"missing: {', '.join(missing)}.", file=path, row=number)
        ids = [row[name] for name in names if name.endswith("id")]
        if not all(isinstance(one, int | str) for one in ids):
            raise BadInput(f"an id is neither a number nor a string: {ids}.", file=path, row=number)


def _check_number(row: Mapping[str, Any], name: str, path: Path, number: int) -> None:
    if not _is_finite(row[name]):
        raise BadInput(f"{name} is {row[name]!r}.", file=path, row=number, fix="give a finite number")


def _box_area(row: Mapping[str, Any], path: Path, number: int) -> Any:
    box = row["bbox"]
    if not (isinstance(box, list) and len(box) == 4 and all(map(_is_finite, box)) and box[2] >= 0 and box[3] >= 0):
        raise BadInput(f"bbox is {box!r}.", file=path, row=number, fix="give finite x, y, width >= 0, height >= 0")
    return box[2] * box[3]


def _is_finite(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _compress(rows: Sequence[Row], images: Sequence[Row], path: Path) -> Iterator[Row]:
    """The rows with compressed RLE, which results need; their masks may be polygons or run lengths as well."""
    sizes: dict[Any, tuple[Any, Any]] = {row["id"]: (row.get("height"), row.get("width")) for row in images}
    for number, row in enumerate(rows, 1):
        height, width = size = sizes[row["image_id"]]
        mask: Any = row.get("segmentation")
        try:
            # whatever another size can be turned into, it is not a mask of this image
            if isinstance(mask, dict) and list(mask["size"]) != list(size):
                raise ValueError(f"its size is {mask['size']}, the image's is {list(size)}")
            yield row | {"segmentation": segmToRle(mask, width, height)}
        except (KeyError, TypeError, ValueError, RuntimeError, IndexError) as error:
            fix = "give a polygon or RLE [height, width] of the image"
            raise BadInput(f"segmentation cannot be read: {error}.", file=path, row=number, fix=fix) from error


def _json(path: Path) -> Any:
    with explain("not JSON", OSError, ValueError, file=path):
        return json.loads(path.read_bytes())
