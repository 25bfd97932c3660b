"""Hashes of weights: the same before and after saving."""

from collections.abc import Mapping
from typing import Protocol

import torch
from torch import Tensor


class Digest(Protocol):
    """One of `hashlib`."""

    def update(self, data: bytes | memoryview, /) -> None:
        """Read on."""
        ...


def tensor_bytes(tensor: Tensor) -> memoryview:
    """The values of a tensor as bytes, row by row."""
    return tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data


def update_with_weights(digest: Digest, tensors: Mapping[str, Tensor]) -> None:
    """Names and values, in order of the names."""
    for name, tensor in sorted(tensors.items()):
        digest.update(name.encode())
        digest.update(tensor_bytes(tensor))
