"""A grounder of flipped images: its regions in the frame and words of the stored ones.

The probe `flipped` shows flipped images, and mirrors the evidence of the stored ones. With this evidence its boxes
and embeddings are those of the flipped image itself, as if that had been stored.
"""

from collections.abc import Sequence
from dataclasses import replace

from ..files import sha256
from ..grounder import Grounder
from ..types import AnnotatedImage, Region
from ..vocabulary.phrases import mirror
from .controls import mirror_region


class InMirror(Grounder):
    """Looks for the mirrored phrases, and mirrors the regions; embeddings stay those of the flipped images.

    `grounder`: reads images flipped left to right (`MedGlipGrounder.mirror`, or the oracle that embeds with it).
    """

    def __init__(self, grounder: Grounder):
        self.grounder = grounder
        # the words stay as they are: regions in caches are named by this hash
        self.fingerprint = sha256(f"{grounder.fingerprint} told of the stored pictures")
        self.embedding_dim, self.threshold = grounder.embedding_dim, grounder.threshold
        self.depends_on_annotations = grounder.depends_on_annotations

    def ground(self, images: Sequence[AnnotatedImage], phrases: Sequence[Sequence[str]]) -> list[list[Region]]:
        """For each image the regions of its phrases, best first, boxes in pixels of the stored image."""
        flipped = [mirror_image(image) for image in images]
        regions = self.grounder.ground(flipped, [[mirror(phrase)[0] for phrase in row] for row in phrases])
        return [
            [mirror_region(region, image.size_px[0]) for region in row]
            for row, image in zip(regions, images, strict=True)
        ]


def mirror_image(image: AnnotatedImage) -> AnnotatedImage:
    """The annotations in places and words of the flipped pixels; the file is the stored one."""
    regions = tuple(mirror_region(region, image.size_px[0]) for region in image.regions)
    return replace(image, regions=regions, phrases=tuple(mirror(phrase)[0] for phrase in image.phrases))
