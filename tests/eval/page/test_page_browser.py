"""The page in a real browser: nothing is cut or broken at 420 px, tables scroll by keyboard, it is dark and prints."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import pytest
from browser import BROKEN_WORDS, CUT, needs_browser, opened

from medglip.eval.page.cases import pick_cases
from medglip.eval.page.content import Content, RunFacts
from medglip.eval.page.html import page
from medglip.eval.page.systems import make_system, pairs_of
from medglip.eval.settings import EvalSettings

pytestmark = [pytest.mark.thorough, needs_browser]
TEXT = "h1, .subtitle, .answer, .notice, nav, th, td, label, figcaption, .shows, .case, summary"
SETTINGS = EvalSettings(resamples=20)


@pytest.fixture
def file(record: Callable[..., Any], tmp_path: Path) -> Path:
    """The page of four systems of questions on fourteen images."""
    systems = []
    for number, source in enumerate(("none", "predicted", "oracle", "shuffled")):
        said = ["yes" if (k + number) % 3 else "no" for k in range(14)]
        records = [record(k, "vqa", "yes", text, answer_type="closed", evidence=source) for k, text in enumerate(said)]
        made = make_system(source, "vqa", records, SETTINGS, file=f"records/vqa-{source}.jsonl", file_sha256="0" * 64)
        systems.append(made)
    content = Content(
        title="quickstart",
        runs=[RunFacts(name="quickstart", title="Does evidence help a small language model?", settings="seed: 0")],
        systems=systems,
        pairs=pairs_of(systems, SETTINGS),
        cases=pick_cases(systems, 100, seed=0),
        pictures={},
        commands=["medglip eval vqa records/vqa-none.jsonl --resamples 20 --protocol exact_match --seed 0 --cases 12"],
    )
    path = tmp_path / "page.html"
    path.write_text(page(content))
    return path


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width_px", [420, 1400])
def test_no_word_is_broken_and_nothing_is_cut(file: Path, width_px: int, scheme: Literal["light", "dark"]) -> None:
    with opened(file, width_px, scheme) as shown:
        assert shown.evaluate("document.documentElement.scrollWidth") <= width_px
        assert shown.evaluate(CUT) == []
        assert shown.evaluate(BROKEN_WORDS, TEXT) == []
        paper = shown.evaluate("getComputedStyle(document.body).backgroundColor")
        assert paper == {"light": "rgb(251, 250, 248)", "dark": "rgb(18, 20, 22)"}[scheme]


def test_a_wide_table_scrolls_by_keyboard_and_has_a_shadow_where_it_is_cut(file: Path) -> None:
    with opened(file, 420) as shown:
        frame = shown.locator("#differences .scroll").first
        assert frame.evaluate("frame => frame.scrollWidth > frame.clientWidth")
        assert "linear-gradient" in frame.evaluate("frame => getComputedStyle(frame).backgroundImage")
        frame.focus()
        assert frame.evaluate("frame => frame === document.activeElement")
        for _ in range(3):
            shown.keyboard.press("ArrowRight")
        shown.wait_for_function("document.querySelector('#differences .scroll').scrollLeft > 0")


def test_failures_come_first_and_the_keys_walk_through_them(file: Path) -> None:
    with opened(file) as shown:
        first = shown.locator(".case").first
        marks = [shown.locator(".case").nth(k).locator(".wrong").count() for k in range(5)]
        assert marks == sorted(marks, reverse=True)
        assert marks[0] > 0
        shown.keyboard.press("j")
        assert first.evaluate("element => element === document.activeElement")


def test_the_button_turns_it_dark_and_it_prints_without_what_only_a_screen_has(file: Path) -> None:
    with opened(file) as shown:
        light = shown.evaluate("getComputedStyle(document.body).backgroundColor")
        shown.click("#theme")
        assert shown.evaluate("getComputedStyle(document.body).backgroundColor") != light
        assert shown.pdf().startswith(b"%PDF")
        shown.emulate_media(media="print")
        assert not shown.locator("nav").is_visible()
        assert not shown.locator("#filters").is_visible()
        assert shown.locator("#scores table").first.is_visible()


def test_the_line_on_top_answers_the_title(file: Path) -> None:
    with opened(file) as shown:
        told = shown.locator(".answer").inner_text()
        assert told.startswith("Questions: ")
        assert "with none" in told
        assert "with another image's regions" in told
        assert shown.locator("#chart .plot").count() >= 2
