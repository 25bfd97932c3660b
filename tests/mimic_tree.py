"""A made-up MIMIC-CXR-JPG of five patients, and made-up releases of four region sets over the same pictures."""

import csv
import gzip
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

SIZE, RECORDED = (96, 80), (960, 800)
SPLIT = {"10000001": "train", "10000002": "train", "10000003": "validate", "10000004": "test", "10000005": "test"}
TEST = ("10000004", "10000005")
REPORT = " FINAL REPORT\n INDICATION: Cough, seen ___.\n \n FINDINGS: {0}\n \n IMPRESSION: {1}\n"
ODD = " EXAMINATION: Chest.\n \n WET READ: none\n\n Impression alone:\n \n IMPRESSION: {1} {0}\n"
WORDS = ("Large pleural effusion.", "Clear lungs.", "No pneumothorax. Lung opacity.", "Mild edema.", "Cardiomegaly.")
STUDIES: dict[str, tuple[str, tuple[str, ...]]] = {
    # study: patient, views; the second of a patient is a day later
    "50000001": ("10000001", ("PA", "LATERAL")),
    "50000002": ("10000001", ("AP",)),
    "50000003": ("10000002", ("LATERAL", "PA")),
    "50000004": ("10000003", ("PA", "LL")),
    "50000005": ("10000004", ("PA", "LATERAL")),
    "50000006": ("10000004", ("AP", "PA")),
    "50000007": ("10000005", ("LATERAL",)),  # a lateral alone
    "50000008": ("10000005", ("PA",)),
}


def write_csv(file: Path, rows: Sequence[Mapping[str, Any]]) -> Path:
    """A table with a header, packed where its name ends in .gz."""
    file.parent.mkdir(parents=True, exist_ok=True)
    with (gzip.open if file.suffix == ".gz" else open)(file, "wt", newline="") as lines:
        table = csv.DictWriter(lines, [*rows[0]])
        table.writeheader()
        table.writerows(rows)
    return file


def dicom_id(study: str, number: int) -> str:
    return f"d{study}-{number}"


def picture(study: str, number: int) -> Image.Image:
    """Noise of its own."""
    rng = np.random.default_rng([int(study), number])
    return Image.fromarray(rng.integers(0, 255, SIZE[::-1], dtype=np.uint8))


def films() -> list[dict[str, str]]:
    """A row an image: ids, path, view, split."""
    rows = []
    for study, (subject, views) in STUDIES.items():
        for number, view in enumerate(views):
            name = dicom_id(study, number)
            path = f"files/p10/p{subject}/s{study}/{name}.jpg"
            ids = {"dicom_id": name, "study_id": study, "subject_id": subject}
            rows.append({**ids, "path": path, "view": view, "split": SPLIT[subject]})
    return rows


def write_mimic(root: Path) -> Path:
    """`mimic_cxr` below the root: files/, reports, split, metadata and chexpert as csv.gz."""
    folder = root / "mimic_cxr"
    for number, (study, (subject, _)) in enumerate(STUDIES.items()):
        text = (ODD if number % 3 == 2 else REPORT).format(WORDS[number % 5], f"Impression {number}.")
        place = folder / f"files/p10/p{subject}"
        place.mkdir(parents=True, exist_ok=True)
        (place / f"s{study}.txt").write_text(text)
    for row in films():
        (folder / row["path"]).parent.mkdir(exist_ok=True)
        picture(row["study_id"], int(row["dicom_id"][-1])).save(folder / row["path"])
    ids = ("dicom_id", "study_id", "subject_id")
    split = [{**{key: row[key] for key in ids}, "split": row["split"]} for row in films()]
    write_csv(folder / "mimic-cxr-2.0.0-split.csv.gz", split)
    facts = [
        {
            "dicom_id": row["dicom_id"],
            "subject_id": row["subject_id"],
            "study_id": row["study_id"],
            "PerformedProcedureStepDescription": "CHEST (PA AND LAT)",
            "ViewPosition": row["view"],
            "Rows": RECORDED[1],
            "Columns": RECORDED[0],
            "StudyDate": f"2180050{1 + int(row['study_id']) % 2}",
            "StudyTime": "80556.875",
        }
        for row in films()
    ]
    write_csv(folder / "mimic-cxr-2.0.0-metadata.csv.gz", facts)
    labels = ("Atelectasis", "Cardiomegaly", "Edema", "Lung Opacity", "No Finding", "Pleural Effusion")
    marks = [
        {"subject_id": subject, "study_id": study}
        | {label: ("1.0", "0.0", "-1.0", "")[(k + n) % 4] for n, label in enumerate(labels)}
        for k, (study, (subject, _)) in enumerate(STUDIES.items())
    ]
    write_csv(folder / "mimic-cxr-2.0.0-chexpert.csv.gz", [{**row, "No Finding": ""} for row in marks])
    return folder


def link_mimic(root: Path, folder: Path) -> None:
    """Files and tables of MIMIC-CXR-JPG, linked into the folder of a set over it."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("files", "mimic-cxr-2.0.0-split.csv.gz", "mimic-cxr-2.0.0-metadata.csv.gz"):
        (folder / name).symlink_to(root / "mimic_cxr" / name)


def frontals() -> list[dict[str, str]]:
    return [row for row in films() if row["view"] in ("PA", "AP")]


def write_ms_cxr(root: Path) -> Path:
    """Boxes on the first film of a training patient and of a tested one, whom its own split would teach."""
    link_mimic(root, folder := root / "ms_cxr")
    rows = []
    for study, category, text in (
        ("50000001", "Pleural Effusion", "large left effusion"),
        ("50000005", "Lung Opacity", 'patchy "ground glass", right base'),
        ("50000005", "Cardiomegaly", "enlarged heart"),
    ):
        film = next(row for row in frontals() if row["study_id"] == study)
        box = {"x": 100, "y": 200, "w": 300, "h": 400, "image_width": RECORDED[0], "image_height": RECORDED[1]}
        named = {"category_name": category, "label_text": text, "path": film["path"]}
        rows.append({**named, **box, "dicom_id": film["dicom_id"], "split": "train"})
    write_csv(folder / "MS_CXR_Local_Alignment_v1.1.0.csv", rows)
    return folder


def write_chest_imagenome(root: Path) -> Path:
    """A graph for every frontal film; its own split teaches the patients whom MIMIC-CXR tests."""
    link_mimic(root, folder := root / "chest_imagenome")
    silver = folder / "silver_dataset"
    corners = ("original_x1", "original_y1", "original_x2", "original_y2")
    places = {
        "left lung": (500, 80, 900, 700),
        "right lung": (60, 80, 450, 700),
        "cardiac silhouette": (350, 350, 650, 720),
    }
    objects = [
        {"bbox_name": name, **dict(zip(corners, box, strict=True)), "x1": 0, "y1": 0, "x2": 9, "y2": 9}
        for name, box in places.items()
    ]
    attributes = [
        {"bbox_name": "left lung", "attributes": [["anatomicalfinding|yes|lung opacity"], ["disease|no|pneumonia"]]},
        {"bbox_name": "cardiac silhouette", "attributes": [["anatomicalfinding|yes|enlarged cardiac silhouette"]]},
    ]
    graphs = silver / "scene_graph"
    graphs.mkdir(parents=True)
    for film in frontals():
        content = {"image_id": film["dicom_id"], "patient_id": int(film["subject_id"])}
        content |= {"objects": objects, "attributes": attributes, "relationships": []}
        (graphs / f"{film['dicom_id']}_SceneGraph.json").write_text(json.dumps(content))
    rows = [{key: film[key] for key in ("subject_id", "study_id", "dicom_id", "path")} for film in frontals()]
    write_csv(silver / "splits" / "train.csv", rows)
    for name in ("valid", "test"):
        write_csv(silver / "splits" / f"{name}.csv", [dict.fromkeys(rows[0], "")])
        text = (silver / "splits" / f"{name}.csv").read_text().splitlines()[0]
        (silver / "splits" / f"{name}.csv").write_text(text + "\n")
    return folder


def write_vindr(root: Path) -> Path:
    """The training patients' films under names of its own, each read by two."""
    folder = root / "vindr_cxr"
    rows: list[dict[str, Any]] = []
    for k, film in enumerate(row for row in frontals() if row["split"] == "train"):
        name = f"{k:032x}"
        for reader, shift in (("R8", 0), ("R9", 2)):
            kind = ("Pleural effusion", "Nodule/Mass", "Cardiomegaly")[k % 3]
            box = {"x_min": 10 + shift, "y_min": 20, "x_max": 40 + shift, "y_max": 60}
            rows.append({"image_id": name, "rad_id": reader, "class_name": kind, **box})
        (folder / "train").mkdir(parents=True, exist_ok=True)
        picture(film["study_id"], int(film["dicom_id"][-1])).save(folder / "train" / f"{name}.png")
    write_csv(folder / "annotations" / "annotations_train.csv", rows)
    labels = [{"image_id": row["image_id"], "rad_id": row["rad_id"], "No finding": 0} for row in rows]
    write_csv(folder / "annotations" / "image_labels_train.csv", labels)
    return folder


def write_padchest(root: Path) -> Path:
    """The training patients' films as 16-bit PNGs, a positive and a negative sentence each."""
    folder, studies, table = root / "padchest_gr", [], []
    images = folder / "Padchest_GR_files" / "PadChest_GR"
    images.mkdir(parents=True)
    for k, film in enumerate(row for row in frontals() if row["split"] != "test"):
        name = f"{k}_x.png"
        pixels = np.asarray(picture(film["study_id"], int(film["dicom_id"][-1])), np.uint16) * 200
        Image.fromarray(pixels).save(images / name)
        positive = {"sentence_en": "Right pleural effusion.", "sentence_es": "Derrame derecho.", "abnormal": True}
        positive |= {"boxes": [[0.1, 0.5, 0.4, 0.9]], "extra_boxes": [], "labels": ["pleural effusion"]}
        negative = {"sentence_en": "No pneumothorax.", "sentence_es": "Sin neumotórax.", "abnormal": False}
        studies.append({"StudyID": str(k), "ImageID": name, "findings": [positive, negative]})
        split = "validation" if film["split"] == "validate" else "train"
        table.append({"StudyID": str(k), "ImageID": name, "PatientID": f"P{k}", "split": split})
    (folder / "grounded_reports_20240819.json").write_text(json.dumps(studies, ensure_ascii=False))
    write_csv(folder / "master_table.csv", table)
    return folder


def write_all(root: Path) -> Path:
    """Everything below one folder, which MEDGLIP_DATA names."""
    write_mimic(root)
    for write in (write_ms_cxr, write_chest_imagenome, write_vindr, write_padchest):
        write(root)
    return root
