"""Source `random`: the predicted regions at random places, all else their own; is it the place that helps?"""

from collections.abc import Sequence

import numpy as np

from ..controls import scatter
from ..evidence import EvidenceSettings
from . import Gathered, Query, RegionCaches
from .predicted import gather_images as gather_predicted


def gather_images(queries: Sequence[Query], caches: RegionCaches, settings: EvidenceSettings, seed: int) -> Gathered:
    """The predicted regions of each image, moved."""
    predicted = gather_predicted(queries, caches, settings, seed)
    # the first image's draws do not know of further ones: [seed, query], then [seed, query, image]
    return [
        [scatter(image, np.random.default_rng([seed, i, k] if k else [seed, i])) for k, image in enumerate(images)]
        for i, images in enumerate(predicted)
    ]
