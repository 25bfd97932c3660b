"""Pascal VOC: a folder with `Annotations/*.xml`, or of such files; an object may have a `score`."""

from dataclasses import replace
from functools import partial
from pathlib import Path
from xml.etree import ElementTree
from xml.etree.ElementTree import Element

from ...bad_input import explain
from ...datasets.layouts.voc import object_phrase, object_region
from ...types import Region
from .by_name import ByName
from .lines import check_size


def fits(path: Path) -> bool:
    """By the files in it."""
    return path.is_dir() and any(_files(path))


def read(path: Path, references: Path | None) -> ByName:
    """A file is of the picture of its own name."""
    roots: dict[str, Element] = {}
    for file in _files(path):
        with explain("not XML", ElementTree.ParseError, file=file, fix="copy or export the file again"):
            roots[file.stem] = ElementTree.parse(file).getroot()
    phrases = [object_phrase(item) for root in roots.values() for item in root.iter("object")]
    return ByName(path, {name: partial(_regions, path, name, root) for name, root in roots.items()}, phrases)


def _files(path: Path) -> list[Path]:
    inner = path / "Annotations"
    return sorted((inner if inner.is_dir() else path).glob("*.xml"))


def _regions(path: Path, name: str, root: Element, size_px: tuple[int, int]) -> list[Region]:
    stated = [root.findtext(f"size/{side}") for side in ("width", "height")]
    check_size(None if None in stated else [int(str(side)) for side in stated], size_px, path, name)
    found = [(item, object_region(item, size_px)) for item in root.iter("object")]
    return [replace(region, score=float(item.findtext("score") or 1)) for item, region in found]
