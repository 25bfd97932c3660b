"""Answers that are held back below a probability: the risk at each coverage, and the threshold that pays best.

Coverage: part of the questions that are answered; risk: part of these that is wrong (El-Yaniv and Wiener 2010, JMLR
11). AURC, the area under the curve (Geifman, Uziel and El-Yaniv 2019, arXiv 1805.08206): the mean risk over coverages.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, kw_only=True)
class RiskCoverage:
    """The curve, the surest answers first. `points`: (coverage, risk), one for each probability that occurs."""

    points: tuple[tuple[float, float], ...]
    aurc: float


def risk_coverage(probabilities: Sequence[float], is_right: Sequence[bool]) -> RiskCoverage:
    """The curve of one answer or more; answers of one probability are given or held back together."""
    chances_N, wrong_N = np.asarray(probabilities, float), 1.0 - np.asarray(is_right, float)
    _, counts = np.unique(-chances_N, return_counts=True)
    ends = counts.cumsum()
    sums = np.concatenate([[0.0], wrong_N[np.argsort(-chances_N, kind="stable")].cumsum()])
    risks = sums[ends] / ends
    points = tuple((float(end) / len(chances_N), float(risk)) for end, risk in zip(ends, risks, strict=True))
    return RiskCoverage(points=points, aurc=float((risks * counts).sum() / len(chances_N)))


def choose_threshold(probabilities: Sequence[float], is_right: Sequence[bool]) -> float:
    """The probability from which on answering pays: a right answer gains one, a wrong one costs one, none is nought.

    The lowest of the best; above every probability, up to 1, where answering never pays.
    """
    values = sorted(set(probabilities))
    gains = [
        sum((1 if right else -1) for chance, right in zip(probabilities, is_right, strict=True) if chance >= value)
        for value in values
    ]
    if not gains or max(gains) <= 0:
        return 1.0
    return values[gains.index(max(gains))]
