"""What every adapter shares: bad rows go to a list and the rest goes on, and what is then still known of an image."""

import json
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..bad_input import BadInput, Skipped
from ..geometry import clip_box, cut_mask
from ..types import Region
from ..vocabulary.labels import load_labels

IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".dcm")


@contextmanager
def skipping(skipped: Skipped, file: Path, row: int | str | None = None) -> Iterator[None]:
    """Leave out what fails inside, with the file and the row; anything but bad input still raises.

    A reader may `yield` inside: what its caller does with the image is not caught.
    """
    item = str(file) if row is None else f"{file}: row {row}"
    try:
        yield
    except BadInput as error:
        skipped.add(item, BadInput(error.problem, file=error.file or file, row=error.row or row, fix=error.fix))
    except KeyError as error:
        skipped.add(item, BadInput(f"has no {error}.", file=file, row=row, fix="add the key, or remove the row"))
    except (TypeError, ValueError, AttributeError, IndexError) as error:
        skipped.add(item, BadInput(f"malformed: {error}.", file=file, row=row, fix="repair or remove the row"))


def read_json(file: Path, keys: Iterable[str]) -> dict[str, Any]:
    """A JSON object with these lists in it. Raises `BadInput` naming the file and what is missing."""
    if not file.is_file():
        raise BadInput("no such file.", file=file, fix="the folder must hold it; is `layout` right?")
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise BadInput(f"not JSON: {error}.", file=file, fix="copy or export the file again") from error
    if not isinstance(content, dict):
        raise BadInput("not a JSON object.", file=file, fix="a COCO file is an object")
    for key in keys:
        if not isinstance(content.get(key), list):
            fix = "see the COCO format: images, annotations, categories"
            raise BadInput(f"has no list {key!r}.", file=file, fix=fix)
    return content


def existing_folder(folder: Path) -> Path:
    """The folder. Raises `BadInput` if there is none."""
    if not folder.is_dir():
        raise BadInput("no such folder.", file=folder, fix="the set must hold it; is `layout` right?")
    return folder


def image_path(folder: Path, name: str) -> Path:
    """Where the image of that name lies: below `images/`, or below the folder itself."""
    inner = folder / "images" / name
    return inner if inner.is_file() or not (folder / name).is_file() else folder / name


def images_by_stem(folder: Path) -> dict[str, Path]:
    """Image files of a folder by name without suffix, sorted; suffixes in any case."""
    files = sorted(path for path in existing_folder(folder).iterdir() if path.suffix.lower() in IMAGE_SUFFIXES)
    return {path.stem: path for path in files}


def region(
    phrase: str, box_xyxy_px: NDArray[np.float32], size_px: tuple[int, int], mask: NDArray[np.bool_] | None = None
) -> Region:
    """A region with its place in the label tree, box clipped to the image, mask cut to the box.

    A mask without a pixel inside the box is dropped. Raises `BadInput` for a box without area in the image, and for a
    mask of another size.
    """
    box = clip_box(box_xyxy_px, size_px)
    if mask is not None:
        if mask.shape != size_px[::-1]:
            problem = f"mask of (H, W) {mask.shape} for an image of (W, H) {size_px}."
            raise BadInput(problem, fix="export the mask again")
        mask = cut_mask(mask, box)
    return Region(phrase=phrase, box_xyxy_px=box, mask=mask, path=load_labels().path(phrase))


def known_phrases(annotated: Iterable[str], named: Iterable[str], regions: Iterable[Region]) -> tuple[str, ...]:
    """The annotated phrases, each once, without those named in rows of which none became a region.

    Such a phrase is in the image somewhere, so it must not pass for absent.
    """
    # named "cyst" in a row that was left out, no region "cyst": it is there, outlined by nobody
    lost = set(named) - {region.phrase for region in regions}
    return tuple(phrase for phrase in dict.fromkeys(annotated) if phrase not in lost)
