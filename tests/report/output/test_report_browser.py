"""The page in a real browser, from a file, where one is installed: hover, focus, pins and switches."""

import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from browser import BROKEN_WORDS, opened
from PIL import Image

from medglip.grounding.types import Region
from medglip.grounding.vocabulary.sentences import Sentence
from medglip.report.output.grounded import GroundedReport, from_json, to_json
from medglip.report.output.html import page
from medglip.report.output.write import BROWSERS, write_pdf

pytestmark = [
    pytest.mark.thorough,
    pytest.mark.skipif(not any(map(shutil.which, BROWSERS)), reason="no Chromium or Chrome is installed"),
]
PROBE = """<script>
{
const said = {}, sentences = document.querySelectorAll(".spoken");
const region = document.querySelector('g[data-region="0"]');
const lit = () => document.querySelector(".lit-region")?.dataset.region ?? "";
const litSentences = () => document.querySelector(".spoken.lit")?.firstChild.data;
const point = (element, kind) => element.dispatchEvent(new PointerEvent(kind));
const focus = (element, kind) => element.dispatchEvent(new FocusEvent(kind, { bubbles: true })); // no window, no focus
const key = (element, name) => element.dispatchEvent(new KeyboardEvent("keydown", { key: name, bubbles: true }));
point(sentences[1], "pointerenter"); said.hover = lit();
point(sentences[1], "pointerleave"); said.leave = lit();
point(region, "pointerenter"); said.region = litSentences(); point(region, "pointerleave");
focus(sentences[0], "focusin"); said.focus = lit(); focus(sentences[0], "focusout"); said.blur = lit();
focus(region, "focusin"); said.regionFocus = litSentences();
key(region, "Enter"); focus(region, "focusout"); said.pinned = lit();
key(document, "Escape"); said.escaped = lit();
const masks = document.querySelector('[data-layer="masks"]'), box = document.querySelector('[data-toggle="1"]');
masks.click(); said.masks = getComputedStyle(document.querySelector(".mg-region path")).display;
box.click(); said.off = getComputedStyle(document.querySelector('g[data-region="1"]')).display;
document.title = JSON.stringify(said);
}
</script></body>"""


def make_page() -> str:
    mask = np.zeros((48, 64), bool)
    mask[10:20, 8:24] = True
    nodule = Region(phrase="nodule", box_xyxy_px=np.array([8, 10, 24, 20], np.float32), mask=mask, score=0.9)
    heart = Region(phrase="heart", box_xyxy_px=np.array([30, 20, 60, 40], np.float32), score=0.8)
    return page(
        GroundedReport(
            report_id="r1",
            image="a.png",
            size_px=(64, 48),
            sentences=(Sentence(text="A nodule.", regions=(nodule,)), Sentence(text="A heart.", regions=(heart,))),
        ),
        Image.new("L", (64, 48), 90),
    )


def test_sentences_and_regions_light_each_other_by_pointer_and_keyboard(tmp_path: Path) -> None:
    file = tmp_path / "a.html"
    file.write_text(make_page().replace("</body>", PROBE))
    command = [next(filter(None, map(shutil.which, BROWSERS))), "--headless", "--disable-gpu", "--disable-quic"]
    command += ["--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"]
    command += ["--no-sandbox"] if os.geteuid() == 0 else []
    command += [f"--user-data-dir={tmp_path}/profile", "--dump-dom", file.as_uri()]
    seen = subprocess.run(command, capture_output=True, timeout=120, text=True).stdout
    title = re.search(r"<title>(\{.*?\})</title>", seen)
    assert title is not None
    assert json.loads(title[1]) == {
        "hover": "1",
        "leave": "",
        "region": "A nodule.",
        "focus": "0",
        "blur": "",
        "regionFocus": "A nodule.",
        "pinned": "0",
        "escaped": "",
        "masks": "none",
        "off": "none",
    }


def test_it_fits_a_phone_is_dark_on_demand_and_its_switches_show_their_state(tmp_path: Path) -> None:
    file = tmp_path / "a.html"
    file.write_text(make_page())
    with opened(file, 420) as shown:
        assert shown.evaluate("document.documentElement.scrollWidth") <= 420
        assert shown.evaluate(BROKEN_WORDS, "h1, h2, .report, .regions, .facts, .switches") == []
        light = shown.evaluate("getComputedStyle(document.body).backgroundColor")
        shown.click("#theme")
        assert shown.evaluate("getComputedStyle(document.body).backgroundColor") != light
        mark = "getComputedStyle(document.querySelector('[data-layer=boxes]'), '::before').content"
        on = shown.evaluate(mark)
        shown.click("[data-layer=boxes]")
        assert shown.evaluate(mark) != on


def test_it_says_modality_date_indication_and_earlier_study() -> None:
    report = GroundedReport(
        report_id="r1", image="a.png", size_px=(64, 48), sentences=(), modality="xray", date="2026-01-31",
        indication="Cough <3 days.", prior=("b.png", "report"),
    )  # fmt: skip
    html = page(report, Image.new("L", (64, 48), 90))
    assert "<dt>Modality</dt><dd>X-ray" in html
    assert "<dt>Indication</dt><dd>Cough &lt;3 days.</dd>" in html
    assert "<dt>Earlier study</dt><dd>b.png, report</dd><dt>Date</dt><dd>2026-01-31</dd>" in html
    again = from_json(to_json(report))
    assert (again.indication, again.prior) == (report.indication, report.prior)


def test_it_prints(tmp_path: Path) -> None:
    file = tmp_path / "a.html"
    file.write_text(make_page())
    assert write_pdf(file, tmp_path / "a.pdf").read_bytes().startswith(b"%PDF")
