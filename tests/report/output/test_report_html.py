import base64
import re
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
from PIL import Image

from medglip.grounding.imaging.drawing import colours_of, svg_outline
from medglip.grounding.types import Region
from medglip.grounding.vocabulary.attribution import attribute, sentences_of
from medglip.grounding.vocabulary.contradictions import Contradiction
from medglip.grounding.vocabulary.labels import load_labels
from medglip.grounding.vocabulary.sentences import Sentence
from medglip.report.output.grounded import GroundedReport
from medglip.report.output.html import page

EVIL = "<script>alert(1)</script> & \"x\" 'y' $title"
IMAGE = Image.new("RGB", (64, 48), (40, 60, 80))


def region(phrase: str, mask: bool = False) -> Region:
    mask_HW = np.zeros((48, 64), bool)
    mask_HW[10:20, 8:24] = True
    box = np.array([8, 10, 24, 20], np.float32)
    return Region(phrase=phrase, box_xyxy_px=box, mask=mask_HW if mask else None, score=0.5)


def make_page(*sentences: Sentence, **facts: object) -> str:
    values = {"report_id": "r1", "image": "a.png"} | facts
    return page(GroundedReport(size_px=(64, 48), sentences=sentences, **values), IMAGE)  # pyright: ignore[reportArgumentType]


class Tags(HTMLParser):
    """Counts start tags and collects every attribute that could load something."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[str] = []
        self.links: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append(tag)
        self.links += [value or "" for name, value in attrs if name in ("src", "href", "action", "data", "xlink:href")]


def parse(text: str) -> Tags:
    tags = Tags()
    tags.feed(text)
    return tags


def test_every_text_is_escaped() -> None:
    html = make_page(
        Sentence(text=EVIL, regions=(region(EVIL),)),
        Sentence(text=EVIL, is_negated=True),
        report_id=EVIL,
        image="<script>x",
        model=EVIL,
        adapter=EVIL,
        notice=EVIL,
    )
    assert "alert(1)</script>" not in html
    assert parse(html).seen.count("script") == 1


def test_page_needs_nothing_but_itself() -> None:
    html = make_page(Sentence(text="A nodule.", regions=(region("nodule", mask=True),)))
    links = parse(html).links
    assert links
    assert all(link.startswith(("data:image/jpeg;base64,", "data:image/svg+xml,")) for link in links)
    assert not re.search(r"@import|url\(|fetch\(|XMLHttpRequest", html)
    assert "default-src 'none'" in html


def test_sentences_and_regions_point_at_each_other() -> None:
    first, second = region("nodule"), region("heart")
    html = make_page(Sentence(text="Both.", regions=(second, first)), Sentence(text="None here."))
    assert 'data-regions="0 1"' in html
    assert len(re.findall(r'<g class="mg-region mg-predicted"[^>]*data-region="[01]"', html)) == 2
    assert len(re.findall(r'<li data-region="[01]"', html)) == 2
    assert "<span>None here.</span>" in html


def test_page_without_regions_or_text_is_still_whole() -> None:
    html = make_page()
    assert "No text." in html
    assert "Research use, not for diagnosis." in html
    assert "<div hidden>" in html


def test_a_phrase_has_one_colour() -> None:
    inks = colours_of(["a", "b", "a"])
    assert list(inks) == ["a", "b"]
    assert inks["a"] != inks["b"]


def test_outline_follows_the_mask_in_its_own_pixels() -> None:
    mask = np.zeros((400, 600), bool)
    mask[100:300, 50:250] = True
    mask[0:20, 580:600] = True  # at the border: must close there
    path = svg_outline(mask, max_side=300)
    points = np.array([[float(v) for v in point.split(",")] for point in re.findall(r"[-\d.]+,[-\d.]+", path)])
    assert path.count("M") == path.count("Z") == 2
    square = points[points[:, 0] < 400]
    assert np.abs(square.min(0) - [50, 100]).max() <= 2
    assert np.abs(square.max(0) - [250, 300]).max() <= 2
    assert svg_outline(np.zeros((4, 4), bool), 300) == ""


def test_the_embedded_picture_carries_no_metadata() -> None:
    tagged = Image.new("RGB", (64, 48))
    tagged.getexif()[0x010E] = "PATIENT NAME"
    tagged.info["comment"] = b"PATIENT NAME"
    report = GroundedReport(report_id="r1", image="a.png", size_px=(64, 48), sentences=())
    data = re.search(r"base64,([^\"]+)", page(report, tagged))
    assert data is not None
    assert b"PATIENT" not in base64.b64decode(data[1])


def both_ways(text: str, *contradictions: Contradiction) -> str:
    regions = (region("nodule", mask=True), region("heart"))
    read = attribute(text, regions, load_labels(), num_shown=2)
    report = GroundedReport(
        report_id="r1",
        image="a.png",
        size_px=(64, 48),
        sentences=sentences_of(read, regions),
        regions=regions,
        attributions=read,
        contradictions=contradictions,
        grounder="small",
    )
    return page(report, IMAGE)


def test_flags_are_marked_and_listed_and_the_text_stays() -> None:
    flag = Contradiction(sentence=0, phrase="nodule", said="present", chance=0.03)
    html = both_ways("A nodule [1]. A fracture. No effusion [9].", flag)
    assert 'class="spoken flagged"' in html
    assert "A nodule." in html
    assert "<li>Sentence 1 says “nodule” is present; the grounder gives it a chance of 0.03.</li>" in html
    assert '<span class="unsupported">A fracture.' in html
    assert "<li>Sentence 2 rests on no region, cited or found.</li>" in html
    assert "<li>Sentence 3 cites [9], which is not there.</li>" in html
    assert "1 of 1 cited regions found again" in html


def test_a_number_is_hollow_where_one_way_alone_gives_the_region() -> None:
    html = both_ways("A nodule [1]. The heart is large.")
    assert re.search(r'<sup [^>]*title="cited and found">1</sup>', html)
    assert re.search(r'<sup [^>]*title="found" class="one-way">2</sup>', html)


def test_nothing_to_check_shows_no_list() -> None:
    html = both_ways("A nodule [1].")
    assert "<div hidden>\n<h2>To check" in html


def test_regions_can_be_reached_by_keyboard_and_layers_switched() -> None:
    html = both_ways("A nodule [1].")
    assert len(re.findall(r'<g class="mg-region[^>]*tabindex="0" role="button"', html)) == 2
    assert re.findall(r'data-layer="(\w+)"', html) == ["boxes", "masks", "numbers"]
    assert 'data-layer="masks"' not in make_page(Sentence(text="A nodule.", regions=(region("nodule"),)))


def test_weak_regions_that_no_sentence_speaks_of_begin_switched_off() -> None:
    spoken, weak, clear = (replace(region("nodule"), score=score) for score in (0.1, 0.2, 0.4))
    html = make_page(Sentence(text="A nodule.", regions=(spoken,)), regions=(spoken, weak, clear))
    assert re.findall(r'<input type="checkbox"( checked)? data-toggle="(\d)"', html) == [
        (" checked", "0"),
        ("", "1"),
        (" checked", "2"),
    ]


def test_print_style_keeps_the_notice_on_every_sheet() -> None:
    assert re.search(r"@page \{[^@]*@bottom-left \{ content: \"Research use, not for diagnosis\.\"", make_page())
