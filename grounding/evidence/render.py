"""Evidence becomes what a model reads: lines of text, further images, and a row of features for each region token."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ..vocabulary.box_notation import PERCENT, BoxText
from .evidence import Evidence, EvidenceSettings
from .forms import load_forms
from .forms.tokens import TokenShape


def to_text(
    evidence: Evidence, settings: EvidenceSettings, box_text: BoxText = PERCENT.encode, num_images: int = 1
) -> str:
    """One line a region with its number, the asked phrases that were not found, what further images are.

    Empty for no evidence. `box_text`: how the language model writes a box. `num_images`: the prompt's own. Of several
    images each has its lines below its name, where it has any. With the forms `text`, `tokens` and `crops`:

        Image 1:
        1 <region> nodule, upper left, 12 20 31 44
        Image 2:
        cyst: not found
        Image 3 is a crop of region 1.
    """
    forms, lines, number = load_forms(settings.forms), list[str](), 0
    for index, image in enumerate(evidence.images, 1):
        own: list[str] = []
        for region in image.regions:
            number += 1
            words = [form.describe(region, image.size_px, settings, box_text) for form in forms]
            own += [" ".join([str(number), *filter(None, words)])] if any(words) else []
        own += [line for form in forms for line in form.list_missing(image)]
        # of one image alone the lines need no heading
        lines += [f"Image {index}:", *own] if own and len(evidence.images) > 1 else own
    if evidence.images and not lines:  # no images: nothing was looked for, and nothing is written
        lines = [words for form in forms if (words := form.fill_silence(settings))]
    captions = [caption for form in forms for caption in form.caption_images(evidence, settings, box_text)]
    lines += [f"Image {number} is {words}." for number, words in enumerate(captions, num_images + 1) if words]
    return "\n".join(lines)


def to_images(
    images: Sequence[Image.Image],
    evidence: Evidence,
    settings: EvidenceSettings,
    kept: Sequence[Image.Image] | None = None,
) -> list[Image.Image]:
    """The further images that the forms make of a prompt's own.

    `kept`: the pictures of forms that show regions alone, where those of the prompt are greyed.
    """
    further: list[Image.Image] = []
    for form in load_forms(settings.forms):
        shown = kept if kept and form.shows_regions_alone else images
        further += form.make_images(shown, evidence, settings)
    return further


def to_features(evidence: Evidence, settings: EvidenceSettings, shape: TokenShape) -> NDArray[np.float32]:
    """float32[R, W]: one row for each placeholder in the text; R = 0 where the forms have none."""
    rows = [row for form in load_forms(settings.forms) for row in form.make_features(evidence, shape)]
    return np.stack(rows) if rows else np.zeros((0, shape.width), np.float32)
