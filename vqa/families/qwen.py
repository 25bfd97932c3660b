"""Qwen-VL: images keep their shape and become as many tokens as they have patches.

Notations: Qwen2-VL https://arxiv.org/abs/2409.12191, Qwen2.5-VL https://arxiv.org/abs/2502.13923, Qwen3-VL as in its
model cards; `qwen3_5.py` has Qwen3.5.
"""

import inspect
from typing import Any

from ...grounding.vocabulary.box_notation import BoxCodec, Frame, Size
from .family import Family

BLOCKS = r".*\bvisual\.blocks\.\d+\..*\b(?:qkv|proj|gate_proj|up_proj|down_proj|fc1|fc2|linear_fc1|linear_fc2)"


def resized(size_px: Size, processor: Any) -> Frame:
    """The whole image, sent at the size of the processor's own resize, which is what Qwen2.5-VL counts in."""
    images = processor.image_processor
    # the function stands in the module of the processor's own class, of which there are several
    smart_resize: Any = vars(inspect.getmodule(type(images)))["smart_resize"]
    width, height = size_px
    # sides become multiples of a merged patch, their product stays between the two limits
    rows, columns = smart_resize(
        height,
        width,
        factor=images.patch_size * images.merge_size,
        min_pixels=images.size["shortest_edge"],
        max_pixels=images.size["longest_edge"],
    )
    return Frame.whole(size_px, sent_px=(columns, rows))


SHARED: dict[str, Any] = {"vision_linears": BLOCKS, "projectors": ()}

CORNERS = BoxCodec(form="({},{}),({},{})", steps=1000)
QWEN2_VL = Family(name="Qwen2-VL", model_types=("qwen2_vl",), boxes=CORNERS, **SHARED)
"""`(120,200),(310,440)`: thousandths of the image."""

PIXELS = BoxCodec(form="[{}, {}, {}, {}]", steps=None)
QWEN2_5_VL = Family(name="Qwen2.5-VL", model_types=("qwen2_5_vl",), boxes=PIXELS, frame=resized, **SHARED)
"""`[67, 112, 174, 246]`: pixels of the resized image."""

THOUSANDTHS = BoxCodec(form="[{}, {}, {}, {}]", steps=1000)
QWEN3_VL = Family(name="Qwen3-VL", model_types=("qwen3_vl", "qwen3_vl_moe"), boxes=THOUSANDTHS, **SHARED)
"""`[120, 200, 310, 440]`: thousandths of the image."""
