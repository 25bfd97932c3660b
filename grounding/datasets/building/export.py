"""A `datasets.Dataset` of images described, checked against its files, and written as sharded Parquet."""

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.compute as pc
from datasets import Dataset
from tqdm.auto import tqdm

from ...bad_input import BadInput, Skipped
from ...files import write_atomic
from ...imaging.read import read_image
from ...types import Region
from ..schema import row_to_image, tables
from .card import TALLIED, Tally, tally
from .duplicates import alike_before, fingerprints, same_before

_NAMES = ("dataset", "modality", "split")


@dataclass(frozen=True)
class ImageHashes:
    """What `check` notes of an image that opens: its id and split, and the hashes of `duplicates`."""

    id: str
    split: str
    pixels: int
    look: int
    thumbnail: bytes


def describe(data: Dataset) -> list[dict[str, Any]]:
    """One row a data set, modality and split, sorted: dataset, modality, split, images, regions, phrases (a count)."""
    rows: dict[tuple[str, ...], dict[str, Any]] = {}
    for part in tables(data, [*_NAMES, "phrases", "regions"], 512):  # Arrow: no run of a mask becomes a Python number
        keys = zip(*(part[name].to_pylist() for name in _NAMES), strict=True)
        counts = pc.list_value_length(part["regions"]).to_pylist()  # pyright: ignore[reportAttributeAccessIssue]
        for key, count, phrases in zip(keys, counts, part["phrases"].to_pylist(), strict=True):
            names = dict(zip(_NAMES, key, strict=True))
            row = rows.setdefault(key, {**names, "images": 0, "regions": 0, "phrases": set()})
            row["images"] += 1
            row["regions"] += count
            row["phrases"].update(phrases)
    return [{**row, "phrases": len(row["phrases"])} for _, row in sorted(rows.items())]


def check(data: Dataset, hashes: list[ImageHashes] | None = None) -> Skipped:
    """Open every image and hold every region against it; each fault is named, an image with none is not.

    With a list of `hashes`, those of images that open are noted there, for `shared_images`.
    """
    faults = Skipped()
    seen = Counter[str]()
    for row in tqdm(data, desc="check", unit="image", leave=False, disable=None):
        name = f"{row['dataset']}: {row['image_id']}"  # pyright: ignore[reportArgumentType, reportCallIssue]
        try:
            annotated = row_to_image(row)  # pyright: ignore[reportArgumentType]
            seen[annotated.image_id] += 1
            image = read_image(annotated.image_path)
            if hashes is not None:  # before the checks, so that faulty images are compared too
                hashes.append(ImageHashes(annotated.image_id, annotated.split, *fingerprints(image)))
            if seen[annotated.image_id] > 1:
                raise BadInput(f"id {annotated.image_id!r} occurs again.", fix="ids are unique over all sets")
            if image.size != annotated.size_px:
                problem = f"{image.size} pixels, not {annotated.size_px}."
                raise BadInput(problem, file=annotated.image_path, fix="load the set again")
            for number, region in enumerate(annotated.regions, 1):
                if problem := _fault_of(region, image.size):
                    row, fix = f"region {number}", "correct its annotation"
                    raise BadInput(problem, file=annotated.image_path, row=row, fix=fix)
        except BadInput as error:
            faults.add(name, error)
    return faults


def shared_images(hashes: Sequence[ImageHashes]) -> list[dict[str, str]]:
    """Train images that a held-out split (any but train) has too: id, "equal pixels" or "looks like", the other's id.

    Equal and alike by the rules of `duplicates`; images of one set that look alike may be slices of one kind.
    """
    ranks = np.array([one.split == "train" for one in hashes], np.int8)
    pixels, looks = (np.array([getattr(p, name) for p in hashes], np.uint64) for name in ("pixels", "look"))
    thumbnails = np.array([list(one.thumbnail) for one in hashes], np.uint8).reshape(-1, 256)
    # rank 0: held out, rank 1: train; each train image is compared with those of lower rank
    same, alike = same_before(pixels, ranks), alike_before(looks, ranks, thumbnails)
    return [
        {"train": one.id, "is": "equal pixels" if a >= 0 else "looks like", "held out": hashes[a if a >= 0 else b].id}
        for one, a, b in zip(hashes, same.tolist(), alike.tolist(), strict=True)
        if a >= 0 or b >= 0
    ]


def tally_all(data: Dataset) -> Tally:
    """Counts of all rows by modality, label level, box size and what else they have (`card.tally`)."""
    counter: Tally = Counter()
    names = [name for name in TALLIED if name in data.column_names]
    for part in tables(data, names, 512):
        counter.update(tally(part))
    return counter


def _fault_of(region: Region, size_px: tuple[int, int]) -> str:
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
