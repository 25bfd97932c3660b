"""MS-CXR: `MS_CXR_Local_Alignment_v*.csv` (one row a box) or `.json` (COCO with `label_text`), beside MIMIC-CXR images.

Source: physionet.org/content/ms-cxr (versions 0.1 to 1.1.0; PhysioNet Credentialed Health Data License 1.5.0: access
by training and agreement only, nothing of it may be passed on); Boecking et al. 2022, "Making the Most of Text
Semantics to Improve Biomedical Vision-Language Processing" (ECCV). Images: physionet.org/content/mimic-cxr-jpg.
Traps: a phrase may have several boxes, one row each; x, y, w, h are pixels of the ORIGINAL image, so they are scaled
to the image on disk, which must have the same shape (a crop or padding cannot be told from the numbers); only the
phrase of a row is known, other findings of the image are unknown; versions before 1.1.0 have no split.
Patients are taken from the path (`p10000032`).
Split: its own, and where MIMIC-CXR-JPG's -split csv.gz lies beside it (or links to it) that of the patient there as
well: whom either of them tests is `test`, so that no test patient of MIMIC-CXR is learned.
"""

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from ...bad_input import BadInput, Skipped
from ...foreign import read_csv
from ...geometry import xywh_to_xyxy
from ...imaging.read import image_size
from ...types import AnnotatedImage, Region
from ...vocabulary.labels import load_labels
from ..mimic import SPLITS, film_file, have_same_shape, read_splits, strictest
from ..published import Published
from ..rows import annotate, index_by_id, need_images, plain_id, read_object, region, skipping

COLUMNS = ("category_name", "label_text", "path", "x", "y", "w", "h", "image_width", "image_height", "dicom_id")
PUBLISHED = Published(
    version="1.1.0",
    licence="PhysioNet Credentialed Health Data License 1.5.0",
    citation="Boecking et al. 2022 (ECCV), doi 10.13026/b90j-vb87",
    images={"": 1047},
    pairs=1162,
)
_PATIENT = re.compile(r"(?:^|/)(p\d{8})/")
_Row = tuple[int, dict[str, Any]]


def read(
    folder: Path, skipped: Skipped, *, modality: str = "xray", allow_outside: bool = False
) -> Iterator[AnnotatedImage]:
    """Images that have boxes, one at a time; of several versions the last file counts, csv before json.

    An image lies where its `path` says, below the folder or its `images/`, with or without `files/`, or there by its
    `dicom_id` alone; as .jpg, .png or .dcm. Rows that cannot be used go to `skipped`. Raises `BadInput` if there is no
    such file, or a column is missing.
    """
    file, by_image = read_boxes(folder, skipped)
    patients = read_splits(folder)

    def images() -> Iterator[AnnotatedImage]:
        for rows in by_image.values():
            with skipping(skipped, file, rows[0][0]):
                yield _image(folder, rows, modality, file, skipped, allow_outside, patients)

    return need_images(images(), folder, skipped)


def read_boxes(folder: Path, skipped: Skipped) -> tuple[Path, Mapping[str, list[_Row]]]:
    """The file, and of each image by its DICOM id the rows with their numbers. `folder`: or the file itself.

    Raises `BadInput` if there is no such file, a column is missing, or no row can be used.
    """
    named = [folder] if folder.is_file() else sorted(folder.glob("MS_CXR_Local_Alignment*"))
    csv_files, json_files = ([file for file in named if file.suffix == suffix] for suffix in (".csv", ".json"))
    if not (files := csv_files or json_files):
        raise BadInput("holds no MS_CXR_Local_Alignment*.csv or .json.", file=folder, fix="is `layout` right?")
    file = files[-1]
    by_image: dict[str, list[_Row]] = defaultdict(list)
    for number, row in read_csv(file, COLUMNS, skipped) if csv_files else _json_rows(file, skipped):
        with skipping(skipped, file, number):
            by_image[row["dicom_id"]].append((number, row))
    if not by_image and skipped.entries:
        raise BadInput(f"no row can be used; {skipped.summary()}", file=file, fix="take the file as published")
    return file, by_image


def _json_rows(file: Path, skipped: Skipped) -> Iterator[_Row]:
    """The same rows from the COCO file, with the annotation's place in it."""
    coco = read_object(file, ("images", "annotations", "categories"))
    names, images = (index_by_id(coco[key], file, skipped) for key in ("categories", "images"))
    for number, item in enumerate(coco["annotations"], 1):
        with skipping(skipped, file, number):
            image = images[plain_id(item["image_id"])]
            yield (
                number,
                {
                    **dict(zip("xywh", item["bbox"], strict=True)),
                    "label_text": item["label_text"],
                    "category_name": names[plain_id(item["category_id"])].get("name", ""),
                    "path": image.get("path") or image["file_name"],
                    "dicom_id": Path(image["file_name"]).stem,
                    "image_width": image["width"],
                    "image_height": image["height"],
                    "split": item.get("split") or image.get("split", ""),
                },
            )


def regions_of(
    rows: Sequence[_Row], size: tuple[int, int], file: Path, skipped: Skipped, *, by_category: bool = False
) -> tuple[list[Region], list[str]]:
    """The regions of an image of (width, height) px, and every phrase that its rows name; bad rows go to `skipped`.

    Phrases are the sentences, below their category in the label tree; `by_category`: the categories, which give away no
    word of the report that the sentences are of.
    """
    regions: dict[tuple[Any, ...], Region] = {}
    named: list[str] = []
    for number, row in rows:
        with skipping(skipped, file, number):
            named.append(load_labels().label(row["category_name" if by_category else "label_text"]))
            if not named[-1]:
                raise BadInput("no label_text.", fix="remove the row")
            width, height = float(row["image_width"]), float(row["image_height"])
            if not have_same_shape(size, (width, height)):
                pixels = f"{row['image_width']} x {row['image_height']} pixels"
                problem = f"boxes are for {pixels}, the image of {size} has another shape."
                raise BadInput(problem, fix="resize the original image without cropping or padding")
            # scaled to the image on disk; a phrase outside the label tree stands below its category
            scale = np.array([size[0] / width, size[1] / height] * 2, np.float32)
            outlined = region(named[-1], xywh_to_xyxy([row[key] for key in "xywh"]) * scale, size)
            if not outlined.path:
                outlined = replace(outlined, path=load_labels().path(row["category_name"]))
            # one phrase may stand under two categories, with the same box
            regions[(outlined.phrase, *outlined.box_xyxy_px.tolist())] = outlined
    return list(regions.values()), named


def _image(
    folder: Path,
    rows: list[_Row],
    modality: str,
    file: Path,
    skipped: Skipped,
    allow_outside: bool,
    patients: Mapping[str, str],
) -> AnnotatedImage:
    first = rows[0][1]
    path = film_file(folder, first["path"], first["dicom_id"], allow_outside)
    size = image_size(path)
    regions, named = regions_of(rows, size, file, skipped)
    patient = _PATIENT.search(first["path"].replace("\\", "/"))
    group, own = patient[1] if patient else first["dicom_id"], str(first.get("split") or "").lower()
    split = strictest(SPLITS.get(own, ""), patients.get(group, ""))
    facts = {"modality": modality, "group": group, "split": split, "body_part": "chest"}
    return annotate(folder, first["dicom_id"], path, regions, named, named, size_px=size, **facts)
