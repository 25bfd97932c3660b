"""Regions computed once and stored in Parquet, so that training a language model never runs the grounder.

A row is one image under one grounder and one list of phrases. Every batch becomes a file of its own, written whole
and renamed: a kill loses at most the batch in flight, and processes that share the folder do not meet.
"""

import io
import json
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from datasets import Dataset
from tqdm.auto import tqdm

from ..bad_input import ROW_ERRORS, BadInput, Skipped, explain, in_one_line
from ..datasets.schema import AnnotatedImages
from ..files import sha256, write_atomic
from ..grounder import Grounder, Images, Phrases
from ..imaging.read import image_sha256
from ..types import AnnotatedImage, Region, region_from_json, region_to_json

_REGION = pa.struct(
    [
        ("phrase", pa.string()),
        ("box_xyxy_px", pa.list_(pa.float32())),
        ("score", pa.float64()),
        ("path", pa.list_(pa.string())),
        ("mask_rle", pa.struct([("size", pa.list_(pa.int32())), ("counts", pa.list_(pa.int32()))])),
        ("embedding", pa.list_(pa.float32())),
        ("pooled", pa.list_(pa.list_(pa.float16()))),
        ("z", pa.list_(pa.float64())),
    ]
)
SCHEMA = pa.schema([("key", pa.string()), ("regions", pa.list_(_REGION))])


class StoredRegions(Mapping[str, list[Region]]):
    """Regions by image id; masks are decoded at each access and not before, so that all of them never fill memory."""

    def __init__(self, key_of: Mapping[str, str], table: pa.Table, folder: Path | None = None):
        self._table, self._folder = table, folder
        self._row_of_key = {key: row for row, key in enumerate(table["key"].to_pylist())}
        self._key_of = {image_id: key for image_id, key in key_of.items() if key in self._row_of_key}

    def __getitem__(self, image_id: str) -> list[Region]:
        row = self._row_of_key[self._key_of[image_id]]
        fix = "delete the folder, its regions come again"
        with explain("a damaged region in the cache", *ROW_ERRORS, file=self._folder, fix=fix):
            return [_read_region(values) for values in self._table["regions"][row].as_py()]

    def __contains__(self, image_id: object) -> bool:
        return image_id in self._key_of

    def __iter__(self) -> Iterator[str]:
        return iter(self._key_of)

    def __len__(self) -> int:
        return len(self._key_of)


def regions_of(
    grounder: Grounder,
    images: Images | Dataset,
    phrases: Phrases,
    cache_dir: Path,
    batch_size: int = 16,
) -> tuple[StoredRegions, Skipped]:
    """The regions of every image by its id, as `grounder.ground` gives them; grounded now where not on disk.

    Keyed by the image's bytes, modality, the grounder's fingerprint and the phrases in any order. Images that cannot
    be read are left out and listed. `Dataset` rows have `IMAGE_FEATURES`. Raises `ValueError` where images and phrases
    differ in number, `BadInput` for a shard that is damaged.
    """
    if len(images) != len(phrases):
        raise ValueError(f"{len(images)} images, but phrases for {len(phrases)}")
    images, skipped = AnnotatedImages(images) if isinstance(images, Dataset) else images, Skipped()
    ids, keys = _find_keys(grounder, images, phrases, skipped)
    folder = cache_dir / grounder.fingerprint[:16]
    stored = _read(folder, set(keys.values()))
    done = set(stored["key"].to_pylist())
    # the same image under two ids has one key: it is grounded once
    missing = list({key: index for index, key in keys.items() if key not in done}.values())
    shards: list[Path] = []
    bar = tqdm(total=len(missing), desc="grounding images", unit="image", disable=not missing)
    for start in range(0, len(missing), batch_size):
        indices = missing[start : start + batch_size]
        batch = {index: (images[index], list(phrases[index])) for index in indices}
        rows = []
        for index, regions in _ground(grounder, batch, skipped).items():
            rows.append({"key": keys[index], "regions": [_write_region(region) for region in regions]})
        shards.append(_write_table(folder, pa.Table.from_pylist(rows, SCHEMA)))
        bar.update(len(indices))
    bar.close()
    fresh = pa.concat_tables([SCHEMA.empty_table(), *(pq.read_table(path, schema=SCHEMA) for path in shards)])
    if len(shards) > 1:  # many small shards become one, which is there before they go
        _write_table(folder, fresh)
        for path in shards:
            path.unlink()
    table = pa.concat_tables([stored, fresh])
    return StoredRegions({ids[index]: key for index, key in keys.items()}, table, folder), skipped


def _write_region(region: Region) -> dict[str, Any]:
    """What `_read_region` reads back: unlike in records nothing is rounded, but pooled features to half precision."""
    exact = {name: getattr(region, name) for name in ("box_xyxy_px", "score", "embedding", "z")}
    pooled = region.pooled and [vector.astype(np.float16) for vector in region.pooled]
    return region_to_json(region) | exact | {"pooled": pooled}


def _read_region(values: Mapping[str, Any]) -> Region:
    embedding, pooled = values["embedding"], values["pooled"]
    return replace(
        region_from_json(values),
        embedding=None if embedding is None else np.array(embedding, np.float32),
        pooled=None if pooled is None else tuple(np.array(vector, np.float32) for vector in pooled),
    )


def _find_keys(
    grounder: Grounder, images: Images, phrases: Phrases, skipped: Skipped
) -> tuple[dict[int, str], dict[int, str]]:
    """Id and cache key of every image that can be opened, by its index."""
    ids, keys = dict[int, str](), dict[int, str]()
    for index, (image, row) in enumerate(zip(images, phrases, strict=True)):
        try:
            # everything the regions depend on; for an oracle that includes the annotations
            digest, words = image_sha256(image.image_path), sorted(set(row))
            parts: list[Any] = [digest, image.modality, grounder.fingerprint, words]
            if grounder.depends_on_annotations:
                parts += [list(image.phrases), [region_to_json(region) for region in image.regions]]
            if grounder.depends_on_name:
                parts.append(image.image_path.as_posix())
            ids[index], keys[index] = image.image_id, sha256(json.dumps(parts))
        except BadInput as error:
            skipped.add(image.image_id, error)
    return ids, keys


def _ground(
    grounder: Grounder, batch: Mapping[int, tuple[AnnotatedImage, list[str]]], skipped: Skipped
) -> dict[int, list[Region]]:
    """Regions by index; if the batch holds an image that cannot be read, one by one without it."""
    images, phrases = [image for image, _ in batch.values()], [row for _, row in batch.values()]
    try:
        return dict(zip(batch, grounder.ground(images, phrases), strict=True))
    except BadInput as error:
        if len(batch) > 1:  # which one it is shows only alone
            return {k: r for index in batch for k, r in _ground(grounder, {index: batch[index]}, skipped).items()}
        skipped.add(images[0].image_id, error)
        return {}


def _write_table(folder: Path, table: pa.Table) -> Path:
    buffer = io.BytesIO()
    pq.write_table(table, buffer, compression="zstd")
    path = folder / f"{uuid.uuid4().hex}.parquet"
    write_atomic(path, buffer.getvalue())
    return path


@cache
def _keys_in(path: Path) -> frozenset[str]:
    """A file never changes: of a set that is asked part by part each is opened once for its keys."""
    return frozenset(pq.read_table(path, columns=["key"])["key"].to_pylist())


def _read(folder: Path, keys: set[str]) -> pa.Table:
    """The rows of the keys from every shard, each key once. Raises `BadInput` for a damaged shard."""
    tables, seen = [SCHEMA.empty_table()], set[str]()
    for path in sorted(folder.glob("*.parquet")):
        if keys <= seen:
            break
        try:
            if not (wanted := (keys - seen) & _keys_in(path)):
                continue
            table = pq.read_table(path, schema=SCHEMA, filters=[("key", "in", sorted(wanted))])
        except FileNotFoundError:
            continue  # another process joined its shards just now; what is missed is computed again
        except (pa.ArrowException, OSError) as error:
            fix = "delete it, its regions come again"
            raise BadInput(f"a damaged cache shard: {in_one_line(error)}", file=path, fix=fix) from error
        seen |= set(table["key"].to_pylist())
        tables.append(table)
    return pa.concat_tables(tables)
