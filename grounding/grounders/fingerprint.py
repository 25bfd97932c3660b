"""Hashes of weights: the same before and after saving."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor


def tensor_bytes(tensor: Tensor) -> memoryview:
    """The values of a tensor as bytes, row by row."""
    return tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data


def update_with_weights(digest: Any, tensors: Mapping[str, Tensor]) -> None:
    """Read names and values, in order of the names, into a digest of `hashlib`."""
    for name, tensor in sorted(tensors.items()):
        digest.update(name.encode())
        digest.update(tensor_bytes(tensor))
