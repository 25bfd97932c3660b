"""The built dataset: `data-*.parquet` of `medglip data build`, its columns, and its readers.

Images lie inside the shards or beside them; a reader copies those inside to `images/`, once, where everything that
takes a path finds them. Training reads a memory-mapped Arrow copy (`mapped`); plain
`datasets.load_dataset("parquet", data_files=..., streaming=True)` reads the shards too.
"""

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from datasets import Dataset, Features, Image, Value
from datasets import List as ListOf
from tqdm.auto import tqdm

from ...assets import cache_folder
from ...bad_input import BadInput, Skipped, damaged
from ...files import sha256
from ...imaging.read import copy_out
from ...types import AnnotatedImage
from ..rows import existing_folder, skipping
from ..schema import IMAGE_FEATURES, any_version, row_to_image, upgrade_data, upgrade_row, upgrade_table

BUILT_FEATURES = Features(
    {
        **IMAGE_FEATURES,
        "image": Image(),  # bytes and file name; null where images stay outside
        **{name: Value("string") for name in ("body_region", "source", "licence")},
        "original_size_px": ListOf(Value("int32"), length=2),
        "provenance": {name: Value("string") for name in ("layout", "path", "file", "row")},
        "pixel_hash": Value("uint64"),
        "look_hash": Value("uint64"),
    }
)
"""`IMAGE_FEATURES` and: `body_region`, null where the labels say none or several; `source`, the set's name; `licence`;
`original_size_px` (width, height) at the source; `provenance`: layout and path of the set, file of the image, id of
the row there; the hashes of `duplicates`. `image_path` is below MEDGLIP_DATA, or absolute."""

SHARDS = "data-*.parquet"
_ROWS = 256
_AGAIN = "copy the shard again, or build the dataset again"


def read(folder: Path, skipped: Skipped, *, modality: str = "") -> Iterator[AnnotatedImage]:
    """Images of a built dataset, one at a time, with the splits and the data set names they were built with.

    `modality` is taken for compatibility and left alone: every row has its own. A row that cannot be used goes to
    `skipped`. Raises `BadInput` for a folder without shards.
    """
    for number, row in enumerate(rows(folder), 1):
        with skipping(skipped, folder, f"{number} ({row.get('image_id')})"):
            yield row_to_image({**row, "image_path": str(_image_file(folder, row))})


def mapped(folder: Path) -> Dataset:
    """Every row with `IMAGE_FEATURES`, memory-mapped: 5 million cost no more memory than five.

    The Arrow file lies in the cache folder (MEDGLIP_CACHE), made once for these shards. Rows are as they were built,
    not looked at again. Raises `BadInput` for a folder without shards.
    """
    files = shards(folder)
    facts = [(file.name, file.stat().st_size, file.stat().st_mtime_ns) for file in files]
    stamp = sha256(json.dumps([str(folder.resolve()), os.environ.get("MEDGLIP_DATA", ""), facts]))
    path = cache_folder() / "built" / f"{folder.name}-{stamp[:16]}.arrow"
    with damaged(path, "remove it, it is made again"):
        data = Dataset.from_file(str(path)) if path.is_file() else None
        if data is not None and Path(data[0]["image_path"]).is_file():  # else images copied out were removed
            return upgrade_data(data)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    schema = IMAGE_FEATURES.arrow_schema
    columns = any_version([*schema.names, "image", "pixel_hash"])
    try:
        with pa.OSFile(str(partial), "wb") as file, pa.ipc.new_stream(file, schema) as out:
            for shard in tqdm(files, desc=folder.name, unit="shard", disable=None):
                with damaged(shard, _AGAIN):
                    for batch in pq.ParquetFile(shard).iter_batches(_ROWS, columns=columns):
                        table = upgrade_table(pa.Table.from_batches([batch]))
                        # absolute paths in place of stored ones, of images that are copied out now if they lie inside
                        images = table.select(["image", "pixel_hash", "image_path"]).to_pylist()
                        paths = pa.array([str(_image_file(folder, row)) for row in images], pa.string())
                        table = table.select(schema.names)
                        table = table.set_column(table.column_names.index("image_path"), "image_path", paths)
                        out.write_table(table.cast(schema))
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
    return upgrade_data(Dataset.from_file(str(path)))


def rows(folder: Path, columns: list[str] | None = None) -> Iterator[dict[str, Any]]:
    """Every row as stored, with `BUILT_FEATURES` or some columns of it; memory for a few hundred rows."""
    for shard in shards(folder):
        with damaged(shard, _AGAIN):  # what is done with a row is outside: it is another's code
            for batch in pq.ParquetFile(shard).iter_batches(_ROWS, columns=columns and any_version(columns)):
                yield from map(upgrade_row, batch.to_pylist())


def shards(folder: Path) -> list[Path]:
    """The Parquet files of a built dataset, in order. Raises `BadInput` for none."""
    files = sorted(existing_folder(folder).glob(SHARDS))
    if not files:
        raise BadInput(f"no {SHARDS} here.", file=folder, fix="`medglip data build MANIFEST.yaml` writes them")
    return files


def _image_file(folder: Path, row: dict[str, Any]) -> Path:
    """The image's file; one inside the shard is copied out under the name of its pixels' hash, else its bytes'."""
    content = (row.get("image") or {}).get("bytes")
    if content is None:
        return Path(os.environ.get("MEDGLIP_DATA", "")) / row["image_path"]
    known = row.get("pixel_hash")
    return copy_out(content, folder / "images", "" if known is None else f"{known:016x}")
