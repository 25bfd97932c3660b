"""RadCliQ-v1: a linear map of four sub-scores of a report, fitted to the errors radiologists count; lower is better.

Where they stand: `meta.radcliq` of a record, `{"radgraph": 0.4, "bertscore": 0.5, "semb": 0.7, "bleu2": 0.3}`:
RadGraph (mean of entity and relation F1), BERTScore (distilroberta-base, rescaled), the cosine of CheXbert embeddings,
BLEU-2. Constants: Yu et al. 2023 (rajpurkarlab/CXR-Report-Metric), as RadEval writes them out.
"""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import datasets
import numpy as np
from pydantic import BaseModel, FiniteFloat

from ..statistics.measure import Floats, Measure, mean
from .shell import MeasureMetric
from .sums import ratio, sums

_MEAN = np.array([0.53792312, 0.61757256, 0.76479421, 0.44738335])
_SCALE = np.array([0.30282584, 0.22430938, 0.25394391, 0.29892717])
_WEIGHTS = np.array([-3.77083683e-01, -3.70300100e-01, -2.52616218e-01, 4.31504841e-12])
_INTERCEPT = 2.46655256e-10


class SubScores(BaseModel):
    """`meta.radcliq` of one record, in the order of the map."""

    radgraph: FiniteFloat
    bertscore: FiniteFloat
    semb: FiniteFloat
    bleu2: FiniteFloat


def radcliq(scores_N4: Floats) -> Floats:
    """float64[N]: RadCliQ-v1 of rows of RadGraph, BERTScore, embedding cosine and BLEU-2."""
    return (scores_N4 - _MEAN) / _SCALE @ _WEIGHTS + _INTERCEPT


def radcliq_measures(scores: Sequence[SubScores], rows: Sequence[int] | None = None) -> dict[str, Measure]:
    """radcliq_v1, the mean over reports, and radcliq_v1_inverse, 1 / mean as RadEval reports it.

    The map is standardised, so that means lie near 0 and the inverse jumps there: prefer the mean. The inverse of a
    mean of 0 is nan. `rows`: places among the inputs.
    """
    found = mean(radcliq(np.array([list(given.model_dump().values()) for given in scores])), rows)
    inverse = sums(found.columns_NK[:, ::-1], ratio, rows)
    return {"radcliq_v1": found, "radcliq_v1_inverse": inverse}


class RadCliQ(MeasureMetric):
    """Four numbers a report: `compute(radgraph=, bertscore=, semb=, bleu2=)`."""

    columns: ClassVar[Mapping[str, Any]] = {name: datasets.Value("float64") for name in SubScores.model_fields}

    def measures(
        self, radgraph: list[float], bertscore: list[float], semb: list[float], bleu2: list[float], **_others: Any
    ) -> Mapping[str, Measure]:
        """`radcliq_measures`; `_others` are meant for the metrics this one is combined with."""
        rows = zip(radgraph, bertscore, semb, bleu2, strict=True)
        return radcliq_measures([SubScores(**dict(zip(SubScores.model_fields, row, strict=True))) for row in rows])
