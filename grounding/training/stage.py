"""The stage that `grounding` of a recipe describes: its region sets, less what is scored; training; vocabulary."""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from datasets import Dataset, concatenate_datasets

from ..bad_input import Skipped
from ..datasets.load import keep_half, load_images
from ..datasets.phantoms import dataset as phantom
from ..datasets.schema import label_of_phrase, tables
from ..files import write_atomic
from ..grounders.pretrained import vocabulary_of
from ..run_folder import RunFolder
from ..types import AnnotatedImage
from .core import train
from .loop import processes
from .provenance import place
from .recipe import CoreRecipe


@dataclass(frozen=True)
class HeldOut:
    """What tasks are scored on, so that no training sees it: images by resolved path, groups (patients) by folder.

    A patient's folder is the one that bears the group's name (p10000032 in MIMIC-CXR), else that of the image.
    """

    images: frozenset[str] = frozenset()
    groups: frozenset[tuple[str, str]] = frozenset()

    @classmethod
    def of(cls, annotated_images: Iterable[AnnotatedImage]) -> "HeldOut":
        """The images, and their groups."""
        places = {(image.image_path.resolve(), image.group) for image in annotated_images}
        images = frozenset(str(path) for path, _ in places)
        return cls(images, frozenset(_patient(path, group) for path, group in places))

    def left_out_of(self, data: Dataset) -> Dataset:
        """The rows without those of split train whose image or group is held out."""
        if not (self.images and len(data)):
            return data
        stays: list[bool] = []
        for columns in _columns(data, "split", "image_path", "group"):
            for split, name, group in zip(*columns, strict=True):
                # rows of other splits are not trained on; their files are not even looked up
                path = Path(name).resolve() if split == "train" else None
                is_held_out = path and (str(path) in self.images or _patient(path, group) in self.groups)
                stays.append(not is_held_out)
        return data if all(stays) else data.select(np.flatnonzero(stays))


def _patient(path: Path, group: str) -> tuple[str, str]:
    """Folder and name of a patient: groups of one name in the folders of two sets are two patients."""
    # files/p10/p10000032/s50414267/x.dcm of group 10000032 -> files/p10/p10000032
    named = (folder for folder in path.parents if folder.name in (group, f"p{group}"))
    return str(next(named, path.parent)), group


def draw_phantoms(recipe: CoreRecipe) -> Path | None:
    """Folder of the recipe's phantoms, drawn now if they are not there; None if it draws none."""
    if recipe.phantoms is None:
        return None
    folder = RunFolder(recipe.out_dir).phantoms_dir
    phantom.write(folder, recipe.phantoms)
    return folder


def core_images(recipe: CoreRecipe, held_out: HeldOut, skipped: Skipped) -> Dataset:
    """Region sets of the recipe, phantoms first, without training images that a task is scored on."""
    # phantoms lie in the run's folder, not below MEDGLIP_DATA, and bring their splits
    sets = [d for d in recipe.grounding.data if d.layout != "phantom"]
    folder = draw_phantoms(recipe) if len(sets) < len(recipe.grounding.data) else None
    half = recipe.grounding.half
    data, left_out = load_images(sets, recipe.seed, half)
    skipped.entries += left_out.entries
    if folder:
        drawn = phantom.read(folder)
        data = concatenate_datasets([keep_half(drawn, half) if half else drawn, data])
    return held_out.left_out_of(data)


def vocabulary(data: Dataset) -> dict[str, tuple[str, ...]]:
    """For each modality what its region sets annotate: what is looked for when nobody asks.

    Of a sentence the label that it is below, since a sentence of one report is not looked for in other images.
    """
    by_modality: dict[str, dict[str, None]] = {}  # the inner one is an ordered set
    for table in tables(data, ("modality", "phrases", "regions")):
        labels = label_of_phrase(table)
        for row in table.select(["modality", "phrases"]).to_pylist():
            own: list[str] = row["phrases"]
            named = dict.fromkeys(labels.get(phrase, phrase) for phrase in own)
            by_modality.setdefault(row["modality"], {}).update(named)
    return {modality: tuple(phrases) for modality, phrases in by_modality.items()}


def train_core(recipe: CoreRecipe, data: Dataset) -> Path:
    """Train the core on the images, or go on, or return at once; return its folder, `out_dir / "grounding/model"`.

    A core that the recipe takes as it is comes there, too.
    """
    section, run = recipe.grounding, RunFolder(recipe.out_dir)
    if not section.core:
        train(data, section.settings, run.grounding_dir, sets=section.data)
    with processes().main_process_first():  # each writes the same, and one of them must be first
        if section.core:
            place(section.core, run.core_dir)
        words, beside = json.dumps(looked_for(recipe, data), indent=1), run.core_dir / run.vocabulary_file.name
        # beside the weights, since another recipe may take that folder; finished runs of before stay as they are
        if not section.core and (beside.exists() or not run.vocabulary_file.exists()):
            write_atomic(beside, words)
        write_atomic(run.vocabulary_file, words)
    return run.core_dir


def looked_for(recipe: CoreRecipe, data: Dataset) -> dict[str, tuple[str, ...]]:
    """For each modality what is looked for when nobody asks: what the recipe's sets annotate, or the core knows."""
    if not recipe.grounding.core:
        return vocabulary(data)
    return {name: tuple(phrases) for name, phrases in vocabulary_of(recipe.grounding.core).items()}


def _columns(data: Dataset, *names: str) -> Iterable[list[list[Any]]]:
    return ([table[name].to_pylist() for name in names] for table in tables(data, names))
