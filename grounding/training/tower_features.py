"""What a trained core keeps of its image tower: from a sample of its training images, each data set with its share."""

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from ..bad_input import BadInput
from ..grounders.medglip import MedGlipGrounder
from ..model.features import TowerFeatures, fit_features
from ..types import AnnotatedImage
from .examples import Example

IMAGES_A_SET = 40
"""At most; more of one set would make the others strange."""


def learn_features(
    core: MedGlipGrounder, examples: Sequence[Example], datasets: Sequence[str], validation: Sequence[AnnotatedImage]
) -> TowerFeatures:
    """The features of a core's image tower. `datasets`: of each example. Images that do not open are left out."""
    modalities = list[str]()

    def learned(index: int) -> NDArray[np.uint8]:
        example = examples[index]
        modalities.append(example.image.modality)  # of those that open
        return example.square

    def letterboxed(index: int) -> NDArray[np.uint8]:
        return core.processor.letterbox(core.read(validation[index].image_path))

    features = fit_features(
        core.model.image_tower,
        _batches(core, _sample(datasets), learned),
        _batches(core, _sample([image.dataset for image in validation]), letterboxed),
    )
    return replace(features, modalities=tuple(modalities))


def _sample(datasets: Sequence[str]) -> list[int]:
    """Indices of at most `IMAGES_A_SET` of each data set, spread evenly."""
    by_set = defaultdict[str, list[int]](list)
    for index, name in enumerate(datasets):
        by_set[name].append(index)
    numbers = ((rows, min(len(rows), IMAGES_A_SET)) for rows in by_set.values())
    return [rows[k * len(rows) // number] for rows, number in numbers for k in range(number)]


def _batches(
    core: MedGlipGrounder, indices: Sequence[int], square_of: Callable[[int], NDArray[np.uint8]]
) -> Iterator[Tensor]:
    """Pixels float[B, 3, S, S] of the images that open."""
    for start in range(0, len(indices), core.settings.batch_size):
        squares: list[NDArray[np.uint8]] = []
        for index in indices[start : start + core.settings.batch_size]:
            try:
                squares.append(square_of(index))
            except BadInput:
                continue
        if squares:
            yield core.processor(squares, [[]] * len(squares), ["unknown"] * len(squares))["pixel_values"]
