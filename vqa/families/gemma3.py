"""Gemma 3 (https://arxiv.org/abs/2503.19786) and MedGemma (https://arxiv.org/abs/2507.05201).

An image is stretched to a square of a fixed number of tokens; pan and scan stays as the checkpoint has it (off).
"""

from .family import Family

GEMMA3 = Family(name="Gemma 3 / MedGemma", model_types=("gemma3",), dtypes=("fp32", "bf16"))
"""No notation of boxes of its own: whole percent. Its activations overflow in fp16."""
