"""Idefics3 (https://arxiv.org/abs/2408.12637) and SmolVLM (https://arxiv.org/abs/2504.05299).

An image is stretched to whole tiles, which follow row by row, then the whole image in one more; all cover the same
plane, so parts of the image are parts of what is seen. Images are padded per row: they come as a list a row.
"""

from .family import Family

IDEFICS3 = Family(name="Idefics3 / SmolVLM", model_types=("idefics3", "smolvlm"), projectors=("connector",))
"""No notation of boxes of its own: whole percent."""
