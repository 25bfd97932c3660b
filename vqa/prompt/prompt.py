"""The prompt: image, evidence, instruction -> chat messages; the same for questions and reports."""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from ...grounding.bad_input import BadInput
from ...grounding.evidence.citable import numbers_shown
from ...grounding.evidence.evidence import Evidence, EvidenceSettings, select
from ...grounding.evidence.forms.tokens import REGION_TOKEN, TokenShape
from ...grounding.evidence.render import to_features, to_images, to_text
from ...grounding.geometry import Letterbox
from ...grounding.imaging.read import read_image
from ...grounding.vocabulary.box_notation import PERCENT, BoxText
from ...grounding.vocabulary.citations import CITE, with_citations
from ..families import GENERIC, Family

Transform = Literal["", "blank", "blank_kept", "flipped", "text_only"]
"""How images are changed as they are read, in the words of the probes: not at all, mid-grey, mid-grey but for the crops
of regions, mirrored, left out."""
GREY = (128, 128, 128)
PROMPT_VERSION = 2
"""Counts up with the words of prompts, so that what is trained on others has another name (decision 0012)."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Example:
    """What the model sees and, in training, what it should write. `target` None: there is nothing to learn from.

    `context`: what the images are, such as "CT of the abdomen."; "": not told, or not to be said.
    `evidence`: of the first image, or of all, as `transform` leaves them. `other_paths`: further images, in the order
    in which the instruction names them; `transform`: see there, for all of them. `may_cite`: the settings
    decide whether the answer is to cite regions; False: it never is. `cited`: the target with its citations, of the
    evidence in the prompt and the numbers of its regions; None: regions of the phrases asked about, behind the target.
    `parts`: words that begin a part of the target, and what that part weighs in the loss beside the others; (): all
    tokens weigh the same. `shown`: how its evidence is shown in training, whatever the training says of the others.
    """

    example_id: str
    image_path: Path
    instruction: str
    target: str | None
    evidence: Evidence
    context: str = ""
    other_paths: tuple[Path, ...] = ()
    transform: Transform = ""
    may_cite: bool = False
    cited: Callable[[Evidence, Sequence[int]], str] | None = None
    parts: tuple[tuple[str, float], ...] = ()
    shown: EvidenceSettings | None = None

    @property
    def image_paths(self) -> tuple[Path, ...]:
        """The file of every image, in order."""
        return (self.image_path, *self.other_paths)


@dataclass(frozen=True, kw_only=True, eq=False)
class Prompt:
    """An example as one family of models wants it.

    `text`: rendered chat up to where the answer begins; `completion`: the answer as the template closes it, empty
    where there is no target. `images`: the first, the others, overlays, crops. `features` float32[R, W]: one row for
    each region with `<region>`s in the text (see `TokenShape`), R = 0 unless the forms hold `tokens`. `sha256`: over
    text, pixels and features. `parts`: those of the example. `evidence`: the evidence in it, as selected; whoever needs
    it takes it from here.
    """

    text: str
    completion: str
    images: tuple[Image.Image, ...]
    features: NDArray[np.float32]
    sha256: str
    evidence: Evidence
    parts: tuple[tuple[str, float], ...] = ()


def render(
    example: Example,
    settings: EvidenceSettings,
    processor: Any,
    shape: TokenShape,
    letterbox_px: int | None = None,
    family: Family = GENERIC,
) -> Prompt:
    """The example's prompt; no evidence renders to the plain prompt, byte for byte.

    `shape`: of region tokens, as the adapter reads them. `letterbox_px`: side of the square a vision tower of ours was
    trained on; its images are padded here, right and bottom in black, because the image processors of transformers
    centre and pad in grey. `family`: whose template and box notation it is written in. Raises `BadInput` for an
    unreadable image, for text that holds special tokens, and for more images than the family takes.
    """
    evidence = select(example.evidence, settings)  # here alone: what comes after reads `Prompt.evidence`
    # a question that contains `<image>` or `<region>` would shift every placeholder after it
    phrases = [phrase for image in evidence.images for phrase in image.phrases]
    written = "\n".join([example.context, example.instruction, example.target or "", *phrases])
    written += "\n".join(region.phrase for region in evidence.regions)
    special = {*processor.tokenizer.all_special_tokens, getattr(processor, "image_token", REGION_TOKEN), REGION_TOKEN}
    if contained := sorted(token for token in special if token and token in written):
        problem = f"the text holds the special token {contained[0]!r}."
        raise BadInput(problem, row=example.example_id, fix="take it out")
    images = read_images(example, evidence, settings, letterbox_px, family)
    words = write_instruction(example, evidence, settings, family.box_text(processor))
    words = words.replace(REGION_TOKEN, REGION_TOKEN * shape.tokens_per_region)  # only ours are left in it
    question = [{"role": "user", "content": [{"type": "image"}] * len(images) + [{"type": "text", "text": words}]}]
    text = family.write(processor, question, True)
    target = write_target(example, evidence, settings)
    completion = "" if target is None else close_answer(target, question, text, processor, family)
    # one row for each region whose placeholders `write_instruction` wrote, in the same order
    features = to_features(evidence, settings, shape)
    return Prompt(
        text=text,
        completion=completion,
        images=images,
        features=features,
        sha256=hash_prompt(text, images, features),
        evidence=evidence,
        parts=example.parts,
    )


def close_answer(answer: str, question: list[dict[str, Any]], text: str, processor: Any, family: Family) -> str:
    """The answer as the template writes and closes it behind `text`, the rendered question.

    Raises `BadInput` for a template that writes the question otherwise when an answer follows.
    """
    turn = {"role": "assistant", "content": [{"type": "text", "text": answer}]}
    full = family.write(processor, [*question, turn], False)
    # what the model learns must follow, token for token, on what it is later given
    if not full.startswith(text):
        raise BadInput("the chat template writes the prompt otherwise when an answer follows.", fix="another base")
    return full[len(text) :]


def hash_prompt(text: str, images: Sequence[Image.Image], features: NDArray[np.float32] | None = None) -> str:
    """sha256 over the text, the pixels of the images and the features of region tokens."""
    digest = hashlib.sha256(text.encode())
    for image in images:
        digest.update(repr(image.size).encode() + image.tobytes())
    if features is not None:
        digest.update(np.ascontiguousarray(features).tobytes())
    return digest.hexdigest()


def instruction_text(example: Example, settings: EvidenceSettings) -> str:
    """The user's text without images, boxes in percent: what `render` would write, for its length."""
    return write_instruction(example, select(example.evidence, settings), settings, PERCENT.encode)


def write_instruction(example: Example, evidence: Evidence, settings: EvidenceSettings, box_text: BoxText) -> str:
    """What the images are, evidence, instruction, the request for citations, each where there is any.

    With the forms `text` and `tokens`:

        CT of the abdomen.
        Evidence (places on the image):
        1 <region> liver cyst, left, 12 20 31 44
        Is there a cyst?
    """
    lines = to_text(evidence, settings, box_text, len(example.image_paths))
    # bytes of the prompt: adapters have learned these words
    of_first = " in the first image" if example.other_paths and len(evidence.images) == 1 else ""
    head = f"Evidence{of_first} (places on the image):" if lines else ""
    cites = settings.cite and example.may_cite and numbers_shown(evidence, settings)
    return "\n".join(filter(None, [example.context, head, lines, example.instruction, CITE if cites else ""]))


def write_target(example: Example, evidence: Evidence, settings: EvidenceSettings) -> str | None:
    """The answer to learn, with citations where they are wanted."""
    if example.target is None or not (settings.cite and example.may_cite):
        return example.target
    numbers = numbers_shown(evidence, settings)
    if example.cited is not None:
        return example.cited(evidence, numbers)
    # the regions in the prompt whose phrase the question asks about
    cited = tuple(number for number in numbers if evidence.regions[number - 1].phrase in evidence.first.phrases)
    return with_citations(example.target, cited)


def read_images(
    example: Example, evidence: Evidence, settings: EvidenceSettings, letterbox_px: int | None, family: Family
) -> tuple[Image.Image, ...]:
    """The images as they are changed, then those that the forms make of them."""
    if example.transform == "text_only" and not family.needs_image:
        return ()
    images = [read_image(path) for path in example.image_paths]
    kept = images if example.transform == "blank_kept" else None
    if example.transform == "flipped":
        images = [ImageOps.mirror(image) for image in images]
    elif example.transform:  # text only for a family that needs an image: it is as blank as for "blank"
        images = [Image.new("RGB", image.size, GREY) for image in images]
    images += to_images(images, evidence, settings, kept)
    if family.max_images is not None and len(images) > family.max_images:
        problem = f"a prompt of {len(images)} images, {family.name} takes {family.max_images}."
        fix = "ask about one image, without crops, tiles and overlay (evidence.forms), or take another base"
        raise BadInput(problem, row=example.example_id, fix=fix)
    if letterbox_px is None:
        return tuple(images)
    return tuple(Letterbox(image.size, letterbox_px).image(image) for image in images)
