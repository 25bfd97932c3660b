"""OmDet-Turbo (https://arxiv.org/abs/2403.06892, Apache-2.0): real-time detection of what a task names."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from transformers import AutoModelForZeroShotObjectDetection

from . import Detected, Parts, tokens_of

AUTO = AutoModelForZeroShotObjectDetection
PACKAGES = ()
LENGTH = 77
"""Tokens of a phrase and of a task, as transformers' processor pads them."""


def detect(model: Any, parts: Parts, pixels: dict[str, Tensor], phrases: Sequence[str]) -> Detected:
    """Every phrase is a task of its own, so that no score depends on what else is asked."""
    num = len(phrases)
    classes = tokens_of(parts, phrases, model, LENGTH)
    tasks = tokens_of(parts, [f"Detect {phrase}." for phrase in phrases], model, LENGTH)
    output = model(
        pixel_values=pixels["pixel_values"].expand(num, -1, -1, -1),
        classes_input_ids=classes["input_ids"],
        classes_attention_mask=classes["attention_mask"],
        tasks_input_ids=tasks["input_ids"],
        tasks_attention_mask=tasks["attention_mask"],
        classes_structure=torch.ones(num, dtype=torch.long, device=model.device),
    )
    return Detected(output.decoder_coord_logits, output.decoder_class_logits[..., 0].sigmoid())
