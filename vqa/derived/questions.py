"""The wordings of derived questions: at least four a form, so that none can be learnt by heart."""

from collections.abc import Mapping
from typing import Any

from ...grounding.datasets.phantoms.words import article

WORDINGS: dict[str, tuple[str, ...]] = {
    "modality": (
        "Which imaging modality is this?",
        "What kind of image is this?",
        "How was this image taken?",
        "What imaging technique was used here?",
    ),
    "modality-yesno": (
        "Was this image taken by {modality}?",
        "Is {modality} the modality of this image?",
        "Does this picture come from {modality}?",
        "Is this an image made by {modality}?",
    ),
    "body": (
        "Which part of the body does the image show?",
        "What part of the body is seen here?",
        "Which body region is this image of?",
        "What region of the body was imaged?",
    ),
    "organ": (
        "Which of these does the image show: {choices}?",
        "Which one is seen here: {choices}?",
        "Only one of these is in the image. Which one: {choices}?",
        "What is there to see: {choices}?",
    ),
    "presence": (
        "Is there {a_phrase} in the image?",
        "Does the image show {a_phrase}?",
        "Can {a_phrase} be seen here?",
        "Do you see {a_phrase} in this picture?",
        "Is {a_phrase} visible?",
    ),
    "side-image": (
        "In which half of the image is the {phrase}, left or right?",
        "Which half of the image holds the {phrase}?",
        "Is the {phrase} in the left or the right half of the image?",
        "On which side of the image does the {phrase} lie?",
    ),
    "side-image-yesno": (
        "Is the {phrase} in the {side} half of the image?",
        "Does the {phrase} lie on the {side} side of the image?",
        "Does the {side} half of the image hold the {phrase}?",
        "Can the {phrase} be found in the {side} half of the image?",
    ),
    "side-patient": (
        "On which side of the patient is the {phrase}?",
        "Which of the patient's sides is the {phrase} on?",
        "Is the {phrase} on the patient's left or right?",
        "Seen from the patient, on which side does the {phrase} lie?",
    ),
    "side-patient-yesno": (
        "Is the {phrase} on the patient's {side} side?",
        "Does the {phrase} lie on the {side} of the patient?",
        "Seen from the patient, is the {phrase} on the {side}?",
        "Is the patient's {side} the side of the {phrase}?",
    ),
    "count": (
        "How many separate areas of {phrase} are there in the image?",
        "How many times is {a_phrase} seen in the image?",
        "What is the number of separate areas of {phrase}?",
        "Count the areas of {phrase} in this picture.",
    ),
    "count-yesno": (
        "Is there more than one area of {phrase} in the image?",
        "Are several areas of {phrase} seen?",
        "Does the image show {phrase} in more than one place?",
        "Are there two or more areas of {phrase}?",
    ),
    "size-word": (
        "How large is the area of {phrase} in the image: tiny, small, medium or large?",
        "Does {phrase} take up a tiny, small, medium or large part of the image?",
        "What size is the area of {phrase}: tiny (under 1 % of the image), small (up to 5 %), medium (up to 15 %) or "
        "large?",
        "Is the part of the image that shows {phrase} tiny, small, medium or large?",
    ),
    "size-percent": (
        "How much of the image's area is {phrase}: under 1 %, 1 to 5 %, 5 to 15 % or over 15 %?",
        "What part of the image does {phrase} cover: under 1 %, 1 to 5 %, 5 to 15 % or over 15 %?",
        "Which share of the picture is {phrase}: under 1 %, 1 to 5 %, 5 to 15 % or over 15 %?",
        "Choose the share of the image that {phrase} covers: under 1 %, 1 to 5 %, 5 to 15 % or over 15 %.",
    ),
    "position": (
        "Where in the image is the {phrase}?",
        "In which part of the image does the {phrase} lie?",
        "What is the position of the {phrase} in the image?",
        "Where is the centre of the {phrase} in this picture?",
    ),
    "position-yesno": (
        "Is the {phrase} in the {place} part of the image?",
        "Does the {phrase} lie in the {place} third of the image?",
        "Does the centre of the {phrase} lie in the {place} part of the image?",
        "Can the {phrase} be found in the {place} part of the picture?",
    ),
    "relation-left": (
        "In the image, is the {first} to the left of the {second}?",
        "Does the {first} lie left of the {second} in the image?",
        "Is the {first} further to the left of the image than the {second}?",
        "Going from left to right in the image, does the {first} come before the {second}?",
    ),
    "relation-above": (
        "In the image, is the {first} above the {second}?",
        "Does the {first} lie above the {second} in the image?",
        "Is the {first} higher up in the image than the {second}?",
        "Going from top to bottom in the image, does the {first} come before the {second}?",
    ),
    "relation-inside": (
        "Is the {first} inside the {second}?",
        "Does the {first} lie within the {second}?",
        "Is the {first} enclosed by the {second}?",
        "Does the {second} surround the {first}?",
    ),
    "relation-larger": (
        "Is the {first} larger than the {second} in the image?",
        "Does the {first} cover more of the image than the {second}?",
        "Does the {first} take up a larger area than the {second}?",
        "Of the two, is the {first} larger in area than the {second}?",
    ),
    "relation-which": (
        "Which is larger in the image, the {first} or the {second}?",
        "What covers more of the image, the {first} or the {second}?",
        "Which one takes up the larger area, the {first} or the {second}?",
        "Of the {first} and the {second}, which is larger in the image?",
    ),
    "caption": (
        "Describe the image.",
        "What does the image show?",
        "Write a caption for this image.",
        "Say what is seen in this picture, and where.",
        "Describe this picture in a few words.",
    ),
}
"""Form -> its wordings; the fields are those of `Claim.asks`, `a_phrase` is the phrase with its article."""


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
