"""VinDr-CXR: `annotations/{annotations,image_labels}_{train,test}.csv`, `train/` and `test/` with DICOM images.

Source: physionet.org/content/vindr-cxr/1.0.0 (PhysioNet Credentialed Health Data License 1.5.0: access by training and
agreement only, nothing of it may be passed on); Nguyen et al. 2022, "VinDr-CXR: An open dataset of chest X-rays with
radiologist's annotations", Sci Data 9:429, doi 10.13026/3akn-b287. 15,000 train images, each read by 3 of 17
radiologists who did not confer, and 3,000 test images, each the consensus of 5.
Layout: annotations: image_id, rad_id (train alone), class_name, x_min, y_min, x_max, y_max, in pixels of the DICOM
image, empty where the reader found nothing; image_labels: image_id, rad_id (train alone), and 0 or 1 for 22 findings
that are outlined and 6 diseases that are not; images `train/<image_id>.dicom`, also as .png or .jpg.
Regions: one a radiologist and box; with `merge` boxes of two or three that overlap are one region, their mean. All
22 findings but `Other lesion` are looked for on every image, so one that no reader outlined is absent.
Traps: no patient is recorded; `train` has no part for choices. Kaggle's `train.csv` is another set of columns.
"""

from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from ...bad_input import BadInput, Skipped
from ...foreign import read_csv
from ...imaging.read import image_size
from ...types import AnnotatedImage, Region
from ...vocabulary.labels import load_labels
from ..corpus import stay_inside
from ..published import Published
from ..readers import Box, join_readers
from ..rows import annotate, need_images, region, skipping

PUBLISHED = Published(
    version="1.0.0",
    licence="PhysioNet Credentialed Health Data License 1.5.0",
    citation="Nguyen et al. 2022, doi 10.13026/3akn-b287",
    images={"train": 15_000, "test": 3_000},
)
COLUMNS = ("image_id", "class_name", "x_min", "y_min", "x_max", "y_max")
OUTLINED = {
    **{name: name for name in ("Aortic enlargement", "Atelectasis", "Cardiomegaly", "Clavicle fracture")},
    **{name: name for name in ("Consolidation", "Emphysema", "Enlarged PA", "ILD", "Infiltration", "Lung Opacity")},
    **{name: name for name in ("Lung cavity", "Lung cyst", "Mediastinal shift", "Nodule/Mass", "Pleural effusion")},
    **{name: name for name in ("Pleural thickening", "Pneumothorax", "Pulmonary fibrosis", "Rib fracture")},
    "Calcification": "lung calcification",
    "Edema": "pulmonary edema",
}
"""The findings with boxes, and what our label tree calls them; `Other lesion` names nothing that can be looked for."""
_BY_NAME = {name.lower(): label for name, label in OUTLINED.items()}
_NOTHING = ("no finding", "other lesion")
_SUFFIXES = (".dicom", ".dcm", ".png", ".jpg")


def describe_reading(*, merge: bool = False) -> str:
    """What `data check` says of the boxes."""
    if merge:
        return "boxes of several radiologists that overlap are one region, their mean (merge: true)"
    return "boxes of each radiologist are kept apart, one region a radiologist (merge: true joins them)"


def read(folder: Path, skipped: Skipped, *, modality: str = "xray", merge: bool = False) -> Iterator[AnnotatedImage]:
    """Images that a csv file names, one at a time. Images without a file and bad rows go to `skipped`.

    Raises `BadInput` for a missing csv file or column, and where no image is left.
    """
    tables: dict[str, dict[str, list[tuple[int, dict[str, str]]]]] = {}
    for split in ("train", "test"):
        file = _annotations(folder, split)
        if split == "test" and not file.is_file() and not (folder / "test").is_dir():
            continue  # a copy of the training part alone
        reader = ("rad_id",) if split == "train" else ()
        rows: dict[str, list[tuple[int, dict[str, str]]]] = defaultdict(list)
        for number, row in read_csv(file, (*COLUMNS, *reader), skipped):
            rows[row["image_id"]].append((number, row))
        labels = file.with_name(f"image_labels_{split}.csv")
        for _, row in read_csv(labels, ("image_id", *reader)):
            rows[row["image_id"]]  # an image on which nobody found anything may have no row of its own
        tables[split] = rows

    def images() -> Iterator[AnnotatedImage]:
        for split, rows in tables.items():
            for name, found in rows.items():
                with skipping(skipped, folder / split / f"{name}.dicom"):
                    yield _image(folder, name, split, found, skipped, modality, merge)

    return need_images(images(), folder, skipped)


def _annotations(folder: Path, split: str) -> Path:
    file = folder / "annotations" / f"annotations_{split}.csv"
    if split == "train" and not file.is_file() and (folder / "train.csv").is_file():
        problem = "is Kaggle's version of the set, with other columns and without the test part."
        raise BadInput(problem, file=folder / "train.csv", fix="take version 1.0.0 of physionet.org/content/vindr-cxr")
    return file


def _image(
    folder: Path,
    name: str,
    split: str,
    rows: list[tuple[int, dict[str, str]]],
    skipped: Skipped,
    modality: str,
    merge: bool,
) -> AnnotatedImage:
    candidates = [stay_inside(folder, f"{split}/{name}{suffix}") for suffix in _SUFFIXES]
    if (path := next((path for path in candidates if path.is_file()), None)) is None:
        raise BadInput("no such image.", file=candidates[0], fix="download it, or leave the set's other images alone")
    size = image_size(path)
    looked_for = [load_labels().label(label) for label in OUTLINED.values()]
    boxes: dict[str, list[tuple[str, Box]]] = defaultdict(list)
    named: list[str] = []
    for number, row in rows:
        if (kind := row["class_name"].strip().lower()) in _NOTHING:
            continue
        with skipping(skipped, _annotations(folder, split), number):
            if kind not in _BY_NAME:
                raise BadInput(f"unknown class_name {row['class_name']!r}.", fix="take version 1.0.0 of the set")
            named.append(load_labels().label(_BY_NAME[kind]))
            corners = [float(row[key]) for key in ("x_min", "y_min", "x_max", "y_max")]
            box = region(named[-1], np.array(corners, np.float32), size).box_xyxy_px
            boxes[named[-1]].append((row.get("rad_id") or "", box))
    regions: list[Region] = []
    for phrase, found in boxes.items():
        joined = join_readers(found) if merge else [box for _, box in found]
        regions += [region(phrase, box, size) for box in joined]
    facts = {"modality": modality, "split": split, "body_part": "chest"}
    return annotate(folder, name, path, regions, looked_for, named, size_px=size, **facts)
