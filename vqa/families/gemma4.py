"""Gemma 4 (model card and image guide at https://ai.google.dev/gemma/docs).

An image keeps its shape and becomes at most `max_soft_tokens` tokens (70 to 1,120; 280 unless the checkpoint says
otherwise). In the small ones every layer has an embedding of its own of each token; a region has that of padding there,
as a picture has (`region_tokens.pad_layers`). Sound is not asked for.
"""

from ...grounding.vocabulary.box_notation import BoxCodec
from .family import Family

GEMMA4 = Family(
    name="Gemma 4",
    model_types=("gemma4",),
    boxes=BoxCodec(form="[{}, {}, {}, {}]", steps=1000, is_y_first=True),
    # a linear layer of the tower lies inside a wrapper that clips
    vision_linears=r".*\bvision_tower\..*\blayers\.\d+\..*\b(?:q_proj|k_proj|v_proj|o_proj|gate_proj|up_proj|down_proj)"
    r"\.linear",
    projectors=("embed_vision",),
    dtypes=("fp32", "bf16"),
)
"""`[200, 120, 440, 310]`: y0, x0, y1, x1 in thousandths of the image, as in `box_2d` of its answers. Like Gemma 3 it is
not run in fp16."""
