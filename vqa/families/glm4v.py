"""GLM-4.1V, GLM-4.5V and GLM-4.6V (https://arxiv.org/abs/2507.01006)."""

from ...grounding.vocabulary.box_notation import BoxCodec
from .family import Family, lists_first

GLM4V = Family(
    name="GLM-4V",
    model_types=("glm4v", "glm46v", "glm4v_moe"),
    boxes=BoxCodec(form="[{}, {}, {}, {}]", steps=1000),
    encode=lists_first,
    # its merger has layers of the MLP's names, but no `blocks` in front of them
    vision_linears=r".*\bvisual\.blocks\.\d+\..*\b(?:qkv|proj|gate_proj|up_proj|down_proj)",
    projectors=(),
    same_as={"gate_proj": ("gate_up_proj",), "up_proj": ("gate_up_proj",)},
)
"""`[120, 200, 310, 440]`: thousandths of the image, as in its grounding guide. In answers it puts `<|begin_of_box|>`
before and `<|end_of_box|>` behind, special tokens that decoding drops. Image tokens keep the image's shape."""
