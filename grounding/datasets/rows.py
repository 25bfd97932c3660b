"""What every reader of a layout shares: bad rows are left out and listed, the others become regions and images."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..bad_input import ROW_ERRORS, BadInput, Skipped, explain_row
from ..foreign import read_json
from ..geometry import clip_box, cut_mask
from ..imaging.read import image_size
from ..types import AnnotatedImage, Region
from ..vocabulary.labels import load_labels
from .corpus import one_spelling, stay_inside

_ROW: ContextVar[str] = ContextVar("row", default="")
"""The row that `skipping` is around."""
_CUTS: ContextVar[Skipped | None] = ContextVar("cuts", default=None)
_SLACK_PX, _SLACK = 2, 0.01
"""What a box may reach outside, in pixels and as part of the image's longer side: rounding, not a fault."""
_IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".dcm")


@contextmanager
def skipping(skipped: Skipped, file: Path, row: int | str | None = None) -> Iterator[None]:
    """Leave out what fails inside, with the file and the row; anything but bad input still raises.

    A reader may `yield` inside: what its caller does with the image is not caught.
    """
    item = str(file) if row is None else f"{file}: row {row}"
    before = _ROW.get()
    _ROW.set(item)
    try:
        yield
    except ROW_ERRORS as error:
        skipped.add(item, explain_row(error, file, row))
    finally:
        _ROW.set(before)


@contextmanager
def listing_cuts() -> Iterator[Skipped]:
    """Inside, every box that reaches outside its image by more than rounding is listed; it is cut off all the same."""
    cuts = Skipped()
    token = _CUTS.set(cuts)
    try:
        yield cuts
    finally:
        _CUTS.reset(token)


def read_object(file: Path, keys: Iterable[str]) -> dict[str, Any]:
    """A JSON object with these lists in it. Raises `BadInput` naming the file and what is missing."""
    content = read_json(file)
    if not isinstance(content, dict):
        raise BadInput("not a JSON object.", file=file, fix="a COCO file is an object")
    for key in keys:
        if not isinstance(content.get(key), list):
            fix = "see the COCO format: images, annotations, categories"
            raise BadInput(f"has no list {key!r}.", file=file, fix=fix)
    return content


def plain_id(value: Any) -> str:
    """An id as files mix it: 1, 1.0, "1" and "1.0" are one. Raises `BadInput` for what is neither number nor text."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise BadInput(f"id {value!r} is neither a number nor a text.", fix="give whole numbers")
    text = str(value).strip()
    return text.removesuffix(".0") if text.removesuffix(".0").isdecimal() else text


def index_by_id(rows: Iterable[Any], file: Path, skipped: Skipped) -> dict[str, dict[str, Any]]:
    """The objects of a COCO list by `plain_id`. Raises `BadInput` for an id that stands twice."""
    index: dict[str, dict[str, Any]] = {}
    for number, row in enumerate(rows, 1):
        key = None
        with skipping(skipped, file, f"object {number}"):
            key = plain_id(row["id"])
        if key is not None and index.setdefault(key, row) is not row:
            raise BadInput(f"two objects have the id {key}.", file=file, row=number, fix="give each an id of its own")
    return index


def existing_folder(folder: Path) -> Path:
    """The folder. Raises `BadInput` if there is none."""
    if not folder.is_dir():
        raise BadInput("no such folder.", file=folder, fix="the set must hold it; is `layout` right?")
    return folder


def image_path(folder: Path, name: str, allow_outside: bool = False) -> Path:
    """Where the image of that name lies: below `images/`, or below the folder itself. Errors as `stay_inside`."""
    inner = folder / "images" / name
    outer = stay_inside(folder, name, allow_outside)
    return stay_inside(folder, f"images/{name}", allow_outside) if inner.is_file() or not outer.is_file() else outer


def images_by_stem(folder: Path) -> dict[str, Path]:
    """Image files of a folder by name without suffix (`one_spelling`), sorted; suffixes in any case.

    Raises `BadInput` for two of one stem: nobody knows which of them an annotation means.
    """
    images: dict[str, Path] = {}
    for path in sorted(path for path in existing_folder(folder).iterdir() if path.suffix.lower() in _IMAGE_SUFFIXES):
        if (other := images.setdefault(one_spelling(path.stem), path)) != path:
            raise BadInput(f"{other.name} and {path.name} have one name.", file=folder, fix="rename or remove one")
    return images


def image_mask_pairs(folder: Path, skipped: Skipped) -> Iterator[tuple[Path, Path]]:
    """Files of one stem in `images/` and `masks/`; one without the other goes to `skipped`."""
    images, masks = images_by_stem(folder / "images"), images_by_stem(folder / "masks")
    for stem in sorted(images | masks):
        if stem in images and stem in masks:
            yield images[stem], masks[stem]
            continue
        with skipping(skipped, images.get(stem) or masks[stem]):
            raise BadInput("has no mask." if stem in images else "mask without an image.", fix="add or remove it")


def stated_size(path: Path, row: dict[str, Any]) -> tuple[int, int]:
    """(width, height) of an image. Raises `BadInput` where its row states another `width` or `height`."""
    size = image_size(path)
    stated = (row.get("width", size[0]), row.get("height", size[1]))
    if stated != size:
        raise BadInput(f"{size} pixels, but the annotations are for {stated}.", file=path, fix="use the original image")
    return size


def region(
    phrase: str, box_xyxy_px: NDArray[np.float32], size_px: tuple[int, int], mask: NDArray[np.bool_] | None = None
) -> Region:
    """A region with its place in the label tree, box clipped to the image, mask cut to the box.

    What lies outside the image is cut off (`listing_cuts` tells of it). A mask without a pixel inside the box is
    dropped. Raises `BadInput` for a box without area in the image, and for a mask of another size.
    """
    box = clip_box(box_xyxy_px, size_px)
    cut_px = float(np.abs(np.asarray(box_xyxy_px, np.float32) - box).max())
    if cut_px > max(_SLACK_PX, _SLACK * max(size_px)) and (cuts := _CUTS.get()) is not None:
        corners = [round(float(x)) for x in box_xyxy_px]
        problem = f"box {corners} reaches outside the {size_px[0]} x {size_px[1]} image: cut off at its edge."
        cuts.add(_ROW.get(), BadInput(problem, fix="repair the box; are its pixels those of this image?"))
    if mask is not None:
        if mask.shape != size_px[::-1]:
            problem = f"mask of (H, W) {mask.shape} for an image of (W, H) {size_px}."
            raise BadInput(problem, fix="export the mask again")
        mask = cut_mask(mask, box)
    return Region(phrase=phrase, box_xyxy_px=box, mask=mask, path=load_labels().path(phrase))


def annotate(
    folder: Path,
    name: str,
    path: Path,
    regions: Iterable[Region],
    annotated: Iterable[str],
    named: Iterable[str] = (),
    *,
    size_px: tuple[int, int],
    modality: str,
    group: str | None = None,
    split: str = "",
    body_part: str = "",
) -> AnnotatedImage:
    """The image at `path` of the set in `folder`; `name` makes its id, and its group where none is given.

    `annotated`: the phrases that were looked for. `named`: those that rows name. A phrase whose rows all failed to
    become regions is in the image somewhere: it is left out, as unknown, and must not pass for absent.
    """
    # named "cyst" in a row that was left out, no region "cyst": it is there, outlined by nobody
    regions = tuple(regions)
    lost = set(named) - {region.phrase for region in regions}
    return AnnotatedImage(
        image_id=f"{folder.name}/{name}",
        image_path=path,
        modality=modality,
        group=name if group is None else group,
        dataset=folder.name,
        split=split,
        size_px=size_px,
        regions=regions,
        phrases=tuple(phrase for phrase in dict.fromkeys(annotated) if phrase not in lost),
        body_part=body_part,
    )


def need_images(images: Iterator[AnnotatedImage], folder: Path, skipped: Skipped) -> Iterator[AnnotatedImage]:
    """The images, one at a time; `BadInput` at their end if there was none."""
    is_empty = True
    for image in images:
        is_empty = False
        yield image
    if is_empty:
        problem = f"no image can be used; {skipped.summary(1)}."
        raise BadInput(problem, file=folder, fix="link or unpack the images there")
