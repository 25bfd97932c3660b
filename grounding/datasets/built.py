"""The built dataset: `data-*.parquet` of `medglip data build`, its columns, and its reader for training.

Pictures lie inside the shards or beside them; the reader copies those inside to `images/`, once, where everything that
takes a path finds them. Plain `datasets.load_dataset("parquet", data_files=..., streaming=True)` reads the shards too.
"""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
from datasets import Features, Image, Value
from datasets import List as ListOf

from ..bad_input import BadInput, Skipped
from ..records import write_atomic
from ..types import Study
from .rows import existing_folder, skipping
from .schema import STUDY_FEATURES, row_to_study

BUILT_FEATURES = Features(
    {
        **STUDY_FEATURES,
        "image": Image(),  # bytes and file name; null where pictures stay outside
        "body_region": Value("string"),
        "source": Value("string"),
        "licence": Value("string"),
        "original_size_px": ListOf(Value("int32"), length=2),
        "provenance": {
            "layout": Value("string"),
            "path": Value("string"),
            "file": Value("string"),
            "row": Value("string"),
        },
        "pixel_hash": Value("uint64"),
        "look_hash": Value("uint64"),
    }
)
"""`STUDY_FEATURES` and: `body_region`, null where the labels say none or several; `source`, the set's name; `licence`;
`original_size_px` (width, height) at the source; `provenance`: layout and path of the set, file of the picture, id of
the row there; the hashes of `duplicates`. `image_path` is below MEDGLIP_DATA, or absolute."""

SHARDS = "data-*.parquet"
_SUFFIXES = {b"\x89PNG": ".png", b"\xff\xd8\xff": ".jpg"}
_ROWS = 256


def read(folder: Path, skipped: Skipped, *, modality: str = "") -> Iterator[Study]:
    """Studies of a built dataset, one at a time, with the splits and the data set names they were built with.

    `modality` is taken for compatibility and left alone: every row has its own. A row that cannot be used goes to
    `skipped`. Raises `BadInput` for a folder without shards.
    """
    for number, row in enumerate(rows(folder), 1):
        study = None
        with skipping(skipped, folder, f"{number} ({row['study_id']})"):
            study = row_to_study({**row, "image_path": str(_picture(folder, row))})
        if study is not None:
            yield study


def rows(folder: Path, columns: list[str] | None = None) -> Iterator[dict[str, Any]]:
    """Every row as stored, with `BUILT_FEATURES` or some columns of it; memory for a few hundred rows."""
    for shard in shards(folder):
        for batch in pq.ParquetFile(shard).iter_batches(_ROWS, columns=columns):
            yield from batch.to_pylist()


def shards(folder: Path) -> list[Path]:
    """The Parquet files of a built dataset, in order. Raises `BadInput` for none."""
    found = sorted(existing_folder(folder).glob(SHARDS))
    if not found:
        raise BadInput(f"no {SHARDS} here.", file=folder, fix="`medglip data build MANIFEST.yaml` writes them")
    return found


def _picture(folder: Path, row: dict[str, Any]) -> Path:
    """The picture's file; one inside the shard is copied out under the name of its pixels' hash."""
    content = (row.get("image") or {}).get("bytes")
    if content is None:
        return Path(os.environ.get("MEDGLIP_DATA", "")) / row["image_path"]
    name = f"{row['pixel_hash']:016x}"
    suffix = next((suffix for mark, suffix in _SUFFIXES.items() if content.startswith(mark)), ".img")
    path = folder / "images" / name[:2] / f"{name}{suffix}"
    if not path.is_file():
        write_atomic(path, content)
    return path
