"""COCO's numbers against pycocotools, and what resampling makes of them against pycocotools on drawn images."""

import contextlib
import copy
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from medglip.eval.metrics.detection.average_precision import STAT_INDEX, coco_stats
from medglip.eval.settings import EvalSettings
from medglip.eval.statistics.measure import Measured
from medglip.eval.tasks.coco import measure_coco, score_coco
from medglip.eval.tasks.coco_files import CocoFiles, read_coco
from medglip.grounding.geometry import mask_to_rle

SIDE = 200
FEW = EvalSettings(resamples=50)


def _row(rng: np.random.Generator, image: int, with_mask: bool, **others: Any) -> dict[str, Any]:
    sides = np.exp(rng.uniform(np.log(8), np.log(150), 2)).astype(int)
    x, y = (int(rng.integers(0, SIDE - side)) for side in sides)
    return _boxed(image, [x, y, int(sides[0]), int(sides[1])], with_mask, **others)


def _boxed(image: int, box: list[int], with_mask: bool, **others: Any) -> dict[str, Any]:
    row = {"image_id": image, "bbox": box, **others}
    if with_mask:
        mask = np.zeros((SIDE, SIDE), bool)
        mask[box[1] : box[1] + box[3], box[0] : box[0] + box[2]] = True
        mask[box[1] :: 3, box[0] :: 3] &= False
        row["segmentation"] = mask_to_rle(mask)
    return row


def _data(seed: int, with_mask: bool, num_images: int = 40) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Several categories, crowds, a category and images without truth, all sizes, predictions twice on one truth."""
    rng = np.random.default_rng(seed)
    truths: list[dict[str, Any]] = []
    found: list[dict[str, Any]] = []
    for image in range(1, num_images + 1):
        for _ in range(int(rng.integers(0, 6))):
            kind, is_crowd = int(rng.integers(1, 4)), int(rng.random() < 0.15)
            truth = _row(rng, image, with_mask, category_id=kind, iscrowd=is_crowd, id=len(truths) + 1)
            truths.append(truth | {"area": float(truth["bbox"][2] * truth["bbox"][3])})
            for _ in range(int(rng.integers(0, 3))):
                x, y, w, h = truth["bbox"]
                box = [x, y, max(2, w - int(rng.integers(0, 1 + w // 3))), max(2, h - int(rng.integers(0, 1 + h // 3)))]
                found.append(_boxed(image, box, with_mask, category_id=kind))
        found += [_row(rng, image, with_mask, category_id=int(rng.integers(1, 5))) for _ in range(2)]
    scores = rng.permutation(len(found)) / len(found)
    found = [row | {"score": float(score)} for row, score in zip(found, scores, strict=True)]
    images = [
        {"id": n, "width": SIDE, "height": SIDE, "modality": "ct" if n % 2 else "mr"} for n in range(1, num_images + 1)
    ]
    categories = [{"id": n, "name": f"kind {n}"} for n in range(1, 5)]
    return {"images": images, "categories": categories, "annotations": truths}, found


def _pycocotools(truth: dict[str, Any], found: list[dict[str, Any]], iou_type: Any) -> list[float]:
    place = "bbox" if iou_type == "bbox" else "segmentation"
    rows = [{name: row[name] for name in ("image_id", "category_id", "score", place)} for row in found]
    with contextlib.redirect_stdout(io.StringIO()):
        reference: Any = COCO()
        reference.dataset = copy.deepcopy(truth)
        reference.createIndex()
        if iou_type == "segm":
            rows = [row | {"segmentation": reference.annToRLE(row)} for row in rows]
        evaluation = COCOeval(reference, reference.loadRes(rows), iou_type)
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return [float(value) for value in evaluation.stats]


def _files(tmp_path: Path, truth: Any, found: Any) -> tuple[Path, Path]:
    for name, data in (("truth.json", truth), ("found.json", found)):
        (tmp_path / name).write_text(json.dumps(data))
    return tmp_path / "truth.json", tmp_path / "found.json"


def _measured(files: CocoFiles, iou_type: Any) -> Measured:
    return measure_coco(files, coco_stats(files.references, files.predictions, iou_type), iou_type, FEW)


@pytest.mark.parametrize(("seed", "iou_type"), [(0, "bbox"), (1, "bbox"), (2, "segm")])
def test_values_equal_pycocotools(tmp_path: Path, seed: int, iou_type: Any) -> None:
    truth, found = _data(seed, iou_type == "segm")
    scores = score_coco(*_files(tmp_path, truth, found), iou_type, FEW)
    theirs = _pycocotools(truth, found, iou_type)
    assert {name: scores.metrics[name].value for name in STAT_INDEX} == pytest.approx(
        {name: theirs[place] for name, place in STAT_INDEX.items()}, abs=1e-9
    )
    assert all(scores.metrics[name].n == 40 for name in STAT_INDEX)
    assert all(cell.low is not None and cell.low <= cell.value <= cell.high for cell in scores.metrics.values())  # pyright: ignore[reportOperatorIssue]
    with_truth = {row["image_id"] for row in truth["annotations"]}
    assert scores.counts["images_without_truth"] == 40 - len(with_truth)
    assert {"kind 1", "kind 2", "kind 3"} <= set(scores.strata["category"])
    assert {cells["ap"].n for cells in scores.strata["modality"].values()} == {20}


@pytest.mark.parametrize("iou_type", ["bbox", "segm"])
def test_unit_weights_and_resamples_equal_pycocotools(tmp_path: Path, iou_type: Any) -> None:
    """A weight of 2 is the image twice, under a new id: the same numbers from pycocotools on such a set."""
    truth, found = _data(3, iou_type == "segm", num_images=30)
    measured = _measured(read_coco(*_files(tmp_path, truth, found), iou_type), iou_type)
    drawn = np.sort(np.random.default_rng(0).integers(1, 31, 30))
    weights_I = np.bincount(drawn, minlength=31).astype(float)
    weights_1N = weights_I[np.array(measured.clusters, int)][None]
    again_truth, again_found = dict(truth, images=[], annotations=[]), []
    for new, old in enumerate(drawn.tolist(), 1):
        again_truth["images"].append(truth["images"][old - 1] | {"id": new})
        rows = [row | {"image_id": new} for row in truth["annotations"] if row["image_id"] == old]
        again_truth["annotations"] += rows
        again_found += [row | {"image_id": new} for row in found if row["image_id"] == old]
    again_truth["annotations"] = [row | {"id": n} for n, row in enumerate(again_truth["annotations"], 1)]
    theirs = _pycocotools(again_truth, again_found, iou_type)
    for name, place in STAT_INDEX.items():
        measure = measured.measures[name]
        assert float(measure.value_at(np.ones_like(weights_1N))[0]) == pytest.approx(measure.value, abs=1e-9), name
        assert float(measure.value_at(weights_1N)[0]) == pytest.approx(theirs[place], abs=1e-9), name


def test_a_stratum_is_that_category_alone(tmp_path: Path) -> None:
    truth, found = _data(4, False)
    scores = score_coco(*_files(tmp_path, truth, found), "bbox", FEW)
    one = dict(truth, annotations=[row for row in truth["annotations"] if row["category_id"] == 2])
    theirs = _pycocotools(one, [row for row in found if row["category_id"] == 2], "bbox")
    cells = scores.strata["category"]["kind 2"]
    assert {name: cells[name].value for name in cells if name in STAT_INDEX} == pytest.approx(
        {name: theirs[STAT_INDEX[name]] for name in cells if name in STAT_INDEX}, abs=1e-9
    )
