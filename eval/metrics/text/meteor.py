"""METEOR 1.5 (Denkowski and Lavie 2014), English, by the Java program that pycocoevalcap ships and with its options.

The program aligns each report with its reference and gives counts; the corpus value is a formula of their sums, which
is what makes an interval possible. With unit weights it is the value that pycocoevalcap reports.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from pycocoevalcap.meteor import meteor as reference

from ...statistics.measure import Floats, Sums, from_sums
from .java import run_java
from .tokenize import collapse

_JAR = Path(reference.__file__).with_name(reference.METEOR_JAR)
_ALPHA, _BETA, _GAMMA, _DELTA = 0.85, 0.2, 0.6, 0.75
_WEIGHTS = np.array([1.0, 0.6, 0.8, 0.6])
"""Of words matched exactly, by stem, by synonym, by paraphrase."""
_OPTIONS = ("-Xmx2G", "-jar", str(_JAR), "-", "-", "-stdio", "-l", "en", "-norm")
_ANSWERS: dict[str, str] = {}
"""The program's answer to a line, which depends on the line alone: a table scores the same reports many times, and the
program reads its own tables for ten seconds at every start."""


def measures(predictions: Sequence[str], references: Sequence[Sequence[str]], _names: Sequence[str]) -> dict[str, Sums]:
    """METEOR of a corpus, in [0, 1]; of several references the program takes the best for each report.

    Raises `JavaFailed` where there is no Java, or it did not give an answer for every report in time.
    """
    # SCORE ||| reference ||| ... ||| prediction: the separator must not stand in a text
    lines = [
        " ||| ".join(["SCORE", *(collapse(part.replace("|||", " ")) for part in (*texts, text))])
        for text, texts in zip(predictions, references, strict=True)
    ]
    if new := [line for line in dict.fromkeys(lines) if line not in _ANSWERS]:
        _ANSWERS.update(zip(new, run_java(_OPTIONS, new), strict=True))
    columns_NK = np.array([_ANSWERS[line].split() for line in lines], np.float64)
    is_whole_N = (columns_NK[:, 21:23] == columns_NK[:, 0:2]).all(1) & (columns_NK[:, 20] == 1)
    columns_NK[is_whole_N, 20] = 0  # the program adds no chunk for a report that is its reference
    return {"meteor": from_sums(columns_NK, meteor_of_sums)}


def meteor_of_sums(sums_RK: Floats) -> Floats:
    """float64[R]: METEOR of summed counts.

    Columns, each first of the prediction and then of the reference: words, function words; content words and function
    words matched in each of four ways; then chunks (0 for a report that is its reference), and all words matched.
    """
    # function words weigh .25, content words .75, on both sides and among the matches
    words_R2, functions_R2 = sums_RK[:, 0:2], sums_RK[:, 2:4]
    matched_RWKT = sums_RK[:, 4:20].reshape(-1, 4, 2, 2)  # way, content or function word, prediction or reference
    matched_R2 = np.einsum("w,k,rwkt->rt", _WEIGHTS, [_DELTA, 1 - _DELTA], matched_RWKT)
    with np.errstate(divide="ignore", invalid="ignore"):  # nothing matched: 0 below
        precision_R, recall_R = (matched_R2 / (_DELTA * (words_R2 - functions_R2) + (1 - _DELTA) * functions_R2)).T
        mean_R = 1 / ((1 - _ALPHA) / precision_R + _ALPHA / recall_R)
        fragments_R = sums_RK[:, 20] / (sums_RK[:, 21:23].sum(1) / 2)
        return np.nan_to_num(mean_R * (1 - _GAMMA * fragments_R**_BETA))
