"""Annotated images as a `datasets.Dataset`: fixed features, masks as RLE; Arrow holds millions of them."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, cast

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from datasets import Dataset, Features, Value
from datasets import List as ListOf

from ..types import AnnotatedImage, region_from_json, region_to_json

_BODY_PART = "body_part"  # last: rows and tables that were written before lack it
_TEXTS = ("image_id", "image_path", "modality", "group", "dataset", "split", _BODY_PART)
IMAGE_FEATURES = Features(
    {
        **{name: Value("string") for name in _TEXTS},
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

_ROWS = 256
_OLD_ID = "study_id"
"""Name of the column `image_id` in rows and tables that were written by version 0.1."""


def upgrade_row(row: Mapping[str, Any]) -> dict[str, Any]:
    """A row of any version under the keys of today."""
    return {"image_id" if key == _OLD_ID else key: value for key, value in row.items()}


def upgrade_table(table: pa.Table) -> pa.Table:
    """A table of any version, whole or some columns of it, under the column names of today."""
    table = table.rename_columns(["image_id" if name == _OLD_ID else name for name in table.column_names])
    return _with_body_part(table) if "split" in table.column_names else table


def upgrade_data(data: Dataset) -> Dataset:
    """A dataset of any version under the column names of today; nothing is copied."""
    data = data.rename_column(_OLD_ID, "image_id") if _OLD_ID in data.column_names else data
    return data if _BODY_PART in data.column_names else Dataset(_with_body_part(data.data))


def _with_body_part(table: Any) -> Any:
    """The table of Arrow or `datasets`, with an empty body part behind the split where it has none."""
    if _BODY_PART in table.column_names:
        return table
    index = table.column_names.index("split") + 1
    return table.add_column(index, pa.field(_BODY_PART, pa.string()), pa.repeat("", len(table)))


def any_version(columns: Iterable[str]) -> list[str]:
    """The columns, and what `image_id` was called before: to be read from Parquet of any version, then upgraded."""
    return [*columns, _OLD_ID]


def image_to_row(image: AnnotatedImage) -> dict[str, Any]:
    """A row with `IMAGE_FEATURES`."""
    return {
        **{name: str(getattr(image, name)) for name in _TEXTS},
        "size_px": list(image.size_px),
        "phrases": list(image.phrases),
        "regions": [region_to_json(region) for region in image.regions],
    }


def row_to_image(row: dict[str, Any]) -> AnnotatedImage:
    """The inverse of `image_to_row`, of any version; masks are decoded here and not before."""
    row = upgrade_row(row)
    fields: dict[str, Any] = {_BODY_PART: "", **{name: row[name] for name in _TEXTS if row.get(name) is not None}}
    fields["image_path"], fields["size_px"] = Path(row["image_path"]), (row["size_px"][0], row["size_px"][1])
    regions = [region_from_json({**region, "mask_rle": stored_rle(region)}) for region in row["regions"]]
    return AnnotatedImage(**fields, phrases=tuple(row["phrases"]), regions=tuple(regions))


def stored_rle(region: Mapping[str, Any]) -> dict[str, Any] | None:
    """The mask of a stored region, or None."""
    # Arrow gives null, or a struct of nulls or empty lists, for a region without a mask
    rle = region.get("mask_rle")
    return rle if rle and rle["counts"] else None


def to_dataset(images: Iterable[AnnotatedImage]) -> Dataset:
    """Images as a `datasets.Dataset` with `IMAGE_FEATURES`; a few hundred at a time are more than Arrow."""
    schema, rows = IMAGE_FEATURES.arrow_schema, map(image_to_row, images)
    parts = [schema.empty_table()]
    while some := list(islice(rows, _ROWS)):
        parts.append(pa.Table.from_pylist(some, schema))
    return Dataset(pa.concat_tables(parts))  # pyright: ignore[reportArgumentType]


def images(data: Dataset) -> Iterator[AnnotatedImage]:
    """Every row of the dataset, in order."""
    return (row_to_image(row) for row in data)  # pyright: ignore[reportArgumentType]


class AnnotatedImages(Sequence[AnnotatedImage]):
    """The rows of a dataset, each decoded anew at every access."""

    def __init__(self, data: Dataset):
        self.data = data

    def __len__(self) -> int:
        return len(self.data)

    def __getitem__(self, index: int) -> AnnotatedImage:  # pyright: ignore[reportIncompatibleMethodOverride]
        if not 0 <= index < len(self):
            raise IndexError(index)
        return row_to_image(self.data[index])


def tables(data: Dataset, columns: Sequence[str], num_rows: int = 4096) -> Iterator[pa.Table]:
    """Some columns as Arrow, so many rows at a time: nothing of the others is read, no row becomes Python objects."""
    return cast(Iterator[pa.Table], data.select_columns(list(columns)).with_format("arrow").iter(num_rows))


def region_phrases(table: pa.Table) -> list[list[str]]:
    """The phrases of the regions of each row of a table with the column `regions`."""
    lists = table["regions"].combine_chunks()
    return pa.ListArray.from_arrays(lists.offsets, lists.values.field("phrase")).to_pylist()


def label_of_phrase(table: pa.Table) -> dict[str, str]:
    """Phrase -> the last word of its path, for the regions of a table with the column `regions`; masks are not read.

    A sentence that a set outlines ("patchy right base") has the path of its finding.
    """
    regions = pc.list_flatten(table["regions"])  # pyright: ignore[reportAttributeAccessIssue]
    columns = (pc.struct_field(regions, name).to_pylist() for name in ("phrase", "path"))  # pyright: ignore[reportAttributeAccessIssue]
    return {phrase: path[-1] for phrase, path in zip(*columns, strict=True) if path}


def split_of(data: Dataset, name: str, max_rows: int | None = None, seed: int = 0) -> Dataset:
    """The rows of one split, in order; with `max_rows` no more than so many, drawn with the seed. No row is decoded."""
    is_in = [pc.equal(part["split"], name).to_numpy() for part in tables(data, ["split"])]  # pyright: ignore[reportAttributeAccessIssue]
    rows = np.flatnonzero(np.concatenate([*is_in, np.zeros(0, bool)]))
    if max_rows is not None and len(rows) > max_rows:
        rows = np.sort(np.random.default_rng(seed).permutation(rows)[:max_rows])
    return data.select(rows)


def words_of(data: Dataset) -> Iterator[str]:
    """Every phrase of the rows and every word of their paths, as often as it is there; masks are not read."""
    for part in tables(data, ["phrases", "regions"]):
        regions = pc.list_flatten(part["regions"])  # pyright: ignore[reportAttributeAccessIssue]
        paths = pc.list_flatten(pc.struct_field(regions, "path"))  # pyright: ignore[reportAttributeAccessIssue]
        for column in (pc.list_flatten(part["phrases"]), pc.struct_field(regions, "phrase"), paths):  # pyright: ignore[reportAttributeAccessIssue]
            yield from column.to_pylist()
