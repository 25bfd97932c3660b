"""Masks that carry the phrase in their name, as BiomedParse has it: `train/`, `train_mask/`, `test/`, `test_mask/`.

Image `NAME_MODALITY_SITE.png`, masks `NAME_MODALITY_SITE_TARGET.png`, where `+` stands for a blank ("chest+tube").
Source: github.com/microsoft/BiomedParse and huggingface.co/datasets/microsoft/BiomedParseData (CC BY-NC-SA 4.0, every
source set under its own licence besides); Zhao et al. 2025, Nature Methods 22:166. A set in folders of other names
(`images/` and `masks/`, `image_dir/` and `mask_dir/`) is read in the same way.
Traps: only targets that have a mask are known, any other is unknown; an empty mask is a negative; anything but 0 is
inside. Images of the official data are stretched to 1024 x 1024. Patients are not recorded: NAME is the group, and
slices of one volume have several names.
"""

from collections import defaultdict
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from ...bad_input import BadInput, Skipped
from ...imaging.masks import read_mask
from ...imaging.read import image_size
from ...modalities import parse_modality
from ...types import AnnotatedImage, Region
from ...vocabulary.labels import load_labels
from ..rows import annotate, images_by_stem, skipping
from .mask_folder import mask_regions

_FOLDERS = (
    ("train", "train_mask", "train"),
    ("val", "val_mask", "val"),
    ("test", "test_mask", "test"),
    ("images", "masks", ""),
    ("image_dir", "mask_dir", ""),
)
_MODALITIES = {"pathology": "histology", "endoscope": "endoscopy", "microscope": "microscopy"}


def read(
    folder: Path, skipped: Skipped, *, components: bool = False, modality: str = "unknown"
) -> Iterator[AnnotatedImage]:
    """Images of every pair of folders that is there, one at a time; a target is one region, or one a blob.

    `modality` counts where the file name says none of ours. Files that cannot be used go to `skipped`. Raises
    `BadInput` if there is no pair of folders.
    """
    pairs = [pair for pair in _FOLDERS if (folder / pair[0]).is_dir() and (folder / pair[1]).is_dir()]
    if not pairs:
        raise BadInput("holds no folders of images and masks.", file=folder, fix="train/ and train_mask/ are needed")
    for images_name, masks_name, split in pairs:
        images = images_by_stem(folder / images_name)
        # masks of each image; TARGET is what follows the last underscore, and holds none itself
        masks: dict[str, list[Path]] = defaultdict(list)
        for stem, file in images_by_stem(folder / masks_name).items():
            with skipping(skipped, file):
                image, _, target = stem.rpartition("_")
                if image not in images or not target.strip("+ "):
                    raise BadInput("mask without an image or a target.", fix="name it as the image, with _TARGET added")
                masks[image].append(file)
        for stem, file in images.items():
            with skipping(skipped, file):
                yield _image(folder, file, masks.get(stem), split, modality, components, skipped)


def _image(
    folder: Path, image: Path, masks: list[Path] | None, split: str, modality: str, components: bool, skipped: Skipped
) -> AnnotatedImage:
    if masks is None:  # without any mask nothing is known of the image, with an empty one it is a negative
        raise BadInput("has no mask.", fix="add one, an empty one for a negative, or remove the image")
    size = image_size(image)
    # NAME_MODALITY_SITE; "MRI-T2" is MRI, and what is not ours is `unknown`
    name, *rest = image.stem.rsplit("_", 2)
    word, stated = rest[0].lower() if len(rest) == 2 else "", "unknown"
    for part in (word.partition("-")[0], word):  # the whole word counts, where it is one of ours
        with suppress(BadInput):
            stated = _MODALITIES.get(part) or parse_modality(part)
    regions: list[Region] = []
    named: list[str] = []
    empty: list[str] = []
    for file in masks:
        with skipping(skipped, file):
            named.append(load_labels().label(file.stem.rpartition("_")[2].replace("+", " ")))
            outlined = mask_regions(named[-1], read_mask(file, size, any_value=True), size, components)
            regions += outlined
            empty += [] if outlined else named[-1:]
    image_name, lost = f"{image.parent.name}/{image.stem}", set(named) - set(empty)
    facts = {"modality": modality if stated == "unknown" else stated, "group": name, "split": split}
    return annotate(folder, image_name, image, regions, named, lost, size_px=size, **facts)
