"""The lock file: one version of each package that the project and its extras need, as this environment has them.

`python -m medglip.scripts.release.lock` (`make lock`) writes `constraints-cpu.txt`, with which `make install` installs
where there is no NVIDIA GPU; called from the root of a checkout whose tests have passed in this environment.
"""

import tomllib
from collections.abc import Iterable
from importlib.metadata import distribution
from pathlib import Path

import typer
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

HEAD = "# The lock file: what is developed and tested without an NVIDIA GPU. `make lock` writes it."
LEFT_OUT = {"bitsandbytes", "setuptools"}
"""What needs an NVIDIA GPU, and what installs the others."""


def main() -> None:
    """Write the versions that are installed here."""
    file = Path("constraints-cpu.txt")
    pins = [f"{name}=={version}" for name, version in sorted(installed(required(Path("pyproject.toml"))).items())]
    file.write_text("\n".join([HEAD, *pins, ""]))
    typer.echo(f"written: {file}, {len(pins)} packages")


def required(pyproject: Path) -> list[Requirement]:
    """What the project and all its extras name."""
    project = tomllib.loads(pyproject.read_text())["project"]
    lines = [*project["dependencies"], *(line for extra in project["optional-dependencies"].values() for line in extra)]
    return list(map(Requirement, lines))


def installed(wanted: Iterable[Requirement]) -> dict[str, str]:
    """Name -> version of what is asked for and of all that it needs in turn, without a build's local part (+cpu)."""
    versions: dict[str, str] = {}
    todo, seen = list(wanted), set[tuple[str, frozenset[str]]]()
    while todo:
        one = todo.pop()
        name, extras = canonicalize_name(one.name), frozenset(one.extras)
        if name in LEFT_OUT or (name, extras) in seen:
            continue
        seen.add((name, extras))
        found = distribution(name)
        versions[name] = Version(found.version).public
        needs = map(Requirement, found.requires or [])
        todo += [n for n in needs if not n.marker or any(n.marker.evaluate({"extra": e}) for e in ("", *extras))]
    return versions


if __name__ == "__main__":
    typer.run(main)
