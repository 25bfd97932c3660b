"""SAM 3 (https://arxiv.org/abs/2511.16719, Meta's SAM License): every instance of a concept, with masks."""

from collections.abc import Sequence
from typing import Any

from torch import Tensor
from transformers import AutoModel

from . import Detected, Parts, corners_to_centre, tokens_of

AUTO = AutoModel
PACKAGES = ("torchvision",)
LENGTH = 32
"""Tokens of a phrase, as transformers' processor pads them."""


def detect(model: Any, parts: Parts, pixels: dict[str, Tensor], phrases: Sequence[str]) -> Detected:
    """A score is that of the instance times that of the concept being there at all."""
    images = pixels["pixel_values"].expand(len(phrases), -1, -1, -1)
    output = model(pixel_values=images, **tokens_of(parts, phrases, model, LENGTH))
    scores_PQ = output.pred_logits.sigmoid()
    if output.presence_logits is not None:
        scores_PQ = scores_PQ * output.presence_logits.sigmoid()
    return Detected(corners_to_centre(output.pred_boxes), scores_PQ, masks_PQhw=output.pred_masks.sigmoid())
