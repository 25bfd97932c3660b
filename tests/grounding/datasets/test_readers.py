"""Every layout becomes studies with the right boxes and masks; bad rows are listed, and the rest goes on."""

import csv
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from faster_coco_eval.core import mask as coco_mask
from making import write_image
from PIL import Image

from medglip.grounding import AnnotatedImage, BadInput, Skipped
from medglip.grounding.datasets.layouts import coco, covid_cxr, mask_folder, voc
from medglip.grounding.datasets.rows import listing_cuts
from medglip.grounding.geometry import mask_to_rle

SIZE = (12, 8)
MASK = np.zeros(SIZE[::-1], bool)
MASK[2:5, 3:9] = True
BOX = [3, 2, 9, 5]


def mask_file(path: Path, mask: np.ndarray = MASK, on: int = 255) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray((mask * on).astype(np.uint8)).save(path)


def reasons(skipped: Skipped) -> str:
    return "\n".join(entry["why"] for entry in skipped.entries)


# ---- COCO


def write_coco(folder: Path, annotations: list[Any], images: list[Any] | None = None) -> Path:
    """Two images named 1.png and 2.png, a category each for liver and RBC."""
    for name in ("1.png", "2.png"):
        write_image(folder / "images" / name, SIZE)
    rows = [
        {"id": k, "file_name": f"{k}.png", "width": 12, "height": 8, "modality": "CT", "group": "p"} for k in (1, 2)
    ]
    categories = [{"id": 1, "name": "Liver"}, {"id": 2, "name": "RBC"}]
    content = {"images": rows if images is None else images, "annotations": annotations, "categories": categories}
    (folder / "annotations.json").write_text(json.dumps(content))
    return folder


def row(number: int = 1, **changes: Any) -> dict[str, Any]:
    return {"id": number, "image_id": 1, "category_id": 1, "bbox": [3, 2, 6, 3], **changes}


def read_coco(folder: Path) -> tuple[list[AnnotatedImage], Skipped]:
    skipped = Skipped()
    return list(coco.read(folder, skipped)), skipped


def _compressed(mask: np.ndarray) -> dict[str, Any]:
    rle = coco_mask.encode(np.asfortranarray(mask.astype(np.uint8)))
    return {"size": list(rle["size"]), "counts": rle["counts"].decode()}


def test_coco_fields_and_images_without_annotations(tmp_path: Path) -> None:
    (first, second), skipped = read_coco(write_coco(tmp_path / "set", [row()]))
    assert (first.image_id, first.dataset, first.modality, first.group) == ("set/1.png", "set", "ct", "p")
    assert first.regions[0].box_xyxy_px.tolist() == BOX
    assert first.regions[0].path == ("abdomen", "liver")
    assert first.phrases == second.phrases == ("liver", "red blood cell")
    assert second.regions == ()
    assert not skipped.entries


@pytest.mark.parametrize(
    "segmentation",
    [
        mask_to_rle(MASK),
        _compressed(MASK),
        [[3, 2, 9, 2, 9, 5, 3, 5]],
        [[3, 2, 6, 2, 6, 5, 3, 5], [6, 2, 9, 2, 9, 5, 6, 5]],
    ],
)
def test_every_kind_of_coco_mask_is_the_same_mask(tmp_path: Path, segmentation: Any) -> None:
    (first, _), skipped = read_coco(write_coco(tmp_path / "set", [row(segmentation=segmentation)]))
    assert not skipped.entries
    assert first.regions[0].mask is not None
    assert np.array_equal(first.regions[0].mask, MASK)


def test_crowds_of_either_kind_are_no_region_and_not_absent(tmp_path: Path) -> None:
    crowd = [row(k, iscrowd=1, segmentation=s) for k, s in enumerate((mask_to_rle(MASK), _compressed(MASK)))]
    (first, second), skipped = read_coco(write_coco(tmp_path / "set", [*crowd, row(9, category_id=2)]))
    assert [region.phrase for region in first.regions] == ["red blood cell"]
    assert first.phrases == ("red blood cell",)
    assert second.phrases == ("liver", "red blood cell")
    assert len(skipped.entries) == 2


def test_masks_never_leave_their_box(tmp_path: Path) -> None:
    wide = row(segmentation=mask_to_rle(np.ones_like(MASK)), bbox=[3.4, 2.2, 5.2, 2.6])
    (first, _), _ = read_coco(write_coco(tmp_path / "set", [wide]))
    assert np.array_equal(first.regions[0].mask, MASK)  # pyright: ignore[reportArgumentType]


def test_boxes_over_the_edge_are_clipped(tmp_path: Path) -> None:
    (first, _), skipped = read_coco(write_coco(tmp_path / "set", [row(bbox=[-2, 6, 30, 30])]))
    assert first.regions[0].box_xyxy_px.tolist() == [0, 6, 12, 8]
    assert not skipped.entries
    with listing_cuts() as cuts:
        read_coco(tmp_path / "set")
        read_coco(write_coco(tmp_path / "rounded", [row(bbox=[-1, 6, 4, 2])]))
    (entry,) = cuts.entries
    assert entry["item"].endswith("annotations.json: row annotation 1")
    assert "box [-2, 6, 28, 36] reaches outside the 12 x 8 image" in entry["why"]


BAD_ROWS = [
    (row(7, bbox=[math.nan, 0, 2, 2]), "not finite"),
    (row(7, bbox=[30, 0, 2, 2]), "no area inside"),
    (row(7, bbox=[1, 1, 0, 2]), "no area inside"),
    (row(7, bbox=[1, 1, 2]), "malformed"),
    (row(7, bbox=None), "malformed"),
    (row(7, bbox="abcd"), "malformed"),
    ({"id": 7, "image_id": 1, "category_id": 1}, "has no 'bbox'"),
    ({"id": 7, "image_id": 1, "bbox": [1, 1, 2, 2]}, "has no 'category_id'"),
    (row(7, category_id=9), "category 9"),
    (row(7, image_id=9), "image 9"),
    (row(7, segmentation={"size": [8, 12], "counts": [3]}), "RLE"),
    (row(7, segmentation=mask_to_rle(MASK.T)), "its size is"),
    (row(7, segmentation={"size": [8, 12], "counts": "aa"}), "compressed RLE"),
    (row(7, segmentation=[[1, 2, 3, 4]]), "three corners"),
    (row(7, segmentation=[[1, 1, 4, 1, 4, 4, 1]]), "x, y, x, y"),
    (row(7, segmentation=[1, 1, 4, 1, 4, 4]), "three corners"),
    (row(7, segmentation=[[1, 1, 4, 1, math.nan, 4]]), "NaN"),
    (row(7, segmentation=[[1, 1, 4, 1, 1e9, 4]]), "far off"),
    (row(7, segmentation=[["a", 1, 4, 1, 1, 4]]), "no list of numbers"),
    (row(7, iscrowd=1), "crowd"),
]


@pytest.mark.parametrize(("bad", "reason"), BAD_ROWS, ids=[reason for _, reason in BAD_ROWS])
def test_bad_coco_rows_are_listed_and_the_rest_goes_on(tmp_path: Path, bad: Any, reason: str) -> None:
    (first, _), skipped = read_coco(write_coco(tmp_path / "set", [row(), bad, row(8, category_id=2)]))
    assert [region.phrase for region in first.regions] == ["liver", "red blood cell"]
    assert len(skipped.entries) == 1
    assert reason in reasons(skipped)
    assert "annotations.json" in reasons(skipped)
    assert "annotation 7" in reasons(skipped)


def test_a_phrase_whose_rows_were_all_skipped_is_unknown_and_not_absent(tmp_path: Path) -> None:
    (first, second), _ = read_coco(write_coco(tmp_path / "set", [row(bbox=[30, 0, 2, 2])]))
    assert first.phrases == ("red blood cell",)
    assert second.phrases == ("liver", "red blood cell")


def test_bad_coco_images_are_listed_and_the_rest_goes_on(tmp_path: Path) -> None:
    good = {"id": 2, "file_name": "2.png", "modality": "MRI"}
    bad = [
        {"id": 1, "file_name": "gone.png"},
        {"id": 3},
        {"file_name": "1.png"},
        {"id": 4, "file_name": "1.png", "width": 99, "height": 8},
        {"id": 5, "file_name": "1.png", "modality": "smell"},
        "nonsense",
    ]
    found, skipped = read_coco(write_coco(tmp_path / "set", [], [*bad, good]))
    assert [(annotated.modality, annotated.group) for annotated in found] == [("mr", "2")]
    assert len(skipped.entries) == len(bad)
    for part in ("gone.png", "has no 'file_name'", "has no 'id'", "(99, 8)", "smell"):
        assert part in reasons(skipped)


@pytest.mark.parametrize("text", [None, "", "{", "[]", "{}", '{"images": [], "annotations": {}, "categories": []}'])
def test_coco_file_as_a_whole_must_be_coco(tmp_path: Path, text: str | None) -> None:
    if text is not None:
        (tmp_path / "annotations.json").write_text(text)
    with pytest.raises(BadInput, match=r"annotations\.json.*Fix:"):
        read_coco(tmp_path)


# ---- VOC


def voc_object(name: str = "RBC", box: tuple[Any, ...] = (3, 2, 9, 5)) -> str:
    corners = "".join(f"<{c}>{v}</{c}>" for c, v in zip(("xmin", "ymin", "xmax", "ymax"), box, strict=False))
    return f"<object><name>{name}</name><bndbox>{corners}</bndbox></object>"


def write_voc(folder: Path, *files: str) -> Path:
    (folder / "Annotations").mkdir(parents=True)
    for number, text in enumerate(files):
        write_image(folder / "JPEGImages" / f"{number}.jpg", SIZE)
        (folder / "Annotations" / f"{number}.xml").write_text(text)
    return folder


def read_voc(folder: Path) -> tuple[list[AnnotatedImage], Skipped]:
    skipped = Skipped()
    return list(voc.read(folder, skipped, modality="microscopy")), skipped


def test_voc_boxes_names_and_splits(tmp_path: Path) -> None:
    files = [f"<annotation>{voc_object(name)}</annotation>" for name in ("RBC", "WBC", "Platelets")]
    folder = write_voc(tmp_path / "set", *files)
    (folder / "ImageSets" / "Main").mkdir(parents=True)
    (folder / "ImageSets" / "Main" / "train.txt").write_text("0\n1\n")
    (folder / "ImageSets" / "Main" / "val.txt").write_text("2\n")
    found, skipped = read_voc(folder)
    assert [annotated.split for annotated in found] == ["train", "train", "val"]
    assert [annotated.regions[0].phrase for annotated in found] == ["red blood cell", "white blood cell", "platelet"]
    assert found[0].regions[0].box_xyxy_px.tolist() == BOX
    assert {annotated.phrases for annotated in found} == {("platelet", "red blood cell", "white blood cell")}
    assert found[0].modality == "microscopy"
    assert not skipped.entries


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        (voc_object(box=(3, 2, 3, 5)), "no area"),
        (voc_object(box=("nan", 2, 4, 5)), "not finite"),
        (voc_object(box=(30, 2, 40, 5)), "no area inside"),
        (voc_object(box=(1, 2, 3)), "without ymax"),
        (voc_object(box=("a", 2, 4, 5)), "malformed"),
        (voc_object(name=""), "without a name"),
        ("<object><name>RBC</name></object>", "without xmin"),
    ],
)
def test_bad_voc_objects_are_listed_with_file_and_row(tmp_path: Path, bad: str, reason: str) -> None:
    (annotated,), skipped = read_voc(write_voc(tmp_path, f"<annotation>{voc_object()}{bad}</annotation>"))
    assert len(annotated.regions) == len(skipped.entries) == 1
    assert reason in reasons(skipped)
    assert "0.xml: row object 2" in reasons(skipped)


def test_bad_voc_files_are_listed_and_the_rest_goes_on(tmp_path: Path) -> None:
    good = f"<annotation>{voc_object()}</annotation>"
    folder = write_voc(tmp_path, good, "<annotation>", good)
    (folder / "JPEGImages" / "2.jpg").unlink()
    found, skipped = read_voc(folder)
    assert [annotated.image_id for annotated in found] == [f"{folder.name}/0"]
    assert "1.xml: not XML" in reasons(skipped)
    assert "no image 2" in reasons(skipped)


# ---- mask folder


def write_masks(folder: Path, masks: dict[str, np.ndarray], on: int = 255) -> Path:
    for stem, mask in masks.items():
        write_image(folder / "images" / f"{stem}.jpg", SIZE)
        mask_file(folder / "masks" / f"{stem}.png", mask, on)
    return folder


def read_masks(folder: Path) -> tuple[list[AnnotatedImage], Skipped]:
    skipped = Skipped()
    return list(mask_folder.read(folder, skipped, modality="endoscopy", phrase="polyp")), skipped


@pytest.mark.parametrize("on", [1, 255])
def test_each_blob_is_a_region(tmp_path: Path, on: int) -> None:
    two = MASK.copy()
    two[7, 0] = True
    (annotated,), _ = read_masks(write_masks(tmp_path, {"a": two}, on))
    boxes = sorted(region.box_xyxy_px.tolist() for region in annotated.regions)
    assert boxes == [[0, 7, 1, 8], BOX]
    whole = np.logical_or.reduce([region.mask for region in annotated.regions if region.mask is not None])
    assert np.array_equal(whole, two)


@pytest.mark.parametrize("on", [2, 100, 127])
def test_a_faint_mask_is_no_negative(tmp_path: Path, on: int) -> None:
    (annotated,), _ = read_masks(write_masks(tmp_path, {"a": MASK}, on))
    assert [region.box_xyxy_px.tolist() for region in annotated.regions] == [BOX]


def test_outlines_of_one_image_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mask_folder, "MAX_MASK_BYTES", 200)
    with pytest.raises(BadInput, match="2 outlines of 12 x 12 pixels"):
        mask_folder.split_blobs(np.kron(np.eye(2, dtype=bool), np.pad(np.ones((3, 3), bool), ((0, 3), (0, 3)))))


def test_specks_are_dropped_unless_alone() -> None:
    mask = np.zeros((100, 100), bool)
    mask[5, 5] = True
    assert len(mask_folder.split_blobs(mask)) == 1
    mask[50:80, 50:80] = True
    assert [int(blob.sum()) for blob in mask_folder.split_blobs(mask)] == [900]


def test_touching_corners_are_one_blob() -> None:
    assert len(mask_folder.split_blobs(np.eye(4, dtype=bool))) == 1


def test_empty_mask_is_a_negative_and_missing_mask_is_unknown(tmp_path: Path) -> None:
    folder = write_masks(tmp_path, {"a": np.zeros_like(MASK)})
    write_image(folder / "images" / "b.jpg", SIZE)
    mask_file(folder / "masks" / "c.png")
    (annotated,), skipped = read_masks(folder)
    assert (annotated.regions, annotated.phrases) == ((), ("polyp",))
    assert "b.jpg: has no mask" in reasons(skipped)
    assert "c.png: mask without an image" in reasons(skipped)


def test_bad_masks_are_listed_and_the_rest_goes_on(tmp_path: Path) -> None:
    folder = write_masks(tmp_path, {"a": MASK, "b": MASK.T, "c": MASK, "d": MASK})
    (folder / "masks" / "c.png").write_bytes((folder / "masks" / "c.png").read_bytes()[:50])
    (folder / "images" / "d.jpg").write_bytes(b"")
    found, skipped = read_masks(folder)
    assert [annotated.group for annotated in found] == ["a"]
    for part in ("b.png", "c.png", "d.jpg"):
        assert part in reasons(skipped)


@pytest.mark.parametrize("missing", ["images", "masks"])
def test_mask_folder_needs_both_folders(tmp_path: Path, missing: str) -> None:
    write_masks(tmp_path, {"a": MASK})
    (tmp_path / missing).rename(tmp_path / "elsewhere")
    with pytest.raises(BadInput, match=missing):
        read_masks(tmp_path)


# ---- lungs


def write_lungs(folder: Path, annotations: list[Any], columns: tuple[str, ...] = ()) -> Path:
    """Images a.png, with a mask of both lungs, and b.png, without; c.png has no boxes."""
    for name in ("a", "b", "c"):
        write_image(folder / "images" / f"{name}.png", SIZE)
    both = np.zeros_like(MASK)
    both[1:7, 1:5] = both[1:7, 7:11] = True
    mask_file(folder / "lung_masks" / "a.png", both)
    with (folder / "metadata.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(columns or ("patientid", "modality", "filename"))
        writer.writerows([("4", "X-ray", f"{name}.png") for name in "aabc"])
    images = [{"id": k, "file_name": f"{name}.png"} for k, name in enumerate("abc")]
    categories = [{"id": 1, "name": "Right Lung"}, {"id": 2, "name": "Left Lung"}]
    content = {"images": images, "annotations": annotations, "categories": categories}
    (folder / "lung_boxes.json").write_text(json.dumps(content))
    return folder


def lungs(image_id: int) -> list[dict[str, Any]]:
    boxes = ([0, 0, 6, 8], [6.0, 0.5, 5.5, 7])
    return [
        {"id": 10 * image_id + k, "image_id": image_id, "category_id": k, "bbox": b} for k, b in enumerate(boxes, 1)
    ]


def read_lungs(folder: Path) -> tuple[list[AnnotatedImage], Skipped]:
    skipped = Skipped()
    return list(covid_cxr.read(folder, skipped)), skipped


def test_right_lung_lies_at_the_image_left_and_takes_its_part_of_the_mask(tmp_path: Path) -> None:
    (first, second), skipped = read_lungs(write_lungs(tmp_path, [*lungs(0), *lungs(1)]))
    assert [region.phrase for region in first.regions] == ["right lung", "left lung"]
    right, left = (region.mask for region in first.regions)
    assert right is not None
    assert left is not None
    assert right[:, :6].any()
    assert not right[:, 6:].any()
    assert left[:, 6:].any()
    assert not left[:, :6].any()
    assert [region.mask for region in second.regions] == [None, None]
    assert {(annotated.group, annotated.modality, annotated.split) for annotated in (first, second)} == {
        ("4", "xray", "")
    }
    assert not skipped.entries


def test_bad_lung_rows_are_listed_and_the_rest_goes_on(tmp_path: Path) -> None:
    one_bad = [
        *lungs(0)[:1],
        {**lungs(0)[1], "bbox": [math.nan, 0, 1, 1]},
        {"id": 99},
        row(98, image_id=0, category_id=7),
    ]
    folder = write_lungs(tmp_path, [*one_bad, *lungs(1)])
    (folder / "images" / "b.png").unlink()
    mask_file(folder / "lung_masks" / "a.png", MASK.T)
    (annotated,), skipped = read_lungs(folder)
    assert [region.phrase for region in annotated.regions] == ["right lung"]
    assert annotated.regions[0].mask is None
    assert annotated.phrases == ("right lung",)
    assert len(skipped.entries) == 5
    for part in ("annotation 2", "annotation 99", "annotation 98", "b.png", "a.png"):
        assert part in reasons(skipped)


def test_metadata_must_have_its_columns(tmp_path: Path) -> None:
    folder = write_lungs(tmp_path, lungs(0), ("patient", "modality", "filename"))
    with pytest.raises(BadInput, match=r"metadata\.csv: has no column patientid"):
        read_lungs(folder)


@pytest.mark.parametrize("name", ["metadata.csv", "lung_boxes.json"])
def test_lung_files_must_be_there(tmp_path: Path, name: str) -> None:
    folder = write_lungs(tmp_path, lungs(0))
    (folder / name).unlink()
    with pytest.raises(BadInput, match=name):
        read_lungs(folder)
