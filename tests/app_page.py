"""The page of `medglip app` in a real browser, as its tests use it."""

import io
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from PIL import Image

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Locator, Page

SECONDS = 300
OF_GRADIO = [
    pytest.mark.filterwarnings(
        "ignore::DeprecationWarning",
        "ignore::UserWarning",
        "ignore::ResourceWarning",
        "ignore::pytest.PytestUnraisableExceptionWarning",
    ),
    pytest.mark.usefixtures("loops_of_gradio"),
]
"""Marks of tests that run gradio in this process: it leaves event loops unclosed, and warns of its own affairs."""


@contextmanager
def at(browser: "Browser", url: str, width_px: int = 1200, **context: Any) -> Iterator["Page"]:
    """The page in a window of this width, with the model `rules`; fails for errors of scripts and foreign requests."""
    size: Any = {"width": width_px, "height": 900}
    opened = browser.new_page(viewport=size, **context)
    opened.set_default_timeout(SECONDS * 1000)
    faults: list[str] = []
    opened.on("pageerror", lambda error: faults.append(str(error)))

    def only_here(route: Any) -> None:
        if route.request.url.startswith((url, "data:", "blob:")):
            route.continue_()
        else:
            faults.append(route.request.url)
            route.abort()

    opened.route("**/*", only_here)
    opened.goto(url, wait_until="domcontentloaded")
    choose(opened, "Model", "rules")
    yield opened
    opened.close()
    assert not faults


def choose(page: "Page", label: str, option: str) -> None:
    page.get_by_label(label, exact=True).click()
    page.get_by_role("option", name=option, exact=True).click()


def upload(page: "Page", *files: Path) -> None:
    page.set_input_files("#mg-files input[type=file]", files)
    page.locator("#mg-files").get_by_text(files[0].stem).first.wait_for()


def look(page: "Page") -> "Locator":
    """The rows of the list, once the picture is there."""
    page.get_by_role("button", name="Look", exact=True).click()
    rows = page.locator("#mg-look .mg-row")
    rows.first.wait_for()
    return rows


def shoot(page: "Page", name: str) -> None:
    """Keep what is seen, where somebody wants it."""
    if folder := os.environ.get("MEDGLIP_SHOTS"):
        Path(folder).mkdir(parents=True, exist_ok=True)
        shot = Image.open(io.BytesIO(page.screenshot(full_page=True))).convert("RGB")
        shot.thumbnail((1000, 1600))
        shot.save(Path(folder) / f"{name}.webp", quality=75, method=6)


def ask(page: "Page", question: str, answers: int) -> None:
    page.get_by_label("Question").fill(question)
    page.get_by_role("button", name="Ask", exact=True).click()
    page.locator("#mg-answers .mg-answer").nth(answers - 1).wait_for()
