"""A `datasets.Dataset` of studies described, checked against its files, and written as sharded Parquet."""

import json
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.compute as pc
from datasets import Dataset
from tqdm.auto import tqdm

from ..bad_input import BadInput, Skipped
from ..imaging.read import read_image
from ..records import write_atomic
from ..types import Region, Study
from .schema import row_to_study

_NAMES = ("dataset", "modality", "split")


def describe(data: Dataset) -> list[dict[str, Any]]:
    """One row a data set, modality and split, sorted: dataset, modality, split, images, regions, phrases (a count)."""
    images, regions = Counter[tuple[str, ...]](), Counter[tuple[str, ...]]()
    phrases: dict[tuple[str, ...], set[str]] = {}
    columns = data.select_columns([*_NAMES, "phrases", "regions"]).with_format("arrow")
    for batch in columns.iter(batch_size=512):  # Arrow: no run of a mask becomes a Python number
        keys = list(zip(*(batch[name].to_pylist() for name in _NAMES), strict=True))  # pyright: ignore
        counts = pc.list_value_length(batch["regions"]).to_pylist()  # pyright: ignore
        for key, count, said in zip(keys, counts, batch["phrases"].to_pylist(), strict=True):  # pyright: ignore
            images[key] += 1
            regions[key] += count
            phrases.setdefault(key, set()).update(said)
    return [
        {**dict(zip(_NAMES, key, strict=True)), "images": images[key], "regions": regions[key], "phrases": len(found)}
        for key, found in sorted(phrases.items())
    ]


def check(data: Dataset) -> Skipped:
    """Open every image and hold every region against it; each fault is named, a study with none is not."""
    faults = Skipped()
    seen = Counter[str]()
    for row in tqdm(data, desc="check", unit="image", leave=False, disable=None):
        name = f"{row['dataset']}: {row['study_id']}"  # pyright: ignore[reportArgumentType, reportCallIssue]
        try:
            study = row_to_study(row)  # pyright: ignore[reportArgumentType]
            seen[study.study_id] += 1
            _check(study, seen[study.study_id])
        except BadInput as error:
            faults.add(name, error)
    return faults


def _check(study: Study, times: int) -> None:
    if times > 1:
        raise BadInput(f"id {study.study_id!r} occurs again.", fix="ids are unique over all sets")
    size = read_image(study.image_path).size
    if size != study.size_px:
        raise BadInput(f"{size} pixels, not {study.size_px}.", file=study.image_path, fix="load the set again")
    for number, region in enumerate(study.regions, 1):
        if problem := _fault(region, size):
            raise BadInput(problem, file=study.image_path, row=f"region {number}", fix="correct its annotation")


def _fault(region: Region, size_px: tuple[int, int]) -> str:
    """What is wrong with a region of an image of (width, height), or nothing."""
    x0, y0, x1, y1 = region.box_xyxy_px
    if x0 < 0 or y0 < 0 or x1 > size_px[0] or y1 > size_px[1]:
        return f"box {region.box_xyxy_px.tolist()} of {region.phrase!r} leaves the image of {size_px}."
    if region.mask is None:
        return ""
    if region.mask.shape != size_px[::-1]:
        return f"mask of {region.phrase!r} is (H, W) {region.mask.shape}, the image (W, H) {size_px}."
    rows, columns = np.flatnonzero(region.mask.any(1)), np.flatnonzero(region.mask.any(0))
    if not len(rows):
        return f"mask of {region.phrase!r} is empty."
    is_inside = columns[0] >= int(x0) and rows[0] >= int(y0) and columns[-1] < x1 and rows[-1] < y1
    return "" if is_inside else f"mask of {region.phrase!r} leaves its box {region.box_xyxy_px.tolist()}."


def export(data: Dataset, folder: Path, rows_per_shard: int = 2000) -> list[Path]:
    """Write `studies-00000-of-00003.parquet` ... and, last, `counts.json` with the shards and `describe`'s rows.

    Each file is whole or absent; shards of an earlier export are removed. Image paths stay as they are. Read back with
    `datasets.load_dataset("parquet", data_files=...)`. Raises `BadInput` for a data set without rows.
    """
    if not len(data):
        raise BadInput("nothing to export.", fix="see what was skipped while loading")
    number = -(-len(data) // rows_per_shard)
    shards = [folder / f"studies-{k:05d}-of-{number:05d}.parquet" for k in range(number)]
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "counts.json").unlink(missing_ok=True)
    for k, shard in enumerate(shards):
        partial = shard.with_name(f".{shard.name}")
        data.shard(number, k, contiguous=True).to_parquet(partial)
        partial.replace(shard)
    for old in set(folder.glob("studies-*-of-*.parquet")) - set(shards):
        old.unlink()
    counts = {"studies": len(data), "shards": [shard.name for shard in shards], "sets": describe(data)}
    write_atomic(folder / "counts.json", json.dumps(counts, indent=1) + "\n")
    return shards
