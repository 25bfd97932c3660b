"""The regions of many reports as COCO predictions: a `results` list, and the images and categories it speaks of."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ...grounding.bad_input import ROW_ERRORS, BadInput, Skipped, about, explain, explain_row, nearest, repeated
from ...grounding.files import write_atomic
from ...grounding.foreign import read_json
from ...grounding.types import NOTICE
from .grounded import GroundedReport, from_json

Row = dict[str, Any]


def to_coco(reports: Sequence[GroundedReport], references: Mapping[str, Any] | None = None) -> tuple[Row, list[Row]]:
    """(images and categories, results) of the reports, in their order.

    Results hold `image_id`, `category_id`, `bbox` (x, y, width, height), `score`, and `segmentation` (compressed RLE)
    where a region has a mask. `references`: a COCO dictionary whose ids are taken, images by file name, categories by
    name; without it both are numbered from 1. Raises `BadInput` for an image or phrase that the references do not
    hold, and for two reports of one image.
    """
    phrases = sorted({region.phrase for report in reports for region in report.all_regions})
    images = _choose_ids(references, "images", "file_name", [report.image for report in reports])
    categories = _choose_ids(references, "categories", "name", phrases)
    made_by = {key: sorted({getattr(r, key) for r in reports} - {""}) for key in ("model", "adapter", "grounder")}
    versions = {name: version for report in reports for name, version in report.versions.items()}
    dataset = {
        "info": {"description": NOTICE, **made_by, "versions": versions},
        "images": [
            {"id": images[r.image], "file_name": r.image, "width": r.size_px[0], "height": r.size_px[1]}
            for r in reports
        ],
        "categories": [{"id": key, "name": name} for name, key in categories.items()],
    }
    results: list[Row] = []
    of_reports = [(report.image, region) for report in reports for region in report.all_regions]
    for image, region in of_reports:
        x0, y0, x1, y1 = (round(float(value), 2) for value in region.box_xyxy_px)
        ids = {"image_id": images[image], "category_id": categories[region.phrase]}
        box, score = [x0, y0, round(x1 - x0, 2), round(y1 - y0, 2)], round(float(region.score), 4)
        results.append({**ids, "bbox": box, "score": score})
        if region.mask is not None:
            from faster_coco_eval.core import mask as coco_mask  # compiled, and few reports have masks

            rle = coco_mask.encode(np.asfortranarray(region.mask, np.uint8))
            results[-1]["segmentation"] = {"size": [*map(int, rle["size"])], "counts": rle["counts"].decode("ascii")}
    return dataset, results


def write_coco(
    reports: Sequence[GroundedReport], folder: Path, references: Path | Mapping[str, Any] | None = None
) -> list[Path]:
    """Write `images.json` and `predictions.json` into the folder; returns both. `references`: a file, or its content.

    Raises `BadInput` as `to_coco`, with the file of the references.
    """
    files = [folder / "images.json", folder / "predictions.json"]
    if isinstance(references, Path):
        with about(references):
            return write_coco(reports, folder, read_json(references))
    for file, values in zip(files, to_coco(reports, references), strict=True):
        write_atomic(file, json.dumps(values, ensure_ascii=False))
    return files


def read_reports(folder: Path, skipped: Skipped) -> list[GroundedReport]:
    """Every grounded report among the folder's JSON files, by name; other files go to `skipped`.

    Raises `BadInput` if there is none.
    """
    reports: list[GroundedReport] = []
    for file in sorted(folder.glob("*.json")):
        try:
            values = read_json(file)
            if not isinstance(values, dict):
                raise BadInput("not a JSON object.", file=file)
            reports.append(from_json(values))
        except ROW_ERRORS as error:
            skipped.add(file.name, explain_row(error, file))
    if not reports:
        raise BadInput("no grounded report here.", file=folder, fix="give a folder that `medglip report write` filled")
    return reports


def _choose_ids(references: Mapping[str, Any] | None, rows: str, key: str, names: Sequence[str]) -> dict[str, Any]:
    """An id for each name. Raises `BadInput` for an image that comes twice and for names without a reference."""
    if rows == "images" and (twice := repeated(names)):
        raise BadInput(
            f"two reports of the image {min(twice)!r}.", fix="keep reports of one image in folders of their own"
        )
    if references is None:
        return {name: number for number, name in enumerate(names, 1)}
    # A reference may name its images with folders; reports have bare file names.
    with explain("no COCO references", *ROW_ERRORS, fix=f"list {rows} with id and {key}"):
        stated = [Path(row[key]).name if rows == "images" else str(row[key]) for row in references[rows]]
        known = dict(zip(stated, (row["id"] for row in references[rows]), strict=True))
    if twice := [name for name in repeated(stated) if name in names]:
        raise BadInput(f"two {rows} of the references are called {twice[0]!r}.", fix="give each a name of its own")
    if unknown := [name for name in names if name not in known]:
        raise BadInput(f"{rows} of the references have no {unknown[0]!r}.", fix=nearest(unknown[0], known))
    return {name: known[name] for name in names}
