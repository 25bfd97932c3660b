"""Detectors that are asked in ways of their own, a module each in `MODULES`; DINO and OWL are in `zero_shot`.

A module holds `PACKAGES`, which it needs besides ours, `AUTO`, the class of transformers that loads it, and
`detect(model, parts, pixels, phrases) -> Detected`: what it finds of each phrase by itself, in one image.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from ...bad_input import BadInput

MODULES = {"omdet-turbo": "omdet", "florence2": "florence", "sam3": "sam3"}
"""`model_type` -> its module."""


@dataclass(frozen=True)
class Detected:
    """Output for P phrases: centre x, y, width, height in 0..1 of the image the detector sees; scores in 0..1.

    A box of no size is none. `masks_PQhw`: chances of the pixels of a grid over that image.
    """

    boxes_PQ4: Tensor
    scores_PQ: Tensor
    embeddings_PQD: Tensor | None = None
    masks_PQhw: Tensor | None = None


@dataclass(frozen=True)
class Parts:
    """A processor's two parts: transformers' own for OmDet-Turbo and SAM 3 cannot be made without torchvision."""

    image_processor: Any
    tokenizer: Any

    @classmethod
    def from_pretrained(cls, name: Path | str, **options: Any) -> "Parts":
        """Both as transformers saves them."""
        from transformers import AutoImageProcessor, AutoTokenizer

        images = AutoImageProcessor.from_pretrained(name, **options)
        return cls(images, AutoTokenizer.from_pretrained(name, **options))

    def save_pretrained(self, folder: Path | str) -> None:
        """Both, as `from_pretrained` reads them."""
        self.image_processor.save_pretrained(folder)
        self.tokenizer.save_pretrained(folder)


def module_of(config: Any, name: Path | str | None = None) -> Any:
    """The module of a detector's config; None for one of another kind. Raises `BadInput` where a package is missing."""
    kind = config.model_type
    if kind not in MODULES:
        return None
    module = import_module(f".{MODULES[kind]}", __name__)
    backbone = getattr(getattr(config, "backbone_config", None), "model_type", None)
    needed = [*module.PACKAGES, *(["timm"] if backbone == "timm_backbone" else [])]
    if missing := [package for package in needed if find_spec(package) is None]:
        problem = f"{kind} needs {' and '.join(missing)} here, which medglip does without."
        raise BadInput(problem, file=name, fix=f"pip install {' '.join(missing)}, or another detector")
    return module


def corners_to_centre(boxes_xyxy: Tensor) -> Tensor:
    """x0, y0, x1, y1 to centre x, y, width, height over the last axis; a box turned inside out has no size."""
    low, high = boxes_xyxy[..., :2], boxes_xyxy[..., 2:]
    return torch.cat([(low + high) / 2, (high - low).clamp(min=0)], -1)


def padded(rows: Sequence[Tensor]) -> Tensor:
    """One tensor of rows of different length, filled with zeros."""
    return pad_sequence(list(rows), batch_first=True)


def tokens_of(parts: Parts, texts: Sequence[str], model: Any, length: int) -> dict[str, Tensor]:
    """`input_ids` and `attention_mask` of CLIP's tokenizer, int64[P, length], on the model's device."""
    options = {"padding": "max_length", "truncation": True, "max_length": length, "return_tensors": "pt"}
    text = parts.tokenizer(list(texts), **options)
    return {name: cast(Tensor, text[name]).to(model.device) for name in ("input_ids", "attention_mask")}
