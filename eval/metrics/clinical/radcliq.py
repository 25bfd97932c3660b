"""RadCliQ-v1: a linear map of four sub-scores of a report, fitted to the errors radiologists count; lower is better.

Where they stand: `meta.radcliq` of a record, `{"radgraph": 0.4, "bertscore": 0.5, "semb": 0.7, "bleu2": 0.3}`:
RadGraph (mean of entity and relation F1), BERTScore (distilroberta-base, rescaled), the cosine of CheXbert embeddings,
BLEU-2. Constants: Yu et al. 2023 (rajpurkarlab/CXR-Report-Metric), as RadEval writes them out.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from pydantic import BaseModel, FiniteFloat

from ...statistics.measure import Measures, from_sums, mean, ratio

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


Form = SubScores


def measures(values: Sequence[SubScores], rows: Sequence[int], *_others: Any) -> tuple[Measures, list[str]]:
    """radcliq_v1, the mean over reports, and radcliq_v1_inverse, 1 / mean as RadEval reports it; no notes.

    The map is standardised, so that means lie near 0 and the inverse jumps there: prefer the mean. The inverse of a
    mean of 0 is nan.
    """
    scores_N4 = np.array([list(one.model_dump().values()) for one in values])
    average = mean((scores_N4 - _MEAN) / _SCALE @ _WEIGHTS + _INTERCEPT, rows)  # more agreement, a lower value
    # the columns are value and 1: the other way round their ratio is the inverse of the mean
    return {"radcliq_v1": average, "radcliq_v1_inverse": from_sums(average.columns_NK[:, ::-1], ratio, rows)}, []
