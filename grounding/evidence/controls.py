"""Controls over evidence: another image's regions, random places, the image flipped."""

from collections.abc import Sequence
from dataclasses import replace
from typing import TypeVar

import numpy as np

from ..files import sha256
from ..geometry import mirror_boxes
from ..grounder import Grounder, Images, Phrases
from ..types import AnnotatedImage, Region
from ..vocabulary.phrases import mirror
from .evidence import Evidence, ImageEvidence

OneImage = TypeVar("OneImage", AnnotatedImage, ImageEvidence)


def transplant(image: ImageEvidence, donor: ImageEvidence) -> ImageEvidence:
    """The donor's regions, scaled to this image: the `shuffled` control keeps everything but the truth."""
    scale = np.tile(np.array(image.size_px, np.float32) / np.array(donor.size_px, np.float32), 2)
    regions = tuple(replace(r, box_xyxy_px=r.box_xyxy_px * scale, mask=None) for r in donor.regions)
    return replace(image, regions=regions)


def scatter(image: ImageEvidence, rng: np.random.Generator) -> ImageEvidence:
    """The same phrases and sizes at random places, embeddings zero: the `random` control. Two draws a region."""
    moved = []
    for region in image.regions:
        sides = region.box_xyxy_px[2:] - region.box_xyxy_px[:2]
        # a box larger than the image stays at its corner
        room = np.maximum(np.array(image.size_px, np.float32) - sides, 0)
        corner = (room * rng.random(2)).astype(np.float32)
        embedding = None if region.embedding is None else np.zeros_like(region.embedding)
        box = np.concatenate([corner, corner + sides])
        moved.append(replace(region, box_xyxy_px=box, mask=None, embedding=embedding))
    return replace(image, regions=tuple(moved))


def mirror_evidence(evidence: Evidence) -> Evidence:
    """The same evidence for images flipped left to right, in places and words; mirrored twice it is unchanged.

    Embeddings stay: those of the flipped image must be read in it, see `InMirror`.
    """
    return evidence.each(mirror_image)


def mirror_image(image: OneImage) -> OneImage:
    """Regions and phrases in places and words of the flipped pixels; the file is the stored one."""
    regions = tuple(mirror_region(region, image.size_px[0]) for region in image.regions)
    return replace(image, regions=regions, phrases=tuple(map(mirror, image.phrases)))


def mirror_region(region: Region, width: int) -> Region:
    """The region in an image of this width in pixels flipped left to right; its own inverse but for rounding."""
    return replace(
        region,
        phrase=mirror(region.phrase),
        path=tuple(map(mirror, region.path)),
        box_xyxy_px=mirror_boxes(region.box_xyxy_px, width),
        mask=None if region.mask is None else np.ascontiguousarray(region.mask[:, ::-1]),
    )


class InMirror(Grounder):
    """A grounder of flipped images: its regions in the frame and words of the stored ones.

    The probe `flipped` shows flipped images, and mirrors the evidence of the stored ones. With this evidence its boxes
    and embeddings are those of the flipped image itself, as if that had been stored.

    `grounder`: reads images flipped left to right (`MedGlipGrounder.mirror`, or the oracle that embeds with it).
    """

    def __init__(self, grounder: Grounder):
        self.grounder = grounder
        # the words stay as they are: regions in caches are named by this hash
        self.fingerprint = sha256(f"{grounder.fingerprint} told of the stored pictures")
        self.embedding_dim, self.pooled_dims = grounder.embedding_dim, grounder.pooled_dims
        self.threshold = grounder.threshold
        self.depends_on_annotations = grounder.depends_on_annotations

    def ground(self, images: Images, phrases: Phrases) -> list[list[Region]]:
        """For each image the regions of its phrases, best first, boxes in pixels of the stored image."""
        flipped = [list(map(mirror, row)) for row in phrases]
        pairs = zip(self.grounder.ground([*map(mirror_image, images)], flipped), images, strict=True)
        return [[mirror_region(region, image.size_px[0]) for region in regions] for regions, image in pairs]


def derangement(groups: Sequence[str], rng: np.random.Generator) -> list[int]:
    """For each index a donor's from the same group (a modality, say), never itself; any other if alone in it."""
    donors = list(range(len(groups)))
    for group in sorted(set(groups)):
        # each takes from its neighbour in a drawn ring: members 4 1 7 take from 7 4 1
        members = rng.permutation([i for i, g in enumerate(groups) if g == group])
        for index, donor in zip(members, np.roll(members, 1), strict=True):
            donors[index] = int(donor)
    # a ring of one is its own donor: the next of any group instead
    return [(i + 1) % max(len(groups), 1) if donor == i else donor for i, donor in enumerate(donors)]
