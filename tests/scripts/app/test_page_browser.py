"""The page in a real browser: by hand what the command line does; nothing is asked of any other machine.

MEDGLIP_SHOTS=docs/pictures/app keeps the pictures of the documentation.
"""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from app_page import SECONDS, ask, at, choose, look, shoot, upload
from browser import CUT, needs_browser
from PIL import Image

from medglip.grounding.records import PredictionRecord, RecordFile

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

pytest.importorskip("gradio", reason="gradio is not installed: pip install 'medglip[app]'")
pytestmark = [pytest.mark.thorough, needs_browser]
DATA = Path(__file__).parents[3] / "examples" / "data"
CHEST = DATA / "images" / "xray-1.png"
LIT = "element => getComputedStyle(element).getPropertyValue('--lit').trim()"


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    """Where the page is, and the temporary folder of its process."""
    folder = tmp_path_factory.mktemp("tmp")
    command = [sys.executable, "-m", "medglip.scripts.cli", "app", "--port", "0"]
    log, here = folder / "log", os.environ | {"TMPDIR": str(folder)}
    with (
        log.open("w") as out,
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=out, text=True, env=here) as started,
    ):
        assert started.stdout
        lines = iter(started.stdout.readline, "")
        url = next((line.split()[1] for line in lines if line.startswith("page: ")), "")
        assert url, log.read_text()
        yield url, folder
        started.terminate()
        assert started.wait(SECONDS) == 0
    assert not list(folder.glob("medglip-app-*"))


@pytest.fixture
def page(browser: "Browser", address: tuple[str, Path]) -> Iterator["Page"]:
    with at(browser, address[0]) as opened:
        yield opened


def test_look_lights_both_ways_hides_by_score_and_takes_a_box_by_hand(page: "Page") -> None:
    upload(page, CHEST)
    choose(page, "Modality", "X-ray")
    rows = look(page)
    shape = page.locator("#mg-look g.mg-r1")
    rows.first.hover()
    assert (shape.evaluate(LIT), page.locator("#mg-look g.mg-r2").evaluate(LIT)) == ("1", "0")
    shoot(page, "hover")
    shape.locator(".mg-box").hover()
    assert rows.first.evaluate(LIT) == "1"
    rows.nth(1).focus()
    page.keyboard.press("Tab")
    page.keyboard.press("Shift+Tab")
    assert page.locator("#mg-look g.mg-r2").evaluate(LIT) == "1"
    assert rows.count() > 1
    shoot(page, "look")
    page.get_by_label("number input for Threshold").fill("0.9")
    page.keyboard.press("Tab")
    page.get_by_text("0.90: of regions with this score about nine of ten are right.").wait_for()
    scores = [float(row.get_attribute("data-score") or 0) for row in page.locator("#mg-look .mg-row").all()]
    assert all(score >= 0.9 for score in scores)
    shoot(page, "slider")
    frame = page.locator("#mg-look svg").first
    frame.scroll_into_view_if_needed()
    box = frame.bounding_box()
    assert box
    page.mouse.move(box["x"] + box["width"] * 0.2, box["y"] + box["height"] * 0.2)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * 0.6, box["y"] + box["height"] * 0.6, steps=4)
    page.mouse.up()
    assert re.fullmatch(r"\d+,\d+,\d+,\d+", page.get_by_label("My boxes").input_value())
    shoot(page, "box")
    page.get_by_role("tab", name="Ask").click()
    page.get_by_label("own", exact=True).check()
    ask(page, "Is the heart seen?", 4)


def test_one_question_is_answered_side_by_side(page: "Page") -> None:
    choose(page, "Sample", "xray-1.png")
    page.get_by_role("tab", name="Ask").click()
    ask(page, "Is the heart seen?", 3)
    cards = page.locator("#mg-answers .mg-card")
    assert cards.locator("h3").all_inner_texts() == ["none", "predicted", "shuffled"]
    cards.first.get_by_text("The prompt").click()
    assert cards.first.locator("pre").is_visible()
    shoot(page, "ask")


def test_a_report_is_read_and_taken_along(page: "Page", tmp_path: Path) -> None:
    choose(page, "Sample", "xray-1.png")
    page.get_by_role("tab", name="Report").click()
    page.get_by_label("Indication").fill("Cough <script>alert(1)</script>")
    page.get_by_role("button", name="Write the report").click()
    page.frame_locator("#mg-report iframe").locator("svg").first.wait_for()
    with page.expect_download() as loaded:
        page.locator("#mg-downloads a[download$='.json']").first.press("Enter")
    loaded.value.save_as(tmp_path / "report.json")
    assert "sentences" in (tmp_path / "report.json").read_text(encoding="utf-8")
    page.set_viewport_size({"width": 1280, "height": 1800})  # frames below the fold are not painted
    page.wait_for_timeout(1000)
    shoot(page, "report")


def test_of_a_dicom_file_the_modality_is_used_and_the_patient_is_not_shown(page: "Page") -> None:
    import pydicom

    upload(page, DATA / "chest.dcm")
    look(page)
    header = pydicom.dcmread(DATA / "chest.dcm")
    shown = page.locator("body").inner_text()
    for name in ("PatientName", "PatientID", "PatientBirthDate"):
        assert not str(header.get(name) or "") or str(header[name].value) not in shown
    shoot(page, "dicom")


def test_a_broken_file_gets_one_line_and_nothing_it_says_is_run(page: "Page", tmp_path: Path) -> None:
    broken = tmp_path / "<img src=x onerror=alert(1)>.png"
    broken.write_bytes(b"\x89PNG\r\n\x1a\nnothing")
    page.on("dialog", lambda dialog: pytest.fail(dialog.message))
    page.set_input_files("#mg-files input[type=file]", broken)
    page.locator("#mg-files").get_by_text(".png").first.wait_for()
    page.get_by_role("button", name="Look", exact=True).click()
    told = page.get_by_text(re.compile("the image is damaged|not an image"))
    told.first.wait_for()
    line = told.first.inner_text()
    assert len(line) <= 400
    assert "/tmp" not in line
    shoot(page, "error")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_on_a_phone_nothing_is_cut(browser: "Browser", address: tuple[str, Path], scheme: str) -> None:
    with at(browser, address[0], 420, color_scheme=scheme) as page:
        choose(page, "Sample", "xray-1.png")
        look(page)
        assert page.evaluate("() => document.documentElement.scrollWidth") <= 420
        assert page.evaluate(CUT) == []
        shoot(page, f"phone-{scheme}")


def test_records_of_two_runs_are_read_by_keys(page: "Page", tmp_path: Path) -> None:
    for name, said in (("none", "no"), ("predicted", "yes")):
        rows = [
            PredictionRecord(
                id=f"q{n}", dataset="d", split="test", task="vqa", image_id=f"i{n}", cluster_id=f"i{n}",
                question=f"Is it {n}?", answer="yes", prediction="yes" if n == 1 else said, answer_type="closed",
                evidence=name, meta={"image_path": CHEST.name},
            )
            for n in range(3)
        ]  # fmt: skip
        RecordFile(tmp_path / "run" / "records" / f"vqa-{name}.jsonl").append(rows)
    shutil.copy(CHEST, tmp_path / "run")
    page.get_by_role("tab", name="Compare").click()
    page.get_by_label("Run folders or files of records").fill(str(tmp_path / "run"))
    page.get_by_role("button", name="Open", exact=True).click()
    case = page.locator("#mg-compare")
    case.get_by_text("1 of 3 (all)").wait_for()
    choose(page, "Beside", "run/vqa-predicted")
    case.locator(".mg-card").nth(1).wait_for()
    page.get_by_label("changed", exact=True).check()
    case.get_by_text("1 of 2 (changed)").wait_for()
    page.get_by_role("button", name="Next", exact=True).focus()
    page.keyboard.press("ArrowRight")
    case.get_by_text("2 of 2 (changed)").wait_for()
    assert case.get_by_role("heading", name="Is it 2?").is_visible()
    assert case.locator("svg").count() == 2
    page.get_by_label("Run folders or files of records").fill("")  # a path of this machine
    shoot(page, "compare")


def test_uploads_go_when_the_page_is_closed(browser: "Browser", address: tuple[str, Path], tmp_path: Path) -> None:
    url, folder = address
    own = tmp_path / "patient-of-mine.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (32, 32), np.uint8)).save(own)
    with at(browser, url) as page:
        upload(page, own)
        page.wait_for_timeout(2000)
        assert list(folder.rglob(own.name))
    with at(browser, url) as page:
        for _ in range(30):
            if not list(folder.rglob(own.name)):
                return
            page.wait_for_timeout(1000)
    pytest.fail("the upload is still there")
