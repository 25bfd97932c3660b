"""Detections in COCO's own files -> AP, AP50, AP75, AP and AR by size, IoU and Dice, with intervals over images.

For files of other tools; records of this toolkit go through `score.score`.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from faster_coco_eval.core import mask as coco_mask

from ...grounding.bad_input import BadInput
from ...grounding.files import file_sha256, sha256
from ..metrics.detection.average_precision import STAT_INDEX, average_precisions, average_recall, coco_stats
from ..metrics.detection.coco_matching import MAX_BOXES, Matching
from ..score import Scores
from ..settings import EvalSettings, IouType
from ..statistics.bootstrap import Estimate
from ..statistics.measure import Bools, Floats, Measured, Measures, count_samples, mean
from ..statistics.strata import estimate_all
from .coco_files import CocoFiles, Row, read_coco


def score_coco(
    references: Path, predictions: Path, iou_type: IouType = "bbox", settings: EvalSettings = EvalSettings()
) -> Scores:
    """COCO's numbers by faster_coco_eval, with intervals that resample images. No predictions give 0.0.

    Means over categories with truth: ap, ap50, ap75, ap_small, ap_medium, ap_large, ar_1, ar_10, ar_100; a size
    without truth is left out. Every image counts, those without truth too. Over (image, category) pairs with truth:
    miou (IoU of the highest scoring prediction, 0 without one), acc_iou50, and for masks dice (union of the
    predictions with at least the score threshold against the union of the truth). Strata: category, of which `n` are
    the images with truth or predictions of it, and modality, where images name theirs. Raises `BadInput` as
    `read_coco` does.
    """
    files = read_coco(references, predictions, iou_type)

    def count_images(cells: dict[str, Estimate], num: int) -> dict[str, Estimate]:
        # COCO's own numbers are of images, whatever pairs they are made of
        return {name: replace(cell, n=num) if name in STAT_INDEX else cell for name, cell in cells.items()}

    try:
        stats = coco_stats(files.references, files.predictions, iou_type)
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
        raise BadInput(f"cannot be scored: {error!r}", file=predictions, fix=f"check the {iou_type} entries") from error
    measured = measure_coco(files, stats, iou_type, settings)
    metrics, strata = estimate_all(measured, strata=settings.strata, **settings.intervals)
    for axis, labels in strata.items():
        pairs = set(zip(measured.clusters, measured.strata[axis], strict=True))  # image and label, once
        for label in labels:
            labels[label] = count_images(labels[label], sum(name == label for _, name in pairs))
    return Scores(
        task="grounding",
        protocol=measured.protocol,
        version=measured.version,
        metrics=count_images(metrics, len(files.images)),
        counts=dict(measured.counts),
        settings=settings.model_dump(mode="json") | {"iou_type": iou_type},
        data_sha256=sha256(file_sha256(references) + file_sha256(predictions)),
        strata=strata,
        notes=list(measured.notes),
    )


def measure_coco(files: CocoFiles, stats: Sequence[float], iou_type: IouType, settings: EvalSettings) -> Measured:
    """The measures; `stats`: COCO's twelve numbers. One input an (image, category) with truth or predictions.

    An image without either is one input as well, of no category, so that it is drawn with the others.
    """
    pairs = _pairs(files, iou_type)
    values = {name: stats[index] for name, index in STAT_INDEX.items() if stats[index] >= 0}  # -1: no truth of a size
    names = {row["id"]: _printable(row.get("name", row["own_id"])) for row in files.categories}
    modalities = {row["id"]: _printable(row.get("modality") or "") for row in files.images}
    own_ids = {row["id"]: row["own_id"] for row in files.images}
    predicted, annotated = ({row["image_id"] for row in rows} for rows in (files.predictions, files.truths))
    return Measured(
        protocol=f"coco_{iou_type}",
        version="2",
        measures=_ranking_measures(pairs, files, values) | _pair_measures(pairs, iou_type, settings.score_threshold),
        clusters=[own_ids[pair.image_id] for pair in pairs],
        counts=count_samples(len(files.images), failed=len(annotated - predicted))
        | {
            "images": len(files.images),
            "images_without_truth": len(files.images) - len(annotated),
            "annotations": len(files.truths),
            "predictions": len(files.predictions),
        },
        strata={
            "category": [names.get(pair.category_id, "") for pair in pairs],
            "modality": [modalities[pair.image_id] for pair in pairs],
        },
    )


def _printable(name: Any) -> str:
    """A name as text that any file can hold: half a character becomes a question mark."""
    return str(name).encode(errors="replace").decode()


@dataclass(frozen=True, eq=False)
class _Pair:
    """One category on one image: predictions in falling order of score, `MAX_BOXES` at most, and IoUs with truth."""

    image_id: int
    category_id: int | None
    predictions: list[Row]
    truths: list[Row]
    ious_PG: Floats
    crowds_G: Bools


def _pairs(files: CocoFiles, iou_type: IouType) -> list[_Pair]:
    """In the order of images and categories by their ids, which breaks ties as COCO does."""
    truths, predictions = defaultdict[tuple[int, int], list[Row]](list), defaultdict[tuple[int, int], list[Row]](list)
    for rows, grouped in ((files.truths, truths), (files.predictions, predictions)):
        for row in rows:
            grouped[row["image_id"], row["category_id"]].append(row)
    keys: set[tuple[int, int]] = set(truths) | set(predictions)
    # an image without truth and predictions is a pair of no category: it must be drawn as often as the others
    bare = {row["id"] for row in files.images} - {image for image, _ in keys}
    form = "bbox" if iou_type == "bbox" else "segmentation"
    pairs: list[_Pair] = []
    for image, kind in [*sorted(keys), *((image, None) for image in bare)]:
        here = truths[image, kind]
        ranked = sorted(predictions[image, kind], key=lambda row: -row["score"])[:MAX_BOXES]
        crowds = [int(row["iscrowd"]) for row in here]
        ious_PG = np.zeros((len(ranked), len(here)))
        if ious_PG.size:
            ious_PG = np.asarray(coco_mask.iou([row[form] for row in ranked], [row[form] for row in here], crowds))
        pairs.append(_Pair(image, kind, ranked, here, ious_PG, np.array(crowds, bool)))
    return sorted(pairs, key=lambda pair: pair.image_id)


def _ranking_measures(pairs: Sequence[_Pair], files: CocoFiles, values: dict[str, float]) -> Measures:
    codes = {row["id"]: code for code, row in enumerate(files.categories)}
    matching = Matching(
        ious=[pair.ious_PG for pair in pairs],
        scores=[np.array([row["score"] for row in pair.predictions], np.float64) for pair in pairs],
        areas=[np.array([row["area"] for row in pair.predictions], np.float64) for pair in pairs],
        truth_areas=[np.array([row["area"] for row in pair.truths], np.float64) for pair in pairs],
        crowds=[pair.crowds_G for pair in pairs],
        categories_N=np.array([codes.get(pair.category_id, 0) for pair in pairs], np.int64),
        num_categories=len(codes),
    )
    precisions = average_precisions(matching, values)
    recalls = {name: average_recall(precisions["ap"], int(name[3:]), values[name]) for name in values if "ar_" in name}
    return {**precisions, **recalls}


def _pair_measures(pairs: Sequence[_Pair], iou_type: IouType, score_threshold: float) -> Measures:
    rows = [row for row, pair in enumerate(pairs) if (~pair.crowds_G).any()]
    scored = [pairs[row] for row in rows]
    # IoU of the best scoring prediction, 0 without one
    tops = np.array([pair.ious_PG[:1, ~pair.crowds_G].max(initial=0) for pair in scored], np.float64)
    measures: Measures = {"miou": mean(tops, rows), "acc_iou50": mean(tops >= 0.5, rows)}
    if iou_type == "segm":
        dices = []
        for pair in scored:
            masks = [row["segmentation"] for row in pair.predictions if row["score"] >= score_threshold]
            truth = coco_mask.merge([row["segmentation"] for row in pair.truths if not row["iscrowd"]])
            union = coco_mask.merge(masks) if masks else None
            total = float(coco_mask.area(truth)) + (float(coco_mask.area(union)) if union else 0.0)
            both = float(coco_mask.area(coco_mask.merge([truth, union], intersect=True))) if union else 0.0
            dices.append(2 * both / total if total else 0.0)
        measures["dice"] = mean(dices, rows)
    return measures
