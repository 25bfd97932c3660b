"""Is the phrase there at all: the area under the ROC curve of present against absent phrases."""

import numpy as np

from ...statistics.measure import Bools, Floats, Measures
from ...statistics.ranking import RankedHits
from .pairs import Pairs


class Auroc(RankedHits):
    """Area under the ROC curve, ties half: each sample is one ranked item, a hit where the phrase is present."""

    def value_at(self, weights_RN: Floats) -> Floats:
        """float64[R]: the area; nan for weights that leave no present or no absent phrase."""
        # the area: of all pairs of a present and an absent phrase, those where the present one scores higher
        order_D = np.argsort(self.scores_D, kind="stable")
        weights_RD = weights_RN[:, self.samples_D[order_D]]
        starts_U = np.flatnonzero(np.diff(self.scores_D[order_D], prepend=-np.inf))  # the first of each score
        is_present_D = self.hits_DT[order_D, 0]
        present_RU = np.add.reduceat(weights_RD * is_present_D, starts_U, axis=1)
        absent_RU = np.add.reduceat(weights_RD * ~is_present_D, starts_U, axis=1)
        below_RU = np.cumsum(absent_RU, axis=1) - absent_RU / 2  # absent phrases that score lower, ties half
        with np.errstate(invalid="ignore"):
            return (present_RU * below_RU).sum(1) / (present_RU.sum(1) * absent_RU.sum(1))


def measures(pairs: Pairs) -> Measures:
    """presence_auroc, where there are present and absent phrases; without a presence the best box says it."""
    if pairs.has_truth_N.all():
        return {}
    bests = [max(pair.scores_P, default=0.0) if pair.presence is None else pair.presence for pair in pairs.all]
    return {"presence_auroc": auroc(np.array(bests, np.float64), pairs.has_truth_N)}


def auroc(scores_N: Floats, present_N: Bools) -> Auroc:
    """The measure of one score a sample; equal to `roc_auc_score` of scikit-learn.

    Both present and absent phrases are needed.
    """
    rows, hits_DT, truths_N = np.arange(len(scores_N)), present_N[:, None], present_N.astype(np.int64)
    nan = float("nan")
    ranking = Auroc(value=nan, rows_N=rows, scores_D=scores_N, samples_D=rows, hits_DT=hits_DT, truths_N=truths_N)
    return ranking.subset(np.ones(len(scores_N), bool))  # of all samples: this computes the value
