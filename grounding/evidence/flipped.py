"""A grounder in front of a mirror: what is found in flipped pictures, told of the pictures as they are stored.

The probe `flipped` shows flipped pictures, and mirrors the evidence of the stored ones. With this evidence its boxes
and embeddings are those of the flipped picture itself, as if that had been stored.
"""

from collections.abc import Sequence
from dataclasses import replace

from ..files import sha256
from ..grounder import Grounder
from ..types import AnnotatedImage, Region
from ..vocabulary.phrases import mirror
from .controls import mirror_region


class InMirror(Grounder):
    """Looks for the mirrored phrases, and mirrors what is found; embeddings stay those of the flipped pictures.

    `grounder`: reads pictures flipped left to right (`MedGlipGrounder.mirrored`, or the oracle that embeds with it).
    """

    def __init__(self, grounder: Grounder):
        self.grounder = grounder
        self.fingerprint = sha256(f"{grounder.fingerprint} told of the stored pictures")
        self.embedding_dim, self.threshold = grounder.embedding_dim, grounder.threshold
        self.depends_on_annotations = grounder.depends_on_annotations

    def ground(self, images: Sequence[AnnotatedImage], phrases: Sequence[Sequence[str]]) -> list[list[Region]]:
        """For each study the regions of its phrases, best first, boxes in pixels of the stored image."""
        flipped = [mirrored_image(image) for image in images]
        found = self.grounder.ground(flipped, [[mirror(phrase)[0] for phrase in row] for row in phrases])
        return [_mirrored(row, image) for row, image in zip(found, images, strict=True)]


def mirrored_image(image: AnnotatedImage) -> AnnotatedImage:
    """What is known of the study, in places and words of its flipped picture; the file is the stored one."""
    phrases = tuple(mirror(phrase)[0] for phrase in image.phrases)
    return replace(image, regions=tuple(_mirrored(image.regions, image)), phrases=phrases)


def _mirrored(regions: Sequence[Region], image: AnnotatedImage) -> list[Region]:
    return [mirror_region(region, image.size_px[0]) for region in regions]
