"""The predicted regions of another patient's image of like anatomy: evidence of the right kind, but not true here."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from ...types import AnnotatedImage
from ..controls import donors_for, transplant
from ..evidence import EvidenceSettings, ImageEvidence
from . import Gathered, ImageQuery, Query, RegionCaches, gather_regions


def gather_images(queries: Sequence[Query], caches: RegionCaches, settings: EvidenceSettings, seed: int) -> Gathered:
    """For each image the regions of its donor (`donors_for`) among the first images, the same one for every query."""
    first = {query.first.image.image_id: query.first.image for query in queries}
    every = {image.image.image_id: image.image for query in queries for image in query.images}
    rng, donor_of = np.random.default_rng(seed), dict[str, AnnotatedImage]()
    # images that are never first are drawn for afterwards, so that the donors of first images do not depend on them
    for images in (list(first.values()), list(every.values()) if len(every) > len(first) else []):
        donors = donors_for(images, rng)
        drawn = {image.image_id: images[donor] for image, donor in zip(images, donors, strict=True)}
        donor_of = drawn | donor_of  # a first image keeps the donor of the first draw

    def take(query: ImageQuery) -> ImageEvidence:
        donor = replace(query, image=donor_of[query.image.image_id])
        return transplant(query.evidence, gather_regions(donor, caches.predicted, settings))

    return [[take(image) for image in query.images] for query in queries]
