"""LLaVA 1.5 (Liu et al. 2023, https://arxiv.org/abs/2310.03744), and the small default, which is saved as one."""

from typing import Any

from ...grounding.vocabulary.box_notation import PERCENT, BoxCodec, Frame, Size
from .family import Family


def pad_instead_of_crop(processor: Any) -> None:
    """Pad to a square, as the model was trained; the published processors cut the long side off instead."""
    image_processor = processor.image_processor
    if getattr(image_processor, "do_center_crop", False) and hasattr(image_processor, "do_pad"):
        image_processor.do_pad = True


def padded_square(size_px: Size, processor: Any) -> Frame:
    """The centred square around the image, as its processor pads it; the whole image where it does not pad."""
    if not getattr(processor.image_processor, "do_pad", False):
        return Frame.whole(size_px)
    width, height = size_px
    side = max(size_px)
    # the frame begins left of and above the image; of an odd number of padded pixels the larger half comes last
    return Frame(-((side - width) // 2), -((side - height) // 2), side, side, sent_px=(side, side))


LLAVA = Family(
    name="LLaVA",
    model_types=("llava",),
    boxes=BoxCodec(form="[{}, {}, {}, {}]", number=".2f", unit=0.01),
    frame=padded_square,
    prepare=pad_instead_of_crop,
)
"""`[0.12, 0.20, 0.31, 0.44]`: parts of the padded square."""

SMALL_DEFAULT = Family(name="small default", model_types=(), boxes=PERCENT, vision_linears=None)
"""SmolLM2 behind our own image tower: whole percent; images are letterboxed before its processor sees them."""
