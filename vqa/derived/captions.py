"""Captions by the same facts: modality and part of the body, what is where, what is absent; one to three sentences."""

from collections.abc import Mapping, Sequence
from typing import Any

from ...grounding.modalities import MODALITIES
from .claims import Claim, body_part, grid_cell
from .facts import Facts, Place
from .questions import with_article

MOST_SEEN, MOST_ABSENT = 5, 3
NUM_TOLD = 20
"""Numbers of renderings: five of what is seen, four of what is absent."""


def caption(facts: Facts) -> Claim | None:
    """What can be said of the picture, the largest first; None of a picture without regions and absent phrases.

    `asks`: modality, body, `seen` as lists [phrase, place or ""], `absent`; `text` renders them in the given wording.
    """
    places = largest(facts)
    single = {place.phrase for place in facts.single}
    seen = [[place.phrase, grid_cell(place) if place.phrase in single else ""] for place in places]
    absent = list(facts.absent[:MOST_ABSENT])
    if not seen and not absent:
        return None
    asks = {"modality": facts.image.modality, "body": body_part(facts), "seen": seen, "absent": absent}
    phrases = tuple([phrase for phrase, _ in seen] + absent)
    return Claim(kind="caption", form="caption", asks=asks, answer="", phrases=phrases)


def largest(facts: Facts) -> list[Place]:
    """What is told of a picture: its largest places first, at most `MOST_SEEN`."""
    return sorted(facts.places.values(), key=lambda place: (-place.area[1], place.phrase))[:MOST_SEEN]


def text(asks: Mapping[str, Any], wording: int) -> str:
    """The caption in one of its wordings."""
    picture = MODALITIES[asks["modality"]].image_words + (f" of the {asks['body']}" if asks["body"] else "")
    first = (f"{picture[0].upper()}{picture[1:]}.", f"This is {_a(picture)}.", f"The picture is {_a(picture)}.")
    sentences = [first[wording % len(first)]]
    if asks["seen"]:
        sentences.append(_seen(asks["seen"], wording))
    if asks["absent"]:
        sentences.append(_absent(asks["absent"], wording))
    return " ".join(sentences)


def _a(picture: str) -> str:
    return ("an " if picture.startswith(("X-ray", "MRI", "ultra", "endo", "image")) else "a ") + picture


def _seen(seen: Sequence[Sequence[str]], wording: int) -> str:
    """One sentence: "It shows liver in the upper left part and kidney."."""
    parts = [f"{phrase} in the {part(place)}" if place else phrase for phrase, place in seen]
    listed = _listed(parts, "and")
    frames = ("It shows {}.", "Seen: {}.", "{} can be seen.", "There is {}.", "One sees {}.")
    return capital(frames[wording % len(frames)].format(listed))


def _absent(absent: Sequence[str], wording: int) -> str:
    listed = _listed(absent, "or")
    frames = ("No {} is seen.", "There is no {}.", "It does not show {}.", "No sign of {}.")
    if wording % len(frames) == 2:
        listed = _listed([with_article(phrase) for phrase in absent], "or")
    return frames[wording % len(frames)].format(listed)


def part(place: str) -> str:
    """A cell of the grid as part of the image: `upper left part`, `centre`."""
    return place if place == "centre" else f"{place} part"


def _listed(parts: Sequence[str], word: str) -> str:
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} {word} {parts[-1]}"


def capital(sentence: str) -> str:
    """The sentence with its first letter in upper case."""
    return sentence[0].upper() + sentence[1:]
