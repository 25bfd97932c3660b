import json
from pathlib import Path

import numpy as np
import pytest
from faster_coco_eval.core import mask as coco_mask
from PIL import Image

from medglip.eval.tasks.coco_files import read_coco
from medglip.grounding.bad_input import BadInput, Skipped
from medglip.grounding.types import Region
from medglip.report.output.coco import read_reports, to_coco, write_coco
from medglip.report.output.grounded import GroundedReport
from medglip.report.output.write import write


def make(name: str, *phrases: str) -> GroundedReport:
    mask = np.zeros((30, 40), bool)
    mask[6:14, 11:19] = True
    box = np.array([10, 5, 20, 15.5], np.float32)
    regions = tuple(Region(phrase=phrase, box_xyxy_px=box, mask=mask, score=0.5) for phrase in phrases)
    return GroundedReport(
        report_id=name, image=f"{name}.png", size_px=(40, 30), sentences=(), regions=regions, model="m"
    )


def test_boxes_masks_and_ids_are_cocos() -> None:
    described, results = to_coco([make("a", "nodule"), make("b", "heart", "nodule"), make("c")])
    assert [image["id"] for image in described["images"]] == [1, 2, 3]
    assert {row["name"]: row["id"] for row in described["categories"]} == {"heart": 1, "nodule": 2}
    assert [(row["image_id"], row["category_id"]) for row in results] == [(1, 2), (2, 1), (2, 2)]
    assert results[0]["bbox"] == [10, 5, 10, 10.5]
    mask = np.asarray(coco_mask.decode(results[0]["segmentation"]), bool)
    assert mask.shape == (30, 40)
    assert mask[6:14, 11:19].all()
    assert mask.sum() == 64
    assert described["info"]["description"] == "Research use, not for diagnosis."
    assert described["info"]["model"] == ["m"]


def test_the_files_are_read_by_our_coco_reader(tmp_path: Path) -> None:
    for report in (make("a", "nodule"), make("b", "heart")):
        write(report, Image.new("L", (40, 30)), tmp_path / "reports")
    (tmp_path / "reports" / "other.json").write_text("[]")
    (tmp_path / "reports" / "broken.json").write_text("{")
    skipped = Skipped()
    references = {
        "images": [
            {"id": 7, "file_name": "x/a.png", "width": 40, "height": 30},
            {"id": 9, "file_name": "b.png", "width": 40, "height": 30},
        ],
        "categories": [{"id": 3, "name": "nodule"}, {"id": 4, "name": "heart"}],
        "annotations": [{"id": 1, "image_id": 7, "category_id": 3, "bbox": [10, 5, 10, 10]}],
    }
    (tmp_path / "instances.json").write_text(json.dumps(references))
    _, predictions = write_coco(read_reports(tmp_path / "reports", skipped), tmp_path, references)
    files = read_coco(tmp_path / "instances.json", predictions, "bbox")
    images, categories = ({row["id"]: row["own_id"] for row in rows} for rows in (files.images, files.categories))
    own = [(images[row["image_id"]], categories[row["category_id"]]) for row in files.predictions]
    assert own == [("7", "3"), ("9", "4")]
    assert len(skipped.entries) == 2


def test_what_references_do_not_hold_is_named() -> None:
    references = {"images": [{"id": 1, "file_name": "a.png"}], "categories": [{"id": 1, "name": "heart"}]}
    with pytest.raises(BadInput, match="nodule"):
        to_coco([make("a", "nodule")], references)
    with pytest.raises(BadInput, match=r"b\.png"):
        to_coco([make("b", "heart")], references)


def test_two_references_of_one_name_are_refused_with_their_file(tmp_path: Path) -> None:
    images = [{"id": number, "file_name": f"{number}/a.png"} for number in (1, 2)]
    references = {"images": images, "categories": [{"id": 1, "name": "heart"}]}
    (tmp_path / "instances.json").write_text(json.dumps(references))
    with pytest.raises(BadInput, match=r"instances\.json: two images of the references are called 'a\.png'"):
        write_coco([make("a", "heart")], tmp_path, tmp_path / "instances.json")


def test_two_reports_of_one_image_are_refused() -> None:
    with pytest.raises(BadInput, match="two reports"):
        to_coco([make("a"), make("a")])


def test_a_folder_without_reports_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="no grounded report"):
        read_reports(tmp_path, Skipped())
