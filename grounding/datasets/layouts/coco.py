"""COCO: `annotations.json` beside `images/`. Boxes are x, y, width, height in pixels; category names are the phrases.

Read with it here: slices of public CT, MRI, ultrasound, fundus, dermoscopy and histology sets, and DSB 2018 nuclei;
each has its own source and licence, several forbid commercial use (see `licenses` and `info` in its file).
Beyond the standard, an image may carry `modality`, `body_site` and `group` (patient or recording, the unit of splits).
Traps: an image without annotations is a true negative for every category; crowds (`iscrowd`) are no single region;
category names of one file are taken as annotated exhaustively on each of its images.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from ...bad_input import BadInput, Skipped
from ...geometry import check_segmentation, rle_to_mask, xywh_to_xyxy
from ...types import AnnotatedImage, Region
from ...vocabulary.labels import load_labels
from ..rows import annotate, image_path, read_json, region, skipping, stated_size

Row = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class CocoFile:
    """An instances file: its images, the phrase of each category id, the annotations of each image id."""

    path: Path
    images: list[Row]
    phrases: dict[Any, str]
    rows: dict[Any, list[Row]]


def read(folder: Path, skipped: Skipped, *, modality: str = "unknown") -> Iterator[AnnotatedImage]:
    """Images of the folder, one at a time, with split "" (COCO folders bring none).

    `modality` counts where an image names none. Rows that cannot be used go to `skipped`. Raises `BadInput` if the
    file is missing or is not COCO.
    """
    coco = read_file(folder / "annotations.json", load_labels().label, skipped)
    for image in coco.images:
        with skipping(skipped, coco.path, f"image {image_name(image)}"):
            path = image_path(folder, image["file_name"])
            yield read_annotated(coco, image, path, skipped, group=path.stem, modality=modality)


def read_file(file: Path, phrase_of: Callable[[str], str], skipped: Skipped) -> CocoFile:
    """The file with `phrase_of(name)` for each category; annotations of images that are not in it go to `skipped`.

    Raises `BadInput` if it is missing or is not COCO.
    """
    coco = read_json(file, ("images", "annotations", "categories"))
    phrases: dict[Any, str] = {}
    for category in coco["categories"]:
        with skipping(skipped, file, f"category {category}"):
            phrases[category["id"]] = phrase_of(category["name"])
    rows: dict[Any, list[Row]] = {row["id"]: [] for row in coco["images"] if isinstance(row, dict) and "id" in row}
    for number, annotation in enumerate(coco["annotations"], 1):
        name = annotation.get("id", f"number {number}") if isinstance(annotation, dict) else f"number {number}"
        with skipping(skipped, file, f"annotation {name}"):
            if annotation["image_id"] not in rows:
                raise BadInput(f"image {annotation['image_id']} is not in the file.", fix="remove the annotation")
            rows[annotation["image_id"]].append(annotation)
    return CocoFile(path=file, images=coco["images"], phrases=phrases, rows=rows)


def image_name(row: Any) -> Any:
    """The name of an image of the file in messages."""
    return (row.get("file_name") or row.get("id")) if isinstance(row, dict) else row


def read_annotated(
    coco: CocoFile, image: Row, path: Path, skipped: Skipped, *, group: str, modality: str = "unknown"
) -> AnnotatedImage:
    """One image of the file, which lies at `path`; its annotations that cannot be used go to `skipped`.

    `group` and `modality` count where the image names none. Raises `BadInput` for an image that cannot be read, or is
    of another size than the file says.
    """
    rows, size = coco.rows.get(image["id"], []), stated_size(path, image)
    regions: list[Region] = []
    for row in rows:
        with skipping(skipped, coco.path, f"annotation {row.get('id')}"):
            if row["category_id"] not in coco.phrases:
                raise BadInput(f"category {row['category_id']} is not in the file.", fix="add it to `categories`")
            if row.get("iscrowd"):
                raise BadInput("a crowd is no single region.", fix="leave it out, or outline its members")
            mask = segmentation_to_mask(row.get("segmentation"), size)
            regions.append(region(coco.phrases[row["category_id"]], xywh_to_xyxy(row["bbox"]), size, mask))
    named = [coco.phrases[row["category_id"]] for row in rows if row.get("category_id") in coco.phrases]
    facts = {"modality": image.get("modality") or modality, "group": str(image.get("group") or group)}
    facts["body_part"] = str(image.get("body_site") or "")
    folder, name = coco.path.parent, image["file_name"]
    return annotate(folder, name, path, regions, coco.phrases.values(), named, size_px=size, **facts)


def segmentation_to_mask(segmentation: Any, size_px: tuple[int, int]) -> NDArray[np.bool_] | None:
    """bool[H, W] of polygons, compressed or uncompressed RLE; None where there is none.

    Raises `BadInput` as `check_segmentation` does.
    """
    if not segmentation:
        return None
    checked = check_segmentation(segmentation, size_px)
    if isinstance(checked, dict):
        return rle_to_mask(checked)
    from faster_coco_eval.core import mask as coco_mask  # loaded here: most sets do without it

    polygons = cast(list[dict[str, Any]], coco_mask.frPyObjects(checked, size_px[1], size_px[0]))
    return np.asarray(coco_mask.decode(coco_mask.merge(polygons)), bool)
