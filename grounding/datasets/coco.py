"""COCO: `annotations.json` beside `images/`. Boxes are x, y, width, height in pixels; category names are the phrases.

Read with it here: slices of public CT, MRI, ultrasound, fundus, dermoscopy and histology sets, and DSB 2018 nuclei;
each has its own source and licence, several forbid commercial use (see `licenses` and `info` in its file).
Beyond the standard, an image may carry `modality` and `group` (patient or recording, the unit of the split).
Traps: an image without annotations is a true negative for every category; crowds (`iscrowd`) are no single region;
category names of one file are taken as annotated exhaustively on each of its images.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from ..bad_input import BadInput, Skipped
from ..geometry import rle_to_mask, xywh_to_xyxy
from ..imaging.read import image_size
from ..labels import load_labels
from ..types import Region, Study
from .rows import known_phrases, read_json, region, skipping

_Row = dict[str, Any]


def read(folder: Path, skipped: Skipped, *, modality: str = "unknown") -> Iterator[Study]:
    """Studies of the folder, one at a time, with split "" (COCO folders bring none).

    `modality` counts where an image names none. Rows that cannot be used go to `skipped`. Raises `BadInput` if the
    file is missing or is not COCO.
    """
    file = folder / "annotations.json"
    coco = read_json(file, ("images", "annotations", "categories"))
    phrases = _phrases(coco["categories"], file, skipped)
    annotations = _by_image(coco["annotations"], coco["images"], file, skipped)
    for image in coco["images"]:
        study = None
        with skipping(skipped, file, f"image {_name(image)}"):
            study = _study(image, annotations.get(image["id"], []), phrases, folder, modality, skipped)
        if study is not None:
            yield study


def _name(row: Any) -> Any:
    return (row.get("file_name") or row.get("id")) if isinstance(row, dict) else row


def _phrases(categories: list[_Row], file: Path, skipped: Skipped) -> dict[int, str]:
    found: dict[int, str] = {}
    for category in categories:
        with skipping(skipped, file, f"category {category}"):
            found[category["id"]] = load_labels().label(category["name"])
    return found


def _by_image(annotations: list[_Row], images: list[_Row], file: Path, skipped: Skipped) -> dict[int, list[_Row]]:
    found: dict[int, list[_Row]] = {image["id"]: [] for image in images if isinstance(image, dict) and "id" in image}
    for annotation in annotations:
        with skipping(skipped, file, f"annotation {annotation.get('id') if isinstance(annotation, dict) else ''}"):
            if annotation["image_id"] not in found:
                raise BadInput(f"image {annotation['image_id']} is not in the file.", fix="remove the annotation")
            found[annotation["image_id"]].append(annotation)
    return found


def _study(
    image: _Row, rows: list[_Row], phrases: dict[int, str], folder: Path, modality: str, skipped: Skipped
) -> Study:
    path = _image_path(folder, image["file_name"])
    size = image_size(path)
    stated = (image.get("width", size[0]), image.get("height", size[1]))
    if stated != size:
        raise BadInput(f"{size} pixels, but the annotations are for {stated}.", file=path, fix="use the original image")
    found: list[Region] = []
    for row in rows:
        with skipping(skipped, folder / "annotations.json", f"annotation {row.get('id')}"):
            found.append(_region(row, phrases, size))
    named = [phrases[row["category_id"]] for row in rows if row.get("category_id") in phrases]
    return Study(
        study_id=f"{folder.name}/{image['file_name']}",
        image_path=path,
        modality=image.get("modality") or modality,
        group=str(image.get("group") or Path(image["file_name"]).stem),
        dataset=folder.name,
        split="",
        size_px=size,
        regions=tuple(found),
        phrases=known_phrases(phrases.values(), named, found),
    )


def _image_path(folder: Path, name: str) -> Path:
    inner = folder / "images" / name
    return inner if inner.is_file() or not (folder / name).is_file() else folder / name


def _region(row: _Row, phrases: dict[int, str], size_px: tuple[int, int]) -> Region:
    if row["category_id"] not in phrases:
        raise BadInput(f"category {row['category_id']} is not in the file.", fix="add it to `categories`")
    if row.get("iscrowd"):
        raise BadInput("a crowd is no single region.", fix="leave it out, or outline its members")
    mask = segmentation_to_mask(row.get("segmentation"), size_px)
    return region(phrases[row["category_id"]], xywh_to_xyxy(row["bbox"]), size_px, mask)


def segmentation_to_mask(segmentation: Any, size_px: tuple[int, int]) -> NDArray[np.bool_] | None:
    """bool[H, W] of polygons, compressed or uncompressed RLE; None where there is none.

    Raises `BadInput` for an RLE whose runs do not fill its size, and for what is no polygon.
    """
    if not segmentation:
        return None
    if isinstance(segmentation, dict) and isinstance(segmentation["counts"], list):
        return rle_to_mask(segmentation)
    from faster_coco_eval.core import mask as coco_mask  # loaded here: most sets do without it

    width, height = size_px
    if isinstance(segmentation, dict):
        try:
            return np.asarray(coco_mask.decode(segmentation), bool)
        except RuntimeError as error:
            raise BadInput(f"compressed RLE: {error}", fix="export the mask again") from error
    outlines = [_points(polygon, size_px) for polygon in segmentation]
    polygons = cast(list[dict[str, Any]], coco_mask.frPyObjects(outlines, height, width))
    return np.asarray(coco_mask.decode(coco_mask.merge(polygons)), bool)


def _points(polygon: Any, size_px: tuple[int, int]) -> list[float]:
    """x, y, x, y ... of a polygon. The decoder takes four numbers for a box, and all memory for NaN or far corners."""
    points = np.asarray(polygon, np.float64)
    if points.ndim != 1 or len(points) < 6 or len(points) % 2:
        raise BadInput("a polygon needs three corners or more, x, y, x, y ...", fix="remove it, or outline it again")
    if not np.abs(points).max() <= 2 * max(size_px):
        raise BadInput("a polygon has a corner far off the image, or NaN.", fix="polygons are in pixels of the image")
    return points.tolist()
