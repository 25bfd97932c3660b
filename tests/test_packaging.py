"""The package list in pyproject.toml is the folders on disk: a forgotten one would be missing without a word."""

import subprocess
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).parent.parent
ROOMS = ("grounding", "vqa", "report", "eval", "scripts")


def test_listed_packages_are_the_folders_on_disk() -> None:
    listed = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"]
    folders = [f for room in ROOMS for f in [ROOT / room, *(ROOT / room).rglob("*/")] if (f / "__init__.py").exists()]
    on_disk = [f for f in folders if f != ROOT / "scripts" / "bench"]  # the wheel goes without the benchmarks
    assert sorted(listed) == sorted("medglip." + ".".join(f.relative_to(ROOT).parts) for f in on_disk)


def test_no_shipped_file_is_ignored_by_git() -> None:
    """A file that git ignores is on its maker's disk and in nobody's clone."""
    data = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["package-data"]
    rooms = {room: ROOT / room.removeprefix("medglip.") for room in data}
    shipped = [str(file) for room, patterns in data.items() for p in patterns for file in rooms[room].glob(p)]
    found = subprocess.run(["git", "check-ignore", *shipped], capture_output=True, text=True, cwd=ROOT)
    assert shipped
    assert found.stdout == ""


def test_importing_a_room_is_light() -> None:
    code = (
        "import sys, medglip.grounding, medglip.eval; print([m for m in ('torch', 'transformers') if m in sys.modules])"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd="/")
    assert run.stdout.strip() == "[]"
