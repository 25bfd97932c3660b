"""Training examples: letterboxed once, kept in memory while they fit, changed a little at each draw.

S side of the square input in pixels, G true boxes, K phrases.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import torch
from datasets import Dataset
from numpy.typing import NDArray
from PIL import Image
from tqdm.auto import tqdm

from ..bad_input import BadInput, Skipped
from ..datasets.schema import row_to_study
from ..geometry import Boxes, Letterbox
from ..grounder import is_about
from ..imaging.read import read_image
from ..labels import load_labels
from ..phrases import has_side
from ..settings import Settings
from ..types import Study
from .losses import Target
from .processing import MedGlipProcessor

MIRRORED = ("endoscopy", "dermoscopy", "histology", "microscopy")
"""Modalities without a left and a right of the body: only these may be flipped."""


class DrawSettings(Settings):
    """What happens to an example each time it is drawn."""

    phrases_per_image: int = 8
    """Phrases asked at most: those present first, then absent ones that the data set annotates."""
    ancestor_share: float = 0.1
    """Chance that a spare place asks for an ancestor of a label that is present."""
    siblings: int = 0
    """Labels beside the present ones in the label tree asked as well: hard negatives of the true boxes alone, since
    nobody says whether they are elsewhere in the image."""
    unknown_modality: float = 0.12
    """Chance that the modality is hidden, so that `unknown` is a trained choice."""
    augment: bool = True
    """Brightness, contrast, gamma, noise, scale and place; flips where the body has no sides."""


@dataclass(frozen=True, eq=False)
class Example:
    """One image with its truth: uint8[S, S, 3], boxes float32[G, 4] in its frame, masks bool[G, S, S]."""

    study: Study
    square: NDArray[np.uint8]
    boxes_G4: Boxes
    masks_GSS: NDArray[np.bool_]
    has_mask_G: NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Draw:
    """What one draw gives the collator."""

    square: NDArray[np.uint8]
    phrases: list[str]
    modality: str
    target: Target


def load_example(study: Study, side_px: int) -> Example:
    """Read and letterbox one study. Raises `BadInput` for an image that is unreadable or not of the study's size."""
    image = read_image(study.image_path)
    if image.size != tuple(study.size_px):
        raise BadInput(
            f"image is {image.size}, its annotations are for {study.size_px}.",
            file=study.image_path,
            fix="annotate the image as stored",
        )
    letterbox = Letterbox(image.size, side_px)
    empty = np.zeros((side_px, side_px), bool)
    masks = [empty if r.mask is None else letterbox.mask(r.mask) for r in study.regions]
    return Example(
        study=replace(study, regions=tuple(replace(r, mask=None) for r in study.regions)),
        square=np.asarray(letterbox.image(image)),
        boxes_G4=letterbox.forward(np.array([r.box_xyxy_px for r in study.regions], np.float32).reshape(-1, 4)),
        masks_GSS=np.array(masks, bool).reshape(-1, side_px, side_px),
        has_mask_G=np.array([r.mask is not None for r in study.regions], bool),
    )


class Lazy(Sequence[Example]):
    """Examples read from disk at every draw, for sets larger than memory."""

    def __init__(self, rows: Dataset, side_px: int):
        self.rows, self.side_px = rows, side_px

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> Example:  # pyright: ignore[reportIncompatibleMethodOverride]
        return load_example(row_to_study(self.rows[index]), self.side_px)


def load_examples(rows: Dataset, side_px: int, memory_gb: float, skipped: Skipped) -> Sequence[Example]:
    """All examples, in memory if they fit into `memory_gb`; those that cannot be read are skipped, or, when read
    from disk at every draw, raise `BadInput` there.
    """
    num_planes = 3 * len(rows) + sum(len(regions) for regions in rows["regions"])
    if num_planes * side_px**2 > memory_gb * 1e9:
        return Lazy(rows, side_px)
    loaded: list[Example] = []
    for row in tqdm(rows, desc="training images", unit="image"):
        try:
            loaded.append(load_example(row_to_study(row), side_px))  # pyright: ignore[reportArgumentType]
        except BadInput as error:
            skipped.add(str(row["study_id"]), error)  # pyright: ignore[reportArgumentType, reportCallIssue]
    return loaded


def draw(example: Example, rng: np.random.Generator, settings: DrawSettings) -> Draw:
    """Choose phrases and modality, augment, and say what is true; everything from `rng`."""
    phrases = _choose_phrases(example.study, rng, settings)
    phrases += _siblings(example.study, phrases, rng, settings.siblings)
    annotated = {*example.study.phrases, *(region.phrase for region in example.study.regions)}
    is_hidden = rng.random() < settings.unknown_modality
    labels_GK = np.array([[is_about(r, p, example.study) for p in phrases] for r in example.study.regions], bool)
    asked_G = labels_GK.reshape(len(example.boxes_G4), len(phrases)).any(1)
    square, boxes, masks = example.square, example.boxes_G4[asked_G], example.masks_GSS[asked_G]
    if settings.augment:
        square, boxes, masks = _augment(square, boxes, masks, example.study, rng)
    return Draw(
        square=square,
        phrases=phrases,
        modality="unknown" if is_hidden else example.study.modality,
        target=Target(
            boxes_G4=torch.from_numpy(boxes),
            labels_GK=torch.from_numpy(labels_GK.reshape(-1, len(phrases))[asked_G]),
            masks_Ghw=torch.from_numpy(_quarter(masks)),
            has_mask_G=torch.from_numpy(example.has_mask_G[asked_G]),
            known_K=torch.tensor([phrase in annotated for phrase in phrases], dtype=torch.bool),
        ),
    )


def collate(draws: list[Draw], processor: MedGlipProcessor) -> dict[str, Any]:
    """A batch for `losses.losses_of`."""
    inputs = processor([d.square for d in draws], [d.phrases for d in draws], [d.modality for d in draws])
    return {**inputs, "targets": [d.target for d in draws]}


def collator(processor: MedGlipProcessor) -> Callable[[list[Draw]], dict[str, Any]]:
    """`collate` with its processor, fit for loader processes."""
    return partial(collate, processor=processor)


def _choose_phrases(study: Study, rng: np.random.Generator, settings: DrawSettings) -> list[str]:
    """Present phrases, absent ones that are annotated, now and then an ancestor; never what is merely unknown."""
    own = {region.phrase for region in study.regions}
    known = list(dict.fromkeys([*study.phrases, *(region.phrase for region in study.regions)]))
    shuffled = [known[i] for i in rng.permutation(len(known))]
    present = [p for p in shuffled if p in own or any(is_about(r, p, study) for r in study.regions)]
    absent = [p for p in shuffled if p not in present]
    most = settings.phrases_per_image
    chosen = (present[: most - 1] + absent + present[most - 1 :])[:most]
    above = sorted({p for region in study.regions for p in region.path} - set(known))
    if above and len(chosen) < most and rng.random() < settings.ancestor_share:
        chosen.append(above[rng.integers(len(above))])
    return chosen


def _siblings(study: Study, phrases: list[str], rng: np.random.Generator, most: int) -> list[str]:
    """Siblings of the present labels in the label tree that the data set does not annotate."""
    if not most:
        return []
    tree = load_labels()
    known = {tree.label(phrase) for phrase in (*phrases, *study.phrases)}
    present = sorted({region.phrase for region in study.regions})
    found = sorted({label for phrase in present for label in tree.siblings(phrase)} - known)
    return [found[i] for i in rng.permutation(len(found))[:most]]


def _augment(
    square: NDArray[np.uint8], boxes_G4: Boxes, masks_GSS: NDArray[np.bool_], study: Study, rng: np.random.Generator
) -> tuple[NDArray[np.uint8], Boxes, NDArray[np.bool_]]:
    """No box is cut: the picture shrinks, grows and moves only as far as every asked box stays inside."""
    side = len(square)
    if _may_flip(study) and rng.random() < 0.5:
        square, masks_GSS = square[:, ::-1], masks_GSS[:, :, ::-1]
        boxes_G4 = np.stack([side - boxes_G4[:, 2], boxes_G4[:, 1], side - boxes_G4[:, 0], boxes_G4[:, 3]], 1)
    scale, shift = _placement(boxes_G4, side, rng)
    moved = np.asarray(_place(square, scale, shift, Image.Resampling.BILINEAR))
    masks = [np.asarray(_place(mask.astype(np.uint8) * 255, scale, shift, Image.Resampling.BILINEAR)) > 127
             for mask in masks_GSS]  # fmt: skip
    boxes = np.clip(boxes_G4 * scale + np.tile(shift, 2), 0, side).astype(np.float32)
    return _intensity(moved, rng), boxes, np.array(masks, bool).reshape(masks_GSS.shape)


def _may_flip(study: Study) -> bool:
    phrases = (*study.phrases, *(region.phrase for region in study.regions))
    return study.modality in MIRRORED and not any(map(has_side, phrases))


def _placement(boxes_G4: Boxes, side: int, rng: np.random.Generator) -> tuple[float, NDArray[np.float32]]:
    """A scale in [0.8, 1.25] and a shift in pixels that keep all boxes inside the square."""
    corner, end = np.full(2, side / 2, np.float32), np.full(2, side / 2, np.float32)
    if len(boxes_G4):
        corner, end = boxes_G4[:, :2].min(0), boxes_G4[:, 2:].max(0)
    scale = min(float(np.exp(rng.uniform(np.log(0.8), np.log(1.25)))), side / float(max((end - corner).max(), 1)))
    slack = side * (1 - scale)
    low, high = np.maximum(-corner * scale, min(0, slack)), np.minimum(side - end * scale, max(0, slack))
    low, high = np.minimum(low, high), np.maximum(low, high)
    return scale, (low + (high - low) * rng.random(2)).astype(np.float32)


def _place(pixels: NDArray[np.uint8], scale: float, shift: NDArray[np.float32], how: Image.Resampling) -> Image.Image:
    """The picture scaled and shifted on a black square of its own size."""
    inverse = (1 / scale, 0, -float(shift[0]) / scale, 0, 1 / scale, -float(shift[1]) / scale)
    image = Image.fromarray(np.ascontiguousarray(pixels))
    return image.transform(image.size, Image.Transform.AFFINE, inverse, how)


def _intensity(square: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.uint8]:
    """Gamma, contrast, brightness through one table, then noise; black padding may become dark grey."""
    gamma, contrast = np.exp(rng.uniform(-0.25, 0.25, 2))
    values = (np.arange(256) / 255) ** gamma
    table = (values - 0.5) * contrast + 0.5 + rng.uniform(-0.08, 0.08)
    noise = rng.standard_normal(square.shape, np.float32) * np.float32(rng.uniform(0, 5))
    return np.clip((table * 255).astype(np.float32)[square] + noise, 0, 255).astype(np.uint8)


def _quarter(masks_GSS: NDArray[np.bool_]) -> NDArray[np.float32]:
    """float32[G, S/4, S/4] in [0, 1]: the part of each cell that is covered."""
    num, side, _ = masks_GSS.shape
    return masks_GSS.reshape(num, side // 4, 4, side // 4, 4).mean((2, 4), dtype=np.float32)
