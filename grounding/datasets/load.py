"""Region sets of a recipe as one `datasets.Dataset`: each layout's adapter, the split by group, masks as RLE.

Images stream into Arrow one at a time, so that no more than one image's masks are ever decoded; a built dataset is
memory-mapped, so that its size does not matter.
"""

import os
from collections.abc import Iterator, Sequence
from dataclasses import replace
from importlib import import_module
from pathlib import Path

import numpy as np
import pyarrow as pa
from datasets import Dataset, concatenate_datasets
from tqdm.auto import tqdm

from ..bad_input import BadInput, Skipped
from ..types import AnnotatedImage
from ..vocabulary.labels import load_labels
from .building import built
from .corpus import data_folder, held_out
from .schema import images, to_dataset
from .settings import LAYOUTS, DataSettings


def load_images(data: Sequence[DataSettings], seed: int) -> tuple[Dataset, Skipped]:
    """All sets with `IMAGE_FEATURES`, in the order given, and what was left out of them.

    Raises `BadInput` for a missing folder, an unreadable annotation file, and two sets of one name.
    """
    names = [settings.name for settings in data]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise BadInput(f"two data sets are named {twice[0]!r}.", fix="names are last parts of `path`; rename a folder")
    skipped = Skipped()
    parts = [to_dataset(()), *(_load(settings, seed, skipped) for settings in data)]
    return concatenate_datasets(parts), skipped


def _load(settings: DataSettings, seed: int, skipped: Skipped) -> Dataset:
    """One set, cut to the limit, then split where it does not do so itself."""
    if settings.layout == "built" and not (settings.absent or settings.boxes_only):
        data = built.mapped(set_folder(settings))
    else:
        progress = tqdm(read_set(settings, skipped), desc=settings.name, unit="image", leave=False, disable=None)
        data = to_dataset(_add_absent(image, settings) for image in progress)
    if settings.limit is not None and len(data) > settings.limit:
        chosen = np.random.default_rng(seed).choice(len(data), settings.limit, replace=False)
        data = Dataset(data.with_format("arrow")[np.sort(chosen)])  # pyright: ignore[reportArgumentType]
    splits, groups = data["split"][:], data["group"][:]
    if all(splits):
        return data
    # only rows without a split are drawn; the groups of the others do not weigh in
    open_groups = [group for group, split in zip(groups, splits, strict=True) if not split]
    val = held_out(open_groups, settings.val_fraction, seed)
    splits = [split or ("val" if group in val else "train") for group, split in zip(groups, splits, strict=True)]
    index, column = data.column_names.index("split"), pa.array(splits, pa.string())
    return Dataset(data.data.set_column(index, "split", column))


def _add_absent(image: AnnotatedImage, settings: DataSettings) -> AnnotatedImage:
    """The image with the absent phrases of its set, and without masks if those are not wanted.

    Raises `BadInput` where an absent phrase is there.
    """
    absent = [load_labels().label(phrase) for phrase in settings.absent]
    there = {word for region in image.regions for word in (region.phrase, *region.path)}
    if wrong := sorted(there.intersection(absent)):
        problem = f"{wrong[0]!r} is said to be absent, yet {image.image_id} shows it."
        raise BadInput(problem, fix="take it out of `absent`")
    regions = image.regions
    if settings.boxes_only:
        regions = tuple(replace(region, mask=None) for region in regions)
    return replace(image, regions=regions, phrases=tuple(dict.fromkeys([*image.phrases, *absent])))


def read_set(settings: DataSettings, skipped: Skipped) -> Iterator[AnnotatedImage]:
    """Images of one set as its adapter gives them, one at a time: no limit, and split "" where the set brings none."""
    layout, folder = LAYOUTS[settings.layout], set_folder(settings)
    reader = import_module(layout.module or f".layouts.{settings.layout}", __package__)
    if settings.layout == "phantom":
        return images(reader.read(folder))
    options = {key: getattr(settings, key) for key in ("modality", *layout.options)}
    return reader.read(folder, skipped, **{key: value for key, value in options.items() if value})


def set_folder(settings: DataSettings) -> Path:
    """Where the set lies. Raises `BadInput` for no such folder, and for a relative path without MEDGLIP_DATA."""
    if not os.environ.get("MEDGLIP_DATA") and not Path(settings.path).is_absolute():
        fix = "set the environment variable MEDGLIP_DATA to the folder that holds it, or give an absolute path"
        raise BadInput(f"where {settings.path!r} lies is not known.", fix=fix)
    return data_folder(Path(settings.path))
