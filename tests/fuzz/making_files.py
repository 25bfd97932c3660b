"""Tiny files that the readers' valid inputs are made of."""

import csv
import gzip
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

SIZE = (30, 20)
MASK = np.zeros(SIZE[::-1], np.uint8)
MASK[4:9, 6:15] = 1
BOX_XYWH, BOX_XYXY = [6, 4, 9, 5], [6, 4, 15, 9]


def put(file: Path, content: Any) -> Path:
    """Write a text, bytes, or what the name's ending says: JSON, lines of JSON, a table, a picture, its folders too."""
    file.parent.mkdir(parents=True, exist_ok=True)
    name = file.name.removesuffix(".gz")
    if isinstance(content, np.ndarray):
        Image.fromarray(content).save(file)
        return file
    if not isinstance(content, str | bytes):
        if name.endswith(".json"):
            content = json.dumps(content, ensure_ascii=False)
        elif name.endswith(".jsonl"):
            content = "".join(json.dumps(row) + "\n" for row in content)
        elif name.endswith(".parquet"):
            pq.write_table(pa.Table.from_pylist(content), file)
            return file
        else:
            return _put_table(file, content)
    data = content.encode() if isinstance(content, str) else content
    file.write_bytes(gzip.compress(data, mtime=0) if file.suffix == ".gz" else data)
    return file


def _put_table(file: Path, rows: Sequence[dict[str, Any]]) -> Path:
    with gzip.open(file, "wt", newline="") if file.suffix == ".gz" else file.open("w", newline="") as lines:
        table = csv.DictWriter(lines, [*rows[0]])
        table.writeheader()
        table.writerows(rows)
    return file


def picture(file: Path, size: tuple[int, int] = SIZE, mode: str = "RGB") -> Path:
    """A gradient."""
    file.parent.mkdir(parents=True, exist_ok=True)
    values = np.linspace(0, 60_000, size[0] * size[1]).reshape(size[::-1])
    if mode == "I;16":
        Image.fromarray(values.astype(np.uint16)).save(file)
    else:
        Image.fromarray((values / 256).astype(np.uint8)).convert(mode).save(file)
    return file


def put_mimic(folder: Path) -> None:
    """Two studies of two patients in MIMIC-CXR's layout, an image of 30 x 20 px each, recorded as 300 x 200."""
    rows = [{"dicom_id": f"d{k}", "study_id": f"5000000{k}", "subject_id": f"1000000{k}"} for k in (1, 2)]
    facts = {"ViewPosition": "PA", "Rows": "200", "Columns": "300", "StudyDate": "21800506", "StudyTime": "80556.87"}
    for row in rows:
        picture(folder / f"files/p10/p{row['subject_id']}/s{row['study_id']}/{row['dicom_id']}.jpg")
    parts = [{**row, "split": split} for row, split in zip(rows, ("train", "test"), strict=True)]
    put(folder / "mimic-cxr-2.0.0-split.csv.gz", parts)
    put(folder / "mimic-cxr-2.0.0-metadata.csv.gz", [{**row, **facts} for row in rows])


def coco_file(*names: str, **annotation: Any) -> dict[str, Any]:
    """An instances file of these images, the first of which has a box and a polygon."""
    outline = [[6, 4, 15, 4, 15, 9, 6, 9]]
    images = [{"id": k, "file_name": name, "width": SIZE[0], "height": SIZE[1]} for k, name in enumerate(names)]
    rows = [
        {"id": 1, "image_id": 0, "category_id": 1, "bbox": BOX_XYWH, "area": 45, "iscrowd": 0, "segmentation": outline}
    ]
    mask = {"size": [20, 30], "counts": [125, 5, 15, 5, 450]}
    rows += [{**rows[0], "id": 2, "segmentation": mask}]
    return {
        "images": images,
        "categories": [{"id": 1, "name": "liver"}],
        "annotations": [row | annotation for row in rows],
    }
