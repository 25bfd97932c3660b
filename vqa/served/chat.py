"""An example as a message to a served model: pictures without loss, and the words that a model here would read."""

import base64
import io
from dataclasses import dataclass
from typing import Any

from PIL import Image

from ...grounding.evidence.evidence import Evidence, EvidenceSettings, select
from ..inference.settings import GenerateSettings
from ..prompt.prompt import Example, hash_prompt, read_images, write_instruction
from .notation import Notation

IGNORED = ("num_beams", "no_repeat", "repetition_penalty", "sections", "only")
"""Keys of decoding that servers do not share."""


@dataclass(frozen=True, kw_only=True, eq=False)
class ChatPrompt:
    """`messages` of a chat completion; `sha256`: over words and pixels; `evidence`: in it, as selected.

    Where the model's folder is at hand, the words are those behind its chat template, and the hash is that of
    `Prompt.sha256`.
    """

    messages: list[dict[str, Any]]
    sha256: str
    evidence: Evidence


def to_chat(example: Example, settings: EvidenceSettings, notation: Notation) -> ChatPrompt:
    """The example's prompt for a served model. Raises `BadInput` as `prompt.render` does for unreadable images."""
    evidence, family = select(example.evidence, settings), notation.family
    images = read_images(example, evidence, settings, notation.letterbox_px, family)
    words = write_instruction(example, evidence, settings, notation.box_text)
    text = words
    if notation.processor:
        parts = [*[{"type": "image"}] * len(images), {"type": "text", "text": words}]
        text = family.write(notation.processor, [{"role": "user", "content": parts}], True)
    content = [{"type": "image_url", "image_url": {"url": to_url(image)}} for image in images]
    content.append({"type": "text", "text": words})
    messages = [{"role": "user", "content": content if images else words}]
    return ChatPrompt(messages=messages, sha256=hash_prompt(text, images), evidence=evidence)


def to_url(image: Image.Image) -> str:
    """The picture as a PNG inside a URL, so that the server gets these very pixels."""
    file = io.BytesIO()
    image.save(file, "PNG", compress_level=1)
    return f"data:image/png;base64,{base64.b64encode(file.getvalue()).decode()}"


def decoding(settings: GenerateSettings) -> dict[str, Any]:
    """Options of a chat completion."""
    options: dict[str, Any] = {"max_tokens": settings.max_new_tokens, "temperature": settings.temperature}
    return options | ({"top_p": settings.top_p, "seed": settings.seed} if settings.temperature else {})


def ignored(settings: GenerateSettings) -> list[str]:
    """Keys of the settings that a server is not asked for, though they are not at their defaults."""
    usual = GenerateSettings()
    return [name for name in IGNORED if getattr(settings, name) != getattr(usual, name)]
