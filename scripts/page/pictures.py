"""Images of the evaluation page: where an image lies, its thumbnail, and the regions drawn on it."""

import os
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property, partial
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

from PIL import Image

from ...eval.page.content import GRID, Case, ImageKey, Picture, Shape, System
from ...eval.records import Record, question_of
from ...grounding.bad_input import BadInput, Skipped
from ...grounding.evidence.names import SOURCES
from ...grounding.imaging.drawing import data_uri, svg_outline
from ...grounding.imaging.read import read_image
from ...grounding.types import AnnotatedImage, region_from_json

if TYPE_CHECKING:
    from ..pipeline.tasks import TaskRow
    from ..recipe import Recipe

SUFFIXES = ("", ".png", ".jpg", ".jpeg", ".dcm", ".tif", ".tiff", ".bmp")
Size = tuple[int, int]
SMALLEST = 128
BUDGET = 12_000_000  # characters of all thumbnails together; more than this and they are made smaller
FINENESS = 160  # pixels of a mask's longer side that its outline follows


class ImageFinder:
    """Finds the image files of records: by `meta.image_path`, in a folder of images, by the run's recipe.

    Records may name any file; only what lies in a folder that was given is taken: the runs, the folder of images,
    MEDGLIP_DATA, what the recipes name. `notes` lists what was not found, and why.
    """

    def __init__(self, recipes: "Mapping[Path, Recipe | None]", images: Path | None):
        self.recipes, self.images = recipes, images
        self.notes: list[str] = []
        self.outside: set[str] = set()
        root = os.environ.get("MEDGLIP_DATA", "")
        named = [Path(root) / path for recipe in recipes.values() if recipe for path in _paths(recipe.model_dump())]
        given = [*recipes, *([images] if images else []), *([Path(root)] if root else []), *named]
        self.given = {_plain(folder) for folder in given if folder.is_dir()}

    def path(self, record: Record) -> Path | None:
        """The image file of a record, None if it is nowhere, or in no folder that was given."""
        meta: Any = record.get("meta") or {}
        stated, name = meta.get("image_path"), record["image_id"]
        is_path = isinstance(stated, str) and stated != ""
        candidates = [Path(stated), *(run / stated for run in self.recipes)] if is_path else []
        if self.images:
            names = dict.fromkeys((name, Path(name).name))  # an id may hold folders
            candidates += [self.images / f"{each}{suffix}" for each in names for suffix in SUFFIXES]
        found = [path for path in candidates if path.is_file()]
        if inside := [path for path in found if any(_plain(path).is_relative_to(folder) for folder in self.given)]:
            return inside[0]
        if (path := self.in_recipes.get(name)) is None and found:
            self.outside.add(found[0].name)
        return path

    @cached_property
    def in_recipes(self) -> dict[str, Path]:
        """Image id -> file, of every image that the runs' recipes name; the first of two counts."""
        runs = [(run, recipe) for run, recipe in self.recipes.items() if recipe]
        pairs = [pair for run, recipe in runs for pair in self._of_recipe(run, recipe)]
        return dict(reversed(pairs))

    def _of_recipe(self, run: Path, recipe: "Recipe") -> Iterator[tuple[str, Path]]:
        # here: pages of record files alone need none of these, nor what they load
        from ...grounding.datasets.load import load_images
        from ...grounding.datasets.phantoms import dataset as phantom
        from ...grounding.datasets.schema import images as images_of
        from ..pipeline.tasks import TASKS

        phantoms = run / "phantoms"
        has_phantoms = (phantoms / "settings.json").is_file()
        data = [d for d in recipe.grounding.data if d.layout != "phantom"]
        readers = {
            "phantoms": lambda: list(images_of(phantom.read(phantoms))) if has_phantoms else [],
            **{row.plural: partial(_task_images, row, recipe) for row in TASKS.values()},
            "regions": lambda: list(images_of(load_images(data, recipe.seed)[0])) if data else [],
        }
        for name, reader in readers.items():
            try:
                yield from ((image.image_id, Path(image.image_path)) for image in reader())
            except (BadInput, OSError) as error:
                self.notes.append(f"Pictures of {run.name}, {name}: {error}")


def _plain(path: Path) -> Path:
    """Absolute and without `..`, by its letters alone: links in a folder are the user's own."""
    return Path(os.path.normpath(path.absolute()))


def _paths(values: Any) -> Iterator[Path]:
    """Every `path` in the settings of a recipe."""
    for key, value in values.items() if isinstance(values, Mapping) else enumerate(values):
        if key == "path" and value:
            yield Path(value)
        elif isinstance(value, Mapping | list | tuple):
            yield from _paths(value)


def _task_images(row: "TaskRow", recipe: "Recipe") -> list[AnnotatedImage]:
    section = row.section(recipe)
    if section is None or "phantom" in section.sets:
        return []
    return [item.image for item in row.read(recipe, None, Skipped())]


def pictures_of(
    cases: Sequence[Case], systems: Sequence[System], finder: ImageFinder, score_threshold: float
) -> dict[ImageKey, Picture]:
    """The picture of every image of the cases: thumbnail, size of the original, regions. Unfound images have none."""
    records = {case.image: next(iter(case.records.values())) for case in cases}
    shapes = _shapes(set(records), systems, score_threshold)
    paths = {key: finder.path(record) for key, record in records.items()}
    thumbnails = _thumbnails(paths, finder)
    if missing := len(records) - len(thumbnails):
        note = f"{missing} of {len(records)} images were not found; their regions stand on an empty canvas."
        finder.notes.append(note)
    if finder.outside:
        names = f"{len(finder.outside)} ({min(finder.outside)} ...)"
        finder.notes.append(f"{names} lie in no folder that was given; give it: --images FOLDER.")
    pictures = {}
    for key, record in records.items():
        regions = shapes.get(key, ())
        uri, size_px = thumbnails.get(key) or ("", _size(record, regions))
        pictures[key] = Picture(uri=uri, size_px=size_px, shapes=regions)
    return pictures


def _thumbnails(paths: Mapping[ImageKey, Path | None], finder: ImageFinder) -> dict[ImageKey, tuple[str, Size]]:
    """Data URI and original size of every image that can be read, all of one size that keeps them within `BUDGET`."""
    small: dict[ImageKey, Image.Image] = {}
    sizes: dict[ImageKey, Size] = {}
    for key, path in paths.items():
        try:
            if path is not None:
                small[key] = read_image(path)
                sizes[key] = small[key].size
                small[key].thumbnail((GRID, GRID), Image.Resampling.LANCZOS)
        except BadInput as error:
            finder.notes.append(str(error))
    side = GRID
    uris = {key: data_uri(image, side) for key, image in small.items()}
    while (total := sum(map(len, uris.values()))) > BUDGET and side > SMALLEST:
        side = max(SMALLEST, int(0.97 * side * (BUDGET / total) ** 0.5))  # a file grows with the area
        uris = {key: data_uri(image, side) for key, image in small.items()}
    if side < GRID:
        finder.notes.append(f"Pictures are at most {side} px, so that the page stays small.")
    return {key: (uri, sizes[key]) for key, uri in uris.items()}


def _size(record: Record, shapes: Sequence[Shape]) -> Size:
    """Width and height of an image that was not found: as the record states it, else what its regions need."""
    stated = (record.get("meta") or {}).get("size_px")
    if isinstance(stated, Sequence) and len(stated) == 2:
        return int(stated[0]), int(stated[1])
    boxes = [shape.box_xyxy_px for shape in shapes] + [tuple(r["box_xyxy_px"]) for r in record.get("regions") or ()]
    width, height = (max((box[corner] for box in boxes), default=1) for corner in (2, 3))
    return max(1, round(width)), max(1, round(height))


def _shapes(keys: set[ImageKey], systems: Sequence[System], score_threshold: float) -> dict[ImageKey, list[Shape]]:
    """Regions of each image: of the grounding records, else of the evidence that other records were given."""
    shapes: defaultdict[ImageKey, list[Shape]] = defaultdict(list)
    # several grounders have records of one image; its truth is drawn once, from the first
    truth_from: dict[ImageKey, str] = {}
    rows = [(s, record, (record["dataset"], record["image_id"])) for s in systems for record in s.records]
    for system, record, key in rows:
        if system.task == "grounding" and key in keys:
            is_first = truth_from.setdefault(key, system.name) == system.name
            # the regions from the threshold on, and always the best of each phrase: it is scored for overlap
            ranked = sorted(record["prediction"], key=lambda row: -float(row["score"]))
            best = {row.get("phrase"): row for row in reversed(ranked)}
            predicted = [r for r in ranked if float(r["score"]) >= score_threshold or r is best[r.get("phrase")]]
            shapes[key] += _to_shapes(record["answer"] if is_first else (), "truth", question_of(record))
            shapes[key] += _to_shapes(predicted, system.name, question_of(record))
    for system, record, key in rows:
        source, regions = SOURCES.get(record.get("evidence") or ""), record.get("regions")
        if system.task == "grounding" or key not in keys or key in truth_from or not (source and regions):
            continue
        if source.shown_as and all(shape.kind != source.shown_as for shape in shapes[key]):
            shapes[key] += _to_shapes(regions, source.shown_as, "")
    return shapes


def _to_shapes(rows: Sequence[Mapping[str, Any]], kind: str, phrase: str) -> Iterator[Shape]:
    for row in rows:
        region = region_from_json({"phrase": phrase, **row})
        box = tuple(float(x) for x in region.box_xyxy_px)
        mask = region.mask
        path = "" if mask is None else on_grid(svg_outline(mask, FINENESS), GRID / max(mask.shape))
        yield Shape(kind=kind, phrase=region.phrase, box_xyxy_px=box, score=float(region.score), path=path)


def on_grid(path: str, scale: float) -> str:
    """Absolute path data as relative steps on a grid of whole numbers: a third of the length.

    `M0,0 10.2,0 10.2,9.9Z` at scale 1 is `M0,0l10,0 0,10z`; a line that shrinks to one point is dropped.
    """
    lines = []
    for line in re.findall(r"M([^Z]+)Z", path):
        points = [tuple(round(float(x) * scale) for x in point.split(",")) for point in line.split()]
        steps = [(x1 - x0, y1 - y0) for (x0, y0), (x1, y1) in pairwise(points)]
        if moves := " ".join(f"{dx},{dy}" for dx, dy in steps if dx or dy):
            lines.append(f"M{points[0][0]},{points[0][1]}l{moves}z")
    return "".join(lines)
