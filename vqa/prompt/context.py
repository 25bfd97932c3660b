"""The first line of a prompt: what its images are, as far as file or user told it."""

import re
from collections.abc import Sequence

from ...grounding.modalities import MODALITIES
from ...grounding.types import AnnotatedImage

TELLING = frozenset({"modality", "body", "organ", "caption"})
"""Kinds of questions, by a word of their content type, whose answer the line would give away."""


def context_of(images: Sequence[AnnotatedImage]) -> str:
    """`CT of the abdomen.`, `Endoscopy.`, `Image of the knee.`; "" where nothing was told.

    What the images do not share is left out.
    """
    modalities, parts = {image.modality for image in images}, {image.body_part for image in images}
    spoken = MODALITIES[modalities.pop()].spoken if len(modalities) == 1 else ""
    part = parts.pop() if len(parts) == 1 else ""
    words = (spoken or "image") + (f" of the {part}" if part else "")
    return f"{words[0].upper()}{words[1:]}." if spoken or part else ""


def gives_away(content_type: str) -> bool:
    """Whether a question of this content type asks for what the line says: "modality", "organ, pres", "body_part"."""
    return not TELLING.isdisjoint(re.findall("[a-z]+", content_type.lower()))
