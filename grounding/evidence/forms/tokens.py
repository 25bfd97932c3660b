"""Soft region tokens: a placeholder in the text for the features of each region."""

import numpy as np
from numpy.typing import NDArray

from ...types import Region
from ...vocabulary.box_notation import BoxText
from ..evidence import Evidence, EvidenceSettings
from . import EvidenceForm

REGION_TOKEN = "<region>"
POSITION_DIM = 8
"""Numbers in a row of features behind the embedding: the box, its centre, its area, the score."""


class TokensForm(EvidenceForm):
    """`1 <region>`, and one row of features for it."""

    def describe(self, region: Region, size_px: tuple[int, int], settings: EvidenceSettings, box_text: BoxText) -> str:
        """The placeholder."""
        return REGION_TOKEN

    def make_features(self, evidence: Evidence, embedding_dim: int) -> list[NDArray[np.float32]]:
        """Rows as `token_features` has them."""
        return list(token_features(evidence, embedding_dim))


def token_features(evidence: Evidence, embedding_dim: int) -> NDArray[np.float32]:
    """float32[R, embedding_dim + 8]: the region's embedding (zeros where there is none), then its place and score.

    Regions of all images, as they are numbered, each with its place in its own.
    """
    rows = []
    for image in evidence.images:
        for region in image.regions:
            box = region.box_xyxy_px / np.tile(np.array(image.size_px, np.float32), 2)
            centre, sides = (box[:2] + box[2:]) / 2, box[2:] - box[:2]
            embedding = np.zeros(embedding_dim, np.float32) if region.embedding is None else region.embedding
            # POSITION_DIM: 4 of the box + 2 of the centre + area + score
            row = np.concatenate([embedding, box, centre, [sides.prod(), region.score]])
            rows.append(row.astype(np.float32))
    return np.stack(rows) if rows else np.zeros((0, embedding_dim + POSITION_DIM), np.float32)


FORM = TokensForm()
