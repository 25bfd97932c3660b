"""Another grounder as the finder of a system: its regions, read by the core that the adapters know."""

from collections.abc import Sequence
from pathlib import Path

from ...grounding.bad_input import BadInput
from ...grounding.files import sha256
from ...grounding.grounder import Grounder
from ...grounding.grounders.medglip import MedGlipGrounder
from ...grounding.grounders.pretrained import has_no_weights, is_hub_name, is_shipped
from ...grounding.types import AnnotatedImage, Region


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


def remembered(asked: str | None, learned: str | None, adapter: Path) -> str | None:
    """The grounder that was asked for, else the one whose regions the adapter learned with; None: its core.

    Raises `BadInput` where that one is no longer there.
    """
    if asked or not learned:
        return asked
    if is_shipped(learned) or has_no_weights(learned) or is_hub_name(learned) or Path(learned).is_dir():
        return learned
    problem = f"it learned with the regions of {learned!r}, which is not here."
    raise BadInput(problem, file=adapter, fix="--grounder with where it is now, or another one, such as small")
