import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from medglip.eval.settings import EvalSettings
from medglip.eval.tasks.coco import score_coco
from medglip.grounding.bad_input import BadInput
from medglip.grounding.geometry import mask_to_rle

FEW = EvalSettings(resamples=50)


def _rle(x0: int, y0: int, x1: int, y1: int) -> dict[str, Any]:
    mask = np.zeros((40, 40), bool)
    mask[y0:y1, x0:x1] = True
    return mask_to_rle(mask)


TRUTH = {
    "images": [{"id": n, "width": 40, "height": 40, "file_name": f"{n}.png"} for n in (0, 1, 2)],
    "categories": [{"id": 1, "name": "lung"}],
    "annotations": [
        {"id": n, "image_id": n, "category_id": 1, "bbox": [0, 0, 20, 20], "segmentation": _rle(0, 0, 20, 20)}
        for n in (0, 1)
    ],
}


def _found(*images: int) -> list[dict[str, Any]]:
    return [
        {
            "image_id": n,
            "category_id": 1,
            "bbox": [0, 0, 20, 20],
            "segmentation": _rle(0, 0, 20, 20),
            "score": 0.45 + n / 10,
        }
        for n in images
    ]


def _score(tmp_path: Path, truth: Any, found: Any, iou_type: Any = "bbox") -> dict[str, float]:
    for name, data in (("truth.json", truth), ("found.json", found)):
        (tmp_path / name).write_text(json.dumps(data))
    scores = score_coco(tmp_path / "truth.json", tmp_path / "found.json", iou_type, FEW)
    assert scores.counts["n"] == scores.counts["scored"] + scores.counts["failed"]
    return {name: estimate.value for name, estimate in scores.metrics.items()}


@pytest.mark.parametrize("iou_type", ["bbox", "segm"])
def test_images_without_truth_count(tmp_path: Path, iou_type: str) -> None:
    names = {"ap", "ap50", "ap75", "ap_small", "ar_1", "ar_10", "ar_100", "miou", "acc_iou50"}
    names |= {"dice"} if iou_type == "segm" else set()
    whole = _score(tmp_path, TRUTH, _found(0, 1), iou_type)
    assert whole == pytest.approx(dict.fromkeys(names - {"dice"}, 1) | ({"dice": 0.5} if "dice" in names else {}))
    lowered = _score(tmp_path, TRUTH, _found(0, 1, 2), iou_type)
    assert lowered == pytest.approx(whole | dict.fromkeys(("ap", "ap50", "ap75", "ap_small"), 2 / 3))


@pytest.mark.parametrize("iou_type", ["bbox", "segm"])
def test_no_predictions_give_zero(tmp_path: Path, iou_type: str) -> None:
    assert set(_score(tmp_path, TRUTH, [], iou_type).values()) == {0.0}


def test_files_that_are_not_cocos_are_refused(tmp_path: Path) -> None:
    for truth, found, said in (
        ([], [], "not COCO references: no images"),
        (TRUTH | {"annotations": []}, [], "no annotations"),
        (TRUTH | {"annotations": [TRUTH["annotations"][0] | {"iscrowd": 1}]}, [], "every annotation is a crowd"),
        (TRUTH, {"annotations": []}, "not a COCO results list"),
        (TRUTH, [{"image_id": 0}], "row 1: missing: category_id, score, bbox"),
        (TRUTH, _found(7), "unknown image_id: 7"),
        (TRUTH, [_found(0)[0] | {"category_id": 4}], "unknown category_id: 4"),
        (TRUTH | {"annotations": [TRUTH["annotations"][0] | {"image_id": 9}]}, [], "unknown image_id: 9"),
        (TRUTH | {"images": TRUTH["images"] * 2}, [], "ids of images come twice: 0, 1, 2"),
        (TRUTH | {"annotations": [TRUTH["annotations"][0] | {"bbox": [0, 0, 2]}]}, [], "row 1: bbox is"),
        (TRUTH, [*_found(0), _found(1)[0] | {"score": float("nan")}], "row 2: score is nan"),
        (TRUTH, [_found(0)[0] | {"bbox": [0, 0, -1, 5]}], "row 1: bbox is"),
        (TRUTH, [_found(0)[0] | {"bbox": [0, float("inf"), 1, 5]}], "row 1: bbox is"),
        (TRUTH, [3], "row 1: not an object"),
    ):
        with pytest.raises(BadInput, match=said):
            _score(tmp_path, truth, found)
    (tmp_path / "regions.jsonl").write_text("{}\n{}\n")
    with pytest.raises(BadInput, match=r"medglip grounding evaluate .* --grounder .*regions\.jsonl` scores them"):
        score_coco(tmp_path / "truth.json", tmp_path / "regions.jsonl")
    (tmp_path / "found.json").write_text("{")
    with pytest.raises(BadInput, match=r"found\.json: not JSON"):
        score_coco(tmp_path / "truth.json", tmp_path / "found.json")


def test_masks_of_another_size_are_refused(tmp_path: Path) -> None:
    small = _found(0)[0] | {"segmentation": {"size": [20, 40], "counts": [800]}}
    with pytest.raises(BadInput, match=r"found\.json: row 2: segmentation cannot be read: its size is"):
        _score(tmp_path, TRUTH, [*_found(1), small], "segm")


@pytest.mark.parametrize("iou_type", ["bbox", "segm"])
@pytest.mark.parametrize("change", [str, float, lambda n: f"image {n}"])
def test_ids_may_be_texts_and_floats(tmp_path: Path, iou_type: str, change: Any) -> None:
    def changed(rows: list[dict[str, Any]], *names: str) -> list[dict[str, Any]]:
        return [row | {name: change(row[name]) for name in names} for row in rows]

    truth = {name: changed(TRUTH[name], "id") for name in ("images", "categories")}
    truth["annotations"] = changed(TRUTH["annotations"], "image_id", "category_id")
    found = changed(_found(0, 1, 2), "image_id", "category_id")
    assert _score(tmp_path, truth, found, iou_type) == _score(tmp_path, TRUTH, _found(0, 1, 2), iou_type)
    if change is not str:
        return
    assert _score(tmp_path, truth, _found(0, 1, 2), iou_type) == _score(tmp_path, TRUTH, found, iou_type)


SQUARE = [0, 0, 20, 0, 20, 20, 0, 20]
NO_MASKS = (
    (None, "has no mask"),
    ([], "has no mask"),
    ({"size": [40, 40], "counts": [1600]}, "has no mask"),
    ([[]], "three corners"),
    ([[0, 0, 20, 20]], "three corners"),
    ([SQUARE, [5, 5]], "three corners"),
    ([[*SQUARE[:6], 3e8, 20]], "far off the image, or NaN"),
    ([[*SQUARE[:6], float("nan"), 20]], "far off the image, or NaN"),
    ([[*SQUARE[:6], float("-inf"), 20]], "far off the image, or NaN"),
    ([["left", *SQUARE]], "no list of numbers"),
    ("left", "list of polygons or an RLE"),
    ({"counts": [1600]}, "its size is None"),
    ({"size": [40, 40]}, "not an RLE"),
    ({"size": [40, 40], "counts": "1e999"}, "RLE of|not an RLE"),
    ({"size": [40, 40], "counts": [5, 10**400]}, "not an RLE"),
    ({"size": [40, 40], "counts": [1605, -5]}, "RLE of 1600 pixels"),
)


@pytest.mark.parametrize("side", ["truth", "found"])
@pytest.mark.parametrize(("segmentation", "reason"), NO_MASKS, ids=[str(form)[:30] for form, _ in NO_MASKS])
def test_what_is_no_mask_is_refused_on_both_sides(tmp_path: Path, side: str, segmentation: Any, reason: str) -> None:
    truth, found = json.loads(json.dumps(TRUTH)), _found(0, 1)
    rows = {"truth": truth["annotations"], "found": found}[side]
    rows[1]["segmentation"] = segmentation
    with pytest.raises(BadInput, match=rf"{side}\.json: row 2: .*({reason}|missing: segmentation)"):
        _score(tmp_path, truth, found, "segm")


@pytest.mark.parametrize("size", [10**9, 0, -1, "40", None, 40.5])
def test_masks_need_the_size_of_their_image(tmp_path: Path, size: Any) -> None:
    images = [row | {"width": size} for row in TRUTH["images"]]
    polygons = [row | {"segmentation": [SQUARE]} for row in TRUTH["annotations"]]
    with pytest.raises(BadInput, match=r"truth\.json: row 1: "):
        _score(tmp_path, TRUTH | {"images": images, "annotations": polygons}, _found(0), "segm")


@pytest.mark.parametrize(
    ("key", "value"),
    [("iscrowd", "yes"), ("image_id", True), ("image_id", [0]), ("category_id", float("nan")), ("area", 10**400)],
)
def test_odd_values_of_annotations_name_their_row(tmp_path: Path, key: str, value: Any) -> None:
    first, second = TRUTH["annotations"]
    with pytest.raises(BadInput, match=r"truth\.json: row 2: .* Fix: "):
        _score(tmp_path, TRUTH | {"annotations": [first, second | {key: value}]}, _found(0))
