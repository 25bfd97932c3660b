"""Chest X-ray sets in their published layouts: made-up rows over the same five patients."""

import csv
import gzip
import json
from pathlib import Path
from typing import Any

import pytest
from making import write_image

from medglip.grounding import AnnotatedImage, BadInput, Skipped
from medglip.grounding.datasets.layouts import chest_imagenome, padchest_gr, vindr_cxr
from medglip.grounding.datasets.mimic import have_same_shape, is_frontal
from medglip.grounding.datasets.published import compare
from medglip.grounding.datasets.settings import DataSettings

SIZE = (30, 20)
PATIENTS = {"10000001": "train", "10000002": "train", "10000003": "validate", "10000004": "test"}


def write_csv(file: Path, *rows: dict[str, Any]) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    open_text = gzip.open if file.suffix == ".gz" else open
    with open_text(file, "wt", newline="") as lines:
        table = csv.DictWriter(lines, [*rows[0]])
        table.writeheader()
        table.writerows(rows)
    return file


def write_mimic(folder: Path) -> Path:
    """A frontal image of 30 x 20 px a patient, recorded as 300 x 200."""
    ids = [{"dicom_id": f"d{p}", "study_id": f"5{p[1:]}", "subject_id": p} for p in PATIENTS]
    for row in ids:
        subject = row["subject_id"]
        write_image(folder / f"files/p10/p{subject}/s{row['study_id']}/{row['dicom_id']}.jpg", SIZE)
    write_csv(folder / "mimic-cxr-2.0.0-split.csv.gz", *({**r, "split": PATIENTS[r["subject_id"]]} for r in ids))
    facts = {"ViewPosition": "PA", "Rows": 200, "Columns": 300, "StudyDate": 21800506, "StudyTime": "80556.875"}
    write_csv(folder / "mimic-cxr-2.0.0-metadata.csv.gz", *({**row, **facts} for row in ids))
    return folder


def read(layout: Any, folder: Path, **options: Any) -> tuple[dict[str, AnnotatedImage], str]:
    skipped = Skipped()
    images = {image.image_id.split("/")[1]: image for image in layout.read(folder, skipped, **options)}
    return images, "\n".join(entry["why"] for entry in skipped.entries)


def boxes(image: AnnotatedImage) -> list[tuple[str, list[int]]]:
    return [(region.phrase, region.box_xyxy_px.round().astype(int).tolist()) for region in image.regions]


@pytest.mark.parametrize(
    ("view", "code", "expected"),
    [
        *(("PA", "", True), ("AP LLD", "", True), ("LL", "postero-anterior", False), ("XTABLE LATERAL", "", False)),
        *(("", "antero-posterior", True), ("", "left lateral", False), ("", "", None)),
    ],
)
def test_a_view_is_told_by_position_else_by_code(view: str, code: str, expected: bool | None) -> None:
    assert is_frontal({"ViewPosition": view, "ViewCodeSequence_CodeMeaning": code}) is expected


def test_a_smaller_copy_has_the_same_shape_but_for_rounding_and_a_crop_has_not() -> None:
    assert all(have_same_shape((round(2544 * k), round(3056 * k)), (2544, 3056)) for k in (1, 0.3, 0.02, 0.01))
    assert not have_same_shape((2544, 3000), (2544, 3056))
    assert not have_same_shape((512, 512), (2544, 3056))


# ---- Chest ImaGenome


def place(name: str, x1: int, y1: int, x2: int, y2: int) -> dict[str, Any]:
    original = {"original_x1": x1, "original_y1": y1, "original_x2": x2, "original_y2": y2}
    return {"object_id": f"d_{name}", "bbox_name": name, "name": name.title(), "x1": 0, "x2": 1, **original}


def write_imagenome(folder: Path, *, where: str = "scene_graph") -> Path:
    write_mimic(folder)
    silver = folder / "silver_dataset"
    files = {"train": ["10000001", "10000004"], "valid": ["10000002"], "test": ["10000003"]}
    for name, subjects in files.items():
        rows = [
            {
                "": k,
                "subject_id": p,
                "study_id": f"5{p[1:]}",
                "dicom_id": f"d{p}",
                "path": f"files/p10/p{p}/s5{p[1:]}/d{p}.dcm",
                "ViewPosition": "PA",
            }
            for k, p in enumerate(subjects)
        ]
        write_csv(silver / "splits" / f"{name}.csv", *rows)
    graph = {
        "objects": [
            place("left lung", 150, 20, 280, 180),
            place("left lower lung zone", 150, 120, 280, 180),
            place("cardiac silhouette", 100, 100, 200, 190),
            place("left breast", 1, 1, 9, 9),
        ],
        "attributes": [
            {
                "bbox_name": "left lung",
                "attributes": [
                    ["anatomicalfinding|yes|lung opacity", "nlp|yes|abnormal"],
                    ["anatomicalfinding|no|pneumothorax"],
                ],
            },
            {"bbox_name": "left lower lung zone", "attributes": [["anatomicalfinding|yes|lung opacity"]]},
            {
                "bbox_name": "cardiac silhouette",
                "attributes": [["anatomicalfinding|yes|enlarged cardiac silhouette"]] * 2
                + [["anatomicalfinding|no|enlarged cardiac silhouette"]],
            },
        ],
        "relationships": [],
    }
    for p in PATIENTS:
        file = silver / where / f"d{p}_SceneGraph.json"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps({"image_id": f"d{p}", "patient_id": int(p), **graph}))
    return folder


@pytest.mark.parametrize("where", ["scene_graph", "scene_graph/scene_graph"])
def test_scene_graphs_give_places_and_findings_in_pixels_of_the_file(tmp_path: Path, where: str) -> None:
    images, why = read(chest_imagenome, write_imagenome(tmp_path / "cig", where=where))
    image = images["d10000001"]
    assert boxes(image) == [
        ("left lung", [15, 2, 28, 18]),
        ("left lower lobe", [15, 12, 28, 18]),
        ("heart", [10, 10, 20, 19]),
        ("opacity", [15, 12, 28, 18]),  # of two places the smaller one
    ]
    # denied and never seen: absent; seen and denied at one place: unknown; places have a box
    assert image.phrases == ("left lung", "left lower lobe", "heart", "opacity", "pneumothorax")
    assert (image.group, image.body_part, image.modality, why) == ("p10000001", "chest", "xray", "")


def test_no_test_patient_of_either_set_is_learned(tmp_path: Path) -> None:
    folder = write_imagenome(tmp_path / "cig")
    splits = {name: image.split for name, image in read(chest_imagenome, folder)[0].items()}
    assert splits == {"d10000001": "train", "d10000002": "val", "d10000003": "test", "d10000004": "test"}
    write_csv(folder / "silver_dataset/splits/images_to_avoid.csv", {"study_id": "1", "dicom_id": "d10000001"})
    assert {image.split for image in read(chest_imagenome, folder)[0].values()} == {"val", "test"}


def test_what_a_copy_of_chest_imagenome_lacks_is_one_line(tmp_path: Path) -> None:
    folder = write_imagenome(tmp_path / "cig")
    next(folder.rglob("d10000001.jpg")).unlink()
    images, why = read(chest_imagenome, folder)
    assert "d10000001" not in images
    assert "no image" in why
    assert "link the MIMIC-CXR-JPG folder" in why
    (folder / "mimic-cxr-2.0.0-split.csv.gz").rename(folder / "aside")
    with pytest.raises(BadInput, match=r"mimic-cxr-2.0.0-split.csv.gz: no such file. Fix: link it"):
        read(chest_imagenome, folder)
    (folder / "aside").rename(folder / "mimic-cxr-2.0.0-split.csv.gz")
    for file in folder.rglob("*.jpg"):
        file.unlink()
    with pytest.raises(BadInput, match="no image can be used"):
        read(chest_imagenome, folder)
    write_csv(folder / "mimic-cxr-2.1.0-metadata.csv.gz", {"dicom_id": "d", "ViewPosition": "PA"})
    with pytest.raises(BadInput, match=r"metadata.csv.gz: has no column Columns, Rows"):
        read(chest_imagenome, folder)


def test_every_place_of_chest_imagenome_is_a_label_but_two_cavities() -> None:
    from medglip.grounding.vocabulary.labels import load_labels

    assert len(chest_imagenome.PLACES) == 29
    assert [name for name in chest_imagenome.PLACES if not load_labels().path(name)] == ["spine", "abdomen"]


# ---- VinDr-CXR


def vindr_row(image: str, reader: str, kind: str, *box: float) -> dict[str, Any]:
    corners = dict(zip(("x_min", "y_min", "x_max", "y_max"), box or [""] * 4, strict=True))
    return {"image_id": image, "rad_id": reader, "class_name": kind, **corners}


def write_vindr(folder: Path) -> Path:
    train = [
        vindr_row("a", "R8", "Cardiomegaly", 4, 5, 16, 15),
        vindr_row("a", "R9", "Cardiomegaly", 6, 5, 16, 15),
        vindr_row("a", "R10", "Nodule/Mass", 20, 2, 24, 6),
        vindr_row("a", "R10", "Other lesion", 20, 2, 24, 6),
        vindr_row("b", "R8", "No finding"),
    ]
    write_csv(folder / "annotations/annotations_train.csv", *train)
    test = [{k: v for k, v in row.items() if k != "rad_id"} for row in (vindr_row("c", "", "Edema", 1, 1, 9, 9),)]
    write_csv(folder / "annotations/annotations_test.csv", *test)
    labels = {"Aortic enlargement": 0, "No finding": 1}
    seen = [{"image_id": i, "rad_id": r, **labels} for i in ("a", "b") for r in ("R8", "R9", "R10")]
    write_csv(folder / "annotations/image_labels_train.csv", *seen)
    write_csv(folder / "annotations/image_labels_test.csv", {"image_id": "c", **labels})
    for name in ("train/a", "train/b", "test/c"):
        write_image(folder / f"{name}.png", SIZE)
    return folder


def test_vindr_keeps_radiologists_apart_unless_they_are_merged(tmp_path: Path) -> None:
    folder = write_vindr(tmp_path / "vindr")
    images, why = read(vindr_cxr, folder)
    apart = [("cardiomegaly", [4, 5, 16, 15]), ("cardiomegaly", [6, 5, 16, 15]), ("nodule", [20, 2, 24, 6])]
    assert (boxes(images["a"]), why) == (apart, "")
    assert {name: image.split for name, image in images.items()} == {"a": "train", "b": "train", "c": "test"}
    assert len(images["b"].phrases) == len(set(images["b"].phrases)) == 20  # infiltration and opacity are one label
    assert boxes(images["c"]) == [("pulmonary edema", [1, 1, 9, 9])]
    merged, _ = read(vindr_cxr, folder, merge=True)
    assert boxes(merged["a"]) == [("cardiomegaly", [5, 5, 16, 15]), apart[2]]


def test_vindr_names_the_wrong_version_and_missing_files(tmp_path: Path) -> None:
    folder = write_vindr(tmp_path / "vindr")
    (folder / "train" / "b.png").unlink()
    images, why = read(vindr_cxr, folder)
    assert set(images) == {"a", "c"}
    assert "b.dicom: no such image" in why
    (folder / "annotations/annotations_train.csv").rename(folder / "train.csv")
    with pytest.raises(BadInput, match="Kaggle's version"):
        read(vindr_cxr, folder)


# ---- PadChest-GR


def write_padchest(folder: Path, images: str = "Padchest_GR_files/PadChest_GR") -> Path:
    findings: list[dict[str, Any]] = [
        {
            "sentence_en": "Minimal biapical pleural thickening.",
            "sentence_es": "Mínimo engrosamiento pleural biapical.",
            "abnormal": True,
            "boxes": [[0.1, 0.1, 0.3, 0.2]],
            "extra_boxes": [[0.1, 0.1, 0.3, 0.25]],
            "labels": ["apical pleural thickening"],
            "locations": ["pleural"],
            "progression": None,
        },
        {"sentence_en": "No pleural effusion.", "sentence_es": "No hay derrame pleural.", "abnormal": False},
        {"sentence_en": "Heart of normal size.", "sentence_es": "Corazón normal.", "abnormal": False, "labels": []},
    ]
    studies = [{"StudyID": s, "ImageID": f"{s}_x.png", "PreviousStudyID": None, "findings": findings} for s in "12"]
    folder.mkdir(parents=True)
    (folder / "grounded_reports_20240819.json").write_text(json.dumps(studies, ensure_ascii=False))
    table = [
        {"StudyID": s, "ImageID": f"{s}_x.png", "label": "", "PatientID": f"P{s}", "split": split}
        for s, split in (("1", "validation"), ("2", "test"))
    ]
    write_csv(folder / "master_table.csv", *table)
    for s in "12":
        write_image(folder / images / f"{s}_x.png", SIZE, mode="I;16")
    return folder


@pytest.mark.parametrize("images", ["Padchest_GR_files/PadChest_GR", "Padchest_GR_files", "images"])
def test_padchest_sentences_are_phrases_below_their_labels(tmp_path: Path, images: str) -> None:
    read_images, why = read(padchest_gr, write_padchest(tmp_path / "gr", images))
    image = read_images["1_x"]
    first = "minimal biapical pleural thickening"
    assert [(phrase.rstrip("."), box) for phrase, box in boxes(image)] == [
        (first, [3, 2, 9, 4]),
        (first, [3, 2, 9, 5]),
    ]
    assert image.regions[0].path[-1] == "pleural thickening"
    assert [phrase.rstrip(".") for phrase in image.phrases] == [first, "pleural effusion"]
    assert (image.group, image.split, read_images["2_x"].split, why) == ("P1", "val", "test", "")


def test_padchest_speaks_spanish_and_joins_readers(tmp_path: Path) -> None:
    images, _ = read(padchest_gr, write_padchest(tmp_path / "gr"), language="es", merge=True)
    assert [(phrase.rstrip("."), box) for phrase, box in boxes(images["1_x"])] == [
        ("mínimo engrosamiento pleural biapical", [3, 2, 9, 4])
    ]
    assert images["1_x"].phrases[1:] == ("pleural effusion",)


def test_padchest_needs_its_files_and_lists_missing_images(tmp_path: Path) -> None:
    folder = write_padchest(tmp_path / "gr")
    next(folder.rglob("2_x.png")).unlink()
    images, why = read(padchest_gr, folder)
    assert set(images) == {"1_x"}
    assert "no image 2_x.png" in why
    (folder / "master_table.csv").write_text("StudyID,PatientID\n")
    with pytest.raises(BadInput, match="has no column split"):
        read(padchest_gr, folder)
    next(folder.glob("*.json")).unlink()
    with pytest.raises(BadInput, match="grounded_reports"):
        read(padchest_gr, folder)


# ---- what was published


def test_counts_are_held_against_the_published_ones_and_reading_is_said(tmp_path: Path) -> None:
    sets = [DataSettings(layout="vindr_cxr", path=str(tmp_path / "v"), merge=True)]
    rows = [{"dataset": "v", "split": "train", "images": 2}, {"dataset": "v", "split": "test", "images": 1}]
    lines = compare(sets, rows)
    assert "2 of 15,000 published images of train, 1 of 3,000 published images of test" in lines[0]
    assert "Credentialed Health Data License" in lines[1]
    assert "merge: true" in lines[2]
    gr = DataSettings(layout="padchest_gr", path=str(tmp_path / "gr"))
    assert "3 of 7,037 published image-sentence pairs with boxes" in compare([gr], rows, {"gr": 3})[0]
    assert compare([DataSettings(layout="coco", path=str(tmp_path))], rows) == []
    with pytest.raises(ValueError, match="has no use for it"):
        DataSettings(layout="chest_imagenome", path=str(tmp_path), merge=True)
