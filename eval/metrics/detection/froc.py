"""Free-response ROC: sensitivity against false positives an image.

An image is a sample of the ranking: for records, one (record, phrase).
"""

from dataclasses import fields

import numpy as np

from ...statistics.measure import Floats, Measures
from ...statistics.ranking import RankedHits
from .pairs import Pairs

RATES = np.array([1 / 8, 1 / 4, 1 / 2, 1, 2, 4, 8])
"""False positives an image, at which the competition performance metric reads the curve."""


class Froc(RankedHits):
    """The competition performance metric (cpm): mean sensitivity at `RATES`, linear between points, hits at IoU .5.

    Beyond its last point a curve goes on level, as in MONAI's `compute_froc_score`; before the first it starts at 0.
    Unlike there, the predictions of the lowest score count as well. One category, nothing ignored.
    """

    @classmethod
    def of(cls, hits: RankedHits) -> "Froc":
        """From the ranking of average precision, whose first threshold is .5."""
        parts = {part.name: getattr(hits, part.name) for part in fields(hits)}
        ranking = cls(**parts | {"hits_DT": hits.hits_DT[:, :1], "truths_N": hits.truths_NK.sum(1)})
        return ranking.subset(np.ones(len(hits.rows_N), bool))

    def value_at(self, weights_RN: Floats) -> Floats:
        """float64[R]: the mean sensitivity; nan for weights that leave no true region."""
        _, wrong_RU, right_RU = count_by_score(self, weights_RN)
        origin_R1 = np.zeros((len(weights_RN), 1))  # above every score nothing is predicted
        with np.errstate(invalid="ignore"):
            wrong_RU = np.concatenate([origin_R1, wrong_RU], 1) / weights_RN.sum(1, keepdims=True)
            right_RU = np.concatenate([origin_R1, right_RU], 1) / (weights_RN @ self.truths_N)[:, None]
        return np.array([np.interp(RATES, *curve).mean() for curve in zip(wrong_RU, right_RU, strict=True)])


def measures(pairs: Pairs) -> Measures:
    """Cpm."""
    return {"cpm": Froc.of(pairs.hits)}


def count_by_score(hits: RankedHits, weights_RN: Floats) -> tuple[Floats, Floats, Floats]:
    """Scores float64[U], falling; false positives and hits at the first IoU threshold of that score and more, [R, U].

    Score by score these are the points of the FROC and of the precision-recall curve.
    """
    # a point stands after the last detection of its score: equal scores are kept or dropped together
    order_D = np.argsort(-hits.scores_D, kind="stable")
    scores_D = hits.scores_D[order_D]
    weights_RD = weights_RN[:, hits.samples_D[order_D]]
    lasts_U = np.flatnonzero(np.diff(scores_D, append=-np.inf))
    right_RD = np.cumsum(weights_RD * hits.hits_DT[order_D, 0], axis=1)
    wrong_RD = np.cumsum(weights_RD, axis=1) - right_RD
    return scores_D[lasts_U], wrong_RD[:, lasts_U], right_RD[:, lasts_U]
