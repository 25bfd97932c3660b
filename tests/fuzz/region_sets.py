"""Readers of region sets: every layout as `load_images` reads it."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from medglip.grounding.datasets.load import load_images
from medglip.grounding.datasets.settings import DataSettings, SliceSettings

from .making_files import BOX_XYWH, BOX_XYXY, MASK, SIZE, coco_file, picture, put, put_mimic
from .pictures import put_segmentations, put_volume
from .trying import Reader

MADE = Path(__file__).parent.parent / "made_before"
_W, _H = SIZE


def put_coco(folder: Path) -> None:
    for name in ("a.png", "b.png"):
        picture(folder / "images" / name)
    put(folder / "annotations.json", coco_file("a.png", "b.png"))


def put_voc(folder: Path) -> None:
    corners = "".join(f"<{n}>{v}</{n}>" for n, v in zip(("xmin", "ymin", "xmax", "ymax"), BOX_XYXY, strict=True))
    for stem in "ab":
        picture(folder / f"JPEGImages/{stem}.jpg")
        size = f"<size><width>{_W}</width><height>{_H}</height><depth>3</depth></size>"
        item = f"<object><name>RBC</name><difficult>0</difficult><bndbox>{corners}</bndbox></object>"
        put(folder / f"Annotations/{stem}.xml", f"<annotation><filename>{stem}.jpg</filename>{size}{item}</annotation>")
    put(folder / "ImageSets/Main/train.txt", "a\n")
    put(folder / "ImageSets/Main/test.txt", "b\n")


def put_masks(folder: Path) -> None:
    picture(folder / "images/a.png")
    put(folder / "masks/a.png", MASK * 255)


def put_label_map(folder: Path) -> None:
    picture(folder / "images/a.png")
    put(folder / "masks/a.png", MASK * 2)
    put(folder / "classes.yaml", "0: background\n1: liver\n2: kidneys\n")


def put_named_masks(folder: Path) -> None:
    picture(folder / "train/case_01_X-Ray_chest.png")
    put(folder / "train_mask/case_01_X-Ray_chest_chest+tube.png", MASK * 255)


def put_covid(folder: Path) -> None:
    picture(folder / "images/a.png")
    put(folder / "lung_masks/a.png", MASK * 255)
    notes = "Opacity in the right lung.\nNo effusion."
    row = {"patientid": "1", "modality": "X-ray", "filename": "a.png", "license": "CC BY", "clinical_notes": notes}
    put(folder / "metadata.csv", [row])
    boxes = coco_file("a.png")
    put(folder / "lung_boxes.json", {**boxes, "categories": [{"id": 1, "name": "Right Lung"}]})


def put_odvg(folder: Path) -> None:
    picture(folder / "images/a.png")
    shared = {"filename": "a.png", "height": _H, "width": _W}
    found = {"instances": [{"bbox": BOX_XYXY, "label": 0, "category": "Liver"}]}
    said = {"caption": "a liver", "regions": [{"bbox": BOX_XYXY, "phrase": "liver", "tokens_positive": [[2, 7]]}]}
    put(folder / "train.jsonl", [{**shared, "detection": found}, {**shared, "grounding": said}])
    put(folder / "label_map.json", {"0": "Liver", "1": "spleen"})


def put_slake(folder: Path) -> None:
    picture(folder / "imgs/xmlab1/source.jpg")
    put(folder / "imgs/xmlab1/mask.png", MASK)
    put(folder / "imgs/xmlab1/detection.json", [{"Liver": BOX_XYWH}])
    row = {
        "img_id": 1,
        "img_name": "xmlab1/source.jpg",
        "question": "Which organ is it?",
        "answer": "Liver",
        "q_lang": "en",
    }
    row |= {"modality": "CT", "answer_type": "OPEN", "content_type": "Organ", "qid": 1, "location": "Abdomen"}
    put(folder / "train.json", [row])
    put(folder / "test.json", [{**row, "qid": 2}])


def put_ms_cxr(folder: Path) -> None:
    put_mimic(folder)
    path = "files/p10/p10000001/s50000001/d1.jpg"
    row = {"category_name": "Pneumonia", "label_text": "Patchy opacity", "path": path, "x": 6, "y": 4, "w": 9, "h": 5}
    put(
        folder / "MS_CXR_Local_Alignment_v1.0.0.csv", [{**row, "image_width": _W, "image_height": _H, "dicom_id": "d1"}]
    )


def put_imagenome(folder: Path) -> None:
    put_mimic(folder)
    silver = folder / "silver_dataset"
    corners = {"original_x1": 60, "original_y1": 40, "original_x2": 150, "original_y2": 90}
    place = {"object_id": "d1_left lung", "bbox_name": "left lung", "name": "Left Lung", "x1": 0, "x2": 1, **corners}
    seen = {"bbox_name": "left lung", "attributes": [["anatomicalfinding|yes|lung opacity", "nlp|yes|abnormal"]]}
    for name, number in (("train", 1), ("valid", 2)):
        subject, study = f"1000000{number}", f"5000000{number}"
        path = f"files/p10/p{subject}/s{study}/d{number}.dcm"
        row = {
            "": 0,
            "subject_id": subject,
            "study_id": study,
            "dicom_id": f"d{number}",
            "path": path,
            "ViewPosition": "PA",
        }
        put(silver / f"splits/{name}.csv", [row])
    put(silver / "splits/test.csv", "subject_id,study_id,dicom_id,path,ViewPosition\n")
    graph = {"image_id": "d1", "patient_id": 10000001, "objects": [place], "attributes": [seen], "relationships": []}
    put(silver / "scene_graph/d1_SceneGraph.json", graph)


def put_vindr(folder: Path) -> None:
    corners = dict(zip(("x_min", "y_min", "x_max", "y_max"), BOX_XYXY, strict=True))
    for part, readers in (("train", ("R8", "R9")), ("test", ("",))):
        rows = [{"image_id": "a", "rad_id": reader, "class_name": "Cardiomegaly", **corners} for reader in readers]
        labels = [{"image_id": "a", "rad_id": reader, "Cardiomegaly": 1, "No finding": 0} for reader in readers]
        put(folder / f"annotations/annotations_{part}.csv", rows)
        put(folder / f"annotations/image_labels_{part}.csv", labels)
        picture(folder / f"{part}/a.png")


def put_padchest(folder: Path) -> None:
    seen = {
        "sentence_en": "Cardiomegaly.",
        "sentence_es": "Cardiomegalia.",
        "abnormal": True,
        "labels": ["cardiomegaly"],
    }
    seen |= {
        "boxes": [[0.1, 0.1, 0.3, 0.2]],
        "extra_boxes": [[0.1, 0.1, 0.3, 0.25]],
        "locations": [],
        "progression": None,
    }
    denied = {"sentence_en": "No effusion.", "sentence_es": "Sin derrame.", "abnormal": False, "labels": []}
    study = {"StudyID": "1", "ImageID": "1_x.png", "PreviousStudyID": None, "findings": [seen, denied]}
    put(folder / "grounded_reports_20240819.json", [study])
    row = {"StudyID": "1", "ImageID": "1_x.png", "label": "", "PatientID": "P1", "split": "test"}
    put(folder / "master_table.csv", [row])
    picture(folder / "Padchest_GR_files/PadChest_GR/1_x.png", mode="I;16")


def put_decathlon(folder: Path) -> None:
    values = np.zeros((8, 9, 5), np.int16)
    values[2:6, 3:7, 1:4] = 1
    put_volume(folder / "imagesTr/case_0000.nii.gz", values * 100)
    put_volume(folder / "labelsTr/case.nii.gz", values)
    put(folder / "dataset.json", {"channel_names": {"0": "CT"}, "labels": {"background": 0, "liver": 1}})


def put_total(folder: Path) -> None:
    values = np.zeros((8, 9, 5), np.int16)
    values[2:6, 3:7, 1:4] = 1
    put_volume(folder / "s0001/ct.nii.gz", values * 100)
    put_volume(folder / "s0001/segmentations/liver.nii.gz", values)
    put(folder / "meta.csv", "image_id;age;gender;split\ns0001;55;m;val\n")


def put_built(folder: Path) -> None:
    shutil.copytree(MADE / "built", folder, dirs_exist_ok=True)


def put_phantoms(folder: Path) -> None:
    shutil.copytree(MADE / "run/phantoms", folder, dirs_exist_ok=True)


def _set(layout: str, make: Callable[[Path], None], *damaged: str, weight: float = 0.5, **options: Any) -> Reader:
    def read() -> None:
        data, skipped = load_images([DataSettings(layout=layout, path=str(Path("set").resolve()), **options)], 0)
        assert all("\n" not in entry["why"] for entry in skipped.entries)
        for row in data:
            assert row

    return Reader(lambda folder: make(folder / "set"), read, damaged or ("**/*",), weight)


_SLICES = SliceSettings(step=2, min_area=0, folder="slices")
READERS = {
    "set coco": _set("coco", put_coco, "set/*.json", weight=1),
    "set voc": _set("voc", put_voc, "set/Annotations/*", "set/ImageSets/Main/*"),
    "set mask_folder": _set("mask_folder", put_masks, phrase="liver"),
    "set label_map": _set("label_map", put_label_map),
    "set named_masks": _set("named_masks", put_named_masks),
    "set covid_cxr": _set("covid_cxr", put_covid),
    "set odvg": _set("odvg", put_odvg, "set/*.json*", weight=1),
    "set slake": _set("slake", put_slake, "set/**/*.json", classes={1: "Liver"}),
    "set ms_cxr": _set("ms_cxr", put_ms_cxr, "set/*.csv"),
    "set chest_imagenome": _set("chest_imagenome", put_imagenome, "set/**/*.json", "set/**/*.csv", "set/*.gz"),
    "set vindr_cxr": _set("vindr_cxr", put_vindr, "set/**/*.csv", merge=True),
    "set padchest_gr": _set("padchest_gr", put_padchest, "set/*.json", "set/*.csv"),
    "set decathlon": _set("nifti", put_decathlon, slices=_SLICES),
    "set total": _set("nifti", put_total, slices=_SLICES),
    "set dicom_seg": _set("dicom_seg", put_segmentations, weight=1),
    "set built": _set("built", put_built, "set/*.parquet", "set/*.json"),
    "set phantom": _set("phantom", put_phantoms),
}
