"""Phantoms as a data set: synthetic annotated pictures with questions and reports, written once, read by every room.

Source: drawn here from a seed, nothing is downloaded; no patient is shown. Labels, boxes and masks are exact.
"""

import io
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from datasets import Dataset
from PIL import Image, PngImagePlugin, UnidentifiedImageError
from tqdm.auto import tqdm

from ...bad_input import BadInput
from ...files import read_lines, sha256, write_atomic
from ...types import AnnotatedImage
from ..schema import IMAGE_FEATURES, image_to_row, images, row_to_image, to_dataset, upgrade_row, upgrade_table
from ..settings import PhantomSettings
from .draw import PHANTOM_MODALITIES, draw, labels_of
from .sheet import sheet
from .words import questions, report

VERSION = 2
"""Grows whenever the same settings draw other pictures or other words."""
SPLITS = ("train", "val", "test")


def write(folder: Path, settings: PhantomSettings) -> None:
    """Draw the data set into `folder`; complete for the same settings it is left as it is, begun it is continued.

    images/*.png (truth in the PNG's own text), studies.parquet (paths relative), questions.jsonl, reports.jsonl,
    phantoms.png (a contact sheet), and last settings.json, which marks the folder complete.
    """
    stamp = sha256(f"{VERSION} {settings.model_dump_json()}")
    if _is_complete(folder, stamp):
        return
    (folder / "settings.json").unlink(missing_ok=True)
    (folder / "images").mkdir(parents=True, exist_ok=True)
    drawn = list(_images(folder, settings, stamp))
    _drop_others(folder, drawn)
    write_atomic(folder / "studies.parquet", _parquet(to_dataset(drawn)))
    asked = [row for k, image in enumerate(drawn) for row in questions(image, _rng(settings, k, 1))]
    told = [report(image, _rng(settings, k, 2)) for k, image in enumerate(drawn)]
    write_atomic(folder / "questions.jsonl", _lines(asked))
    write_atomic(folder / "reports.jsonl", _lines(told))
    write_atomic(folder / "phantoms.png", _png(sheet(folder, _two_of_each(drawn))))
    mark = {"synthetic": True, "settings": settings.model_dump(), "sha256": stamp}
    write_atomic(folder / "settings.json", json.dumps(mark, indent=2) + "\n")


def read(folder: Path) -> Dataset:
    """The studies with `IMAGE_FEATURES`, image paths absolute, `split` train, val or test; nothing leaves memory.

    Raises `BadInput` for a folder that is missing or was not written to its end.
    """
    path = folder / "studies.parquet"
    if not (folder / "settings.json").is_file() or not path.is_file():
        raise BadInput("no complete set of phantoms.", file=folder, fix="write it again; it continues where it stopped")
    table = upgrade_table(pq.read_table(path))
    place = table.column_names.index("image_path")
    absolute = pa.array([str(folder.resolve() / name) for name in table["image_path"].to_pylist()], pa.string())
    return Dataset(table.set_column(place, "image_path", absolute).cast(IMAGE_FEATURES.arrow_schema))


def read_rows(
    file: Path, columns: Sequence[str], data: Dataset
) -> Iterator[tuple[int, dict[str, Any], AnnotatedImage]]:
    """The rows of questions.jsonl or reports.jsonl with their number and study; rows of other studies are left out.

    Raises `BadInput` naming the file and the row for a missing column.
    """
    if not file.is_file():
        raise BadInput("no such file.", file=file, fix="write the phantoms again")
    known = {image.image_id: image for image in images(data)}
    for number, row in enumerate(map(upgrade_row, read_lines(file)), 1):
        missing = [column for column in ("image_id", *columns) if column not in row]
        if missing:
            raise BadInput(f"no {', '.join(missing)}.", file=file, row=number, fix="write the phantoms again")
        if row["image_id"] in known:
            yield number, row, known[row["image_id"]]


def _is_complete(folder: Path, stamp: str) -> bool:
    mark = folder / "settings.json"
    try:
        return mark.is_file() and json.loads(mark.read_text()).get("sha256") == stamp
    except (json.JSONDecodeError, AttributeError):
        return False


def _images(folder: Path, settings: PhantomSettings, stamp: str) -> Iterator[AnnotatedImage]:
    numbers = (settings.num_train, settings.num_val, settings.num_test)
    places = [(split, k) for split, number in zip(SPLITS, numbers, strict=True) for k in range(number)]
    for split, k in tqdm(places, desc="phantoms", unit="image"):
        name = f"images/{split}-{k:05d}.png"
        found = _truth_in(folder / name, stamp)
        yield row_to_image(found) if found else _write_one(folder, name, split, k, settings, stamp)


def _write_one(folder: Path, name: str, split: str, k: int, settings: PhantomSettings, stamp: str) -> AnnotatedImage:
    """Draw number k of a split from (seed, split, k) alone."""
    modality = PHANTOM_MODALITIES[k % len(PHANTOM_MODALITIES)]
    rng = np.random.default_rng([settings.seed, SPLITS.index(split), k])
    scene = draw(modality, rng, settings.size_px)
    image = AnnotatedImage(
        image_id=f"phantom-{split}-{k:05d}",
        image_path=Path(name),
        modality=modality,
        group=f"phantom-{split}-{k:05d}",
        dataset="phantom",
        split=split,
        size_px=(settings.size_px, settings.size_px),
        regions=scene.regions,
        phrases=labels_of(modality),
    )
    # Under the first key of version 0.1: weights know a picture that taught them by the bytes of its file.
    row = {"study_id": image.image_id, **image_to_row(image)}
    del row["image_id"]
    truth = json.dumps({"stamp": stamp, "study": row})
    write_atomic(folder / name, _png(Image.fromarray(scene.image), {"synthetic": "phantom", "truth": truth}))
    return image


def _truth_in(path: Path, stamp: str) -> dict[str, Any] | None:
    """The row of a picture drawn earlier for the same settings; picture and truth are one file, so never at odds."""
    if not path.is_file():
        return None
    try:
        with Image.open(path) as image:
            image.load()
            truth = json.loads(image.info.get("truth", "{}"))
    except (UnidentifiedImageError, OSError, SyntaxError, ValueError):
        return None
    return truth["study"] if truth.get("stamp") == stamp else None


def _drop_others(folder: Path, drawn: list[AnnotatedImage]) -> None:
    """Remove pictures that were drawn here for other settings."""
    names = {image.image_path.name for image in drawn}
    for split in SPLITS:
        for path in (folder / "images").glob(f"{split}-[0-9]*.png"):
            if path.name not in names:
                path.unlink()


def _two_of_each(drawn: list[AnnotatedImage]) -> list[AnnotatedImage]:
    """Two rows, a column a modality: of each the two first with the most to see."""
    by_wealth = sorted(drawn, key=_wealth, reverse=True)
    chosen = [[image for image in by_wealth if image.modality == name] for name in PHANTOM_MODALITIES]
    return [column[row] for row in range(2) for column in chosen if len(column) > row]


def _wealth(image: AnnotatedImage) -> tuple[int, int]:
    """Kinds of regions, then regions."""
    return len({region.phrase for region in image.regions}), len(image.regions)


def _rng(settings: PhantomSettings, k: int, stream: int) -> np.random.Generator:
    return np.random.default_rng([settings.seed, len(SPLITS) + stream, k])


def _png(image: Image.Image, texts: dict[str, str] | None = None) -> bytes:
    info = PngImagePlugin.PngInfo()
    for key, value in (texts or {}).items():
        info.add_text(key, value, zip=True)
    buffer = io.BytesIO()
    image.save(buffer, "PNG", pnginfo=info)
    return buffer.getvalue()


def _parquet(data: Dataset) -> bytes:
    buffer = io.BytesIO()
    pq.write_table(data.data.table, buffer)
    return buffer.getvalue()


def _lines(rows: list[dict[str, Any]]) -> str:
    return "".join(json.dumps(row) + "\n" for row in rows)
