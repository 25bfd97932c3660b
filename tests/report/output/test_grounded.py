import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from medglip.grounding.bad_input import BadInput
from medglip.grounding.types import Region
from medglip.grounding.vocabulary.sentences import Sentence
from medglip.report.output.grounded import NOTICE, GroundedReport, file_stem, from_json, to_json
from medglip.report.output.write import write


def make_report(report_id: str = "case-1") -> GroundedReport:
    mask = np.zeros((30, 40), bool)
    mask[5:15, 10:20] = True
    nodule = Region(phrase="nodule", box_xyxy_px=np.array([10, 5, 20, 15], np.float32), mask=mask, score=0.75)
    heart = Region(phrase="heart", box_xyxy_px=np.array([0, 0, 40, 30], np.float32), path=("chest", "heart"))
    unspoken = Region(phrase="rib", box_xyxy_px=np.array([1, 1, 5, 5], np.float32))
    return GroundedReport(
        report_id=report_id,
        image="a.png",
        size_px=(40, 30),
        sentences=(
            Sentence(text="A nodule beside the heart.", regions=(nodule, heart)),
            Sentence(text="No effusion.", is_negated=True),
            Sentence(text="The heart is large.", regions=(heart,)),
        ),
        regions=(unspoken, nodule),
        model="tiny",
        evidence="predicted",
        versions={"medglip": "0.1.0"},
    )


def test_json_round_trip_keeps_everything_and_which_regions_are_shared() -> None:
    report = make_report()
    values = json.loads(json.dumps(to_json(report)))
    back = from_json(values)
    assert to_json(back) == values
    assert back.text == report.text == "A nodule beside the heart. No effusion. The heart is large."
    assert [sentence["regions"] for sentence in values["sentences"]] == [[1, 2], [], [2]]
    assert back.sentences[0].regions[1] is back.sentences[2].regions[0]
    mask, old = back.sentences[0].regions[0].mask, report.sentences[0].regions[0].mask
    assert mask is not None
    assert old is not None
    assert (mask == old).all()
    assert values["notice"] == NOTICE


def test_no_folder_of_the_image_gets_into_the_report() -> None:
    for name in ("folder/a.png", "/data/a.png", "c:\\a.png"):
        with pytest.raises(BadInput, match="folder"):
            GroundedReport(report_id="x", image=name, size_px=(1, 1), sentences=())


@pytest.mark.parametrize(
    "change", [{"format": "other"}, {"sentences": [{"text": "a", "regions": [7], "is_negated": False}]}]
)
def test_wrong_json_is_bad_input(change: dict) -> None:
    with pytest.raises(BadInput):
        from_json(to_json(make_report()) | change)


def test_missing_key_is_bad_input() -> None:
    values = to_json(make_report())
    del values["model"]
    with pytest.raises(BadInput, match="model"):
        from_json(values)


def test_write_leaves_one_json_and_one_page(tmp_path: Path) -> None:
    values, page = write(make_report("set/case 1"), Image.new("L", (40, 30), 90), tmp_path)
    assert sorted(path.suffix for path in tmp_path.iterdir()) == [".html", ".json"]
    assert "<svg" in page.read_text()
    assert from_json(json.loads(values.read_text())).report_id == "set/case 1"


def test_ids_that_need_repair_do_not_share_a_file() -> None:
    stems = [file_stem(report_id) for report_id in ("a/b", "a b", "a_b", "../a_b", "a" * 300, "a" * 301)]
    assert len(set(stems)) == len(stems)
    assert all("/" not in stem and not stem.startswith(".") for stem in stems)
    assert file_stem("plain-1.x") == "plain-1.x"
