"""Calibrated scores: a region's score as the chance that it is right, presence as the chance of anything.

Platt scaling on validation data, a generalised temperature: logits in, a weighted sum through a sigmoid out. A region
may lean on the presence of its phrase. P predictions, Q asked phrases.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import expit, logit

from ..bad_input import BadInput

Floats = NDArray[np.float64]

_EDGE = 1e-6
"""Scores are kept so far from 0 and 1, where a logit has no value."""
_RIDGE = 1e-3
"""Pull towards the identity, so that few or perfectly separated samples have a finite answer."""


@dataclass(frozen=True, kw_only=True)
class Calibration:
    """Weights of `score` (its own logit, the presence logit, a constant) and of `presence` (its logit, a constant);
    `threshold`: the score from which a region counts as found, best for F1 on the validation data. `mask_thresholds`:
    the chance from which a pixel belongs to a mask, best for Dice: in masks that fill little of their box, in others.
    """

    score: tuple[float, float, float] = (1.0, 0.0, 0.0)
    presence: tuple[float, float] = (1.0, 0.0)
    threshold: float = 0.5
    mask_thresholds: tuple[float, float] = (0.5, 0.5)

    def scores(self, raw_P: ArrayLike, presence_logits_P: ArrayLike) -> Floats:
        """float64[P] in [0, 1] of raw scores in [0, 1]."""
        own, presence, constant = self.score
        return expit(own * _logit(raw_P) + presence * np.asarray(presence_logits_P, np.float64) + constant)

    def presences(self, logits_Q: ArrayLike) -> Floats:
        """float64[Q] in [0, 1]."""
        own, constant = self.presence
        return expit(own * np.asarray(logits_Q, np.float64) + constant)


def calibration_from_json(row: Mapping[str, Any] | None) -> Calibration:
    """The calibration of a model's configuration, as `asdict` and JSON make it; the identity for None."""
    values: dict[str, Any] = {name: tuple(v) if isinstance(v, list) else v for name, v in (row or {}).items()}
    return Calibration(**values)


def fit_calibration(
    raw_P: ArrayLike,
    presence_logits_P: ArrayLike,
    is_right_P: ArrayLike,
    num_truths: float,
    presence_logits_Q: ArrayLike,
    is_present_Q: ArrayLike,
    weights_P: ArrayLike | None = None,
    weights_Q: ArrayLike | None = None,
) -> Calibration:
    """The calibration that validation data make likeliest.

    One entry a predicted region (raw score, presence logit of its phrase, IoU of at least 0.5 with a true region) and
    one a phrase asked of an image, with weights of mean 1 where some count for more. `num_truths`: true regions in all,
    by weight. Raises `BadInput` without predictions.
    """
    right_P, raw = np.asarray(is_right_P, bool), _logit(raw_P)
    if not len(right_P):
        raise BadInput("no predicted region to calibrate on.", fix="train longer, or validate on more images")
    score = _fit([raw, np.asarray(presence_logits_P, np.float64)], right_P, (1.0, 0.0, 0.0), weights_P)
    presence = _fit([np.asarray(presence_logits_Q, np.float64)], np.asarray(is_present_Q, bool), (1.0, 0.0), weights_Q)
    fitted = Calibration(score=score, presence=presence)  # pyright: ignore[reportArgumentType]
    return replace(
        fitted, threshold=best_threshold(fitted.scores(raw_P, presence_logits_P), right_P, num_truths, weights_P)
    )


def best_threshold(
    scores_P: Floats, is_right_P: NDArray[np.bool_], num_truths: float, weights_P: ArrayLike | None = None
) -> float:
    """The score at which keeping regions gives the best F1, taking each right region for a truth of its own."""
    order = np.argsort(-scores_P, kind="stable")
    weights = np.ones(len(order)) if weights_P is None else np.asarray(weights_P, np.float64)[order]
    right = np.cumsum(is_right_P[order] * weights)
    f1 = 2 * np.minimum(right, num_truths) / (np.cumsum(weights) + max(num_truths, 1))
    return float(scores_P[order][int(np.argmax(f1))])


def _fit(
    columns: Sequence[Floats], truth: NDArray[np.bool_], start: Sequence[float], weights: ArrayLike | None
) -> tuple[float, ...]:
    """Logistic regression with a slight pull to `start`; the first weight stays positive, so that order is kept."""
    inputs = np.stack([*columns, np.ones(len(truth))], 1)
    signs = np.where(truth, 1.0, -1.0)
    first = np.asarray(start, np.float64)
    of_row = np.ones(len(truth)) if weights is None else np.asarray(weights, np.float64)

    def cost(slopes: Floats) -> tuple[float, Floats]:
        margins = signs * (inputs @ slopes)
        gradient = -(of_row * signs * expit(-margins)) @ inputs / len(truth) + 2 * _RIDGE * (slopes - first)
        loss = (of_row * np.logaddexp(0, -margins)).mean()
        return float(loss + _RIDGE * ((slopes - first) ** 2).sum()), gradient

    bounds = [(1e-2, None), *[(None, None)] * (len(first) - 1)]
    from scipy.optimize import minimize  # a third of a second that whoever only finds regions does not need

    return tuple(float(weight) for weight in minimize(cost, first, jac=True, method="L-BFGS-B", bounds=bounds).x)


def _logit(scores: ArrayLike) -> Floats:
    return logit(np.clip(np.asarray(scores, np.float64), _EDGE, 1 - _EDGE))
