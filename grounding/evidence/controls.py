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
    """The same regions at random places: the `random` control. Two draws a region.

    What a region is stays in every form: phrase, size, score, embedding and pooled features are its own. So all that is
    lost is where it is.
    """
    moved = []
    for region in image.regions:
        sides = region.box_xyxy_px[2:] - region.box_xyxy_px[:2]
        # a box larger than the image stays at its corner
        room = np.maximum(np.array(image.size_px, np.float32) - sides, 0)
        corner = (room * rng.random(2)).astype(np.float32)
        moved.append(replace(region, box_xyxy_px=np.concatenate([corner, corner + sides]), mask=None))
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
        outline=region.outline and tuple(line_P2 * (-1, 1) + (1, 0) for line_P2 in region.outline),
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


def donors_for(
    images: Sequence[AnnotatedImage], rng: np.random.Generator, alike: Sequence[object] | None = None
) -> list[int]:
    """For each image another's index, of another patient and of like anatomy, as far as there is one.

    First of the same modality, part of the body and side the film was taken from, then of the same modality and part,
    then of the same modality, then any; of the same patient only where there is no other. `alike`: what has to be the
    same before all that, one value an image. Alone, an image is its own donor.
    """
    order, donors = [int(index) for index in rng.permutation(len(images))], dict[int, int]()
    rows = [
        (alike[k] if alike else "", image.modality, image.body_part, image.is_lateral) for k, image in enumerate(images)
    ]
    for num_equal in (4, 3, 2, 1, 0):
        rings: dict[tuple[object, ...], list[int]] = {}
        for index in order:
            rings.setdefault(rows[index][:num_equal], []).append(index)
        for ring in rings.values():
            for start, index in enumerate(ring):
                # each takes from the next in its ring of another patient: members 4 1 7 take from 1 7 4
                others = (ring[(start + step) % len(ring)] for step in range(1, len(ring)))
                donor = next((other for other in others if images[other].group != images[index].group), None)
                if index not in donors and donor is not None:
                    donors[index] = donor
    # one patient alone: the next image in the order they were drawn in
    following = dict(zip(order, [*order[1:], *order[:1]], strict=True))
    return [donors.get(index, following[index]) for index in range(len(images))]
