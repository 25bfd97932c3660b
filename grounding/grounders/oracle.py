"""The oracle: a grounder that finds what is annotated."""

from collections.abc import Sequence

from ..files import sha256
from ..grounder import true_regions
from ..types import AnnotatedImage, Region
from .medglip import MedGlipGrounder


class TruthGrounder:
    """The oracle: the study's own true regions, with embeddings read by the core where one is given."""

    reads_truth = True
    """Its answers depend on annotations, so the cache takes those into its key."""

    def __init__(self, embedder: MedGlipGrounder | None = None):
        self.embedder = embedder
        self.fingerprint = sha256("truth" + (embedder.fingerprint if embedder else ""))

    @property
    def embedding_dim(self) -> int:
        """D of the embedder, 0 without one."""
        return self.embedder.embedding_dim if self.embedder else 0

    def ground(self, images: Sequence[AnnotatedImage], phrases: Sequence[Sequence[str]]) -> list[list[Region]]:
        """For each study its true regions of the phrases, score 1; ancestors of a label are answered by its regions."""
        found = [true_regions(image, row) for image, row in zip(images, phrases, strict=True)]
        return self.embedder.embed(images, found) if self.embedder else found
