"""Qwen3.5 (model card https://huggingface.co/Qwen/Qwen3.5-9B): pictures as in Qwen3-VL, other layers behind them.

Three layers of four have linear attention (gated delta rule), whose projections have names of their own.
"""

from .family import Family
from .qwen import SHARED, THOUSANDTHS

QWEN3_5 = Family(
    name="Qwen3.5",
    model_types=("qwen3_5", "qwen3_5_moe"),
    boxes=THOUSANDTHS,
    same_as={"q_proj": ("in_proj_qkv", "in_proj_z"), "o_proj": ("out_proj",)},
    **SHARED,
)
"""`[120, 200, 310, 440]`: thousandths of the image, as its authors state for `bbox_2d` (QwenLM on GitHub)."""
