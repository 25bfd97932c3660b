"""`Grounder`, the class of everything that finds regions, and which true regions answer a phrase. No torch.

Our core, open-vocabulary detectors and the oracle stand in `grounders`; callers use `grounders.cache.regions_of`.
"""

from collections.abc import Sequence
from dataclasses import replace

from .bad_input import BadInput
from .types import AnnotatedImage, Region

Images = Sequence[AnnotatedImage]
Phrases = Sequence[Sequence[str]]
"""What is looked for in each image."""


FAMILIAR = 0.5
"""Familiarity from which an image counts as one of the kind that a grounder learned from."""


class Grounder:
    """Finds regions for phrases. A further one is a subclass with `ground`, `fingerprint` and what differs below.

    Invariants: batch = single; no phrases -> no regions; the order of the phrases changes nothing.
    """

    fingerprint: str
    """Hash of everything that determines the regions (weights and settings): a part of the cache key."""
    embedding_dim: int = 0
    """Length D of `Region.embedding`; 0 where regions carry none."""
    pooled_dims: tuple[int, ...] = ()
    """Length C of each vector of `Region.pooled`; () where regions carry none."""
    threshold: float = 0.5
    """The score in [0, 1] from which a region counts as present."""
    depends_on_annotations: bool = False
    """Its regions depend on the images' annotations, so caches take those into their keys."""
    depends_on_name: bool = False
    """Its regions depend on the name of the picture: two files of the same pixels may have others."""
    is_presence_calibrated: bool = False
    """The probabilities of `ground_with_presence` are meaningful: texts may be checked against them."""

    def ground(self, images: Images, phrases: Phrases) -> list[list[Region]]:
        """For each image the regions of its phrases, best first, boxes in pixels of the original image."""
        raise NotImplementedError

    def ground_with_presence(self, images: Images, phrases: Phrases) -> list[tuple[list[Region], dict[str, float]]]:
        """Regions as `ground` gives them, and phrase -> probability that it is in the image at all, of one pass.

        No probabilities where it cannot tell.
        """
        return [(regions, {}) for regions in self.ground(images, phrases)]

    def familiarity(self, images: Images) -> list[float] | None:
        """How much each image is like those learned from, in [0, 1]; None where it cannot tell."""
        return None

    def likely_modalities(self, images: Images) -> list[dict[str, float]] | None:
        """Of each image the modalities of the most alike images learned from, with their shares; None where it cannot
        tell.
        """
        return None

    def in_distribution(self, images: Images) -> list[bool] | None:
        """Whether each image is like those learned from; None where it cannot tell."""
        values = self.familiarity(images)
        return None if values is None else [value >= FAMILIAR for value in values]


def unique_phrases(phrases: Sequence[str]) -> list[str]:
    """The phrases, none twice. Raises `BadInput` for an empty one."""
    if any(not phrase.strip() for phrase in phrases):
        raise BadInput("an empty phrase was asked for.", fix="leave it out of the list")
    return list(dict.fromkeys(phrases))  # a set would lose the order


def is_about(region: Region, phrase: str, image: AnnotatedImage) -> bool:
    """Whether a true region answers a phrase: as its phrase, as its own label, or as an ancestor of it.

    A phrase that the image annotates itself has regions of its own: "kidney" is not answered by the cyst in it.
    """
    # region of "liver cyst", path abdomen, liver, liver cyst: about "liver" too, unless the image annotates the liver
    if phrase == region.phrase or phrase in region.path[-1:]:
        return True
    return phrase in region.path and phrase not in image.phrases


def true_regions(image: AnnotatedImage, phrases: Sequence[str]) -> list[Region]:
    """The image's true regions of the phrases, each under the phrase that asked for it."""
    names = dict.fromkeys(phrases)
    return [replace(r, phrase=name) for name in names for r in image.regions if is_about(r, name, image)]
