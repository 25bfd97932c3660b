"""COCO's own files, read whole and checked: `instances` references and a `results` list."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from faster_coco_eval.core import mask as coco_mask
from faster_coco_eval.core.mask import segmToRle

from ...grounding.bad_input import BadInput
from ...grounding.foreign import read_json
from ...grounding.geometry import check_segmentation
from ..records import first_few
from ..settings import IouType

Row = dict[str, Any]
_MAX_NUMBER = 1e100  # whose square is still finite


@dataclass(frozen=True, kw_only=True)
class CocoFiles:
    """References and predictions that fit each other.

    `images`, `categories`, `truths` (annotations) and `predictions` as COCO has them, in the order of the files.
    Ids of images and categories count from 1 in the order of the file's own, which are `own_id` of each, as text;
    annotation ids count from 1, every annotation has `area` and `iscrowd`; with masks, `segmentation` is a compressed
    RLE of the image's size.
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
    """Both files. Ids are the same that read the same: 7, 7.0 and "7".

    Raises `BadInput`, with the row where there is one, for files that are not COCO's, ids that come twice,
    annotations or predictions on images or categories that the references do not hold, references without single
    objects, numbers that are not finite, negative sizes, and annotations and predictions without a mask of their image.
    """
    images, categories, truths = _references(references)
    if predictions.suffix == ".jsonl":
        call = f"medglip grounding evaluate --references {references} --images FOLDER --grounder {predictions}"
        raise BadInput("JSON lines, not a COCO results list.", file=predictions, fix=f"`{call}` scores them")
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
            numbers = {row["own_id"]: row["id"] for row in known}
            if unknown := sorted({_id(row[name]) for row in rows} - set(numbers)):
                raise BadInput(f"unknown {name}: {first_few(unknown)}.", file=file, fix=fix)
            for row in rows:
                row[name] = numbers[_id(row[name])]
    if iou_type == "segm":
        sizes = _image_sizes(images, references)
        truths = list(_compress(truths, sizes, references))
        masks = _compress(results, sizes, predictions)
        results = [row | {"area": float(coco_mask.area(row["segmentation"]))} for row in masks]
    return CocoFiles(images=images, categories=categories, truths=truths, predictions=results)


def _references(path: Path) -> tuple[list[Row], list[Row], list[Row]]:
    truth = _json(path)
    names = ("images", "categories", "annotations")
    if missing := [name for name in names if not (isinstance(truth, dict) and truth.get(name))]:
        raise BadInput(f"not COCO references: no {', '.join(missing)}.", file=path, fix="give an instances file")
    images, categories = (_number(truth[name], name, path) for name in names[:2])
    _check_rows(truth["annotations"], ("bbox", "category_id", "image_id"), path)
    # Annotation ids start at 1 here: COCO's matching reads the id 0 as "unmatched".
    rows = [{**row, "id": number} for number, row in enumerate(truth["annotations"], 1)]
    for row in rows:
        if row.setdefault("iscrowd", 0) not in (0, 1, None):
            raise BadInput(f"iscrowd is {row['iscrowd']!r}.", file=path, row=row["id"], fix="give 0 or 1")
        row["iscrowd"] = int(row["iscrowd"] or 0)
        row.setdefault("area", _box_area(row, path, row["id"]))  # of its mask, where the file says so
        _check_number(row, "area", path, row["id"])
    if all(row["iscrowd"] for row in rows):
        raise BadInput("every annotation is a crowd.", file=path, fix="give references with single objects")
    return images, categories, rows


def _number(rows: Any, name: str, path: Path) -> list[Row]:
    """Images or categories with whole numbers as ids, in the order of their own: numbers by size, texts by letters."""
    _check_rows(rows, ("id",), path)
    if twice := [key for key, count in Counter(_id(row["id"]) for row in rows).items() if count > 1]:
        raise BadInput(f"ids of {name} come twice: {first_few(twice)}.", file=path, fix="give each its own id")
    has_texts = any(isinstance(row["id"], str) for row in rows)
    ids = sorted((row["id"] for row in rows), key=_id if has_texts else None)
    numbers = {_id(own): number for number, own in enumerate(ids, 1)}
    return [row | {"own_id": _id(row["id"]), "id": numbers[_id(row["id"])]} for row in rows]


def _id(value: Any) -> str:
    """An id as text: 7, 7.0 and "7" are one."""
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


def _check_rows(rows: Any, names: Sequence[str], path: Path) -> None:
    fix = f"give a list of objects with {', '.join(names)}"
    if not isinstance(rows, list):
        raise BadInput(f"not a list: {type(rows).__name__}.", file=path, fix=fix)
    for number, row in enumerate(rows, 1):
        if not isinstance(row, dict):
            raise BadInput(f"not an object: {row!r:.60}.", file=path, row=number, fix=fix)
        if missing := [name for name in names if row.get(name) is None]:
            raise BadInput(f"missing: {', '.join(missing)}.", file=path, row=number, fix=fix)
        ids = [row[name] for name in names if name.endswith("id")]
        if not all(isinstance(one, str) or _is_finite(one) for one in ids):
            problem = f"an id is neither a number nor a string: {ids!r:.60}."
            raise BadInput(problem, file=path, row=number, fix="give whole numbers")


def _check_number(row: Mapping[str, Any], name: str, path: Path, number: int) -> None:
    if not _is_finite(row[name]):
        raise BadInput(f"{name} is {row[name]!r:.60}.", file=path, row=number, fix="give a finite number")


def _box_area(row: Mapping[str, Any], path: Path, number: int) -> Any:
    box = row["bbox"]
    if not (isinstance(box, list) and len(box) == 4 and all(map(_is_finite, box)) and box[2] >= 0 and box[3] >= 0):
        raise BadInput(f"bbox is {box!r:.60}.", file=path, row=number, fix="give finite x, y, width >= 0, height >= 0")
    return box[2] * box[3]


def _is_finite(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and -_MAX_NUMBER < value < _MAX_NUMBER


def _image_sizes(images: Sequence[Row], path: Path) -> dict[int, tuple[int, int]]:
    """Width and height by image id."""
    for number, row in enumerate(images, 1):
        if not all(type(row.get(side)) is int and row[side] > 0 for side in ("width", "height")):
            problem = f"image {row['own_id']} is {row.get('width')!r:.20} wide and {row.get('height')!r:.20} high."
            raise BadInput(problem, file=path, row=number, fix="masks need width and height of each image, in pixels")
    return {row["id"]: (row["width"], row["height"]) for row in images}


def _compress(rows: Sequence[Row], sizes: Mapping[int, tuple[int, int]], path: Path) -> Iterator[Row]:
    """The rows with compressed RLE, which results need; their masks may be polygons or run lengths as well."""
    for number, row in enumerate(rows, 1):
        width, height = size = sizes[row["image_id"]]
        try:
            segmentation = check_segmentation(row.get("segmentation") or [], size)
            mask = segmToRle(cast(Any, segmentation), width, height) if segmentation else None
        except BadInput as error:
            problem = f"segmentation cannot be read: {error.problem}"
            raise BadInput(problem, file=path, row=number, fix=error.fix) from error
        # a polygon between the centres of pixels covers none, and is an outline all the same
        if not mask or (isinstance(segmentation, dict) and not coco_mask.area(mask)):
            fix = "give polygons or RLE, or leave the row out; or score boxes: --iou-type bbox"
            raise BadInput("has no mask.", file=path, row=number, fix=fix)
        yield row | {"segmentation": mask}


def _json(path: Path) -> Any:
    return read_json(path, "export it again")
