"""The regions of the grounder."""

from collections.abc import Sequence

from ..evidence import EvidenceSettings
from . import Gathered, Query, RegionCaches, gather_regions


def gather_images(queries: Sequence[Query], caches: RegionCaches, settings: EvidenceSettings, seed: int) -> Gathered:
    """The predicted regions of each image."""
    return [[gather_regions(image, caches.predicted, settings) for image in query.images] for query in queries]
