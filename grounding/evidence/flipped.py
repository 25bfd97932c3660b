"""A grounder in front of a mirror: what is found in flipped pictures, told of the pictures as they are stored.

The probe `flipped` shows flipped pictures, and mirrors the evidence of the stored ones. With this evidence its boxes
and embeddings are those of the flipped picture itself, as if that had been stored.
"""

from collections.abc import Sequence
from dataclasses import replace

from ..files import sha256
from ..grounder import Grounder
from ..types import Region, Study
from ..vocabulary.phrases import mirror
from .controls import mirrored_region


class InMirror:
    """Looks for the mirrored phrases, and mirrors what is found; embeddings stay those of the flipped pictures.

    `grounder`: reads pictures flipped left to right (`MedGlipGrounder.mirrored`, or the oracle that embeds with it).
    """

    def __init__(self, grounder: Grounder):
        self.grounder = grounder
        self.fingerprint = sha256(f"{grounder.fingerprint} told of the stored pictures")
        self.reads_truth = getattr(grounder, "reads_truth", False)

    @property
    def embedding_dim(self) -> int:
        """That of the grounder."""
        return self.grounder.embedding_dim

    def ground(self, studies: Sequence[Study], phrases: Sequence[Sequence[str]]) -> list[list[Region]]:
        """For each study the regions of its phrases, best first, boxes in pixels of the stored image."""
        flipped = [mirrored_study(study) for study in studies]
        found = self.grounder.ground(flipped, [[mirror(phrase)[0] for phrase in row] for row in phrases])
        return [_mirrored(row, study) for row, study in zip(found, studies, strict=True)]


def mirrored_study(study: Study) -> Study:
    """What is known of the study, in places and words of its flipped picture; the file is the stored one."""
    phrases = tuple(mirror(phrase)[0] for phrase in study.phrases)
    return replace(study, regions=tuple(_mirrored(study.regions, study)), phrases=phrases)


def _mirrored(regions: Sequence[Region], study: Study) -> list[Region]:
    return [mirrored_region(region, study.size_px[0]) for region in regions]
