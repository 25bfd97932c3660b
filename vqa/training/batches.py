"""Which examples stand in a batch together: those of like length, or those about one image."""

from collections.abc import Hashable, Sequence

import numpy as np

from ...grounding.evidence.evidence import EvidenceSettings, select
from ...grounding.training.settings import TrainSettings
from ..prompt.prompt import Example, instruction_text
from .settings import MllmTrainSettings

STRETCH = 32
"""Batches that are sorted by length together: enough for little padding, few enough for chance."""
TOGETHER = 4
"""Questions that share the tokens of an image at most: more in a batch would be too much alike."""
PICTURE_LENGTH = 256
"""Characters that a picture counts as: 64 tokens of four."""


def batches_of(
    examples: Sequence[Example],
    evidence: EvidenceSettings,
    settings: MllmTrainSettings,
    num_processes: int = 1,
    weights: Sequence[float] | None = None,
) -> list[list[int]]:
    """Indices of the examples in every batch of the training, as the settings put them together."""
    lengths = [_length(one, evidence) for one in examples]
    if settings.by_image:
        return unit_batches(group_by_beginning(examples, evidence), lengths, settings.train, num_processes, weights)
    return length_batches(lengths, settings.train, num_processes, weights)


def _length(example: Example, evidence: EvidenceSettings) -> int:
    """About how long the prompt and its answer will be, in characters."""
    pictures = 0 if example.transform == "text_only" else len(example.image_paths)
    pictures += min(example.shown.max_crops, len(example.evidence.regions)) if example.shown else 0
    return (
        len(instruction_text(example, example.shown or evidence))
        + len(example.target or "")
        + PICTURE_LENGTH * pictures
    )


def length_batches(
    lengths: Sequence[int], settings: TrainSettings, num_processes: int = 1, weights: Sequence[float] | None = None
) -> list[list[int]]:
    """Indices of the examples in every batch of the training, examples of like length together; of the seed alone.

    Every epoch is shuffled, or drawn in proportion to the weights. `fit` draws the batches in an order of its own, so
    that their lengths come mixed. With batches of 2 and stretches of 2 batches, shown as lengths:

        shuffled    9 2 7 3 | 8 1 6 4 | 5      stretches of 4; the fifth waits for the next epoch
        sorted      2 3 7 9 | 1 4 6 8
        batches     (2 3) (7 9) (1 4) (6 8)
    """
    size, rng = settings.batch_size, np.random.default_rng([settings.seed, 1])
    num_batches = settings.steps * settings.gradient_accumulation * num_processes
    chances = None if weights is None else np.asarray(weights, np.float64) / sum(weights)
    batches: list[list[int]] = []
    rest: list[int] = []  # less than a batch, left over by the epoch before
    while len(batches) < num_batches:
        drawn = rng.permutation(len(lengths)) if chances is None else rng.choice(len(lengths), len(lengths), p=chances)
        order = [*rest, *drawn.tolist()]
        end = len(order) // size * size
        rest = order[end:]
        for start in range(0, end, STRETCH * size):
            stretch = sorted(order[start : min(end, start + STRETCH * size)], key=lambda index: lengths[index])
            batches += [stretch[k : k + size] for k in range(0, len(stretch), size)]
    return batches[:num_batches]


def beginning_of(example: Example, evidence: EvidenceSettings) -> Hashable:
    """What the prompts of examples about one image have in common where it is equal: images and regions shown."""
    regions = select(example.evidence, example.shown or evidence).regions
    shown = tuple((region.phrase, region.score, region.box_xyxy_px.tobytes()) for region in regions)
    return example.image_paths, example.transform, example.context, id(example.shown), shown


def group_by_beginning(examples: Sequence[Example], evidence: EvidenceSettings) -> list[list[int]]:
    """Indices of the examples whose prompts begin alike, in order."""
    units: dict[Hashable, list[int]] = {}
    for index, example in enumerate(examples):
        units.setdefault(beginning_of(example, evidence), []).append(index)
    return list(units.values())


def unit_batches(
    units: Sequence[Sequence[int]],
    lengths: Sequence[int],
    settings: TrainSettings,
    num_processes: int = 1,
    weights: Sequence[float] | None = None,
) -> list[list[int]]:
    """Indices of the examples in every batch of the training, those of a unit beside each other; of the seed alone.

    A unit is cut anew in each epoch into parts of at most `TOGETHER`, drawn in proportion to their weights where there
    are some. Parts of like size and length stand beside each other; a batch's end may cut one. Batches of 4:

        units     a1 a2 a3 a4 a5   b1 b2
        parts     a2 a5 a1 a4 | a3 | b2 b1
        batches   (a3 b2 b1 a2) (a5 a1 a4 and the next epoch's first)
    """
    size, rng = settings.batch_size, np.random.default_rng([settings.seed, 2])
    num_batches = settings.steps * settings.gradient_accumulation * num_processes
    drawn: list[int] = []
    while len(drawn) < num_batches * size:
        shuffled = [rng.permutation(unit).tolist() for unit in units]
        parts = [unit[k : k + TOGETHER] for unit in shuffled for k in range(0, len(unit), TOGETHER)]
        chances = None
        if weights is not None:
            chances = np.array([np.mean([weights[index] for index in part]) for part in parts], np.float64)
            chances /= chances.sum()
        order = [parts[k] for k in rng.choice(len(parts), len(parts), replace=weights is not None, p=chances)]
        for start in range(0, len(order), STRETCH * size // TOGETHER):
            stretch = order[start : start + STRETCH * size // TOGETHER]
            for part in sorted(stretch, key=lambda part: (len(part), lengths[part[0]])):
                drawn += part
    return [drawn[k * size : (k + 1) * size] for k in range(num_batches)]
