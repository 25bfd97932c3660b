"""The hub field layout: Parquet shards, or a folder of `save_to_disk`, with columns `image`, `question`, `answer`.

`<root>/data/train-00000-of-00001.parquet`, `<root>/default/train/0000.parquet`, or `<root>/train/*.arrow`; `image` is
{bytes, path}. There is no id of question or image, so an image is the hash of its bytes, and a question its split and
row; no answer type, so closed are yes and no. Images are copied to the cache folder (MEDGLIP_CACHE), each once.
"""

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

from ...grounding.assets import cache_folder
from ...grounding.bad_input import BadInput, Skipped, explain
from ...grounding.foreign import open_parquet
from ...grounding.imaging.read import copy_out
from .rows import SPLIT_NAMES, QuestionRow, build_rows

COLUMNS = ("image", "question", "answer")


def read_rows(folder: Path, dataset: str, skipped: Skipped) -> list[QuestionRow]:
    """The rows of every split that is there. Raises `BadInput` for a shard that cannot be read."""
    question_rows: list[QuestionRow] = []
    for split, files in files_of(folder).items():
        first = 0  # rows are numbered through all shards of a split
        for file in files:
            rows, build = list(table_rows(file)), partial(image_fields, name=f"{dataset}-{split}", first=first)
            question_rows += build_rows(file, rows, COLUMNS, build, skipped, dataset=dataset, split=split)
            first += len(rows)
    return question_rows


def files_of(folder: Path) -> dict[str, list[Path]]:
    """Shards of each split, by the first word of the file's name or of its folder's; none in another layout."""
    files: dict[str, list[Path]] = {}
    for file in sorted([*folder.rglob("*.parquet"), *folder.rglob("*.arrow")]):
        # data/train-00000-of-00001.parquet: "train"; default/train/0000.parquet: "0000", then "train"
        words = (file.name.split("-")[0].removesuffix(".parquet").lower(), file.parent.name.lower())
        split = next((SPLIT_NAMES[word] for word in words if word in SPLIT_NAMES), None)
        if split is not None and not file.name.startswith("cache-"):  # those are leftovers of `datasets.map`
            files.setdefault(split, []).append(file)
    return files


def table_rows(file: Path) -> Iterator[dict[str, Any]]:
    """The rows of a shard, one at a time. Raises `BadInput` for one that cannot be read."""
    import pyarrow as pa

    with explain("cannot be read", pa.ArrowException, OSError, ValueError, file=file, fix="download the file again"):
        if file.suffix == ".parquet":
            for batch in open_parquet(file).iter_batches(64):  # few at a time: rows hold whole images
                yield from batch.to_pylist()
            return
        with pa.memory_map(str(file)) as source:
            for batch in pa.ipc.open_stream(source):
                yield from batch.to_pylist()


def image_fields(row: dict[str, Any], number: int, name: str, first: int) -> dict[str, Any]:
    """Fields `question_id` and `images` of a row; its images are copied out. Raises `BadInput` where it has none."""
    values = row["image"] if isinstance(row["image"], list) else [row["image"]]  # one image or several
    if not values or any(value is None for value in values):
        raise BadInput("no image.", fix="remove the row")
    images: dict[str, Path] = {}
    for value in values:
        content = value.get("bytes") if isinstance(value, dict) else value
        if not isinstance(content, bytes):
            raise BadInput("image has no bytes.", fix="export the set with its images embedded")
        path = copy_out(content, cache_folder() / "questions")  # where it is not there yet
        images[path.stem] = path
    return {"question_id": f"{name}-{first + number}", "images": images}
