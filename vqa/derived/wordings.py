"""The texts of derived items: questions, in several wordings so that none can be learnt by heart, and captions.

A caption is modality and part of the body, what is where, what is absent; one to three sentences.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from ...grounding.datasets.phantoms.words import article
from ...grounding.modalities import MODALITIES
from .claims import Claim, body_part, grid_cell
from .facts import Facts, Place

_TEXT = Path(__file__).with_name("wordings.yaml").read_text(encoding="utf-8")
_FORMS = yaml.load(_TEXT, getattr(yaml, "CSafeLoader", yaml.SafeLoader))  # in C: every start of a recipe waits for it
WORDINGS: dict[str, tuple[str, ...]] = {form: tuple(texts) for form, texts in _FORMS.items()}
"""Form -> its wordings; the fields are those of `Claim.asks`, `a_phrase` is the phrase with its article."""
MAX_SEEN, MAX_ABSENT = 5, 3
NUM_RENDERINGS = 20
"""Numbers of renderings: five of what is seen, four of what is absent."""


def question_text(form: str, wording: int, asks: Mapping[str, Any]) -> str:
    """The question in one of its wordings."""
    words = {key: value for key, value in asks.items() if isinstance(value, str)}
    if "phrase" in words:
        words["a_phrase"] = with_article(words["phrase"])
    if "choices" in asks:
        words["choices"] = ", ".join(asks["choices"][:-1]) + f" or {asks['choices'][-1]}"
    return WORDINGS[form][wording].format(**words)


def with_article(phrase: str) -> str:
    """A phrase as one of several: "a liver"; plurals have no article."""
    return phrase if is_plural(phrase) else article(phrase)


def is_plural(phrase: str) -> bool:
    """Whether a label's own name is one: hard exudates, retinal vessels; not pancreas."""
    return phrase.endswith("s") and not phrase.endswith(("ss", "as", "is", "us"))


def caption(facts: Facts) -> Claim | None:
    """What can be said of the image, the largest first; None of an image without regions and absent phrases.

    `asks`: modality, body, `seen` as lists [phrase, place or ""], `absent`, for `caption_text`.
    """
    single = {place.phrase for place in facts.single}
    seen = [[place.phrase, grid_cell(place) if place.phrase in single else ""] for place in largest(facts)]
    absent = list(facts.absent[:MAX_ABSENT])
    if not seen and not absent:
        return None
    asks = {"modality": facts.image.modality, "body": body_part(facts), "seen": seen, "absent": absent}
    phrases = tuple([phrase for phrase, _ in seen] + absent)
    return Claim(form="caption", asks=asks, answer="", phrases=phrases)


def largest(facts: Facts) -> list[Place]:
    """The places that a caption names: the largest first, at most `MAX_SEEN`."""
    return sorted(facts.places.values(), key=lambda place: (-place.area[1], place.phrase))[:MAX_SEEN]


def caption_text(asks: Mapping[str, Any], wording: int) -> str:
    """The caption in one of its wordings: "CT of the chest. There is lung in the left part of the image."."""
    image = MODALITIES[asks["modality"]].image_words + (f" of the {asks['body']}" if asks["body"] else "")
    an_image = ("an " if image.startswith(("X-ray", "MRI", "ultra", "endo", "image")) else "a ") + image
    sentences = [(f"{capital(image)}.", f"This is {an_image}.", f"The picture is {an_image}.")[wording % 3]]
    if asks["seen"]:
        names = [f"{phrase} in the {part(place)}" if place else phrase for phrase, place in asks["seen"]]
        frames = ("It shows {}.", "Seen: {}.", "{} can be seen.", "There is {}.", "One sees {}.")
        sentences.append(capital(frames[wording % len(frames)].format(_join(names, "and"))))
    if asks["absent"]:
        frames = ("No {} is seen.", "There is no {}.", "It does not show {}.", "No sign of {}.")
        frame = frames[wording % len(frames)]
        names = [with_article(phrase) if "show" in frame else phrase for phrase in asks["absent"]]
        sentences.append(frame.format(_join(names, "or")))
    return " ".join(sentences)


def part(place: str) -> str:
    """A cell of the grid as part of the image: `upper left part of the image`, `centre of the image`."""
    return f"{place if place == 'centre' else f'{place} part'} of the image"


def _join(parts: Sequence[str], word: str) -> str:
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} {word} {parts[-1]}"


def capital(sentence: str) -> str:
    """The sentence with its first letter in upper case."""
    return sentence[0].upper() + sentence[1:]
