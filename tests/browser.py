"""A page of ours in a real browser: Debian's `chromium`, or another of its family that is installed."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import pytest

from medglip.report.output.write import BROWSERS

if TYPE_CHECKING:
    from playwright.sync_api import Page

BROWSER = next(filter(None, map(shutil.which, BROWSERS)), None)
needs_browser = pytest.mark.skipif(
    BROWSER is None, reason="no Chromium or Chrome is installed: apt-get install chromium"
)

BROKEN_WORDS = """selector => {
    const broken = [];
    for (const element of document.querySelectorAll(selector)) {
        const walker = document.createTreeWalker(element, NodeFilter.SHOW_TEXT);
        for (let node = walker.nextNode(); node; node = walker.nextNode()) {
            for (const word of node.data.matchAll(/[\\p{L}\\p{N}]+/gu)) {
                const range = document.createRange();
                range.setStart(node, word.index);
                range.setEnd(node, word.index + word[0].length);
                const lines = new Set([...range.getClientRects()].map((box) => Math.round(box.top)));
                if (lines.size > 1) broken.push(word[0]);
            }
        }
    }
    return broken;
}"""
"""The words of the elements of a selector that stand on two lines."""
CUT = """() => [...document.querySelectorAll("body *")].filter((element) => {
    const box = element.getBoundingClientRect();
    return box.width && box.right > innerWidth + 1 && !element.closest(".scroll, pre");
}).map((element) => element.outerHTML.slice(0, 80))"""
"""Elements that reach beyond the screen and stand in no frame that scrolls."""


@contextmanager
def opened(
    file: Path, width_px: int = 1200, scheme: Literal["light", "dark"] = "light", **context: Any
) -> Iterator["Page"]:
    """The file in a window of this width; fails for a script's error and for a request to a network."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as started:
        browser = started.chromium.launch(executable_path=BROWSER, args=["--no-sandbox", "--disable-gpu"])
        # what a test waits for is evaluated, which the pages' own policy forbids
        size: Any = {"width": width_px, "height": 900}
        page = browser.new_page(bypass_csp=True, viewport=size, color_scheme=scheme, **context)
        faults: list[str] = []
        page.on("pageerror", lambda error: faults.append(str(error)))
        page.on("console", lambda message: faults.append(message.text))
        page.on("request", lambda asked: None if asked.url.startswith(("file:", "data:")) else faults.append(asked.url))
        page.goto(file.resolve().as_uri())
        yield page
        browser.close()
        assert not faults
