"""The best regions framed in their surroundings, as further images: Targeted Visual Prompting (arXiv 2408.03043).

There the region alone and the region in its context together did better than either: `crops+context`.
"""

from dataclasses import replace

import numpy as np
from PIL import Image

from ...types import Region
from ...vocabulary.box_notation import BoxText
from ..evidence import Evidence, EvidenceSettings
from . import EvidenceForm, Images
from .crops import FORM as CROPS
from .crops import chosen, crop
from .overlay import draw_marks

MARGIN = 1.0
"""Part of the box's size that is shown of its surroundings on each side."""


class ContextForm(EvidenceForm):
    """Of the regions that are cut out in `crops`, in the same order."""

    def make_images(self, images: Images, evidence: Evidence, settings: EvidenceSettings) -> list[Image.Image]:
        """Each a part of its own image, the region in a frame with its number."""
        return [framed(images[of - 1], region, number) for number, of, region in chosen(evidence, settings)]

    def caption_images(self, evidence: Evidence, settings: EvidenceSettings, box_text: BoxText) -> list[str]:
        """`a crop of region 1 with its surroundings`; the place as in `crops`."""
        return [f"{words} with its surroundings" for words in CROPS.caption_images(evidence, settings, box_text)]


def framed(image: Image.Image, region: Region, number: int) -> Image.Image:
    """The region and as much again on each side, cut at the image's edge, the box drawn and numbered in it."""
    (left, top), part = crop(image, region, MARGIN)
    moved = region.box_xyxy_px - np.array([left, top, left, top], np.float32)
    return draw_marks(part, [replace(region, box_xyxy_px=moved, mask=None)], number)


FORM = ContextForm()
