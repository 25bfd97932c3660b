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
from ..rows import annotate, image_path, index_by_id, plain_id, read_object, region, skipping, stated_size

Row = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class CocoFile:
    """An instances file: its images, the phrase of each category, the annotations of each image, by `plain_id`.

    `unplaced`: phrases of annotations whose image is not in the file, so that they may be on any without annotations.
    """

    path: Path
    images: list[Row]
    phrases: dict[str, str]
    rows: dict[str, list[Row]]
    unplaced: frozenset[str] = frozenset()


def read(
    folder: Path, skipped: Skipped, *, modality: str = "unknown", allow_outside: bool = False
) -> Iterator[AnnotatedImage]:
    """Images of the folder, one at a time, with split "" (COCO folders bring none).

    `modality` counts where an image names none; with `allow_outside` file names may leave the folder. Rows that cannot
    be used go to `skipped`. Raises `BadInput` if the file is missing or is not COCO.
    """
    coco = read_file(folder / "annotations.json", load_labels().label, skipped)
    for image in coco.images:
        with skipping(skipped, coco.path, f"image {image_name(image)}"):
            path = image_path(folder, image["file_name"], allow_outside)
            yield read_annotated(coco, image, path, skipped, group=path.stem, modality=modality)


def read_file(file: Path, phrase_of: Callable[[str], str], skipped: Skipped) -> CocoFile:
    """The file with `phrase_of(name)` for each category; annotations of images that are not in it go to `skipped`.

    Raises `BadInput` if it is missing or is not COCO, for an id that stands twice, and where no annotation meets an
    image: its images would all pass for negatives.
    """
    coco = read_object(file, ("images", "annotations", "categories"))
    phrases: dict[str, str] = {}
    for key, category in index_by_id(coco["categories"], file, skipped).items():
        with skipping(skipped, file, f"category {key}"):
            phrases[key] = phrase_of(category["name"])
    rows: dict[str, list[Row]] = {key: [] for key in index_by_id(coco["images"], file, Skipped())}
    unplaced: set[str] = set()
    for number, annotation in enumerate(coco["annotations"], 1):
        name = annotation.get("id", f"number {number}") if isinstance(annotation, dict) else f"number {number}"
        with skipping(skipped, file, f"annotation {name}"):
            if (key := plain_id(annotation["image_id"])) not in rows:
                unplaced.update([phrases.get(str(annotation.get("category_id")), "")])
                raise BadInput(f"image {key} is not in the file.", fix="remove the annotation")
            rows[key].append(annotation)
    if coco["annotations"] and coco["images"] and not any(rows.values()):
        problem = f"no annotation meets an image; {skipped.summary()}"
        raise BadInput(problem, file=file, fix="`image_id` of an annotation is the `id` of an image")
    return CocoFile(path=file, images=coco["images"], phrases=phrases, rows=rows, unplaced=frozenset(unplaced))


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
    rows, size = coco.rows.get(plain_id(image["id"]), []), stated_size(path, image)
    regions: list[Region] = []
    named: list[str] = []
    for row in rows:
        with skipping(skipped, coco.path, f"annotation {row.get('id')}"):
            phrase = coco.phrases.get(plain_id(row["category_id"]))
            if phrase is None:
                raise BadInput(f"category {row['category_id']} is not in the file.", fix="add it to `categories`")
            named.append(phrase)
            if row.get("iscrowd"):
                raise BadInput("a crowd is no single region.", fix="leave it out, or outline its members")
            mask = segmentation_to_mask(row.get("segmentation"), size)
            regions.append(region(phrase, xywh_to_xyxy(row["bbox"]), size, mask))
    # an annotation without a name may be of any category, one without an image may be on any that has none
    is_complete = len(named) == len(rows)
    lost = [*named, *(() if is_complete else coco.phrases.values()), *(() if rows else coco.unplaced)]
    facts = {"modality": image.get("modality") or modality, "group": str(image.get("group") or group)}
    facts["body_part"] = str(image.get("body_site") or "")
    folder, name = coco.path.parent, image["file_name"]
    return annotate(folder, name, path, regions, coco.phrases.values(), lost, size_px=size, **facts)


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
