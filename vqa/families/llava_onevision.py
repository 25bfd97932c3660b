"""LLaVA-OneVision (https://arxiv.org/abs/2408.03326)."""

from typing import Any

from ...grounding.vocabulary.box_notation import BoxCodec
from .family import Family, together


def each_alone(processor: Any, texts: list[str], completions: list[str], images: list[list[Any]], **extra: Any) -> Any:
    """All images as one flat list, so that each keeps its any-resolution tiles.

    Given as lists of several, they would be padded to squares at base resolution alone: a crop beside the image would
    cost the image its detail, and move its boxes.
    """
    return together(processor, texts, completions, [image for row in images for image in row], **extra)


LLAVA_ONEVISION = Family(
    name="LLaVA-OneVision",
    model_types=("llava_onevision",),
    boxes=BoxCodec(form="[{}, {}, {}, {}]", number=".2f", unit=0.01),
    encode=each_alone,
)
"""`[0.12, 0.20, 0.31, 0.44]`: parts of the image; the padding of its tiles is cut out of the features again."""
