import os
import stat
from pathlib import Path

import pytest
from PIL import Image

from medglip.grounding.bad_input import BadInput
from medglip.report.output.grounded import GroundedReport
from medglip.report.output.write import BROWSERS, write, write_pdf


def browser_that(script: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Puts a stand-in for the browser first on the path."""
    command = folder / BROWSERS[0]
    command.write_text(f"#!/bin/sh\n{script}\n")
    command.chmod(command.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}/bin{os.pathsep}/usr/bin")


def make_page(folder: Path) -> Path:
    page = folder / "a.html"
    page.write_text("<p>x</p>")
    return page


def test_without_a_browser_it_says_what_to_do_and_keeps_the_page(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path / "nowhere"))
    report = GroundedReport(report_id="a", image="a.png", size_px=(4, 4), sentences=())
    with pytest.raises(BadInput, match="print it from your browser"):
        write(report, Image.new("L", (4, 4)), tmp_path, pdf=True)
    assert (tmp_path / "a.html").is_file()
    assert (tmp_path / "a.json").is_file()


def test_the_browser_is_given_the_page_and_its_file_arrives_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = 'for a in "$@"; do case "$a" in --print-to-pdf=*) echo "$@" > "${a#*=}";; esac; done'
    browser_that(script, tmp_path, monkeypatch)
    said = write_pdf(make_page(tmp_path), tmp_path / "out" / "a.pdf").read_text()
    assert said.rstrip().endswith((tmp_path / "a.html").as_uri())
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["a.pdf"]


def test_a_browser_that_fails_leaves_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    browser_that("exit 3", tmp_path, monkeypatch)
    with pytest.raises(BadInput, match="exit code 3"):
        write_pdf(make_page(tmp_path), tmp_path / "a.pdf")
    assert not (tmp_path / "a.pdf").exists()
