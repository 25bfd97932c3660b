"""The true regions: the upper bound of any grounder."""

from collections.abc import Sequence

from ...bad_input import BadInput
from ..evidence import EvidenceSettings
from . import Gathered, Query, RegionCaches, gather_regions


def gather_images(queries: Sequence[Query], caches: RegionCaches, settings: EvidenceSettings, seed: int) -> Gathered:
    """The true regions of each image. Raises `BadInput` if none has any."""
    images = [image.image.image_id for query in queries for image in query.images]
    if queries and not any(caches.truth.get(name) for name in images):
        raise BadInput("evidence source 'oracle' needs true regions, these images have none.", fix="leave it out")
    return [[gather_regions(image.for_oracle, caches.truth, settings) for image in query.images] for query in queries]
