"""A grounder whose regions are read by a core: they carry the vectors that its adapters know."""

from collections.abc import Sequence

from ..files import sha256
from ..grounder import Grounder
from ..types import AnnotatedImage, Region
from .medglip import MedGlipGrounder


class EmbeddedFinder(Grounder):
    """A finder whose regions carry the vectors of another core."""

    def __init__(self, finder: Grounder, core: MedGlipGrounder):
        self.finder, self.core = finder, core
        # regions depend on the finder, their vectors on the core: a cache of either alone would mix them
        self.fingerprint = sha256(f"{finder.fingerprint} read by {core.fingerprint}")
        self.embedding_dim, self.pooled_dims = core.embedding_dim, core.pooled_dims

    def ground(self, images: Sequence[AnnotatedImage], phrases: Sequence[Sequence[str]]) -> list[list[Region]]:
        """The finder's regions."""
        return self.core.embed(images, self.finder.ground(images, phrases))
