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
from datasets import Dataset, Features, Image, Value
from datasets import List as ListOf
from tqdm.auto import tqdm

from ...assets import cache_folder
from ...bad_input import BadInput, Skipped, damaged
from ...files import sha256, write_atomic
from ...foreign import open_parquet
from ...imaging.read import copy_out
from ...types import AnnotatedImage
from ..corpus import is_inside, stay_inside
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
the row there; the hashes of `duplicates`. `image_path` is below MEDGLIP_DATA, or absolute
(then it is read where it was built, or with `allow_outside`)."""

SHARDS = "data-*.parquet"
_ROWS = 256
_AGAIN = "copy the shard again, or build the dataset again"


def read(
    folder: Path, skipped: Skipped, *, modality: str = "", allow_outside: bool = False
) -> Iterator[AnnotatedImage]:
    """Images of a built dataset, one at a time, with the splits and the data set names they were built with.

    `modality` is taken for compatibility and left alone: every row has its own. A row that cannot be used goes to
    `skipped`; `allow_outside` as in `stored_path`. Raises `BadInput` for a folder without shards.
    """
    allow_outside = allow_outside or is_own(folder)
    for number, row in enumerate(rows(folder), 1):
        with skipping(skipped, folder, f"{number} ({row.get('image_id')})"):
            yield row_to_image({**row, "image_path": str(_image_file(folder, row, allow_outside))})


def mapped(folder: Path, allow_outside: bool = False) -> Dataset:
    """Every row with `IMAGE_FEATURES`, memory-mapped: 5 million cost no more memory than five.

    The Arrow file lies in the cache folder (MEDGLIP_CACHE), made once for these shards. Rows are as they were built,
    not looked at again. Raises `BadInput` for a folder without shards, and as `stored_path` does.
    """
    files, allow_outside = shards(folder), allow_outside or is_own(folder)
    stamp = _stamp(folder, os.environ.get("MEDGLIP_DATA", ""), allow_outside)
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
                    for batch in open_parquet(shard).iter_batches(_ROWS, columns=columns):
                        table = upgrade_table(pa.Table.from_batches([batch]))
                        # absolute paths in place of stored ones, of images that are copied out now if they lie inside
                        images = table.select(["image", "pixel_hash", "image_path"]).to_pylist()
                        files_of = [str(_image_file(folder, row, allow_outside)) for row in images]
                        paths = pa.array(files_of, pa.string())
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
            for batch in open_parquet(shard).iter_batches(_ROWS, columns=columns and any_version(columns)):
                yield from map(upgrade_row, batch.to_pylist())


def shards(folder: Path) -> list[Path]:
    """The Parquet files of a built dataset, in order. Raises `BadInput` for none."""
    files = sorted(existing_folder(folder).glob(SHARDS))
    if not files:
        raise BadInput(f"no {SHARDS} here.", file=folder, fix="`medglip data build MANIFEST.yaml` writes them")
    return files


def _image_file(folder: Path, row: dict[str, Any], allow_outside: bool) -> Path:
    """The image's file; one inside the shard is copied out under the name of its pixels' hash, else its bytes'."""
    content = (row.get("image") or {}).get("bytes")
    if content is None:
        return stored_path(folder, row["image_path"], allow_outside)
    known = row.get("pixel_hash")
    return copy_out(content, folder / "images", "" if known is None else f"{known:016x}")


def stored_path(folder: Path, name: str, allow_outside: bool) -> Path:
    """Where an image lies that a row names: below MEDGLIP_DATA, or in the set's folder.

    Raises `BadInput` for any other place, unless that is allowed.
    """
    root = Path(os.environ.get("MEDGLIP_DATA", ""))
    if not (allow_outside or is_inside(folder.absolute(), name)):
        stay_inside(root.absolute(), name)
    return root / name


def claim(folder: Path) -> None:
    """Remember that the shards of a folder were built here, so that their rows may name images of any place."""
    write_atomic(_own_mark(folder), "")


def is_own(folder: Path) -> bool:
    """Whether exactly these shards were built here, by this user's cache."""
    return _own_mark(folder).is_file()


def _own_mark(folder: Path) -> Path:
    return cache_folder() / "own" / _stamp(folder)


def _stamp(folder: Path, *more: object) -> str:
    facts = [(file.name, file.stat().st_size, file.stat().st_mtime_ns) for file in shards(folder)]
    return sha256(json.dumps([str(folder.resolve()), *more, facts]))
