"""What could not be placed is never absent, and lists of names are read as they are written."""

import json
import unicodedata
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from medglip.grounding.bad_input import BadInput, Skipped
from medglip.grounding.datasets.layouts import coco, voc
from medglip.grounding.datasets.rows import images_by_stem
from medglip.grounding.grounders.given import GivenGrounder
from medglip.grounding.types import AnnotatedImage


def save(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.zeros((8, 12), np.uint8)).save(path)


def read_coco(folder: Path, image_ids: list[Any], rows: list[dict[str, Any]]) -> list[AnnotatedImage]:
    names = [f"{k}.png" for k in range(len(image_ids))]
    for name in names:
        save(folder / "images" / name)
    images = [{"id": key, "file_name": name} for key, name in zip(image_ids, names, strict=True)]
    rows = [{"id": k, "category_id": "7", "bbox": [1, 1, 4, 4], **row} for k, row in enumerate(rows)]
    content = {"images": images, "categories": [{"id": 7, "name": "left lung"}], "annotations": rows}
    (folder / "annotations.json").write_text(json.dumps(content))
    return list(coco.read(folder, Skipped()))


@pytest.mark.parametrize("ids", [["1", "2"], [1.0, 2.0], ["1.0", " 2"]])
def test_ids_as_numbers_and_as_text_meet(tmp_path: Path, ids: list[Any]) -> None:
    images = read_coco(tmp_path, ids, [{"image_id": 1}, {"image_id": 2}])
    assert [[region.phrase for region in image.regions] for image in images] == [["left lung"], ["left lung"]]


def test_annotations_that_meet_no_image_are_one_error(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"annotations\.json: no annotation meets an image"):
        read_coco(tmp_path, ["001", "002"], [{"image_id": 1}, {"image_id": 2}])


@pytest.mark.parametrize("lost", [{"image_id": 99}, {"image_id": 2, "category_id": 8}])
def test_an_image_whose_annotation_was_lost_is_no_negative(tmp_path: Path, lost: dict[str, Any]) -> None:
    found, unknown = read_coco(tmp_path, [1, 2], [{"image_id": 1}, lost])
    assert (found.phrases, unknown.phrases) == (("left lung",), ())


def test_an_id_of_two_images_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="two objects have the id 1"):
        read_coco(tmp_path, [1, "1"], [{"image_id": 1}])


@pytest.mark.parametrize(("on_disk", "said"), [("NFD", "NFC"), ("NFC", "NFD")])
def test_names_meet_in_either_spelling_of_an_umlaut(tmp_path: Path, on_disk: Any, said: Any) -> None:
    """macOS stores "ü" as two characters; lists and annotations mostly hold one."""
    stem, name = unicodedata.normalize(on_disk, "schädel-é"), unicodedata.normalize(said, "schädel-é")
    save(tmp_path / "images" / f"{stem}.png")
    images = [{"id": 1, "file_name": f"{name}.png"}]
    row = {"id": 1, "image_id": 1, "category_id": 7, "bbox": [1, 1, 4, 4]}
    content = {"images": images, "categories": [{"id": 7, "name": "left lung"}], "annotations": [row]}
    (tmp_path / "annotations.json").write_text(json.dumps(content))
    (image,) = coco.read(tmp_path, Skipped())
    assert len(image.regions) == 1
    assert image.image_path.is_file()
    grounder = GivenGrounder(str(tmp_path / "annotations.json"))
    assert grounder.given.of(image)

    save(tmp_path / "voc" / "JPEGImages" / f"{stem}.png")
    (tmp_path / "voc" / "Annotations").mkdir()
    box = "<bndbox><xmin>1</xmin><ymin>1</ymin><xmax>4</xmax><ymax>4</ymax></bndbox>"
    xml = f"<annotation><object><name>left lung</name>{box}</object></annotation>"
    (tmp_path / "voc" / "Annotations" / f"{name}.xml").write_text(xml)
    (tmp_path / "voc" / "ImageSets" / "Main").mkdir(parents=True)
    (tmp_path / "voc" / "ImageSets" / "Main" / "test.txt").write_text(f"{name}\n")
    (image,) = voc.read(tmp_path / "voc", Skipped())
    assert (len(image.regions), image.split) == (1, "test")


def test_two_images_of_one_stem_are_refused(tmp_path: Path) -> None:
    for name in ("a.png", "a.jpg"):
        save(tmp_path / name)
    with pytest.raises(BadInput, match=r"a\.jpg and a\.png have one name"):
        images_by_stem(tmp_path)


def test_voc_lists_name_one_image_a_line(tmp_path: Path) -> None:
    for stem in ("scan 1", "scan 2", "c.d", "000001", "b"):
        save(tmp_path / "JPEGImages" / f"{stem}.png")
        (tmp_path / "Annotations").mkdir(exist_ok=True)
        (tmp_path / "Annotations" / f"{stem}.xml").write_text("<annotation/>")
    lists = tmp_path / "ImageSets" / "Main"
    lists.mkdir(parents=True)
    (lists / "train.txt").write_bytes(b"\xef\xbb\xbfscan 1\r\nb\r\n000001 -1\r\n")
    (lists / "test.txt").write_text("scan 2\nc.d.png\nb\ngone\n")
    skipped = Skipped()
    splits = {image.image_path.stem: image.split for image in voc.read(tmp_path, skipped)}
    assert splits == {"scan 1": "train", "000001": "train", "scan 2": "test", "c.d": "test", "b": "test"}
    assert "no image 'gone'" in skipped.summary()
    assert "b is in test.txt too" in skipped.summary()


@pytest.mark.parametrize("allowed", [False, True])
def test_file_names_of_coco_stay_in_the_set(tmp_path: Path, allowed: bool) -> None:
    save(tmp_path / "outside.png")
    images = [{"id": 1, "file_name": "../outside.png"}]
    (tmp_path / "set").mkdir()
    content = {"images": images, "categories": [], "annotations": []}
    (tmp_path / "set" / "annotations.json").write_text(json.dumps(content))
    skipped = Skipped()
    read = list(coco.read(tmp_path / "set", skipped, allow_outside=allowed))
    assert (len(read), "leaves the folder" in skipped.summary()) == (int(allowed), not allowed)
