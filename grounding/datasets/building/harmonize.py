"""A row of any set becomes a row of the built dataset: labels of the tree, tight boxes, licence, provenance, hashes."""

import json
import os
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, Literal

import numpy as np
from PIL import Image

from ...bad_input import BadInput
from ...foreign import read_csv
from ...imaging.read import is_dicom, open_image, png_bytes, read_image, read_image_bytes
from ...vocabulary.labels import load_labels
from ..corpus import draw, one_spelling
from ..load import set_folder
from ..parts import RULE
from ..schema import stored_rle
from .duplicates import fingerprints
from .manifest import BuildSettings, SourceSettings

LabelOrigin = Literal["mapped", "known", "unknown", "ambiguous", "left out"]
Row = dict[str, Any]
Naming = Callable[[str], tuple[str | None, LabelOrigin]]
"""`label_of` for one set, with a memory."""
NOT_STATED = "not stated"


@dataclass
class Notes:
    """What happened to some rows of one set. `labels`: (source label, its label or "", kind) -> regions."""

    rows: int = 0
    tightened: int = 0
    labels: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    excluded: list[tuple[str, str, str]] = field(default_factory=list)
    """(row, kind of reason, reason)"""

    def to_json(self) -> str:
        """The inverse of `from_json`."""
        return json.dumps({**vars(self), "labels": [[*key, count] for key, count in self.labels.items()]})

    @staticmethod
    def from_json(text: bytes) -> "Notes":
        """Notes as a part keeps them."""
        values = json.loads(text)
        labels = Counter({(phrase, label, kind): count for phrase, label, kind, count in values["labels"]})
        return Notes(**{**values, "labels": labels, "excluded": [tuple(entry) for entry in values["excluded"]]})


class Excluded(Exception):
    """A row that is left out: a kind of reason to count, and the reason."""

    def __init__(self, kind: str, why: str):
        super().__init__(why)
        self.kind = kind


def label_of(phrase: str, source: SourceSettings, unknown: str) -> tuple[str | None, LabelOrigin]:
    """The built dataset's label for a set's own, None to leave it out, and how that came about."""
    tree = load_labels()
    word = tree.label(phrase)
    # the manifest goes before the tree; null there leaves the regions out
    meanings = {tree.label(name): label for name, label in source.labels.items()}
    if word in meanings:
        return meanings[word], "left out" if meanings[word] is None else "mapped"
    candidates = tree.candidates(word, body_region=source.body_region or None)
    if len(candidates) == 1:
        return candidates[0], "known"
    return (word if unknown == "keep" else None), "ambiguous" if tree.candidates(word) else "unknown"


def harmonize(row: Row, source: SourceSettings, settings: BuildSettings, naming: Naming, notes: Notes) -> Row:
    """A row with `BUILT_FEATURES`, image bytes only where the row brought them, `thumbnail` and `draw`.

    `row`: with `IMAGE_FEATURES`, and `licence` where the set has one for each image, or with `BUILT_FEATURES`. Raises
    `Excluded` for a licence that is not taken and for a row without a label, `BadInput` for a broken image.
    """
    licence = row.get("licence") or source.licence or NOT_STATED
    if settings.licences and licence not in settings.licences:
        raise Excluded("licence", f"licence {licence!r} is not taken")
    row = _relabel(row, naming, notes)
    image = _open_image(row)
    if image.size != tuple(row["size_px"]):
        problem = f"{image.size} pixels, not {tuple(row['size_px'])}."
        raise BadInput(problem, file=row["image_path"], fix="load it again")
    pixel, look, thumbnail = fingerprints(image)
    is_built = source.layout == "built"
    root, path = os.environ.get("MEDGLIP_DATA", ""), Path(row["image_path"])
    file = path.relative_to(root).as_posix() if root and path.is_relative_to(root) else str(path)
    provenance = {"layout": source.layout, "path": source.path, "file": file, "row": row["image_id"]}
    regions = {_path_and_body(phrase)[1] for phrase in row["phrases"]} - {"", "any"}  # words of any region say nothing
    # the reader's ids begin with the folder's name, which gives way to the name of the set in the build
    head, slash, tail = row["image_id"].partition("/")
    own_id = tail if slash and head == source.name else row["image_id"]
    return {
        **row,
        "image_id": row["image_id"] if is_built else f"{source.set_name}/{own_id}",
        "dataset": row["dataset"] if is_built else source.set_name,
        "image_path": file,
        "image": row.get("image"),
        "body_region": row.get("body_region") or (regions.pop() if len(regions) == 1 else source.body_region or None),
        "source": row.get("source") or source.set_name,
        "licence": licence,
        "original_size_px": row.get("original_size_px") or list(row["size_px"]),
        "provenance": row.get("provenance") or provenance,
        "pixel_hash": pixel,
        "look_hash": look,
        "thumbnail": thumbnail,
        "draw": draw(row["group"], RULE if source.val_fraction is None else settings.seed),
    }


def read_licences(source: SourceSettings) -> dict[str, str]:
    """Licence of each image file of a set's table; the first row of a name counts. Raises `BadInput`."""
    licences: dict[str, str] = {}
    if table := source.licence_table:
        for _, row in read_csv(set_folder(source) / table.file, (table.image, table.licence)):
            licences.setdefault(one_spelling(row[table.image]), row[table.licence].strip())
    return licences


def stored_image(row: Row) -> dict[str, Any]:
    """Bytes and name of a row's image for a shard: the file as it is, or its upright pixels as PNG.

    DICOM, files with EXIF data and formats other than JPEG and PNG are written anew, so that no header goes along.
    """
    if row.get("image"):
        return row["image"]
    path = on_disk(row["image_path"])
    if path.suffix.lower() in (".png", ".jpg", ".jpeg") and not is_dicom(path):
        with open_image(path) as image:
            is_plain = image.format in ("PNG", "JPEG") and "exif" not in image.info
        if is_plain:
            return {"bytes": path.read_bytes(), "path": path.name}
    return {"bytes": png_bytes(read_image(path)), "path": f"{path.stem}.png"}


def on_disk(image_path: str) -> Path:
    """Where the image of a built row lies: an absolute path, or below MEDGLIP_DATA."""
    return Path(os.environ.get("MEDGLIP_DATA", "")) / image_path


def rle_to_box(rle: Mapping[str, Any]) -> list[float] | None:
    """The tight half-open box of an uncompressed COCO RLE without decoding it; None for an empty mask."""
    height = rle["size"][0]
    ends = np.cumsum(np.asarray(rle["counts"], np.int64))
    starts, ends = ends[:-1:2], ends[1::2]
    starts, ends = starts[starts < ends], ends[starts < ends] - 1
    if not len(starts):
        return None
    # Runs go down the columns. Height 4, counts [5, 2, 8, ...]: pixels 5 and 6 are set, rows 1 and 2 of column 1. A run
    # that ends in another column than it starts in goes through the lower edge, so the box is as high as the image.
    is_wrapped = bool((starts // height != ends // height).any())
    y0, y1 = (0, height) if is_wrapped else ((starts % height).min(), (ends % height).max() + 1)
    return [float(starts[0] // height), float(y0), float(ends[-1] // height + 1), float(y1)]


def _relabel(row: Row, naming: Naming, notes: Notes) -> Row:
    """Phrases and regions under labels of the tree, masked regions in their tight boxes."""
    counts = Counter(region["phrase"] for region in row["regions"])
    named = {phrase: naming(phrase) for phrase in (*row["phrases"], *counts)}
    regions: list[Row] = []
    for phrase, (label, kind) in named.items():
        notes.labels[phrase, label or "", kind] += counts[phrase]
    for region in row["regions"]:
        if label := named[region["phrase"]][0]:
            mask = stored_rle(region)
            box = rle_to_box(mask) if mask else None
            if box is not None and box != [float(x) for x in region["box_xyxy_px"]]:
                notes.tightened += 1
            own = {"phrase": label, "path": _path_and_body(label)[0], "box_xyxy_px": box or region["box_xyxy_px"]}
            regions.append({**region, **own, "mask_rle": mask})
    phrases = dict.fromkeys(label for phrase in row["phrases"] if (label := named[phrase][0]))
    if not phrases and not regions:
        raise Excluded("labels", f"no label of the tree among {sorted(named)}")
    return {**row, "phrases": list(phrases), "regions": regions}


@cache
def _path_and_body(label: str) -> tuple[list[str], str]:
    """Path and body region of a label."""
    return list(load_labels().path(label)), load_labels().body_region(label)


def _open_image(row: Row) -> Image.Image:
    content = (row.get("image") or {}).get("bytes")
    if content is None:
        return read_image(on_disk(row["image_path"]))
    try:
        return read_image_bytes(content)
    except BadInput as error:
        raise BadInput(error.problem, row=row["image_id"], fix="build its set again") from error
