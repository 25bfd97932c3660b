"""Soft region tokens: placeholders in the text for the features of each region."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ...grounder import Grounder
from ...types import Region
from ...vocabulary.box_notation import BoxText
from ..evidence import Evidence, EvidenceSettings
from . import EvidenceForm

REGION_TOKEN = "<region>"
POSITION_DIM = 11
"""Numbers that say where a region is: its box, its centre, its area, its score, first and last slice, whether it has
slices."""
OLD_POSITION_DIM = 8
"""The first of these are all that adapters of before know: they say nothing of slices."""


@dataclass(frozen=True)
class TokenShape:
    """What is known of one region: its features in a row, read as one token for the embedding and one for each stride.

    embedding D | pooled C of each stride | position
    """

    embedding_dim: int
    pooled_dims: tuple[int, ...] = ()
    position_dim: int = POSITION_DIM

    @classmethod
    def of(cls, grounder: Grounder) -> "TokenShape":
        """Of the regions of a core."""
        return cls(grounder.embedding_dim, grounder.pooled_dims)

    @property
    def tokens_per_region(self) -> int:
        """Placeholders of a region in the text."""
        return 1 + len(self.pooled_dims)

    @property
    def width(self) -> int:
        """Length of the row of a region."""
        return self.embedding_dim + sum(self.pooled_dims) + self.position_dim


class TokensForm(EvidenceForm):
    """`1 <region>`, and one row of features for it; `prompt.render` repeats the placeholder for each of its tokens."""

    def describe(self, region: Region, size_px: tuple[int, int], settings: EvidenceSettings, box_text: BoxText) -> str:
        """The placeholder."""
        return REGION_TOKEN

    def make_features(self, evidence: Evidence, shape: TokenShape) -> list[NDArray[np.float32]]:
        """Rows as `token_features` has them."""
        return list(token_features(evidence, shape))


def token_features(evidence: Evidence, shape: TokenShape) -> NDArray[np.float32]:
    """float32[R, W] as `TokenShape` has it; zeros for an embedding, pooled features or slices that a region lacks.

    Regions of all images, as they are numbered, each with its place in its own.
    """
    rows = []
    for image in evidence.images:
        for region in image.regions:
            box = region.box_xyxy_px / np.tile(np.array(image.size_px, np.float32), 2)
            centre, sides = (box[:2] + box[2:]) / 2, box[2:] - box[:2]
            slices = (0.0, 0.0, 0.0) if region.z is None else (*region.z, 1.0)
            position = [*box, *centre, sides.prod(), region.score, *slices][: shape.position_dim]
            embedding = np.zeros(shape.embedding_dim) if region.embedding is None else region.embedding
            pooled = [np.zeros(dim) for dim in shape.pooled_dims]
            if region.pooled is not None and shape.pooled_dims:  # an adapter of before reads none
                pooled = list(region.pooled)
            rows.append(np.concatenate([embedding, *pooled, position]).astype(np.float32))
    return np.stack(rows) if rows else np.zeros((0, shape.width), np.float32)


FORM = TokensForm()
