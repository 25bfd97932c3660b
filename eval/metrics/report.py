"""Report text by n-grams: BLEU-1..4, ROUGE-L (F, beta 1.2) and CIDEr of pycocoevalcap, in Python alone.

Scores depend on the tokenisation, which therefore stands in every result. For resampling, BLEU keeps the n-gram
counts of each report; ROUGE-L and CIDEr are means over reports, CIDEr with the document frequencies of the full set.
"""

import re
from collections.abc import Sequence
from typing import Any

import datasets
import evaluate
import numpy as np
from pycocoevalcap.bleu.bleu_scorer import BleuScorer
from pycocoevalcap.cider.cider import Cider
from pycocoevalcap.rouge.rouge import Rouge

from ..measure import Floats, Measure, Sums, mean
from ..settings import Tokenization

PROTOCOL = "ngram"
VERSION = "1"

_WORD = re.compile(r"\d+(?:[.,]\d+)*|\w+(?:['’]\w+)*|[^\w\s]")
_SMALL, _TINY = 1e-9, 1e-15
"""What pycocoevalcap adds below and above a fraction bar."""


def tokenize(text: str, tokenization: Tokenization = "lower") -> str:
    """Words joined by single blanks: `lower` makes lower case and punctuation marks words, `raw` splits at blanks."""
    return " ".join(_WORD.findall(text.lower()) if tokenization == "lower" else text.split())


def report_measures(
    predictions: Sequence[str], references: Sequence[str], tokenization: Tokenization = "lower"
) -> dict[str, Measure]:
    """bleu_1 .. bleu_4, rouge_l in [0, 1] and cider in [0, 10]; CIDEr needs a corpus and is 0 for one report."""
    found = [tokenize(text, tokenization) for text in predictions]
    wanted = [tokenize(text, tokenization) for text in references]
    by_wanted, by_found = ({row: [text] for row, text in enumerate(texts)} for texts in (wanted, found))
    measures: dict[str, Measure] = dict(_bleu(found, wanted))
    measures["rouge_l"] = mean(Rouge().compute_score(by_wanted, by_found)[1])
    measures["cider"] = mean(Cider().compute_score(by_wanted, by_found)[1])
    return measures


def _bleu(found: list[str], wanted: list[str]) -> dict[str, Sums]:
    """Corpus BLEU. Columns: words found, words wanted, n-grams found 1..4, n-grams right 1..4."""
    scorer = BleuScorer(n=4)
    for text, reference in zip(found, wanted, strict=True):
        scorer += (text, [reference])
    values = scorer.compute_score(option="closest", verbose=0)[0]
    columns_NK = np.array(
        [[cooked["testlen"], *cooked["reflen"], *cooked["guess"], *cooked["correct"]] for cooked in scorer.ctest],
        np.float64,
    )
    return {
        f"bleu_{n}": Sums(
            value=float(values[n - 1]),
            rows_N=np.arange(len(found)),
            columns_NK=columns_NK,
            formula=lambda sums_RK, n=n: bleu_of_sums(sums_RK, n),
        )
        for n in range(1, 5)
    }


def bleu_of_sums(sums_RK: Floats, n: int) -> Floats:
    """float64[R]: BLEU-n of summed columns; the arithmetic of pycocoevalcap, so that unit weights give its value."""
    lengths_R, wanted_R = sums_RK[:, 0], sums_RK[:, 1]
    precisions_RN = (sums_RK[:, 6 : 6 + n] + _TINY) / (sums_RK[:, 2 : 2 + n] + _SMALL)
    ratio_R = (lengths_R + _TINY) / (wanted_R + _SMALL)
    brevity_R = np.where(ratio_R < 1, np.exp(1 - 1 / np.maximum(ratio_R, _SMALL)), 1.0)
    return precisions_RN.prod(axis=1) ** (1 / n) * brevity_R


class ReportNgrams(evaluate.Metric):
    """`report_measures` for the evaluate library: `ReportNgrams().compute(predictions=, references=)`."""

    def __init__(self, **options: Any):
        super().__init__(**{"keep_in_memory": True, **options})

    def _info(self) -> evaluate.MetricInfo:
        text = datasets.Value("string")
        return evaluate.MetricInfo(
            description=__doc__ or "",
            citation="",
            inputs_description="predictions, references: one text a report; tokenization: `lower` or `raw`",
            features=datasets.Features({"predictions": text, "references": text}),
        )

    def _compute(  # pyright: ignore[reportIncompatibleMethodOverride]
        self, predictions: list[str], references: list[str], tokenization: Tokenization = "lower", **_others: Any
    ) -> dict[str, float]:
        """`_others` are meant for the metrics this one is combined with."""
        found = report_measures(predictions, references, tokenization)
        return {name: measure.value for name, measure in found.items()}
