"""What a core knows of an image and of phrases, said before anybody trusts what it finds.

Whether the image is like those it learned from, what modality it takes it for where nobody told, and which phrases it
never learned. Nothing is said that a grounder cannot tell: cores of before and public detectors stay silent.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

from ....grounding.grounder import FAMILIAR, Grounder
from ....grounding.grounders.pretrained import is_shipped, vocabulary_of
from ....grounding.modalities import MODALITIES
from ....grounding.types import AnnotatedImage, Region
from ....grounding.vocabulary.labels import load_labels
from ....grounding.vocabulary.learned import Vocabulary, is_found, is_learned, learned_phrases, modalities_of

STRANGE = "unlike anything this core has learned"
SURE = 0.5
"""Chance of its surest phrase from which on a modality is guessed; below it no modality fits."""
APART = 0.1
"""By how much it must be surer of that than of anything in another modality."""
LARGER = "small-research"
"""The core of the package that knows most; for research alone."""


@dataclass(frozen=True, kw_only=True)
class Known:
    """What a grounder knows of one image. `modality`: as file or user told it, else its guess, else `unknown`.

    `familiarity`: how much the image is like those it learned from, in [0, 1]; None where it cannot tell.
    """

    modality: str = "unknown"
    is_guess: bool = False
    familiarity: float | None = None

    @property
    def in_distribution(self) -> bool | None:
        """Whether the image is like those that the grounder learned from; None where it cannot tell."""
        return None if self.familiarity is None else self.familiarity >= FAMILIAR

    @property
    def ood_score(self) -> float | None:
        """How unlike those the image is, in [0, 1]; None where the grounder cannot tell."""
        return None if self.familiarity is None else round(1 - self.familiarity, 4)

    @property
    def lines(self) -> list[str]:
        """For people: the guess, and that the image is strange."""
        lines = [f"modality: {MODALITIES[self.modality].spoken} (a guess)"] if self.is_guess else []
        if self.in_distribution is False:
            lines.append(
                f"this image is {STRANGE} (familiarity {self.familiarity:.2f}): take nothing of it for granted"
            )
        return lines

    def to_json(self) -> dict[str, Any]:
        """`modality_guess`, `in_distribution` and `ood_score` in [0, 1], as far as they are known."""
        guess: dict[str, Any] = {"modality_guess": self.modality} if self.is_guess else {}
        if self.familiarity is None:
            return guess
        return guess | {"in_distribution": self.in_distribution, "ood_score": self.ood_score}


def know(finder: Grounder, image: AnnotatedImage, vocabulary: Vocabulary) -> Known:
    """What the grounder knows of the image. Raises `BadInput` for an unreadable image."""
    values = finder.familiarity([image])
    familiarity = values[0] if values else None
    if image.modality != "unknown":
        return Known(modality=image.modality, familiarity=familiarity)
    # cores of before see a brain in everything, and nothing is guessed of an image that is like nothing it knows
    can_guess = familiarity is not None and familiarity >= FAMILIAR
    guess = guess_modality(finder, image, vocabulary) if can_guess else "unknown"
    return Known(modality=guess, is_guess=guess != "unknown", familiarity=familiarity)


def guess_modality(finder: Grounder, image: AnnotatedImage, vocabulary: Vocabulary) -> str:
    """The modality of most of the training images that are most alike; where a grounder cannot tell these, the one of
    which it is surest to see something usual. `unknown` where there is no such.
    """
    if (shares := finder.likely_modalities([image])) is not None:
        alike = max(shares[0], key=lambda name: shares[0][name])
        return alike if shares[0][alike] > SURE and MODALITIES[alike].spoken else "unknown"
    if not (finder.is_presence_calibrated and vocabulary):
        return "unknown"
    phrases = list(dict.fromkeys(chain.from_iterable(vocabulary.values())))
    chances = finder.ground_with_presence([image], [phrases])[0][1]
    best = {name: max((chances.get(one, 0.0) for one in row), default=0.0) for name, row in vocabulary.items()}
    surest, *others = sorted(best, key=lambda name: -best[name])
    is_apart = all(best[surest] - best[name] >= APART for name in others)
    return surest if best[surest] >= SURE and is_apart and MODALITIES[surest].spoken else "unknown"


def modality_lines(modality: str, vocabulary: Vocabulary) -> list[str]:
    """That a core knows nothing of the modality, and which one does; none where it does, or does not say."""
    if modality == "unknown" or not vocabulary or vocabulary.get(modality):
        return []
    return [f"this core knows nothing of {MODALITIES[modality].spoken}" + _larger(modality, ())]


def phrase_lines(
    asked: Sequence[str], regions: Sequence[Region], vocabulary: Vocabulary, modality: str = "unknown"
) -> list[str]:
    """Of each phrase that was asked for: that it is no label or was never learned, so a guess; or was not seen.

    `modality`: of the image, told or guessed; what was learned in others alone is a guess as well.
    """
    tree = load_labels()
    lines: list[str] = []
    for phrase in asked:
        is_seen = is_found(phrase, regions)
        nothing = "" if is_seen else ", nothing found"
        if tree.label(phrase) not in tree.labels:
            lines.append(f"{phrase}: not among the {len(tree.labels)} labels; a guess{nothing}")
        elif not is_learned(phrase, vocabulary):
            num = len(learned_phrases(vocabulary))
            only = f"this core learned no others{_larger('', [phrase])}"
            lines.append(f"{phrase}: not among the {num} labels; a guess{nothing}; {only}")
        elif not is_learned(phrase, vocabulary, modality):
            lines.append(f"{phrase}: {learned_elsewhere(phrase, vocabulary)}; a guess{nothing}")
        elif not is_seen:
            lines.append(f"{phrase}: not seen")
    return lines


@dataclass(frozen=True)
class Learned:
    """What a grounder learned, as far as it says, and the modality of the image that it looked at."""

    vocabulary: Vocabulary
    modality: str

    def has(self, phrase: str) -> bool:
        """Whether it learned the phrase in such images."""
        return is_learned(phrase, self.vocabulary, self.modality)

    def foreign(self, asked: Sequence[str]) -> str:
        """That it learned none of the phrases in such images; "" where it learned one, or nothing was asked for."""
        if not asked or any(self.has(phrase) for phrase in asked):
            return ""
        name = next((phrase for phrase in asked if modalities_of(phrase, self.vocabulary)), "")
        return f"{name} was {learned_elsewhere(name, self.vocabulary)}" if name else ""


def learned_elsewhere(phrase: str, vocabulary: Vocabulary) -> str:
    """In what other images alone a phrase was learned."""
    spoken = [MODALITIES[name].spoken or name for name in modalities_of(phrase, vocabulary)]
    return f"learned in images of other kinds alone ({', '.join(spoken)})"


def unlabelled_line(name: str) -> str:
    """That what a question names is no label, so that nobody looked for it."""
    return f"{name}: not among the {len(load_labels().labels)} labels, so not looked for"


def _larger(modality: str, phrases: Collection[str]) -> str:
    """A hint that the larger core of the package knows them; "" where it does not, or is not there."""
    if not is_shipped(LARGER):
        return ""
    theirs = vocabulary_of(LARGER)
    knows = bool(theirs.get(modality)) if modality else all(is_learned(phrase, theirs) for phrase in phrases)
    return f"; {LARGER} does (for research alone): --grounder {LARGER}" if knows else ""
