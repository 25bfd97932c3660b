"""Lungs on chest X-rays: `images/`, `lung_boxes.json` (COCO boxes), `lung_masks/<stem>.png`, `metadata.csv`.

Source: github.com/ieee8023/covid-chestxray-dataset, licence per image (column `license`: CC BY, CC BY-SA or
CC BY-NC-SA); boxes CC BY 4.0 (General Blockchain); masks as shipped with torchxrayvision.
Traps: "right lung" is the PATIENT's right, at the image's left. One mask holds both lungs: each region takes the part
inside its box. Only images with boxes are read: on the others the lungs are unknown, not absent. Split by patient.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path

from ...bad_input import BadInput, Skipped
from ...foreign import read_csv
from ...geometry import xywh_to_xyxy
from ...imaging.masks import read_mask
from ...imaging.read import image_size
from ...types import AnnotatedImage, Region
from ...vocabulary.labels import load_labels
from ..corpus import as_spelled, one_spelling, stay_inside
from ..rows import annotate, plain_id, region, skipping
from .coco import image_name, read_file

PHRASES = ("right lung", "left lung")


def read(
    folder: Path, skipped: Skipped, *, modality: str = "xray", licences: Sequence[str] = (), allow_outside: bool = False
) -> Iterator[AnnotatedImage]:
    """Images with lung boxes, one at a time, with split "" and the patient as group.

    `modality` counts where the metadata names none; with `licences`, only images under one of them are read. Rows that
    cannot be used go to `skipped`. Raises `BadInput` if a whole file is missing or malformed.
    """
    file = folder / "lung_boxes.json"
    coco = read_file(file, load_labels().label, skipped)
    patients: dict[str, dict[str, str]] = {}
    metadata = read_csv(folder / "metadata.csv", ("filename", "patientid", "modality"), skipped, errors="replace")
    for _, row in metadata:
        patients.setdefault(one_spelling(row["filename"]), row)  # of several rows of a file name the first counts
    for image in coco.images:
        with skipping(skipped, file, f"image {image_name(image)}"):
            name = str(image["file_name"])
            rows = coco.rows.get(plain_id(image["id"]), [])
            patient = patients.get(one_spelling(name), {})
            if not rows or (licences and patient.get("license", "").strip() not in licences):
                continue
            path = stay_inside(folder, f"images/{name}", allow_outside)
            size = image_size(path)
            if not patient:
                raise BadInput(f"{name} is not in metadata.csv, so its patient is not known.", fix="add its row")
            mask, mask_file = None, as_spelled(folder / "lung_masks", f"{path.stem}.png")
            with skipping(skipped, mask_file):  # the boxes stay where the mask cannot be used
                mask = read_mask(mask_file, size) if mask_file.is_file() else None
            regions: list[Region] = []
            for row in rows:
                with skipping(skipped, file, f"annotation {row.get('id')}"):
                    # one mask holds both lungs: `region` cuts it to the box
                    phrase = coco.phrases[plain_id(row["category_id"])]
                    regions.append(region(phrase, xywh_to_xyxy(row["bbox"]), size, mask))
            # an image whose rows are not all read knows what it shows alone
            named = () if len(regions) == len(rows) else PHRASES
            facts = {"modality": patient["modality"] or modality, "group": patient["patientid"], "body_part": "chest"}
            yield annotate(folder, name, path, regions, PHRASES, named, size_px=size, **facts)
