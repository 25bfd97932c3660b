"""InternVL 3 in transformers' own form (https://arxiv.org/abs/2504.10479)."""

from ...grounding.vocabulary.box_notation import BoxCodec
from .family import Family

INTERNVL = Family(
    name="InternVL",
    model_types=("internvl",),
    boxes=BoxCodec(form="[[{}, {}, {}, {}]]", marks=("<box>", "</box>"), steps=1000),
    # read from the call alone, whatever the checkpoint says: without it an image becomes up to 13 images
    call={"crop_to_patches": False},
    vision_linears=r".*\bvision_tower\.encoder\.layer\.\d+\..*\b(?:q_proj|k_proj|v_proj|projection_layer|fc1|fc2)",
)
"""`<box>[[120, 200, 310, 440]]</box>`: thousandths of the image."""
