"""The hub field layout: Parquet shards, or a folder of `save_to_disk`, with columns `image`, `question`, `answer`.

`<root>/data/train-00000-of-00001.parquet`, `<root>/default/train/0000.parquet`, or `<root>/train/*.arrow`; `image` is
{bytes, path}. There is no id of question or image, so an image is the hash of its bytes, and a question its part and
row; no answer type, so closed are yes and no. Images are copied to the cache folder (MEDGLIP_CACHE), each once.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ...grounding.assets import cache_folder
from ...grounding.bad_input import BadInput, Skipped
from ...grounding.imaging.read import copied_out
from .rows import PARTS, QuestionRow, build_rows, text_of, yes_no_type

COLUMNS = ("image", "question", "answer")


def is_here(folder: Path) -> bool:
    """Whether the folder holds a set in this layout."""
    return bool(_files(folder))


def read_rows(folder: Path, dataset: str, skipped: Skipped) -> list[QuestionRow]:
    """The rows of every part that is there. Raises `BadInput` for a shard that cannot be read."""
    return [row for part, files in _files(folder).items() for row in _read_part(files, part, dataset, skipped)]


def _files(folder: Path) -> dict[str, list[Path]]:
    """Shards of each part, by the first word of the file's name, else that of its folder."""
    found: dict[str, list[Path]] = {}
    for file in sorted([*folder.rglob("*.parquet"), *folder.rglob("*.arrow")]):
        words = (file.name.split("-")[0].removesuffix(".parquet").lower(), file.parent.name.lower())
        part = next((PARTS[word] for word in words if word in PARTS), None)
        if part is not None and not file.name.startswith("cache-"):
            found.setdefault(part, []).append(file)
    return found


def _read_part(files: list[Path], part: str, dataset: str, skipped: Skipped) -> list[QuestionRow]:
    first, found = 0, []
    for file in files:

        def build(row: dict[str, Any], number: int, file: Path = file, first: int = first) -> QuestionRow:
            images = dict(_image(value) for value in _values(row["image"]))
            answer = text_of(row, "answer")
            return QuestionRow(
                question_id=f"{dataset}-{part}-{first + number}",
                dataset=dataset,
                part=part,
                images=images,
                question=text_of(row, "question"),
                answer=answer,
                answer_type=yes_no_type(answer),
                file=file,
                row=number,
            )

        rows = list(_rows(file))
        found += build_rows(file, rows, COLUMNS, build, skipped)
        first += len(rows)
    return found


def _rows(file: Path) -> Iterator[dict[str, Any]]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        if file.suffix == ".parquet":
            for batch in pq.ParquetFile(file).iter_batches(64):
                yield from batch.to_pylist()
            return
        with pa.memory_map(str(file)) as source:
            for batch in pa.ipc.open_stream(source):
                yield from batch.to_pylist()
    except (pa.ArrowInvalid, OSError) as error:
        raise BadInput(f"cannot be read: {error}", file=file, fix="download the file again") from error


def _values(image: Any) -> list[Any]:
    """One image or several, as a list. Raises `BadInput` for none."""
    values = image if isinstance(image, list) else [image]
    if not values or any(value is None for value in values):
        raise BadInput("no image.", fix="remove the row")
    return values


def _image(value: Any) -> tuple[str, Path]:
    """(id, file) of an image; its bytes are written to the cache folder, where they are not there yet."""
    content = value.get("bytes") if isinstance(value, dict) else value
    if not isinstance(content, bytes):
        raise BadInput("image has no bytes.", fix="export the set with its images embedded")
    path = copied_out(content, cache_folder() / "questions")
    return path.stem, path
