"""Region sets of a recipe as one `datasets.Dataset`: each layout's adapter, the split by group, masks as RLE.

Images stream into Arrow one at a time, so that no more than one image's masks are ever decoded; a built dataset is
memory-mapped, so that its size does not matter.
"""

import os
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from importlib import import_module
from pathlib import Path

import numpy as np
import pyarrow as pa
from datasets import Dataset, concatenate_datasets
from tqdm.auto import tqdm

from ..bad_input import BadInput, Skipped, repeated
from ..types import AnnotatedImage
from ..vocabulary.labels import load_labels
from .building import built
from .corpus import data_folder, held_out
from .parts import Half, draw_halves, draw_parts
from .schema import images, to_dataset
from .settings import LAYOUTS, DataSettings


def load_images(data: Sequence[DataSettings], seed: int, half: Half = "") -> tuple[Dataset, Skipped]:
    """All sets with `IMAGE_FEATURES`, in the order given, and what was left out of them.

    `seed`: of limits and of sets with `val_fraction`. `half`: of the images of split `train` only those of one half.
    Raises `BadInput` for a missing folder, an unreadable annotation file, and two sets of one name.
    """
    if twice := repeated(settings.name for settings in data):
        raise BadInput(
            f"two data sets are named {min(twice)!r}.", fix="names are last parts of `path`; rename a folder"
        )
    skipped = Skipped()
    sets = [to_dataset(()), *(_load(settings, seed, half, skipped) for settings in data)]
    return concatenate_datasets(sets), skipped


def _load(settings: DataSettings, seed: int, half: Half, skipped: Skipped) -> Dataset:
    """One set, with the splits that it lacks, cut to its licences, half and limit."""
    changes = settings.absent or settings.boxes_only or settings.body_part or settings.block > 1
    if settings.layout == "built" and not changes:
        data = built.mapped(set_folder(settings), settings.allow_outside)
    else:
        progress = tqdm(read_set(settings, skipped), desc=settings.name, unit="image", leave=False, disable=None)
        data = to_dataset(_add_absent(image, settings) for image in progress)
    # splits and halves are of the whole set, so that no filter moves a patient
    is_filtered, unfiltered = bool(settings.licences), settings.model_copy(update={"licences": ()})
    whole = to_dataset(read_set(unfiltered, Skipped())) if is_filtered else data
    groups, splits = whole["group"][:], [""] * len(whole) if settings.split == "hash" else whole["split"][:]
    parts = _parts_of(groups, splits, settings.val_fraction, seed)
    if settings.limit is not None and len(data) > settings.limit:
        chosen = np.random.default_rng(seed).choice(len(data), settings.limit, replace=False)
        data = Dataset(data.with_format("arrow")[np.sort(chosen)])  # pyright: ignore[reportArgumentType]
    if not all(splits):
        own = data["split"][:] if settings.split == "keep" else [""] * len(data)
        new = [split or parts[group] for group, split in zip(data["group"][:], own, strict=True)]
        index, column = data.column_names.index("split"), pa.array(new, pa.string())
        data = Dataset(data.data.set_column(index, "split", column))
    return keep_half(data, half, (Counter(groups), parts)) if half else data


def _parts_of(groups: Sequence[str], splits: Sequence[str], val_fraction: float | None, seed: int) -> dict[str, str]:
    """The split of each group of a set; `splits`: what its rows state, "" where that is nothing."""
    sizes = Counter(group for group, split in zip(groups, splits, strict=True) if not split)
    if val_fraction is None:
        drawn = draw_parts(sizes)
    else:
        val = held_out(sizes, val_fraction, seed)
        drawn = {group: "val" if group in val else "train" for group in sizes}
    return drawn | {group: split for group, split in zip(groups, splits, strict=True) if split}


def keep_half(data: Dataset, half: Half, whole: tuple[Mapping[str, int], Mapping[str, str]] | None = None) -> Dataset:
    """The rows of one set without those of split `train` whose group is of the other half.

    `whole`: images and split of each group of the set before it was cut; left out, it was not.
    """
    groups, splits = data["group"][:], data["split"][:]
    halves = draw_halves(*(whole or (Counter(groups), dict(zip(groups, splits, strict=True)))))
    rows = enumerate(zip(groups, splits, strict=True))
    return data.select([k for k, (group, split) in rows if split != "train" or halves[group] == half])


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
    """Images of one set as its adapter gives them, one at a time: no limit, and split "" where the set brings none.

    Body part and groups are those of the settings where these say so.
    """
    layout, folder = LAYOUTS[settings.layout], set_folder(settings)
    reader = import_module(layout.module or f".layouts.{settings.layout}", __package__)
    if settings.layout == "phantom":
        return images(reader.read(folder))
    options = {key: getattr(settings, key) for key in ("modality", *layout.options)}
    read = reader.read(folder, skipped, **{key: value for key, value in options.items() if value})
    return (_complete(image, settings) for image in read)


def _complete(image: AnnotatedImage, settings: DataSettings) -> AnnotatedImage:
    """The image with what its settings state. Its block is that of the last number in its name: 31 of 25 is in 1."""
    if settings.body_part and not image.body_part:
        image = replace(image, body_part=settings.body_part)
    if settings.block == 1:
        return image
    if not (numbers := re.findall("[0-9]+", image.image_path.stem)):
        raise BadInput("no number in its name.", file=image.image_path, fix="leave `block` out, or number the images")
    return replace(image, group=f"block{int(numbers[-1]) // settings.block}")


def set_folder(settings: DataSettings) -> Path:
    """Where the set lies. Raises `BadInput` for no such folder, and for a relative path without MEDGLIP_DATA."""
    if not os.environ.get("MEDGLIP_DATA") and not Path(settings.path).is_absolute():
        fix = "set the environment variable MEDGLIP_DATA to the folder that holds it, or give an absolute path"
        raise BadInput(f"where {settings.path!r} lies is not known.", fix=fix)
    return data_folder(Path(settings.path))
