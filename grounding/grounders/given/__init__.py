"""Regions that somebody else found, as a grounder: a file or folder in one of `FORMATS`, a row and a module each.

A module holds `fits(path) -> bool` and `read(path, references) -> GivenRegions`.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from importlib import import_module
from pathlib import Path
from typing import Any

from ...bad_input import BadInput
from ...files import file_sha256, sha256
from ...grounder import Grounder, Images, Phrases, true_regions
from ...modalities import MODALITIES
from ...types import Region
from .by_name import GivenRegions

FORMATS: dict[str, str] = {
    "lines": "regions.jsonl, as `medglip grounding predict` writes it",
    "medvp": "MedVP: a list of rows with image, bboxes (x, y, width, height in pixels) and entities",
    "coco": "COCO with scores, or COCO results with `,instances.json` behind them",
    "voc": "Pascal VOC: Annotations/*.xml",
    "nifti": "NIfTI labels: NAME.nii.gz for pictures NAME or NAME-axial-0012, names in classes.yaml or dataset.json",
    "dicom_seg": "DICOM SEG beside the images that it refers to",
}
"""The module of each format -> what is read; the first that fits a path reads it."""


@dataclass(frozen=True)
class Place:
    """Where regions lie; `references`: the COCO instances file that explains COCO results."""

    path: Path
    references: Path | None = None

    @classmethod
    def of(cls, name: str) -> "Place":
        """Of `regions.jsonl`, a folder, or `results.json,instances.json`."""
        path, _, references = name.partition(",")
        return cls(Path(path), Path(references)) if references else cls(Path(path))

    @property
    def format(self) -> Any:
        """The module that reads it; None for what is no file of regions, such as a core."""
        modules = (import_module(f".{name}", __name__) for name in FORMATS)
        return next((module for module in modules if module.fits(self.path)), None)


def is_given(name: str) -> bool:
    """Whether a name means a file or folder of regions: it is there, and is no folder of weights."""
    path = Place.of(name).path
    weights = any((path / inner / "config.json").is_file() for inner in ("", "model"))
    return path.exists() and not weights and Place.of(name).format is not None


class GivenGrounder(Grounder):
    """The regions of a file, by the name of the picture; nothing looks at pixels.

    A phrase is answered as by the oracle: regions of its own name, else of what it contains in the label tree.
    """

    threshold = 0.0
    depends_on_name = True

    def __init__(self, name: str):
        place = Place.of(name)
        if (module := place.format) is None:
            fix = "one of: " + "; ".join(FORMATS.values())
            raise BadInput("no regions in a known format.", file=place.path, fix=fix)
        self.name, self.given = name, read_place(module, place)
        files = [file for path in (place.path, place.references) if path for file in _files(path)]
        digest = "\n".join(
            [module.__name__.rpartition(".")[2], *(f"{file.name} {file_sha256(file)}" for file in files)]
        )
        self.fingerprint = sha256(digest)

    @property
    def vocabulary(self) -> dict[str, list[str]]:
        """In every modality whatever the file names."""
        return {modality: list(self.given.phrases) for modality in MODALITIES}

    def ground(self, images: Images, phrases: Phrases) -> list[list[Region]]:
        """The regions of each picture, best first. Raises `BadInput` for a picture that the file does not know."""
        return [self._ground(image, row) if row else [] for image, row in zip(images, phrases, strict=True)]

    def _ground(self, image: Any, phrases: Sequence[str]) -> list[Region]:
        if (found := self.given.of(image)) is None:
            fix = "pictures meet regions by file name; name it there, without regions where nothing was found"
            raise BadInput(f"{self.name} has no picture {image.image_path.name!r}.", file=image.image_path, fix=fix)
        own = replace(image, regions=tuple(found), phrases=tuple(dict.fromkeys(region.phrase for region in found)))
        return sorted(true_regions(own, phrases), key=lambda region: -region.score)


def read_place(module: Any, place: Place) -> GivenRegions:
    """What lies there. Raises `BadInput` where nothing in it can be used."""
    given: GivenRegions = module.read(place.path, place.references)
    return given


def _files(path: Path) -> list[Path]:
    return [path] if path.is_file() else sorted(file for file in path.rglob("*") if file.is_file())
