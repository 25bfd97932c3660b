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


LOW_CONTRAST = """() => {
    const parse = (colour) => {
        const numbers = colour.match(/[\\d.]+(?:e-?\\d+)?/g).map(Number), scale = colour.startsWith("color(") ? 255 : 1;
        return [...numbers.slice(0, 3).map((one) => one * scale), numbers[3] ?? 1];
    };
    const over = (top, below) => below.map((value, i) => (i < 3 ? top[i] * top[3] + value * (1 - top[3]) : 1));
    const light = (colour) => colour.slice(0, 3)
        .map((one) => (one /= 255) <= 0.04045 ? one / 12.92 : ((one + 0.055) / 1.055) ** 2.4)
        .reduce((sum, one, i) => sum + one * [0.2126, 0.7152, 0.0722][i], 0);
    const ground = (element) => {
        const behind = element.parentElement ? ground(element.parentElement) : [255, 255, 255, 1];
        return over(parse(getComputedStyle(element).backgroundColor), behind);
    };
    const low = new Set();
    const check = (element, style, words) => {
        const behind = ground(element), own = over(parse(style.color), behind);
        const [a, b] = [light(own), light(behind)].sort((x, y) => y - x), ratio = (a + 0.05) / (b + 0.05);
        const size = parseFloat(style.fontSize), isLarge = size >= 24 || (size >= 18.66 && style.fontWeight >= 700);
        const told = `${ratio.toFixed(2)} ${words.trim().slice(0, 40)} <${element.className}>`;
        if (ratio < (isLarge ? 3 : 4.5)) low.add(told);
    };
    for (const element of document.querySelectorAll("body *")) {
        if (!element.checkVisibility({ opacityProperty: true, visibilityProperty: true })) continue;
        if (element.closest("svg, :disabled, [disabled], [aria-disabled=true]")) continue;
        const words = [...element.childNodes].filter((node) => node.nodeType === 3).map((node) => node.data).join("");
        if (words.trim()) check(element, getComputedStyle(element), words);
        if (element.matches("[type=checkbox], [type=radio], [type=range], [type=file]")) continue;
        if (element.value?.trim?.()) check(element, getComputedStyle(element), element.value);
        else if (element.placeholder) check(element, getComputedStyle(element, "::placeholder"), element.placeholder);
    }
    return [...low];
}"""
"""Texts below the contrast of WCAG 2 AA: 4.5 : 1, or 3 : 1 where they are large. What is disabled need not have it."""
