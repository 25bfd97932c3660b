"""PadChest-GR: `grounded_reports_*.json` (sentences with boxes), `master_table.csv`, `Padchest_GR_files/`.

Source: bimcv.cipf.es/bimcv-projects/padchest-gr (access by request; PadChest Dataset Research Use Agreement: research
alone, nothing of it may be passed on); de Castro et al. 2025, "PadChest-GR: A Bilingual Chest X-ray Dataset for
Grounded Radiology Report Generation" (NEJM AI), arXiv 2411.05085. 4,555 frontal images, one a study: 7,037 positive
and 3,422 negative sentences in Spanish and English, positive ones with the boxes of up to two readers.
Layout: the JSON is a list of {StudyID, ImageID, findings: [{sentence_en, sentence_es, abnormal, boxes, extra_boxes,
labels, locations, progression}]}; boxes are x0, y0, x1, y1 as parts of width and height; negative findings leave keys
out. master_table.csv: StudyID, PatientID and `split` (train, validation, test), one row a study and label. Images are
PNGs of 16 bits: `Padchest_GR_files/PadChest_GR/<ImageID>`, also one folder higher, in `images/` or in the set's folder.
Regions: one a box, its phrase the sentence in `language`, below its label in the tree. `boxes` and `extra_boxes` are
those of two readers, kept apart; with `merge` such as overlap are one. The labels that a negative sentence denies are
absent, where no positive one names them. Labels are English in both languages.
"""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np

from ...bad_input import BadInput, Skipped
from ...foreign import read_csv, read_json
from ...imaging.read import image_size
from ...types import AnnotatedImage, Region
from ...vocabulary.labels import load_labels
from ..corpus import stay_inside
from ..mimic import SPLITS
from ..published import Published
from ..readers import Box, join_readers
from ..rows import annotate, need_images, region, skipping

PUBLISHED = Published(
    version="2024-08-19",
    licence="PadChest Dataset Research Use Agreement",
    citation="de Castro et al. 2025, arXiv 2411.05085",
    images={"": 4_555},
    pairs=7_037,
)
FILE, COLUMNS = "grounded_reports_*.json", ("StudyID", "PatientID", "split")
_FOLDERS = ("Padchest_GR_files/PadChest_GR", "Padchest_GR_files", "PadChest_GR", "images", ".")
Language = Literal["en", "es"]


def describe_reading(*, language: Language = "en", merge: bool = False) -> str:
    """What `data check` says of sentences and boxes."""
    boxes = "that overlap are one region, their mean" if merge else "are kept apart (merge: true joins them)"
    return f"sentences in {'English' if language == 'en' else 'Spanish'}; boxes of the two readers {boxes}"


def read(
    folder: Path, skipped: Skipped, *, modality: str = "xray", language: Language = "en", merge: bool = False
) -> Iterator[AnnotatedImage]:
    """Images that the JSON file names, one at a time; those without a file or a row of the table go to `skipped`.

    Raises `BadInput` for a missing file or column, and where no image is left.
    """
    file, studies = read_studies(folder)
    table = read_table(folder)

    def images() -> Iterator[AnnotatedImage]:
        for number, study in enumerate(studies, 1):
            with skipping(skipped, file, number):
                yield _image(folder, study, table, language, merge, modality, skipped, file)

    return need_images(images(), folder, skipped)


def read_studies(folder: Path) -> tuple[Path, list[dict[str, Any]]]:
    """The newest JSON file and its studies. Raises `BadInput` for none, and for another content."""
    if not (files := sorted(folder.glob(FILE))):
        raise BadInput("no such file.", file=folder / FILE, fix="put the set's JSON file there; is `layout` right?")
    studies = read_json(files[-1], "download the file again")
    if not isinstance(studies, list) or not all(isinstance(study, dict) for study in studies):
        raise BadInput("not a list of studies.", file=files[-1], fix="take the file as published")
    return files[-1], studies


def read_table(folder: Path) -> dict[str, tuple[str, str]]:
    """(patient, split by our name) of each study. Raises `BadInput` for a missing file or column and an odd split."""
    table: dict[str, tuple[str, str]] = {}
    if not (folder / "master_table.csv").is_file() and (folder / "master_table.csv.zip").is_file():
        raise BadInput("still packed.", file=folder / "master_table.csv.zip", fix="unpack it there")
    for number, row in read_csv(folder / "master_table.csv", COLUMNS):
        if (split := SPLITS.get(row["split"].strip())) is None:
            fix = "train, validation or test, as published"
            problem = f"split is {row['split']!r}."
            raise BadInput(problem, file=folder / "master_table.csv", row=number, fix=fix)
        table[row["StudyID"]] = row["PatientID"], split
    return table


def image_file(folder: Path, image_id: str) -> Path:
    """Where the image lies. Raises `BadInput` for none."""
    candidates = [stay_inside(folder, f"{name}/{image_id}") for name in _FOLDERS]
    if (path := next((path for path in candidates if path.is_file()), None)) is None:
        raise BadInput(f"no image {image_id}.", file=folder, fix="unpack Padchest_GR_files there")
    return path


def is_positive(finding: Mapping[str, Any]) -> bool:
    """Whether the sentence says that something is there."""
    return bool(finding.get("abnormal"))


def labels_of(finding: Mapping[str, Any]) -> list[str]:
    """Its labels in the words of our tree; where it has none, as negative sentences, those that its text names."""
    labels = [load_labels().label(name) for name in finding.get("labels") or ()]
    return labels or list(load_labels().phrases_in(finding.get("sentence_en") or ""))


def outlines(finding: Mapping[str, Any], size: tuple[int, int], merge: bool) -> list[Box]:
    """Boxes of a finding in pixels of an image of this size, readers kept apart or joined."""
    scale = np.array([*size, *size], np.float32)
    boxes = [(key, np.array(b, np.float32) * scale) for key in ("boxes", "extra_boxes") for b in finding.get(key) or ()]
    return join_readers(boxes) if merge else [box for _, box in boxes]


def _image(
    folder: Path,
    study: Mapping[str, Any],
    table: Mapping[str, tuple[str, str]],
    language: Language,
    merge: bool,
    modality: str,
    skipped: Skipped,
    file: Path,
) -> AnnotatedImage:
    name = study["StudyID"]
    if name not in table:
        raise BadInput(f"no row of study {name}.", file=folder / "master_table.csv", fix="take both of one version")
    path, (patient, split) = image_file(folder, study["ImageID"]), table[name]
    size = image_size(path)
    regions: list[Region] = []
    named: dict[str, None] = {}
    there: set[str] = set()
    for number, finding in enumerate(filter(is_positive, study["findings"]), 1):
        with skipping(skipped, file, f"{name}, positive sentence {number}"):
            phrase, labels = load_labels().label(finding[f"sentence_{language}"]), labels_of(finding)
            named[phrase] = None
            there.update(word for label in labels for word in (label, *load_labels().path(label)))
            for box in outlines(finding, size, merge):
                outlined = region(phrase, box, size)
                if not outlined.path and labels:
                    outlined = replace(outlined, path=load_labels().path(labels[0]) or (labels[0],))
                regions.append(outlined)
    denied = [word for f in study["findings"] if not is_positive(f) for word in labels_of(f)]
    absent = [word for word in denied if word not in there and load_labels().level(word) == "finding"]
    facts = {"modality": modality, "group": patient, "split": split, "body_part": "chest"}
    return annotate(folder, Path(study["ImageID"]).stem, path, regions, [*named, *absent], named, size_px=size, **facts)
