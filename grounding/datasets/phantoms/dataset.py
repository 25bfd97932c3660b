"""Phantoms as a data set: synthetic annotated images with questions and reports, written once, read by every room.

Source: drawn here from a seed, nothing is downloaded; no patient is shown. Labels, boxes and masks are exact.
"""

import io
import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from datasets import Dataset
from PIL import Image, ImageDraw, ImageFont
from tqdm.auto import tqdm

from ...bad_input import BadInput, damaged
from ...files import read_lines, read_object, sha256, write_atomic
from ...foreign import open_parquet
from ...imaging.drawing import PLATE, colours_of, draw_regions
from ...imaging.read import png_bytes
from ...types import AnnotatedImage, Region
from ..parts import SPLITS
from ..schema import IMAGE_FEATURES, image_to_row, images, row_to_image, to_dataset, upgrade_row, upgrade_table
from ..settings import PhantomSettings
from .detail import PLAIN_PX, Detail, draw_details, refine
from .draw import FINDINGS, PHANTOM_MODALITIES, STRUCTURES, draw
from .words import questions, report

VERSION = 2
"""Grows whenever the same settings draw other images; sets that are complete keep the words they have."""
BODY_PARTS = {
    **{"xray": "chest", "ct": "abdomen", "mr": "brain", "ultrasound": "abdomen"},
    **{"endoscopy": "colon", "dermoscopy": "skin", "fundus": "retina"},
}
"""What the phantoms of each modality show."""
PARQUET = "studies.parquet"
"""The file of the images and their regions."""
_TILE, _GAP, _HEAD = 288, 8, 26  # pixels of the contact sheet


def write(folder: Path, settings: PhantomSettings) -> None:
    """Draw the data set into `folder`; complete for the same settings it is left as it is, begun it is continued.

    images/*.png (truth in the PNG's own text), studies.parquet (paths relative), questions.jsonl, reports.jsonl,
    phantoms.png (a contact sheet), and last settings.json, which marks the folder complete.
    """
    stamp = sha256(f"{VERSION} {settings.model_dump_json()}")
    mark = folder / "settings.json"
    try:
        if mark.is_file() and read_object(mark).get("sha256") == stamp:
            return
    except BadInput:
        pass  # torn: as if it were not there
    mark.unlink(missing_ok=True)
    (folder / "images").mkdir(parents=True, exist_ok=True)
    numbers = (settings.num_train, settings.num_val, settings.num_test)
    keys = [(split, k) for split, number in zip(SPLITS, numbers, strict=True) for k in range(number)]
    data = to_dataset(_draw_one(folder, *key, settings, stamp) for key in tqdm(keys, desc="phantoms", unit="image"))
    # Words need no masks, and those of all images would not fit in memory.
    drawn = [
        replace(image, regions=tuple(replace(region, mask=None) for region in image.regions)) for image in images(data)
    ]
    # Images that were drawn here for other settings go.
    for path in {*(folder / "images").glob("*-[0-9]*.png")} - {folder / image.image_path for image in drawn}:
        if path.name.split("-")[0] in SPLITS:
            path.unlink()
    buffer = io.BytesIO()
    pq.write_table(data.data.table, buffer)
    write_atomic(folder / PARQUET, buffer.getvalue())
    # Streams: images (seed, 0 to 2, k), questions (seed, 4, k), reports (seed, 5, k), details (seed, 6, ...).
    question_rows: list[dict[str, Any]] = []
    report_rows: list[dict[str, Any]] = []
    for k, (key, image) in enumerate(zip(keys, drawn, strict=True)):
        details = _details(*key, image.regions, settings)
        question_rows += questions(image, np.random.default_rng([settings.seed, len(SPLITS) + 1, k]), details)
        report_rows.append(report(image, np.random.default_rng([settings.seed, len(SPLITS) + 2, k]), details))
    write_atomic(folder / "questions.jsonl", _lines(question_rows))
    write_atomic(folder / "reports.jsonl", _lines(report_rows))
    write_atomic(folder / "phantoms.png", png_bytes(_contact_sheet(folder, drawn)))
    content = {"synthetic": True, "settings": settings.model_dump(), "sha256": stamp}
    write_atomic(mark, json.dumps(content, indent=2) + "\n")


def read(folder: Path) -> Dataset:
    """The images with `IMAGE_FEATURES`, image paths absolute, `split` train, val or test; nothing leaves memory.

    Raises `BadInput` for a folder that is missing or was not written to its end.
    """
    path = folder / PARQUET
    if not (folder / "settings.json").is_file() or not path.is_file():
        raise BadInput("no complete set of phantoms.", file=folder, fix="write it again; it continues where it stopped")
    with damaged(path, "write the phantoms again into a new folder"):
        return _as_dataset(folder, upgrade_table(open_parquet(path).read()))


def _as_dataset(folder: Path, table: pa.Table) -> Dataset:
    index = table.column_names.index("image_path")
    absolute = pa.array([str(folder.resolve() / name) for name in table["image_path"].to_pylist()], pa.string())
    # told here, not in the file: weights know an image that taught them by the bytes of its file
    parts = pa.array([BODY_PARTS[name] for name in table["modality"].to_pylist()], pa.string())
    table = table.set_column(index, "image_path", absolute)
    table = table.set_column(table.column_names.index("body_part"), "body_part", parts)
    return Dataset(table.cast(IMAGE_FEATURES.arrow_schema))


def read_rows(
    file: Path, columns: Sequence[str], data: Dataset
) -> Iterator[tuple[int, dict[str, Any], AnnotatedImage]]:
    """The rows of questions.jsonl or reports.jsonl with their number and image; rows of other images are left out.

    Raises `BadInput` naming the file and the row for a missing column.
    """
    if not file.is_file():
        raise BadInput("no such file.", file=file, fix="write the phantoms again")
    known = {image.image_id: image for image in images(data)}
    for number, row in enumerate(map(upgrade_row, read_lines(file)), 1):
        if missing := [column for column in ("image_id", *columns) if column not in row]:
            raise BadInput(f"no {', '.join(missing)}.", file=file, row=number, fix="write the phantoms again")
        if row["image_id"] in known:
            yield number, row, known[row["image_id"]]


def _draw_one(folder: Path, split: str, k: int, settings: PhantomSettings, stamp: str) -> AnnotatedImage:
    """Number k of a split, drawn from (seed, split, k) alone, or read where it was drawn for the same settings."""
    name = f"images/{split}-{k:05d}.png"
    # Image and truth are one file, so they are never at odds; a torn file is drawn again.
    if (folder / name).is_file():
        try:
            with Image.open(folder / name) as image:
                image.load()
                truth = json.loads(image.info.get("truth", "{}"))
        except (OSError, SyntaxError, ValueError):
            truth = {}
        if truth.get("stamp") == stamp:
            return row_to_image(truth["study"])
    modality = PHANTOM_MODALITIES[k % len(PHANTOM_MODALITIES)]
    rng = np.random.default_rng([settings.seed, SPLITS.index(split), k])
    scene = draw(modality, rng, PLAIN_PX if settings.detail else settings.size_px)
    if settings.detail:
        scene = refine(scene, _details(split, k, scene.regions, settings), settings.size_px, rng)
    image = AnnotatedImage(
        image_id=f"phantom-{split}-{k:05d}",
        image_path=Path(name),
        modality=modality,
        group=f"phantom-{split}-{k:05d}",
        dataset="phantom",
        split=split,
        size_px=(settings.size_px, settings.size_px),
        regions=scene.regions,
        phrases=(*STRUCTURES[modality], *FINDINGS[modality]),
    )
    # Under the first key of version 0.1: weights know an image that taught them by the bytes of its file.
    row = {"study_id": image.image_id, **image_to_row(image)}
    del row["image_id"], row["body_part"]
    truth = json.dumps({"stamp": stamp, "study": row})
    write_atomic(folder / name, png_bytes(Image.fromarray(scene.image), {"synthetic": "phantom", "truth": truth}))
    return image


def _details(split: str, k: int, regions: Sequence[Region], settings: PhantomSettings) -> dict[int, Detail]:
    """Details of the findings of image k of a split, by their index among its regions; {} where none are drawn."""
    labels = FINDINGS[PHANTOM_MODALITIES[k % len(PHANTOM_MODALITIES)]]
    findings = [index for index, region in enumerate(regions) if settings.detail and region.phrase in labels]
    return draw_details(findings, (settings.seed, len(SPLITS) + 3, SPLITS.index(split)), k)


def _contact_sheet(folder: Path, images: list[AnnotatedImage]) -> Image.Image:
    """Two rows of images with their true boxes and labels, a column a modality, marked synthetic."""
    # of each modality the two first with the most kinds of regions, then the most regions
    wealth = {image.image_id: (len({r.phrase for r in image.regions}), len(image.regions)) for image in images}
    by_wealth = sorted(images, key=lambda image: wealth[image.image_id], reverse=True)
    columns = [[image for image in by_wealth if image.modality == name] for name in PHANTOM_MODALITIES]
    chosen = [column[row] for row in range(2) for column in columns if len(column) > row]
    rows, width, height = -(-len(chosen) // len(columns)), _TILE + _GAP, _TILE + _HEAD + _GAP
    page = Image.new("RGB", (len(columns) * width + _GAP, rows * height + _HEAD + _GAP), PLATE)
    pen, small, large = ImageDraw.Draw(page), ImageFont.load_default(14), ImageFont.load_default(15)
    pen.text((_GAP, 5), "synthetic phantoms with their true regions: no patient is shown", "#dfe7ef", large)
    for k, annotated in enumerate(chosen):
        left, top = _GAP + (k % len(columns)) * width, _HEAD + (k // len(columns)) * height
        pen.text((left + 2, top + 5), f"{annotated.modality} (synthetic)", "#9fb3c8", small)
        with Image.open(folder / annotated.image_path) as image:
            tile = image.convert("RGB").resize((_TILE, _TILE), Image.Resampling.BICUBIC)
        scale = _TILE / annotated.size_px[0]
        regions = [replace(region, box_xyxy_px=region.box_xyxy_px * scale, mask=None) for region in annotated.regions]
        inks, phrases = colours_of(annotated.phrases), [region.phrase for region in regions]
        tile = draw_regions(tile, regions, [inks[phrase] for phrase in phrases], phrases)
        page.paste(tile, (left, top + _HEAD))
    return page


def _lines(rows: list[dict[str, Any]]) -> str:
    return "".join(json.dumps(row) + "\n" for row in rows)
