"""What a grounder was trained to find, modality by modality, and what counts as found; anything else is a guess.

A core that learned nodules in X-rays finds "nodules" in a photograph of skin as well, with a high score.
"""

from collections.abc import Mapping, Sequence
from itertools import chain

from ..types import Region
from .labels import load_labels

Vocabulary = Mapping[str, Sequence[str]]
"""What a grounder was trained to find in each modality."""


def learned_phrases(vocabulary: Vocabulary, modality: str = "unknown") -> set[str]:
    """Every label that a grounder was trained on in a modality: those of its vocabulary, and what they are kinds of.

    In any modality, where it is not known or the grounder says nothing of it.
    """
    rows = [vocabulary[modality]] if vocabulary.get(modality) else vocabulary.values()
    own = set(chain.from_iterable(rows))
    return own | {above for phrase in own for above in load_labels().kinds_of(phrase)}


def is_learned(phrase: str, vocabulary: Vocabulary, modality: str = "unknown") -> bool:
    """Whether a grounder was trained on a phrase in a modality; True where it does not say what it learned."""
    return not vocabulary or load_labels().label(phrase) in learned_phrases(vocabulary, modality)


def modalities_of(phrase: str, vocabulary: Vocabulary) -> list[str]:
    """The modalities in which a grounder was trained on a phrase."""
    return [name for name, row in vocabulary.items() if row and is_learned(phrase, vocabulary, name)]


def is_found(phrase: str, regions: Sequence[Region]) -> bool:
    """Whether a region is one of the phrase, or of a kind of it: "left lung" of "lung"."""
    tree = load_labels()
    return any(phrase == region.phrase or phrase in tree.kinds_of(region.phrase) for region in regions)
