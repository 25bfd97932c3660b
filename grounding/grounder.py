"""Who finds regions: the `Grounder` protocol, our core, and the oracle that knows the truth.

`regions_of(studies)` is what the rest of the house calls: it goes through the cache (`cache.py`).
"""

from collections.abc import Sequence
from typing import Protocol

from .types import Region, Study


class Grounder(Protocol):
    """Finds regions for phrases. Invariants: batch = single; no phrases -> no regions; order of phrases is nothing."""

    @property
    def fingerprint(self) -> str:
        """Hash of everything that determines the regions (weights and settings): a part of the cache key."""
        ...

    @property
    def embedding_dim(self) -> int:
        """Length D of `Region.embedding`; 0 where regions carry none."""
        ...

    def ground(self, studies: Sequence[Study], phrases: Sequence[Sequence[str]]) -> list[list[Region]]:
        """For each study the regions of its phrases, best first, boxes in pixels of the original image."""
        ...
