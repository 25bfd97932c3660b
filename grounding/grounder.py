"""Who finds regions: the `Grounder` protocol, and which true regions answer a phrase. No torch.

`medglip_grounder.py` holds our core and the oracle that knows the truth; `cache.regions_of` is what the house calls.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Protocol, runtime_checkable

from .types import AnnotatedImage, Region


class Grounder(Protocol):
    """Finds regions for phrases. Invariants: batch = single; no phrases -> no regions; order of phrases is nothing."""

    @property
    def fingerprint(self) -> str:
        """Hash of everything that determines the regions (weights and settings): a part of the cache key."""
        ...

    @property
    def embedding_dim(self) -> int:
        """Length D of `Region.embedding`; 0 where regions carry none."""
        ...

    def ground(self, images: Sequence[AnnotatedImage], phrases: Sequence[Sequence[str]]) -> list[list[Region]]:
        """For each study the regions of its phrases, best first, boxes in pixels of the original image."""
        ...


@runtime_checkable
class PresenceGrounder(Grounder, Protocol):
    """A grounder that also says how likely a phrase is there at all."""

    def answer(
        self, images: Sequence[AnnotatedImage], phrases: Sequence[Sequence[str]]
    ) -> list[tuple[list[Region], dict[str, float]]]:
        """Regions as `ground` gives them, and the chance in [0, 1] of each phrase, of one pass over the images."""
        ...


def answers(
    grounder: Grounder, images: Sequence[AnnotatedImage], phrases: Sequence[Sequence[str]]
) -> list[tuple[list[Region], dict[str, float]]]:
    """For each study the regions, and the chance of each phrase where the grounder says it, else no chances."""
    if isinstance(grounder, PresenceGrounder):
        return grounder.answer(images, phrases)
    return [(regions, {}) for regions in grounder.ground(images, phrases)]


def is_about(region: Region, phrase: str, image: AnnotatedImage) -> bool:
    """Whether a true region answers a phrase: as its phrase, as its own label, or as an ancestor of it.

    A phrase that the study annotates itself has regions of its own: "kidney" is not answered by the cyst in it.
    """
    if phrase == region.phrase or phrase in region.path[-1:]:
        return True
    return phrase in region.path and phrase not in image.phrases


def true_regions(image: AnnotatedImage, phrases: Sequence[str]) -> list[Region]:
    """The study's true regions of the phrases, each under the phrase that asked for it."""
    asked = dict.fromkeys(phrases)
    return [replace(region, phrase=p) for p in asked for region in image.regions if is_about(region, p, image)]
