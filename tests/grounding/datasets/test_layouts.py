"""Label maps, named masks, ODVG, SLAKE and MS-CXR: true public files in, right boxes and honest negatives out."""

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from making import write_image
from PIL import Image

from medglip.grounding import AnnotatedImage, BadInput, Skipped
from medglip.grounding.datasets.layouts import label_map, ms_cxr, named_masks, odvg, slake
from medglip.grounding.datasets.load import load_images
from medglip.grounding.datasets.settings import DataSettings
from medglip.grounding.settings import validate

SIZE = (12, 8)
BOX = [3, 2, 9, 5]
LABELS = np.zeros(SIZE[::-1], np.uint8)
LABELS[2:5, 3:9] = 1
LABELS[6:8, 0:2] = LABELS[6:8, 10:12] = 2


def pixels(path: Path, values: np.ndarray, mode: str = "L") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.fromarray(values)
    if mode == "P":
        image.putpalette([255, 255, 255, 9, 9, 9, 200, 0, 0])  # 0 is white: colours mean nothing
    image.save(path)
    return path


def read(layout: Any, folder: Path, **options: Any) -> tuple[list[AnnotatedImage], str]:
    skipped = Skipped()
    return list(layout.read(folder, skipped, **options)), "\n".join(entry["why"] for entry in skipped.entries)


def boxes(image: AnnotatedImage) -> list[tuple[str, list[float]]]:
    return [(region.phrase, region.box_xyxy_px.tolist()) for region in image.regions]


# ---- label maps


def write_label_map(folder: Path, values: np.ndarray = LABELS, mode: str = "L") -> Path:
    write_image(folder / "images" / "a.jpg", SIZE)
    pixels(folder / "masks" / "a.png", values, mode)
    return folder


@pytest.mark.parametrize("mode", ["L", "P", "I;16"])
@pytest.mark.parametrize("text", ["0: background\n1: Liver\n2: kidneys\n3: spleen\n", '{"Liver": 1, "kidney": [2]}'])
def test_values_are_classes_whatever_holds_them(tmp_path: Path, mode: str, text: str) -> None:
    folder = write_label_map(tmp_path / "set", LABELS.astype(np.uint16) if mode == "I;16" else LABELS, mode)
    (folder / "classes.yaml").write_text(text)
    (image,), why = read(label_map, folder, modality="ct")
    assert boxes(image) == [("liver", BOX), ("kidney", [0, 6, 12, 8])]
    assert np.array_equal(image.regions[1].mask, LABELS == 2)  # pyright: ignore[reportArgumentType]
    assert set(image.phrases) == {"liver", "kidney"} | ({"spleen"} if "spleen" in text else set())
    assert (image.modality, image.dataset, why) == ("ct", "set", "")


def test_components_are_regions_of_their_own(tmp_path: Path) -> None:
    (image,), _ = read(label_map, write_label_map(tmp_path), classes={1: "liver", 2: "kidney"}, components=True)
    assert boxes(image)[1:] == [("kidney", [0, 6, 2, 8]), ("kidney", [10, 6, 12, 8])]


def test_values_of_one_name_are_one_class(tmp_path: Path) -> None:
    (image,), _ = read(label_map, write_label_map(tmp_path), classes={1: "kidney", 2: "kidney"})
    assert boxes(image) == [("kidney", [0, 2, 12, 8])]


def test_void_is_silent_and_an_unnamed_value_is_not(tmp_path: Path) -> None:
    values = LABELS.copy()
    values[0, 0] = 255
    (image,), why = read(label_map, write_label_map(tmp_path, values), classes={1: "liver"})
    assert boxes(image) == [("liver", BOX)]
    assert "a.png: row value 2: value 2 has no name" in why
    assert "255" not in why


def test_classes_without_a_region_are_unknown_beside_an_unnamed_value(tmp_path: Path) -> None:
    (image,), _ = read(label_map, write_label_map(tmp_path), classes={1: "liver", 3: "spleen"})
    assert image.phrases == ("liver",)


def test_machine_names_read_as_people_write_them() -> None:
    assert label_map.phrase_of("kidney_left") == "left kidney"
    assert label_map.phrase_of("lung_upper_lobe_right").startswith("right ")
    assert label_map.phrase_of("Liver") == "liver"


def test_bad_label_maps_are_listed_and_the_rest_goes_on(tmp_path: Path) -> None:
    folder = write_label_map(tmp_path)
    for stem, values in (("b", LABELS.T), ("c", np.zeros((8, 12, 3), np.uint8)), ("d", LABELS), ("e", LABELS)):
        write_image(folder / "images" / f"{stem}.jpg", SIZE)
        pixels(folder / "masks" / f"{stem}.png", values)
    (folder / "masks" / "d.png").write_bytes(b"")
    (folder / "images" / "e.jpg").unlink()
    write_image(folder / "images" / "f.jpg", SIZE)
    found, why = read(label_map, folder, classes={1: "liver", 2: "kidney"})
    assert [image.group for image in found] == ["a"]
    for part in ("b.png", "c.png", "d.png", "e.png: mask without an image", "f.jpg: has no mask"):
        assert part in why


@pytest.mark.parametrize(
    "text", [None, "", "[", "- liver", "{0: background}", "{liver: here}", "{liver: 1.5}", "{liver: true}", "1: [a]"]
)
def test_classes_must_be_named(tmp_path: Path, text: str | None) -> None:
    folder = write_label_map(tmp_path)
    if text is not None:
        (folder / "classes.yaml").write_text(text)
    with pytest.raises(BadInput, match=r"classes\.yaml.*Fix:"):
        read(label_map, folder)


# ---- masks with names


def write_named(folder: Path) -> Path:
    """BiomedParse: an X-ray with a tube and an empty mask for a pneumothorax, an MRI slice in the test part."""
    write_image(folder / "train" / "case_01_X-Ray_chest.png", SIZE)
    pixels(folder / "train_mask" / "case_01_X-Ray_chest_chest+tube.png", (LABELS == 1) * np.uint8(255))
    pixels(folder / "train_mask" / "case_01_X-Ray_chest_pneumothorax.png", LABELS * 0)
    write_image(folder / "test" / "v2_MRI-FLAIR_brain.png", SIZE)
    colour = np.repeat((LABELS == 2)[..., None] * np.uint8(7), 3, 2)
    pixels(folder / "test_mask" / "v2_MRI-FLAIR_brain_whole+tumor.png", colour)
    return folder


def test_names_of_masks_are_phrases_and_names_of_images_modalities(tmp_path: Path) -> None:
    (first, second), why = read(named_masks, write_named(tmp_path / "set"))
    assert boxes(first) == [("chest tube", BOX)]
    assert set(first.phrases) == {"chest tube", "pneumothorax"}
    assert (first.modality, first.split, first.group) == ("xray", "train", "case_01")
    assert boxes(second) == [(second.phrases[0], [0, 6, 12, 8])]
    assert "tumor" in second.phrases[0]
    assert (second.modality, second.split, why) == ("mr", "test", "")


def test_named_masks_by_component(tmp_path: Path) -> None:
    (_, second), _ = read(named_masks, write_named(tmp_path), components=True)
    assert len(second.regions) == 2


def test_bad_named_masks_are_listed_and_the_rest_goes_on(tmp_path: Path) -> None:
    folder = write_named(tmp_path)
    pixels(folder / "train_mask" / "case_01_X-Ray_chest_heart.png", LABELS.T)
    pixels(folder / "train_mask" / "stray_CT_chest_heart.png", LABELS)
    write_image(folder / "train" / "alone_smell_chest.png", SIZE)
    (first, _), why = read(named_masks, folder)
    assert [phrase for phrase, _ in boxes(first)] == ["chest tube"]
    assert "heart" not in first.phrases
    for part in ("chest_heart.png", "stray_CT_chest_heart.png", "alone_smell_chest.png"):
        assert part in why
    with pytest.raises(BadInput, match="train_mask"):
        read(named_masks, tmp_path / "train")


# ---- ODVG


def write_odvg(folder: Path, *lines: Any, labels: Any = None, name: str = "train_od") -> Path:
    write_image(folder / "images" / "a.jpg", SIZE)
    (folder / f"{name}.jsonl").write_text("".join(f"{x if isinstance(x, str) else json.dumps(x)}\n" for x in lines))
    if labels is not None:
        (folder / "label_map.json").write_text(json.dumps(labels))
    return folder


def detection(*instances: Any, **changes: Any) -> dict[str, Any]:
    row = {"filename": "a.jpg", "height": 8, "width": 12, "detection": {"instances": list(instances)}}
    return {**row, **changes}


def test_odvg_detection_knows_its_label_map(tmp_path: Path) -> None:
    instance = {"bbox": BOX, "label": 0, "category": "Liver"}
    folder = write_odvg(tmp_path / "set", detection(instance), detection(), labels={"0": "Liver", "1": "spleen"})
    (first, second), why = read(odvg, folder, modality="ct")
    assert boxes(first) == [("liver", BOX)]
    assert first.phrases == second.phrases == ("liver", "spleen")
    assert (first.split, first.group, first.modality, why) == ("train", "a.jpg", "ct", "")
    assert first.image_id != second.image_id


def test_odvg_grounding_knows_its_phrases_alone(tmp_path: Path) -> None:
    regions = [
        {"bbox": BOX, "phrase": "A small mass", "tokens_positive": [[0, 12]]},
        {"bbox": [[0, 0, 2, 2], [4, 4, 6, 6]], "phrase": ["two", "cysts"]},
    ]
    row = {"filename": "a.jpg", "height": 8, "width": 12, "grounding": {"caption": "...", "regions": regions}}
    (image,), why = read(odvg, write_odvg(tmp_path, row, labels={"0": "liver"}, name="flickr_val"))
    assert [phrase for phrase, _ in boxes(image)] == ["a small mass", "two cysts", "two cysts"]
    assert image.phrases == ("a small mass", "two cysts")
    assert (image.split, why) == ("val", "")


BAD_INSTANCES = [
    ({"bbox": [1, 1, 1, 5], "label": 0}, "no area"),
    ({"bbox": [1, 1, 5], "label": 0}, "not four numbers"),
    ({"label": 0}, "not four numbers"),
    ({"bbox": BOX, "label": 7}, "label without a name"),
    ({"bbox": BOX}, "label without a name"),
]


@pytest.mark.parametrize(("bad", "reason"), BAD_INSTANCES)
def test_bad_odvg_boxes_are_listed_with_line_and_box(tmp_path: Path, bad: Any, reason: str) -> None:
    good = {"bbox": BOX, "label": 1}
    folder = write_odvg(tmp_path, detection(), detection(good, bad), labels={"0": "liver", "1": "spleen"})
    (_, image), why = read(odvg, folder)
    assert boxes(image) == [("spleen", BOX)]
    assert "liver" not in image.phrases  # a lost box makes its phrase unknown, one without a name all of them
    assert "train_od.jsonl: row 2, box 2" in why
    assert reason in why


def test_bad_odvg_lines_are_listed_and_the_rest_goes_on(tmp_path: Path) -> None:
    bad = ["{", "[]", {"filename": "a.jpg"}, detection(filename="gone.jpg"), detection(width=99), {"detection": {}}]
    (image,), why = read(odvg, write_odvg(tmp_path, *bad, detection()))
    assert image.image_id.endswith("/7")
    assert len(why.splitlines()) == len(bad)
    for part in ("row 1:", "not a JSON object", "neither detection nor grounding", "gone.jpg", "(99, 8)", "'filename'"):
        assert part in why


def test_odvg_needs_lines_and_a_true_label_map(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="jsonl"):
        read(odvg, tmp_path)
    with pytest.raises(BadInput, match=r"label_map\.json"):
        read(odvg, write_odvg(tmp_path, detection(), labels=["liver"]))


# ---- SLAKE


def write_slake(folder: Path, *images: Any) -> Path:
    for number, rows in enumerate(images):
        inner = folder / "imgs" / f"xmlab{number}"
        write_image(inner / "source.jpg", SIZE)
        pixels(inner / "mask.png", LABELS)
        (inner / "detection.json").write_text(rows if isinstance(rows, str) else json.dumps(rows))
    question = {"img_id": 0, "img_name": "xmlab0/source.jpg", "modality": "CT", "location": "Abdomen", "q_lang": "en"}
    (folder / "train.json").write_text(json.dumps([question, {**question, "img_name": "xmlab1/source.jpg"}]))
    (folder / "validate.json").write_text(json.dumps([{**question, "modality": "MRI"}]))
    return folder


def test_slake_boxes_repeat_and_only_named_organs_are_known(tmp_path: Path) -> None:
    rows = [{"Liver": [3, 2, 6, 3]}, {"Kidney": [0, 6, 2, 2]}, {"Kidney": [10, 6, 2, 2]}]
    (first, second), why = read(slake, write_slake(tmp_path / "set", rows, []))
    assert boxes(first) == [("liver", BOX), ("kidney", [0, 6, 2, 8]), ("kidney", [10, 6, 12, 8])]
    assert first.phrases == ("liver", "kidney")
    assert (second.regions, second.phrases) == ((), ())
    assert [(image.split, image.modality) for image in (first, second)] == [("val", "mr"), ("train", "ct")]
    assert why == ""


def test_slake_masks_are_read_when_their_values_are_named(tmp_path: Path) -> None:
    folder = write_slake(tmp_path, [{"Liver": [3, 2, 6, 3]}, {"Kidney": [0, 6, 2, 2]}])
    (plain,), _ = read(slake, folder)
    (image,), _ = read(slake, folder, classes={1: "Liver", 2: "Kidney"})
    assert all(region.mask is None for region in plain.regions)
    assert [int(region.mask.sum()) for region in image.regions if region.mask is not None] == [18, 4]


def test_bad_slake_images_are_listed_and_the_rest_goes_on(tmp_path: Path) -> None:
    rows = ["{", {"Liver": [0, 0, 1, 1]}, [{"Liver": [0, 0, 0, 1]}, {"Liver": "x"}, {"Spleen": [0, 0, 1, 1]}], []]
    folder = write_slake(tmp_path, *rows)
    (folder / "imgs" / "xmlab3" / "detection.json").unlink()
    (image,), why = read(slake, folder)
    assert image.phrases == ("spleen",)
    for part in ("xmlab0", "xmlab1", "xmlab2/detection.json: row 1", "row 2", "xmlab3"):
        assert part in why


# ---- MS-CXR

MS_CXR = {
    "category_name": "Pneumonia",
    "label_text": "Patchy right  lower lobe opacity",
    "path": "files/p10/p10000032/s50414267/d1.jpg",
    "x": "6",
    "y": "4",
    "w": "12",
    "h": "6",
    "image_width": "24",
    "image_height": "16",
    "dicom_id": "d1",
    "split": "val",
}
PHRASE = "patchy right lower lobe opacity"


def write_ms_cxr(folder: Path, *rows: dict[str, Any], version: str = "1.1.0") -> Path:
    write_image(folder / MS_CXR["path"], SIZE)
    with (folder / f"MS_CXR_Local_Alignment_v{version}.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, [key for key in MS_CXR if key != "split" or version == "1.1.0"])
        writer.writeheader()
        writer.writerows({key: row[key] for key in writer.fieldnames if key in row} for row in rows)
    return folder


@pytest.mark.parametrize("version", ["1.0.0", "1.1.0"])
def test_ms_cxr_rows_of_an_image_are_one_study_in_its_own_pixels(tmp_path: Path, version: str) -> None:
    other = {**MS_CXR, "label_text": "left effusion", "category_name": "Pleural Effusion"}
    rows = [MS_CXR, {**MS_CXR, "x": "0"}, MS_CXR, other]
    (image,), why = read(ms_cxr, write_ms_cxr(tmp_path / "set", *rows, version=version))
    assert boxes(image) == [(PHRASE, BOX), (PHRASE, [0, 2, 6, 5]), ("left effusion", BOX)]
    assert image.phrases == (PHRASE, "left effusion")
    assert image.regions[0].path[-1] == "pneumonia"
    assert (image.group, image.modality, image.image_id) == ("p10000032", "xray", "set/d1")
    assert (image.split, why) == ("val" if version == "1.1.0" else "", "")


def test_ms_cxr_json_says_the_same_as_csv(tmp_path: Path) -> None:
    (truth,), _ = read(ms_cxr, write_ms_cxr(tmp_path / "set", MS_CXR, version="1.0.0"))
    next((tmp_path / "set").glob("*.csv")).unlink()
    image = {"id": 1, "file_name": "d1.jpg", "width": 24, "height": 16, "num_boxes": 1, "path": MS_CXR["path"]}
    item = {"id": 1, "image_id": 1, "category_id": 5, "bbox": [6, 4, 12, 6], "label_text": MS_CXR["label_text"]}
    item |= {"width": 24, "height": 16, "segmentation": [], "area": 72, "iscrowd": 0}
    content = {"info": {}, "images": [image], "annotations": [item, {"id": 2}]}
    content["categories"] = [{"id": 5, "name": "Pneumonia"}]
    (tmp_path / "set" / "MS_CXR_Local_Alignment_v1.0.0.json").write_text(json.dumps(content))
    (annotated,), why = read(ms_cxr, tmp_path / "set")
    assert (boxes(annotated), annotated.group, annotated.phrases) == (boxes(truth), truth.group, truth.phrases)
    assert "row 2: has no 'image_id'" in why


@pytest.mark.parametrize("place", ["images/p10/p10000032/s50414267/d1.png", "d1.jpg", "p10/p10000032/s50414267/d1.jpg"])
def test_ms_cxr_images_are_found_where_people_put_them(tmp_path: Path, place: str) -> None:
    folder = write_ms_cxr(tmp_path, MS_CXR)
    (folder / MS_CXR["path"]).unlink()
    write_image(folder / place, SIZE)
    (image,), _ = read(ms_cxr, folder)
    assert image.image_path == folder / place


def test_bad_ms_cxr_rows_are_listed_and_the_rest_goes_on(tmp_path: Path) -> None:
    bad = [
        {**MS_CXR, "x": "nan", "label_text": "lost"},
        {**MS_CXR, "w": ""},
        {**MS_CXR, "image_width": "16"},
        {**MS_CXR, "image_width": "0"},
        {**MS_CXR, "label_text": ""},
        {**MS_CXR, "dicom_id": "d9", "path": "files/gone.jpg"},
    ]
    (image,), why = read(ms_cxr, write_ms_cxr(tmp_path, MS_CXR, *bad))
    assert boxes(image) == [(PHRASE, BOX)]
    assert image.phrases == (PHRASE,)
    assert len(why.splitlines()) == len(bad)
    for part in ("row 2: box", "row 3: malformed", "another shape", "no label_text", "gone.jpg"):
        assert part in why


def test_ms_cxr_needs_its_file_and_columns(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="MS_CXR_Local_Alignment"):
        read(ms_cxr, tmp_path)
    (tmp_path / "MS_CXR_Local_Alignment_v1.0.0.csv").write_text("a,b\n")
    with pytest.raises(BadInput, match="has no column"):
        read(ms_cxr, tmp_path)


def test_ms_cxr_patients_follow_the_split_of_mimic_where_it_is_linked(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = write_ms_cxr(tmp_path / "set", {**MS_CXR, "split": "train"})
    (image,), _ = read(ms_cxr, folder)
    assert image.split == "train"
    assert "no mimic-cxr-2.0.0-split.csv.gz is linked" in caplog.text
    head, row = "dicom_id,study_id,subject_id,split", "other,50414267,10000032,test"
    (folder / "mimic-cxr-2.0.0-split.csv").write_text(f"{head}\n{row}\n")
    (image,), _ = read(ms_cxr, folder)
    assert image.split == "test"
    # also where the link `files` leads to
    (tmp_path / "mimic").mkdir()
    (folder / "mimic-cxr-2.0.0-split.csv").rename(tmp_path / "mimic" / "mimic-cxr-2.0.0-split.csv")
    (folder / "files").rename(tmp_path / "mimic" / "files")
    (folder / "files").symlink_to(tmp_path / "mimic" / "files")
    (image,), _ = read(ms_cxr, folder)
    assert image.split == "test"
    for file in tmp_path.rglob("*.jpg"):
        file.unlink()
    with pytest.raises(BadInput, match="no image can be used"):
        read(ms_cxr, folder)


# ---- settings


def test_new_layouts_load_by_their_settings(tmp_path: Path) -> None:
    sets = [
        DataSettings(layout="label_map", path=str(write_label_map(tmp_path / "maps")), classes={1: "liver"}),
        DataSettings(layout="named_masks", path=str(write_named(tmp_path / "named")), components=True),
        DataSettings(layout="odvg", path=str(write_odvg(tmp_path / "odvg", detection())), modality="ct"),
        DataSettings(layout="slake", path=str(write_slake(tmp_path / "slake", [])), classes={1: "liver"}),
        DataSettings(layout="ms_cxr", path=str(write_ms_cxr(tmp_path / "ms", MS_CXR))),
    ]
    data, _ = load_images(sets, 0)
    assert sorted(set(data["dataset"])) == ["maps", "ms", "named", "odvg", "slake"]


@pytest.mark.parametrize(
    ("values", "problem"),
    [
        ({"layout": "coco", "path": "a", "classes": {1: "liver"}}, "classes"),
        ({"layout": "odvg", "path": "a", "components": True}, "components"),
        ({"layout": "slake", "path": "a", "slices": {"step": 2}}, "slices"),
        ({"layout": "nifti", "path": "a", "slices": {"stepp": 2}}, "did you mean 'step'"),
        ({"layout": "nifti", "path": "a", "slices": {"axis": "axil"}}, "axis"),
        ({"layout": "label_map", "path": "a", "classes": {"liver": "x"}}, "classes"),
    ],
)
def test_settings_that_a_layout_has_no_use_for_are_refused(values: dict[str, Any], problem: str) -> None:
    with pytest.raises(BadInput, match=problem):
        validate(DataSettings, values)
