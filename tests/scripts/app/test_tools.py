"""The table of tools, without the packages of the extra `app`."""

import base64
import threading
import time
from pathlib import Path
from typing import Any

import pydicom
import pytest

from medglip.grounding.bad_input import BadInput
from medglip.grounding.parts.giving_up import GivenUp, go_on
from medglip.scripts.app.bring import MAX_ERROR, error_line, from_address, keep, safe_name
from medglip.scripts.app.call import call, schema_of, summary_of
from medglip.scripts.app.desk import Desk
from medglip.scripts.app.switch import SWITCHES, parse_boxes
from medglip.scripts.app.tools import TOOLS

CHEST = Path(__file__).parents[3] / "examples" / "data" / "images" / "xray-1.png"
DICOM = CHEST.parents[1] / "chest.dcm"


def address_of(path: Path) -> str:
    return f"data:image/png;base64,{base64.b64encode(path.read_bytes()).decode()}"


def test_every_argument_of_every_tool_is_described() -> None:
    assert {"ground", "zoom", "measure", "compare", "similar", "ask", "report"} == set(TOOLS)
    for name in TOOLS:
        assert summary_of(name)
        schema = schema_of(name)
        assert schema["properties"]["image"]["type"] == "string"
        assert all(row["description"] for row in schema["properties"].values())


def test_a_file_and_its_data_address_give_the_same_regions(desk: Desk) -> None:
    words = {"phrase": "heart; left lung", "modality": "xray"}
    by_file = call(desk, "ground", {"image": (CHEST.name, CHEST.read_bytes()), **words})
    by_address = call(desk, "ground", {"image": address_of(CHEST), **words})
    assert by_file["image"] == CHEST.name
    assert by_file["regions"] == by_address["regions"]
    assert {row["phrase"] for row in by_file["regions"]} == {"heart", "left lung"}


def test_nothing_that_was_brought_stays_after_a_call(desk: Desk) -> None:
    call(desk, "zoom", {"image": (CHEST.name, CHEST.read_bytes()), "box": "10,10,60,60"})
    with pytest.raises(BadInput):
        call(desk, "zoom", {"image": ("x.png", b"no picture"), "box": "10,10,60,60"})
    assert not [folder for folder in desk.folder.iterdir() if folder.name != "samples"]


def test_boxes_of_ones_own_are_measured_in_mm_where_the_file_tells_the_spacing(desk: Desk, tmp_path: Path) -> None:
    file = pydicom.dcmread(DICOM)
    file.PixelSpacing = [0.5, 0.25]  # rows first: y, x
    file.save_as(tmp_path / "spaced.dcm")
    told = call(desk, "measure", {"image": tmp_path / "spaced.dcm", "boxes": "10,20,40,80 heart; 0,0,60,30"})
    heart, other = told["measures"]
    assert told["spacing_mm"] == [0.25, 0.5]
    assert (heart["phrase"], heart["width_px"], heart["height_px"]) == ("heart", 30, 60)
    assert (heart["width_mm"], heart["height_mm"], heart["area_mm2"]) == (7.5, 30, 225)
    assert other["area_px"] == 1800
    assert told["ratio_of_widths"] == 0.5


@pytest.mark.parametrize("switch", SWITCHES)
def test_rules_answer_with_every_switch_from_its_own_regions(desk: Desk, switch: str) -> None:
    asked = {"image": (CHEST.name, CHEST.read_bytes()), "question": "Is the heart seen?", "modality": "xray"}
    boxes = {"boxes": "10,20,40,80 heart"} if switch == "own" else {}
    told = call(desk, "ask", {**asked, **boxes, "evidence": switch, "model": "rules"})
    # the best of each phrase, which comes first
    found = {row["phrase"]: row["box_xyxy_px"] for row in reversed(told["regions"])}
    assert told["evidence"] == switch
    if switch == "own":
        assert found == {"heart": [10, 20, 40, 80]}
    elif switch in ("none", "withheld"):
        assert not found
    else:
        own = call(desk, "ground", {"image": asked["image"], "modality": "xray"})["regions"]
        same = {row["phrase"]: row["box_xyxy_px"] for row in reversed(own) if row["phrase"] in found}
        assert (found == same) == (switch == "predicted")


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"image": "/etc/passwd"}, "neither a file nor a data: address"),
        ({"image": "http://10.0.0.1/x.png"}, "neither a file nor a data: address"),
        ({"image": "data:image/png;base64,%%%"}, "no base64"),
        ({"image": "data:image/png;base64,"}, "the file is empty"),
        ({"image": ("../../etc/x.png", b"\x89PNG broken")}, "x.png"),
        ({"image": 7}, "'image' is no picture"),
        ({}, "argument 'image'"),
        ({"image": "CHEST", "min_score": "much"}, "argument 'min_score'"),
        ({"image": "CHEST", "colour": "red"}, "argument 'colour'"),
        ({"image": "CHEST", "modality": "xry"}, "xray"),
        ({"image": "CHEST", "phrase": "; ".join(f"p{k}" for k in range(65))}, "65 phrases are too many"),
        ({"image": "CHEST", "model": "../adapter"}, "unknown model"),
    ],
)
def test_what_is_wrong_is_told_in_one_short_line_without_a_path(desk: Desk, values: dict[str, Any], words: str) -> None:
    given = values | ({"image": (CHEST.name, CHEST.read_bytes())} if values.get("image") == "CHEST" else {})
    with pytest.raises(BadInput) as error:
        call(desk, "ground", given)
    line = error_line(error.value)
    assert words in line
    assert len(line) <= MAX_ERROR
    assert "\n" not in line
    assert str(desk.folder) not in line


def test_names_of_uploads_stay_in_the_folder(tmp_path: Path) -> None:
    for name in ("../../x.png", "C:\\a\\b.png", "\x00\n.png", "a" * 500, "…", "", ".hidden", "-rf", "x/y/"):
        path = keep(b"1", name, tmp_path)
        assert path.parent == tmp_path
        assert path.name in (safe_name(name), f"{path.name.partition('-')[0]}-{safe_name(name)}")
    assert from_address("data:image/png;base64,MQ==", tmp_path).read_bytes() == b"1"


def test_boxes_are_read_with_and_without_phrases_and_refused_by_their_own_words() -> None:
    assert [region.phrase for region in parse_boxes("1,2,3,4 left lung;\n[5, 6, 7, 8]", (10, 10))] == [
        "left lung",
        "marked region",
    ]
    with pytest.raises(BadInput, match="'left lung' is no box"):
        parse_boxes("left lung", (10, 10))


def test_callers_take_turns_in_the_order_in_which_they_came(desk: Desk) -> None:
    order: list[int] = []

    def work(number: int) -> None:
        with desk.at_work(), desk.at_work():  # a tool may take its turn again
            order.append(number)

    with desk.at_work():
        threads = [threading.Thread(target=work, args=(number,)) for number in range(20)]
        for thread in threads:
            thread.start()
            time.sleep(0.005)
    for thread in threads:
        thread.join(10)
    assert order == list(range(20))


def test_stop_ends_what_one_session_computes_and_waits_for(desk: Desk) -> None:
    ended: list[str] = []

    def work(session: str, steps: int) -> None:
        try:
            with desk.stoppable(session), desk.at_work():
                for _ in range(steps):
                    time.sleep(0.01)
                    go_on()
            ended.append(f"{session} done")
        except GivenUp:
            ended.append(f"{session} stopped")

    threads = [threading.Thread(target=work, args=one) for one in (("a", 2000), ("a", 2000), ("b", 1))]
    for thread in threads:
        thread.start()
        time.sleep(0.02)
    desk.stop("a")
    for thread in threads:
        thread.join(10)
    assert ended == ["a stopped", "a stopped", "b done"]
