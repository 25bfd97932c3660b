"""One marked region in words: its box and its crop as evidence, and what the model is asked about it."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from ..grounding.bad_input import BadInput
from ..grounding.evidence.evidence import Evidence, EvidenceSettings
from ..grounding.evidence.names import Form
from ..grounding.geometry import clip_box, iou
from ..grounding.types import AnnotatedImage, Region
from ..grounding.vocabulary.attribution import SAME_PLACE_IOU
from ..vqa.prompt.context import context_of
from ..vqa.prompt.prompt import Example

INSTRUCTION = "Describe region 1 of this image in a short report."
PHRASE = "marked region"
"""The phrase of a box whose content has no name yet."""


def parse_box(text: str, size_px: tuple[int, int]) -> Region:
    """`x0,y0,x1,y1` in pixels of an image of (width, height) as a region, cut at the image's edge.

    Raises `BadInput` for anything but four numbers, and for a box without area in the image.
    """
    try:
        numbers = [float(number) for number in text.replace(" ", "").split(",")]
    except ValueError:
        numbers = []
    if len(numbers) != 4:
        raise BadInput(f"box {text!r} is not four numbers.", fix="--box x0,y0,x1,y1 in pixels of the image")
    return Region(phrase=PHRASE, box_xyxy_px=clip_box(np.array(numbers, np.float32), size_px))


def name_region(marked: Region, regions: Sequence[Region]) -> Region:
    """The marked region under the phrase of the best of the regions that lies at its place, if there is one."""
    for region in sorted(regions, key=lambda region: -region.score):
        if iou(marked.box_xyxy_px, region.box_xyxy_px)[0, 0] >= SAME_PLACE_IOU:
            return replace(marked, phrase=region.phrase, path=region.path, score=region.score, mask=region.mask)
    return marked


def to_example(image: AnnotatedImage, marked: Region) -> Example:
    """The prompt's parts; there is no target."""
    return Example(
        example_id=image.image_id,
        image_path=image.image_path,
        instruction=INSTRUCTION,
        target=None,
        evidence=Evidence.of_image("predicted", image.size_px, [marked], [marked.phrase]),
        context=context_of([image]),
    )


def show_region(settings: EvidenceSettings) -> EvidenceSettings:
    """The same settings, with text and crops among the forms, and the region shown whatever its score."""
    forms: tuple[Form, ...] = tuple(dict.fromkeys([*settings.forms, "text", "crops"]))
    return settings.model_copy(update={"forms": forms, "min_score": 0.0, "cite": False, "max_crops": 1})
