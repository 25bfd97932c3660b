"""NIfTI volumes as 2-D slices, in two public layouts; each chosen slice is written once as PNG.

1. TotalSegmentator: `SUBJECT/ct.nii.gz` (or `mri.nii.gz`), `SUBJECT/segmentations/CLASS.nii.gz`, split in `meta.csv`.
   zenodo.org/records/10047292 (v2, CT) and 14710732 (MRI), CC BY 4.0; Wasserthal et al. 2023, Radiology: AI 5(5).
   All classes of a subject have a file, an empty one where the class is absent.
2. Medical Segmentation Decathlon and nnU-Net: `imagesTr/NAME[_0000].nii.gz`, `labelsTr/NAME.nii.gz`, `dataset.json`
   with `labels`. medicaldecathlon.com, CC BY-SA 4.0; Antonelli et al. 2022, Nature Communications 13:4128.
   Label maps that TotalSegmentator writes (`--ml`) are read so with `classes: {1: spleen, 2: kidney_right, ...}`.
Traps: archives hold `._NAME` files of macOS, which are no volumes; `kidney_left` is the patient's left, at the image's
right; slices across thick ones are stretched to square pixels. A class of an area under `min_area` on a slice is there
but not outlined, so it is unknown on that slice. Every volume is one group.
"""

from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ...assets import cache_folder
from ...bad_input import BadInput, Skipped
from ...files import file_sha256, sha256, write_atomic
from ...foreign import read_csv
from ...geometry import mask_to_rle, rle_to_mask
from ...imaging.nifti import AXES, Volume, plane, plane_spacing_mm, read_labels, read_volume, resize, square_size
from ...imaging.read import image_size, png_bytes
from ...imaging.window import percentile_window, to_uint8, unit_scale
from ...modalities import MODALITIES, parse_modality
from ...types import AnnotatedImage, Region
from ..corpus import one_spelling
from ..rows import annotate, read_object, skipping
from ..settings import SliceSettings
from .label_map import Classes, parse_classes, phrase_of, read_classes, report_unnamed
from .mask_folder import mask_regions

_SPLITS = {"train": "train", "val": "val", "valid": "val", "validation": "val", "test": "test"}
_STRICTEST = ("", "train", "val", "test")
_MR_CHANNELS = ("flair", "t1", "t1w", "t1gd", "t1ce", "t2", "t2w", "adc", "dwi")


@dataclass(frozen=True, kw_only=True)
class _Subject:
    """One volume: `labels` is its label map, or a file a class and its phrase."""

    name: str
    image: Path
    labels: Path | dict[Path, str]
    modality: str
    split: str = ""


@dataclass(kw_only=True)
class _Slice:
    """`outlines`: RLE of each class, None where it is absent or in `unknown`: too small, or among unnamed values."""

    index: int
    outlines: dict[str, dict[str, Any] | None] = field(default_factory=dict)
    unknown: set[str] = field(default_factory=set)
    file: Path = Path()


def read(
    folder: Path,
    skipped: Skipped,
    *,
    classes: Mapping[Any, Any] | str = "",
    components: bool = False,
    slices: SliceSettings | None = None,
    modality: str = "unknown",
) -> Iterator[AnnotatedImage]:
    """Images of the chosen slices, volume by volume. A class is one region a slice, or one a blob.

    `classes` names the values of label maps, or is the file that does, else `dataset.json`. `modality` counts where
    the files name none. Volumes that cannot be used go to `skipped`. Raises `BadInput` if neither layout is found, or
    the names of the classes are missing.
    """
    settings = slices or SliceSettings()
    subjects = _by_class(folder, skipped) or _by_map(folder, modality)
    if not subjects:
        raise BadInput("holds no volumes.", file=folder, fix="SUBJECT/segmentations/ or imagesTr/ and labelsTr/")
    names_file = folder / "dataset.json"
    if isinstance(subjects[0].labels, dict):
        named: Classes = {}
    elif names_file.is_file() and not classes:
        named = parse_classes(read_object(names_file, ()).get("labels"), names_file)
    else:
        named = read_classes(classes, folder)
    for subject in subjects:
        chosen: list[_Slice] = []
        with skipping(skipped, subject.image):
            chosen = _slices(subject, named, settings, folder, skipped)
        for one in chosen:
            with skipping(skipped, subject.image, f"slice {one.index}"):
                size = image_size(one.file)
                regions: list[Region] = []
                for phrase, outline in one.outlines.items():
                    regions += mask_regions(phrase, rle_to_mask(outline), size, components) if outline else []
                name = f"{subject.name}/{settings.axis}-{one.index:04d}"
                facts = {"modality": subject.modality, "group": subject.name, "split": subject.split}
                yield annotate(folder, name, one.file, regions, one.outlines, one.unknown, size_px=size, **facts)


def _by_class(folder: Path, skipped: Skipped) -> list[_Subject]:
    """Volumes with a file a class, as TotalSegmentator has them."""
    splits = _read_splits(folder / "meta.csv", skipped)
    subjects: list[_Subject] = []
    for masks in sorted(folder.glob("*/segmentations")):
        labels = {file: phrase_of(name) for name, file in _volumes(masks).items()}
        images, name = _volumes(masks.parent), masks.parent.name
        image, modality = images.get("ct") or images.get("mri"), "ct" if "ct" in images else "mr"
        if image and labels:
            split = splits.get(one_spelling(name), "")
            subjects.append(_Subject(name=name, image=image, labels=labels, modality=modality, split=split))
    if splits and subjects and not any(subject.split for subject in subjects):
        problem = f"names none of the subjects, such as {subjects[0].name}."
        raise BadInput(problem, file=folder / "meta.csv", fix="`image_id` is the name of a subject's folder")
    return subjects


def _read_splits(file: Path, skipped: Skipped) -> dict[str, str]:
    """Split of each subject as `meta.csv` has it; age, sex and place of the patients are not looked at.

    Other words than those of a split go to `skipped`. Of two rows of a subject test goes before val, val before train,
    so that nothing scored is trained on.
    """
    splits: dict[str, str] = {}
    for number, row in read_csv(file, (), skipped, delimiter=";,") if file.is_file() else ():
        name, word = one_spelling(row.get("image_id", "").strip()), row.get("split", "").strip().lower()
        with skipping(skipped, file, number):
            if word and word not in _SPLITS:
                raise BadInput(f"split is {word!r}.", fix=f"one of {', '.join(_SPLITS)}")
            if word:
                splits[name] = max(_SPLITS[word], splits.get(name, ""), key=_STRICTEST.index)
    return splits


def _by_map(folder: Path, modality: str) -> list[_Subject]:
    """Volumes with one label map each, as the Decathlon and nnU-Net have them."""
    labels, images = _volumes(folder / "labelsTr"), _volumes(folder / "imagesTr")
    # our name of the first channel in dataset.json, where it has one
    file = folder / "dataset.json"
    content = read_object(file, ()) if file.is_file() else {}
    channels = content.get("channel_names") or content.get("modality") or {}
    word = str(channels.get("0", "")).lower() if isinstance(channels, dict) else ""
    with suppress(BadInput):
        modality = "mr" if word in _MR_CHANNELS else parse_modality(word) if word else modality
    subjects: list[_Subject] = []
    for name, file in labels.items():
        image = images.get(name) or images.get(f"{name}_0000") or folder / "imagesTr" / f"{name}.nii.gz"
        subjects.append(_Subject(name=name, image=image, labels=file, modality=modality))
    return subjects


def _volumes(folder: Path) -> dict[str, Path]:
    """The volumes of a folder, sorted, by name without suffix."""
    files = sorted(folder.iterdir()) if folder.is_dir() else []
    files = [file for file in files if file.name.endswith((".nii.gz", ".nii")) and not file.name.startswith(".")]
    return {file.name.removesuffix(".gz").removesuffix(".nii"): file for file in files}


def _slices(subject: _Subject, named: Classes, settings: SliceSettings, folder: Path, skipped: Skipped) -> list[_Slice]:
    """The slices of a volume that are read, their PNG files written."""
    slices: dict[int, _Slice] = {}
    labels = None
    # a class at a time, so that of a hundred files of TotalSegmentator one is in memory; a slice keeps outlines alone
    for phrase, labels, inside in _masks(subject, named):
        # step 10 takes slices 5 15 25 ...: the first and last ones of a volume show little
        for index in range(settings.step // 2, labels.values.shape[AXES.index(settings.axis)], settings.step):
            pixels = plane(labels.values, settings.axis, index)
            mask = np.isin(pixels, inside) if inside else pixels > 0
            outlines = slices.setdefault(index, _Slice(index=index)).outlines
            earlier = outlines.setdefault(phrase, None)  # of another file or value of the same class
            if mask.any():
                outlines[phrase] = mask_to_rle(mask | rle_to_mask(earlier) if earlier else mask)
    if labels is None:
        return []
    unnamed = [] if isinstance(subject.labels, dict) else report_unnamed(labels.values, named, subject.labels, skipped)
    for one in slices.values():
        if unnamed and np.isin(plane(labels.values, settings.axis, one.index), unnamed).any():
            one.unknown.update(phrase for phrase, outline in one.outlines.items() if outline is None)
        for phrase, outline in one.outlines.items():
            if outline:
                mask = _stretch(rle_to_mask(outline), labels, settings)
                is_small = bool(mask.mean() < settings.min_area)
                one.unknown.update([phrase] if is_small else [])
                one.outlines[phrase] = None if is_small else mask_to_rle(mask)
    outlined = [one for one in slices.values() if settings.keep_empty or any(one.outlines.values())]
    if outlined:
        _write_images(outlined, subject, labels, settings, folder)
    return outlined


def _masks(subject: _Subject, named: Classes) -> Iterator[tuple[str, Volume, tuple[int, ...]]]:
    """(phrase, labels, values inside) of each class; no values where the file holds one class alone."""
    if isinstance(subject.labels, dict):
        for file, phrase in subject.labels.items():
            yield phrase, read_labels(file), ()
        return
    labels = read_labels(subject.labels)
    yield from ((phrase, labels, values) for phrase, values in named.items())


def _stretch(pixels_HW: NDArray[Any], volume: Volume, settings: SliceSettings) -> NDArray[Any]:
    if not settings.square_pixels:
        return pixels_HW
    size = (pixels_HW.shape[1], pixels_HW.shape[0])
    return resize(pixels_HW, square_size(size, plane_spacing_mm(volume, settings.axis)))


def _write_images(
    slices: list[_Slice], subject: _Subject, labels: Volume, settings: SliceSettings, folder: Path
) -> None:
    """Name and write the PNG file of each slice; the volume is read if one is not there yet."""
    window = settings.window or MODALITIES[parse_modality(subject.modality)].window
    # the name of a PNG file holds a hash of the volume and of all that decides its pixels: other settings, other files
    look = (settings.axis, window, settings.square_pixels, settings.channel)
    if not subject.image.is_file():
        raise BadInput("no such volume.", file=subject.image, fix="add it, or remove its labels")
    key = sha256(f"{file_sha256(subject.image)} {look}")[:16]
    target = Path(settings.folder or cache_folder() / "slices") / folder.name
    for one in slices:
        one.file = target / f"{subject.name}-{settings.axis}-{one.index:04d}-{key}.png"
    missing = [one for one in slices if not one.file.is_file()]
    if not missing:
        return
    volume = read_volume(subject.image, settings.channel)
    if not volume.fits(labels):
        raise BadInput("image and labels have other voxels.", file=subject.image, fix="resample one to the other")
    low, high = window or percentile_window(volume.values)
    for one in missing:
        pixels = to_uint8(unit_scale(plane(volume.values, settings.axis, one.index), low, high))
        stretched = np.ascontiguousarray(_stretch(pixels, volume, settings))
        write_atomic(one.file, png_bytes(Image.fromarray(stretched)))
