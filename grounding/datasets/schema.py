"""Studies as a `datasets.Dataset`: fixed features, masks as RLE; Arrow holds millions, a row becomes a `Study`."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from datasets import Dataset, Features, Value
from datasets import List as ListOf

from ..types import Region, Study, region_from_json, region_to_json

STUDY_FEATURES = Features(
    {
        "study_id": Value("string"),
        "image_path": Value("string"),
        "modality": Value("string"),
        "group": Value("string"),
        "dataset": Value("string"),
        "split": Value("string"),
        "size_px": ListOf(Value("int32"), length=2),
        "phrases": ListOf(Value("string")),
        "regions": ListOf(
            {
                "phrase": Value("string"),
                "box_xyxy_px": ListOf(Value("float32"), length=4),
                "score": Value("float32"),
                "path": ListOf(Value("string")),
                "mask_rle": {"size": ListOf(Value("int32")), "counts": ListOf(Value("int32"))},
            }
        ),
    }
)


def study_to_row(study: Study) -> dict[str, Any]:
    """A row with `STUDY_FEATURES`."""
    return {
        "study_id": study.study_id,
        "image_path": str(study.image_path),
        "modality": study.modality,
        "group": study.group,
        "dataset": study.dataset,
        "split": study.split,
        "size_px": list(study.size_px),
        "phrases": list(study.phrases),
        "regions": [region_to_json(region) for region in study.regions],
    }


def row_to_study(row: dict[str, Any]) -> Study:
    """The inverse of `study_to_row`; masks are decoded here and not before."""
    return Study(
        study_id=row["study_id"],
        image_path=Path(row["image_path"]),
        modality=row["modality"],
        group=row["group"],
        dataset=row["dataset"],
        split=row["split"],
        size_px=(row["size_px"][0], row["size_px"][1]),
        phrases=tuple(row["phrases"]),
        regions=tuple(_region(region) for region in row["regions"]),
    )


def _region(row: dict[str, Any]) -> Region:
    rle = row["mask_rle"]
    has_mask = rle is not None and rle["counts"]
    box = np.array(row["box_xyxy_px"], np.float32)
    return region_from_json({**row, "box_xyxy_px": box, "mask_rle": rle if has_mask else None})


def to_dataset(studies: Iterable[Study]) -> Dataset:
    """Studies as a `datasets.Dataset` with `STUDY_FEATURES`."""
    return Dataset.from_list([study_to_row(study) for study in studies], features=STUDY_FEATURES)


def studies(data: Dataset) -> Iterator[Study]:
    """Every row of the dataset as a `Study`, in order."""
    return (row_to_study(row) for row in data)  # pyright: ignore[reportArgumentType]
