"""Pictures of the evaluation page: where an image lies, its thumbnail, and the regions drawn on it."""

import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

from PIL import Image

from ...eval.page.content import GRID, Case, ImageKey, Picture, Shape, System
from ...eval.records import Record
from ...grounding.bad_input import BadInput, Skipped
from ...grounding.datasets.load import load_images
from ...grounding.datasets.phantoms import dataset as phantom
from ...grounding.datasets.schema import images as images_of
from ...grounding.imaging.read import read_image
from ...grounding.types import Region, region_from_json
from ...report.output.figure import data_uri, outline
from ..pipeline.sets import read_questions, read_reports
from ..recipe import Recipe

SUFFIXES = ("", ".png", ".jpg", ".jpeg", ".dcm", ".tif", ".tiff", ".bmp")
SMALLEST = 128
BUDGET = 12_000_000
"""Characters of all thumbnails together; more than this and they are made smaller."""
FINENESS = 160
"""Pixels of a mask's longer side that its outline follows."""


class Finder:
    """Where the pictures of the records lie: `meta.image_path`, the run's recipe, or a folder of images.

    `notes` says what was not found, and why.
    """

    def __init__(self, recipes: Mapping[Path, Recipe | None], images: Path | None):
        self.recipes, self.images = recipes, images
        self.notes: list[str] = []
        self._images: dict[str, Path] | None = None

    def path(self, record: Record) -> Path | None:
        """The image file of a record, None if it is nowhere."""
        said = (record.get("meta") or {}).get("image_path")
        tried = [Path(said), *(run / said for run in self.recipes)] if isinstance(said, str) and said else []
        name = record["image_id"]
        if self.images:
            tried += [
                self.images / f"{part}{end}" for part in dict.fromkeys((name, Path(name).name)) for end in SUFFIXES
            ]
        return next((path for path in tried if path.is_file()), None) or self.of_recipes().get(name)

    def of_recipes(self) -> dict[str, Path]:
        """Image id -> file, of every study that the runs' recipes name; read when it is first needed."""
        if self._images is None:
            self._images = {}
            for run, recipe in self.recipes.items():
                for image_id, path in self._of_recipe(run, recipe) if recipe else ():
                    self._images.setdefault(image_id, path)
        return self._images

    def _of_recipe(self, run: Path, recipe: Recipe) -> Iterator[tuple[str, Path]]:
        phantoms = run / "phantoms"
        has_phantoms = (phantoms / "settings.json").is_file()
        data = [d for d in recipe.grounding.data if d.layout != "phantom"]
        readers = {
            "phantoms": lambda: list(images_of(phantom.read(phantoms))) if has_phantoms else [],
            "questions": lambda: _tasks_images(read_questions, recipe, "vqa"),
            "reports": lambda: _tasks_images(read_reports, recipe, "report"),
            "regions": lambda: list(images_of(load_images(data, recipe.seed)[0])) if data else [],
        }
        for name, reader in readers.items():
            try:
                yield from ((image.image_id, Path(image.image_path)) for image in reader())
            except (BadInput, OSError) as error:
                self.notes.append(f"Pictures of {run.name}, {name}: {error}")


def _tasks_images(reader: Any, recipe: Recipe, task: str) -> list[Any]:
    section = getattr(recipe, task)
    if section is None or "phantom" in section.sets:
        return []
    return [item.image for item in reader(recipe, None, Skipped())]


def pictures_of(
    cases: Sequence[Case], systems: Sequence[System], finder: Finder, score_threshold: float
) -> dict[ImageKey, Picture]:
    """The picture of every image of the cases: thumbnail, size of the original, regions. Unfound images have none."""
    records = {case.image: next(iter(case.records.values())) for case in cases}
    shapes = _shapes(set(records), systems, score_threshold)
    paths = {key: finder.path(record) for key, record in records.items()}
    thumbnails = _thumbnails(paths, finder)
    missing = sum(key not in thumbnails for key in records)
    if missing:
        finder.notes.append(
            f"{missing} of {len(records)} images were not found; their regions stand on an empty canvas."
        )
    return {
        key: Picture(
            uri=thumbnails[key][0] if key in thumbnails else "",
            size_px=thumbnails[key][1] if key in thumbnails else _size(record, shapes.get(key, ())),
            shapes=shapes.get(key, ()),
        )
        for key, record in records.items()
    }


def _thumbnails(paths: Mapping[ImageKey, Path | None], finder: Finder) -> dict[ImageKey, tuple[str, tuple[int, int]]]:
    """Data URI and original size of every image that can be read, all of one size that keeps them within `BUDGET`."""
    small: dict[ImageKey, tuple[Image.Image, tuple[int, int]]] = {}
    for key, path in paths.items():
        try:
            if path is not None:
                image = read_image(path)
                size = image.size
                image.thumbnail((GRID, GRID), Image.Resampling.LANCZOS)
                small[key] = image, size
        except BadInput as error:
            finder.notes.append(str(error))
    side, found = GRID, _encoded(small, GRID)
    while sum(len(uri) for uri, _ in found.values()) > BUDGET and side > SMALLEST:
        side = max(SMALLEST, int(0.97 * side * (BUDGET / sum(len(uri) for uri, _ in found.values())) ** 0.5))
        found = _encoded(small, side)
    if side < GRID:
        finder.notes.append(f"Pictures are at most {side} px, so that the page stays small.")
    return found


def _encoded(small: Mapping[ImageKey, tuple[Image.Image, tuple[int, int]]], side: int) -> dict[ImageKey, Any]:
    return {key: (data_uri(image, side), size) for key, (image, size) in small.items()}


def _size(record: Record, shapes: Sequence[Shape]) -> tuple[int, int]:
    """Width and height of an image that was not found: as the record says, else what its regions need."""
    said = (record.get("meta") or {}).get("size_px")
    if isinstance(said, Sequence) and len(said) == 2:
        return int(said[0]), int(said[1])
    boxes = [shape.box_xyxy_px for shape in shapes] + [tuple(r["box_xyxy_px"]) for r in record.get("regions") or ()]
    far = [max((box[place] for box in boxes), default=1) for place in (2, 3)]
    return max(1, round(far[0])), max(1, round(far[1]))


def _shapes(keys: set[ImageKey], systems: Sequence[System], score_threshold: float) -> dict[ImageKey, list[Shape]]:
    """Regions of each image: of the grounding records, else of the evidence that other records were given."""
    found: dict[ImageKey, list[Shape]] = {}
    grounding = [system for system in systems if system.task == "grounding"]
    has_truth: dict[ImageKey, str] = {}
    for system in grounding:
        for record in system.records:
            key = (record["dataset"], record["image_id"])
            if key in keys:
                is_first = has_truth.setdefault(key, system.name) == system.name
                truth = record["answer"] if is_first else ()
                said = _said(record["prediction"], score_threshold)
                phrase = record["question"]
                found.setdefault(key, []).extend(_drawn(truth, "truth", phrase))
                found[key].extend(_drawn(said, system.name, phrase))
    for record in (record for s in systems if s.task != "grounding" for record in s.records):
        key, evidence = (record["dataset"], record["image_id"]), record.get("evidence")
        if key in keys and key not in has_truth and evidence in ("predicted", "oracle") and record.get("regions"):
            kind = "truth" if evidence == "oracle" else "evidence"
            if all(shape.kind != kind for shape in found.get(key, ())):
                found.setdefault(key, []).extend(_drawn(record["regions"], kind, ""))
    return found


def _said(rows: Sequence[Mapping[str, Any]], score_threshold: float) -> list[Mapping[str, Any]]:
    """The regions that count as said, and of each phrase the best in any case: it is what the overlap is taken of."""
    ranked = sorted(rows, key=lambda row: -float(row["score"]))
    best = {row.get("phrase"): id(row) for row in reversed(ranked)}
    return [row for row in ranked if float(row["score"]) >= score_threshold or best[row.get("phrase")] == id(row)]


def _drawn(rows: Sequence[Mapping[str, Any]], kind: str, phrase: str) -> Iterator[Shape]:
    for row in rows:
        region = region_from_json({"phrase": phrase, **row})
        box = tuple(float(x) for x in region.box_xyxy_px)
        yield Shape(kind=kind, phrase=region.phrase, box_xyxy_px=box, score=float(region.score), path=_path(region))


def _path(region: Region) -> str:
    if region.mask is None:
        return ""
    return on_grid(outline(region.mask, FINENESS), GRID / max(region.mask.shape))


def on_grid(path: str, scale: float) -> str:
    """Absolute path data as relative steps on a grid of whole numbers: a third of the length."""
    return "".join(_steps(line, scale) for line in re.findall(r"M([^Z]+)Z", path))


def _steps(line: str, scale: float) -> str:
    points = [tuple(round(float(x) * scale) for x in point.split(",")) for point in line.split()]
    steps = [(x1 - x0, y1 - y0) for (x0, y0), (x1, y1) in pairwise(points)]
    moves = " ".join(f"{dx},{dy}" for dx, dy in steps if dx or dy)
    return f"M{points[0][0]},{points[0][1]}l{moves}z" if moves else ""
