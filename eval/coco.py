"""Detections in COCO's own files: `instances` references and a `results` list -> AP, AP50, AP75, AR100.

For files of other tools; records of this toolkit go through `score.score`, which adds intervals.
"""

import json
from pathlib import Path
from typing import Any, Literal

from faster_coco_eval.core.mask import segmToRle

from ..grounding.bad_input import BadInput
from ..grounding.records import file_sha256, sha256
from .bootstrap import Estimate
from .metrics.detection import coco_stats
from .records import shown
from .score import Scores

_PLACES = {"ap": 0, "ap50": 1, "ap75": 2, "ar_100": 8}


def score_coco(references: Path, predictions: Path, iou_type: Literal["bbox", "segm"] = "bbox") -> Scores:
    """COCO's numbers, means over categories with truth, by faster_coco_eval; no intervals. No predictions give 0.0.

    Every image of the references counts, those without truth too. Raises `BadInput` for files that are not COCO's,
    for predictions on images or categories that the references do not hold, and for references without annotations.
    """
    truth, found = _references(references), _predictions(predictions, iou_type)
    images, categories = ({row["id"] for row in truth[name]} for name in ("images", "categories"))
    for name, known in (("image_id", images), ("category_id", categories)):
        unknown = sorted({str(row[name]) for row in found if row[name] not in known})
        if unknown:
            raise BadInput(f"unknown {name}: {shown(unknown)}.", file=predictions, fix=f"use the ids of {references}")
    try:
        if iou_type == "segm":
            found = _compressed(found, truth["images"])
        stats = coco_stats(truth, found, iou_type)
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
        raise BadInput(f"cannot be scored: {error!r}", file=predictions, fix=f"check the {iou_type} entries") from error
    return Scores(
        task="grounding",
        protocol=f"coco_{iou_type}",
        version="1",
        metrics={name: Estimate(stats[place], None, None, len(images), "none") for name, place in _PLACES.items()},
        counts={"images": len(images), "annotations": len(truth["annotations"]), "predictions": len(found)},
        settings={"iou_type": iou_type},
        data_sha256=sha256(file_sha256(references) + file_sha256(predictions)),
    )


def _references(path: Path) -> dict[str, Any]:
    truth = _json(path)
    missing = [
        name for name in ("images", "annotations", "categories") if not (isinstance(truth, dict) and truth.get(name))
    ]
    if missing:
        raise BadInput(f"not COCO references: no {', '.join(missing)}.", file=path, fix="give an instances file")
    # Annotation ids start at 1 here: COCO's matching reads the id 0 as "unmatched".
    rows = [{"iscrowd": 0, **row, "id": number} for number, row in enumerate(truth["annotations"], 1)]
    for row in rows:
        if "bbox" not in row or "category_id" not in row or "image_id" not in row:
            raise BadInput("an annotation lacks bbox, category_id or image_id.", file=path, row=row["id"])
        row.setdefault("area", row["bbox"][2] * row["bbox"][3])
    if all(row["iscrowd"] for row in rows):
        raise BadInput("every annotation is a crowd.", file=path, fix="give references with single objects")
    return truth | {"annotations": rows}


def _predictions(path: Path, iou_type: str) -> list[dict[str, Any]]:
    found = _json(path)
    if not isinstance(found, list):
        raise BadInput("not a COCO results list.", file=path, fix="give a list of image_id, category_id, bbox, score")
    place = "bbox" if iou_type == "bbox" else "segmentation"
    for number, row in enumerate(found, 1):
        missing = [name for name in ("image_id", "category_id", "score", place) if name not in row]
        if missing:
            raise BadInput(f"missing: {', '.join(missing)}.", file=path, row=number)
    # pycocotools takes boxes or masks from whichever key a first row has, so that only one may be there.
    return [{name: row[name] for name in ("image_id", "category_id", "score", place)} for row in found]


def _compressed(rows: list[dict[str, Any]], images: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The predictions with compressed RLE, which results need; their masks may be polygons or run lengths as well."""
    sizes = {row["id"]: (row["width"], row["height"]) for row in images}
    return [row | {"segmentation": segmToRle(row["segmentation"], *sizes[row["image_id"]])} for row in rows]


def _json(path: Path) -> Any:
    try:
        return json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise BadInput(f"not JSON: {error}", file=path) from error
