"""The package list in pyproject.toml is the folders on disk: a forgotten one would be missing without a word."""

import os
import subprocess
import sys
import tomllib
from importlib.metadata import version
from pathlib import Path

import pytest
from packaging.utils import canonicalize_name

from medglip.scripts.release.lock import LEFT_OUT, required
from medglip.scripts.start.extras import EXTRAS
from medglip.scripts.start.recipes import RECIPES, recipe_file

ROOT = Path(__file__).parent.parent
ROOMS = ("grounding", "vqa", "report", "eval", "scripts")


def test_listed_packages_are_the_folders_on_disk() -> None:
    listed = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"]
    assert listed[:2] == ["medglip", "medglip.recipes"]
    folders = [f for room in ROOMS for f in [ROOT / room, *(ROOT / room).rglob("*/")] if (f / "__init__.py").exists()]
    # the wheel goes without the benchmarks, and `package` is `medglip` itself
    others = {ROOT / "scripts" / "bench", ROOT / "scripts" / "package"}
    on_disk = [f for f in folders if others.isdisjoint((f, *f.parents))]
    assert sorted(listed[2:]) == sorted("medglip." + ".".join(f.relative_to(ROOT).parts) for f in on_disk)


def test_no_shipped_file_is_ignored_by_git() -> None:
    """A file that git ignores is on its maker's disk and in nobody's clone."""
    data = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["package-data"]
    rooms = {room: ROOT / room.removeprefix("medglip.") for room in data}
    shipped = [str(file) for room, patterns in data.items() for p in patterns for file in rooms[room].glob(p)]
    found = subprocess.run(["git", "check-ignore", *shipped], capture_output=True, text=True, cwd=ROOT)
    assert shipped
    assert found.stdout == ""


@pytest.fixture
def installed(tmp_path: Path) -> dict[str, str]:
    """An environment in which `medglip` is the root of this checkout, as pip installs it."""
    (tmp_path / "medglip").mkdir()
    own = (ROOT / "scripts" / "package").glob("*.py")
    for target in (*own, ROOT / "recipes", *(ROOT / room for room in ROOMS)):
        (tmp_path / "medglip" / target.name).symlink_to(target)
    return os.environ | {"PYTHONPATH": str(tmp_path)}


def test_the_root_is_the_package(installed: dict[str, str]) -> None:
    code = "import medglip, sys; print(medglip.__version__, 'numpy' in sys.modules)"
    for command, expected in (
        (["-c", code], f"{version('medglip')} False"),
        (["-m", "medglip", "--version"], "medglip"),
    ):
        ended = subprocess.run([sys.executable, *command], capture_output=True, text=True, cwd="/", env=installed)
        assert ended.stdout.startswith(expected), ended.stderr


def test_the_lock_file_has_one_fitting_version_of_each_package() -> None:
    lines = (ROOT / "constraints-cpu.txt").read_text().splitlines()
    locked = dict(line.split("==") for line in lines if not line.startswith("#"))
    assert len(locked) == len(lines) - 1
    wanted = [one for one in required(ROOT / "pyproject.toml") if canonicalize_name(one.name) not in LEFT_OUT]
    assert not [str(one) for one in wanted if locked[canonicalize_name(one.name)] not in one.specifier]


def test_extras_are_those_that_doctor_prices() -> None:
    listed = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    assert sorted(listed) == sorted(EXTRAS) == sorted(["app", "serve", "ray", "gpu", "negation", "docs", "dev"])
    assert all(extra.packages and extra.megabytes and extra.without for extra in EXTRAS.values())


def test_recipes_come_with_the_package() -> None:
    data = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["package-data"]
    packed = {file for key in ("*", "medglip.recipes") for pattern in data[key] for file in RECIPES.glob(pattern)}
    assert packed == set(RECIPES.rglob("*.yaml"))
    assert recipe_file("quickstart") == RECIPES / "quickstart.yaml"


def test_importing_a_room_is_light() -> None:
    code = (
        "import sys, medglip.grounding, medglip.eval; print([m for m in ('torch', 'transformers') if m in sys.modules])"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd="/")
    assert run.stdout.strip() == "[]"
