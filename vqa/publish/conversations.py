"""Examples as conversations for those who train elsewhere: the words and pictures that a model here would learn from.

Region tokens belong to our adapters and are not written.
"""

from dataclasses import dataclass
from pathlib import Path

from PIL import Image, ImageChops

from ...grounding.bad_input import BadInput
from ...grounding.evidence.evidence import EvidenceSettings, select
from ...grounding.files import sha256
from ...grounding.imaging.read import open_image
from ..prompt.prompt import Example, read_images, write_instruction, write_target
from ..served.notation import Notation
from .chat_formats import CHAT_FORMATS, PLACEHOLDER, Row


@dataclass(frozen=True, kw_only=True)
class Conversations:
    """How examples become rows. `folder`: of pictures that are no file as they are, crops and overlays among them."""

    format: str
    settings: EvidenceSettings
    notation: Notation
    folder: Path

    def row(self, example: Example) -> Row:
        """One example with a target. Raises `BadInput` for an unreadable image, and for words with a placeholder."""
        evidence = select(example.evidence, self.settings)
        words = write_instruction(example, evidence, self.settings, self.notation.box_text)
        answer = write_target(example, evidence, self.settings) or ""
        if PLACEHOLDER in words + answer:
            raise BadInput(f"the text holds {PLACEHOLDER!r}.", row=example.example_id, fix="take it out")
        images = read_images(example, evidence, self.settings, None, self.notation.family)
        paths = [*example.image_paths, *[None] * (len(images) - len(example.image_paths))]
        files = [self._file(image, path) for image, path in zip(images, paths, strict=True)]
        return CHAT_FORMATS[self.format](words, answer, files)

    def _file(self, image: Image.Image, path: Path | None) -> str:
        """The file itself where others read the same pixels from it, else a PNG of them, named by its content."""
        if path is not None and path.suffix.lower() in (".png", ".jpg", ".jpeg"):
            with open_image(path) as theirs:
                if theirs.size == image.size and not ImageChops.difference(theirs.convert("RGB"), image).getbbox():
                    return str(path.resolve())
        file = self.folder / f"{sha256(repr(image.size).encode() + image.tobytes())[:20]}.png"
        if not file.exists():
            self.folder.mkdir(parents=True, exist_ok=True)
            image.save(file)
        return str(file.resolve())
