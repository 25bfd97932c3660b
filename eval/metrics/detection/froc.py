"""Free-response ROC: sensitivity against false positives an image.

An image is a sample of the ranking: for records, one (record, phrase).
"""

from dataclasses import fields
from typing import NamedTuple

import numpy as np

from ...statistics.measure import Floats, Measure
from ...statistics.ranking import RankedHits
from .pairs import Pairs

RATES = np.array([1 / 8, 1 / 4, 1 / 2, 1, 2, 4, 8])
"""False positives an image, at which the competition performance metric reads the curve."""


class FrocPoint(NamedTuple):
    """One point of the curve: predictions that score `threshold` and more."""

    threshold: float
    false_positives: float
    sensitivity: float


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
        _, wrong_RU, right_RU = self.curves(weights_RN)
        return np.array([np.interp(RATES, *curve).mean() for curve in zip(wrong_RU, right_RU, strict=True)])

    def curves(self, weights_RN: Floats) -> tuple[Floats, Floats, Floats]:
        """Thresholds float64[U], false positives an image and sensitivity float64[R, U]: one point a score, from 0."""
        # a point stands after the last detection of its score: equal scores are kept or dropped together
        order_D = np.argsort(-self.scores_D, kind="stable")
        scores_D = self.scores_D[order_D]
        weights_RD = weights_RN[:, self.samples_D[order_D]]
        lasts_U = np.flatnonzero(np.diff(scores_D, append=-np.inf))
        right_RD = np.cumsum(weights_RD * self.hits_DT[order_D, 0], axis=1)
        wrong_RD = np.cumsum(weights_RD, axis=1) - right_RD
        origin_R1 = np.zeros((len(weights_RN), 1))  # above every score nothing is predicted
        images_R1, truths_R1 = weights_RN.sum(1, keepdims=True), (weights_RN @ self.truths_N)[:, None]
        with np.errstate(invalid="ignore"):
            return (
                np.concatenate([[np.inf], scores_D[lasts_U]]),
                np.concatenate([origin_R1, wrong_RD[:, lasts_U]], 1) / images_R1,
                np.concatenate([origin_R1, right_RD[:, lasts_U]], 1) / truths_R1,
            )


def measures(pairs: Pairs) -> dict[str, Measure]:
    """Cpm."""
    return {"cpm": Froc.of(pairs.hits)}


def froc_curve(hits: RankedHits) -> list[FrocPoint]:
    """The points of the curve, one a score, falling; none for no predictions."""
    thresholds, wrong_RU, right_RU = Froc.of(hits).curves(np.ones((1, len(hits.rows_N))))
    points = zip(thresholds[1:], wrong_RU[0, 1:], right_RU[0, 1:], strict=True)
    return [FrocPoint(*(float(number) for number in point)) for point in points]
