"""Regions of other people's files: each format gives the boxes that were written, and only to their own picture."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
from PIL import Image

from medglip.grounding.bad_input import BadInput
from medglip.grounding.grounders.given import GivenGrounder, is_given
from medglip.grounding.grounders.pretrained import load_grounder, vocabulary_of
from medglip.grounding.types import AnnotatedImage

BOX, SIZE = [10, 20, 30, 60], (80, 100)
XYWH = [10, 20, 20, 40]


def picture(folder: Path, name: str, size: tuple[int, int] = SIZE) -> AnnotatedImage:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("L", size, 90).save(path)
    facts: dict[str, Any] = {"modality": "ct", "group": name, "dataset": "d", "split": "test", "size_px": size}
    return AnnotatedImage(image_id=name, image_path=path, **facts)


def as_lines(folder: Path) -> str:
    region = {"phrase": "liver", "box_xyxy_px": BOX, "score": 0.7}
    rows = [{"image": "a.png", "size_px": SIZE, "regions": [region]}, {"image": "b.png", "regions": []}]
    (folder / "regions.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(folder / "regions.jsonl")


def instances(folder: Path, **annotation: Any) -> Path:
    images = [{"id": k, "file_name": f"x/{name}.png", "width": 80, "height": 100} for k, name in enumerate("ab")]
    rows = [{"id": 1, "image_id": 0, "category_id": 3, "bbox": XYWH} | annotation] if annotation else []
    content = {"images": images, "annotations": rows, "categories": [{"id": 3, "name": "liver"}]}
    (folder / "instances.json").write_text(json.dumps(content))
    return folder / "instances.json"


def as_coco(folder: Path) -> str:
    return str(instances(folder, score=0.7))


def as_results(folder: Path) -> str:
    result = {"image_id": 0, "category_id": 3, "bbox": XYWH, "score": 0.7}
    (folder / "results.json").write_text(json.dumps([result]))
    return f"{folder / 'results.json'},{instances(folder)}"


def as_medvp(folder: Path) -> str:
    talk = [{"from": "human", "value": "Is the liver large?"}, {"from": "gpt", "value": "No"}]
    row = {"id": "Slake-1", "image": "x/a.png", "conversations": talk, "bboxes": [XYWH], "entities": ["Liver"]}
    rows = [row | {"scores": [0.7]}, row | {"scores": [0.7]}, row | {"image": "x/b.png", "bboxes": [], "entities": []}]
    (folder / "medvp.json").write_text(json.dumps(rows))
    return str(folder / "medvp.json")


def as_voc(folder: Path) -> str:
    (folder / "voc/Annotations").mkdir(parents=True)
    corners = "".join(f"<{k}>{v}</{k}>" for k, v in zip(("xmin", "ymin", "xmax", "ymax"), BOX, strict=True))
    item = f"<object><name>liver</name><score>0.7</score><bndbox>{corners}</bndbox></object>"
    for name, inner in (("a", item), ("b", "")):
        (folder / f"voc/Annotations/{name}.xml").write_text(f"<annotation>{inner}</annotation>")
    return str(folder / "voc")


FILES: list[Callable[[Path], str]] = [as_lines, as_coco, as_results, as_medvp, as_voc]


@pytest.mark.parametrize("write", FILES, ids=lambda write: write.__name__)
def test_each_format_gives_its_boxes_to_their_picture_alone(write: Callable[[Path], str], tmp_path: Path) -> None:
    name = write(tmp_path)
    a, b, other = (picture(tmp_path / "x", f"{stem}.png") for stem in ("a", "b", "c"))
    grounder = load_grounder(name)
    assert isinstance(grounder, GivenGrounder)
    found, nothing = grounder.ground([a, b], [["liver", "kidney"], ["liver"]])
    assert [(region.phrase, region.box_xyxy_px.tolist(), region.score) for region in found] == [("liver", BOX, 0.7)]
    assert nothing == []
    assert vocabulary_of(name)["ct"] == ["liver"]
    with pytest.raises(BadInput, match=r"has no picture 'c\.png'"):
        grounder.ground([other], [["liver"]])


@pytest.mark.parametrize("write", [as_lines, as_coco, as_results], ids=lambda write: write.__name__)
def test_a_picture_of_another_size_is_refused(write: Callable[[Path], str], tmp_path: Path) -> None:
    grounder = load_grounder(write(tmp_path))
    with pytest.raises(BadInput, match="but it has"):
        grounder.ground([picture(tmp_path, "a.png", (160, 200))], [["liver"]])


def test_results_need_their_references_and_meet_them(tmp_path: Path) -> None:
    results, references = as_results(tmp_path).split(",")
    with pytest.raises(BadInput, match=r"--references instances\.json"):
        load_grounder(results)
    (tmp_path / "results.json").write_text(json.dumps([{"image_id": 9, "category_id": 3, "bbox": XYWH, "score": 1}]))
    with pytest.raises(BadInput, match="row 1: image 9"):
        load_grounder(f"{results},{references}")


def test_folders_tell_pictures_of_one_name_apart(tmp_path: Path) -> None:
    rows = [{"image": f"{k}/source.jpg", "bboxes": [[k, k, 9, 9]], "entities": ["liver"]} for k in (1, 2)]
    (tmp_path / "m.json").write_text(json.dumps(rows))
    grounder = load_grounder(str(tmp_path / "m.json"))
    images = [picture(tmp_path / "set", f"{k}/source.jpg") for k in (1, 2)]
    boxes = [found[0].box_xyxy_px.tolist() for found in grounder.ground(images, [["liver"]] * 2)]
    assert boxes == [[1, 1, 10, 10], [2, 2, 11, 11]]
    with pytest.raises(BadInput, match="several pictures"):
        grounder.ground([picture(tmp_path / "set", "3/source.jpg")], [["liver"]])


def test_labels_of_a_volume_meet_its_slices(tmp_path: Path) -> None:
    values = np.zeros((80, 100, 6), np.uint8)
    values[10:30, 20:60, 4] = 2
    nibabel.Nifti1Image(values, np.eye(4)).to_filename(tmp_path / "case.nii.gz")
    (tmp_path / "classes.yaml").write_text("2: liver\n")
    grounder = load_grounder(str(tmp_path / "case.nii.gz"))
    images = [picture(tmp_path / "png", f"case-axial-{k:04d}-0a1b.png") for k in (4, 3)]
    found, nothing = grounder.ground(images, [["liver"]] * 2)
    # the patient's right is at the left, the front at the top
    assert [region.box_xyxy_px.tolist() for region in found] == [[50, 40, 70, 80]]
    assert nothing == []
    with pytest.raises(BadInput, match="no axial slice 9"):
        grounder.ground([picture(tmp_path / "png", "case-axial-0009.png")], [["liver"]])


def test_what_decides_regions_is_in_the_fingerprint(tmp_path: Path) -> None:
    before = load_grounder(as_lines(tmp_path)).fingerprint
    path = tmp_path / "regions.jsonl"
    path.write_text(path.read_text().replace("0.7", "0.8"))
    assert load_grounder(str(path)).fingerprint != before
    assert not is_given("small")
    assert not is_given(str(tmp_path / "nothing.json"))
