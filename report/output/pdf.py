"""A page to PDF through the print style of an installed browser (Chromium or Chrome); nothing is fetched."""

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from ...grounding.bad_input import BadInput

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome", "msedge")
"""Names of the command, in order of preference."""
# The first line prints; the second keeps the browser from the network.
_FLAGS = (
    *("--headless", "--disable-gpu", "--no-first-run", "--no-pdf-header-footer"),
    *("--disable-quic", "--disable-background-networking", "--disable-component-update", "--disable-sync"),
)


def write_pdf(page: Path, pdf: Path, *, timeout_s: float = 120) -> Path:
    """Print an HTML file to a PDF, whole or not at all; returns it.

    Raises `BadInput` where no such browser is installed, and where it fails or takes longer than `timeout_s`.
    """
    browser = next(filter(None, map(shutil.which, BROWSERS)), None)
    if browser is None:
        fix = "install Chromium or Chrome, or open the HTML page and print it from your browser"
        raise BadInput("no browser here can print a PDF.", fix=fix)
    with tempfile.TemporaryDirectory() as folder:
        partial = Path(folder) / "page.pdf"
        command = [browser, *_FLAGS, f"--user-data-dir={folder}/profile", f"--print-to-pdf={partial}"]
        if hasattr(os, "geteuid") and os.geteuid() == 0:
            command.append("--no-sandbox")  # Chromium refuses root otherwise; the page may load nothing at all
        try:
            done = subprocess.run([*command, page.resolve().as_uri()], capture_output=True, timeout=timeout_s)
            why = f"exit code {done.returncode}" if done.returncode or not partial.is_file() else ""
        except (OSError, subprocess.TimeoutExpired) as error:
            why = type(error).__name__
        if why:
            raise BadInput(f"the browser printed no PDF ({why}).", file=page, fix="open the page and print it")
        pdf.parent.mkdir(parents=True, exist_ok=True)
        # The temporary folder may be on another disk, where a rename is no longer whole or nothing.
        beside = pdf.with_name(f".{pdf.name}.{os.getpid()}")
        shutil.copyfile(partial, beside)
        return beside.replace(pdf)
