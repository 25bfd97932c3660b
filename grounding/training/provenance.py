"""Which images weights learned from, so that none of them is scored unnoticed: `learned.txt` beside them.

A line is the start of the sha256 of an image file, so the list says nothing of where it lay or whom it shows. Copies
in other pixels are not known by it; `medglip data leaks` looks for those.
"""

import shutil
from collections.abc import Iterable, Sequence
from pathlib import Path

from datasets import Dataset
from tqdm.auto import tqdm

from ..bad_input import BadInput, damaged
from ..datasets.schema import split_of, tables
from ..files import file_sha256, write_atomic, write_folder
from ..grounders.pretrained import checkpoint_folder

FILE = "learned.txt"
_DIGITS = 16


def write_learned(folder: Path, images: Iterable[Path], start: Path | None = None) -> None:
    """List these image files, and those that the weights in the folder `start` learned, which these go on from."""
    known = (_listed(start) if start else None) or frozenset()
    lines = sorted({*_hashes(images).values(), *known})
    write_atomic(folder / FILE, "".join(f"{line}\n" for line in lines))


def training_images(images: Dataset) -> set[Path]:
    """Those of split `train` (`IMAGE_FEATURES`)."""
    return {Path(name) for part in tables(split_of(images, "train"), ["image_path"]) for name in part[0].to_pylist()}


def learned_among(folder: Path, images: Iterable[Path]) -> set[Path]:
    """Those of the images that the weights in the folder learned. Raises `BadInput` if it does not say."""
    if (learned := _listed(folder)) is None:
        raise BadInput(
            "does not say which pictures it learned, so scores on it could be of those.",
            file=folder / FILE,
            fix="train it again with this version; or write the file, a sha256's first 16 digits a line",
        )
    return {path for path, digits in _hashes(images).items() if digits in learned}


def cores_without(cores: Sequence[Path], images: Iterable[Path]) -> dict[Path, Path]:
    """For each image the first of the cores that did not learn it: of two halves, the other half's.

    Raises `BadInput` for an image that every core learned, and for a core that does not say.
    """
    paths = set(images)
    learned = {core: learned_among(core, paths) for core in cores}
    if common := set.intersection(*learned.values()):
        problem = f"{len(common)} of {len(paths)} pictures taught every one of {len(cores)} cores, first {min(common)}."
        raise BadInput(problem, fix="give two halves: recipes/stages/half_a.yaml and half_b.yaml")
    return {path: next(core for core in cores if path not in learned[core]) for path in sorted(paths)}


def refuse_learned(folder: Path, scored: Iterable[Path]) -> None:
    """Raises `BadInput` where a scored image is one that the core in the folder learned, or if it does not say."""
    images = set(scored)
    if shared := learned_among(folder, images):
        raise BadInput(
            f"{len(shared)} of {len(images)} scored pictures taught the core {folder.name!r}, first {min(shared)}.",
            file=folder / FILE,
            fix="score others, or train a core in this recipe (leave grounding.core out): it leaves out what is scored",
        )


def place(name: str, folder: Path) -> Path:
    """Copy a trained core as it is into the folder of a run; return that folder."""
    source = checkpoint_folder(name)
    if not (folder / "config.json").exists():  # a second run finds it there
        with write_folder(folder) as partial:
            shutil.copytree(source, partial, dirs_exist_ok=True)
    return folder


def _listed(folder: Path) -> frozenset[str] | None:
    file = folder / FILE
    with damaged(file):
        return frozenset(file.read_text().split()) if file.is_file() else None


def _hashes(paths: Iterable[Path]) -> dict[Path, str]:
    files = [path for path in sorted(set(paths)) if path.is_file()]  # those that there are
    bar = tqdm(files, desc="hashes of pictures", unit="image", leave=False, disable=None)
    return {path: file_sha256(path)[:_DIGITS] for path in bar}
