"""Report text by n-grams: BLEU-1..4, ROUGE-L, CIDEr and METEOR under one tokenisation, which stands in every result."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, ClassVar

import datasets

from ...grounding.bad_input import BadInput, nearest
from ..settings import Tokenization
from ..statistics.measure import Measure, Sums
from .meteor import meteor
from .ngram import BLEU, LEXICAL, ngram_measures
from .shell import MeasureMetric
from .tokenize import tokenize

METRICS = (*BLEU, "meteor", "rouge_l", "cider")
GROUPS = {"bleu": BLEU}
"""Names that stand for several metrics."""


def chosen(names: Iterable[str], valid: Iterable[str] = METRICS) -> list[str]:
    """The valid metrics that are named, by themselves or by their group. Raises `BadInput` for any other name."""
    valid = list(valid)
    groups = {name: (name,) for name in valid} | {name: part for name, part in GROUPS.items() if {*part} <= {*valid}}
    unknown = [name for name in names if name not in groups]
    if unknown:
        problem = f"no report metric {unknown[0]!r} for these records under this protocol."
        raise BadInput(problem, fix=nearest(unknown[0], groups))
    wanted = {name for group in names for name in groups[group]}
    return [name for name in valid if name in wanted]


def report_measures(
    predictions: Sequence[str],
    references: Sequence[str | Sequence[str]],
    tokenization: Tokenization = "lower",
    metrics: Sequence[str] = LEXICAL,
) -> dict[str, Sums]:
    """The named metrics; a reference is one text or several.

    bleu_1 .. bleu_4, meteor, rouge_l in [0, 1], cider in [0, 10]; CIDEr needs a corpus and is 0 for one report.
    Raises `JavaFailed` for meteor without Java, `BadInput` for the tokenisation `ptb` without.
    """
    found, wanted = tokenize_pairs(predictions, references, tokenization)
    measures = ngram_measures(found, wanted, metrics)
    return measures | ({"meteor": meteor(found, wanted)} if "meteor" in metrics else {})


def tokenize_pairs(
    predictions: Sequence[str], references: Sequence[str | Sequence[str]], tokenization: Tokenization
) -> tuple[list[str], list[list[str]]]:
    """Predictions, and the references of each, tokenised together."""
    several = [[texts] if isinstance(texts, str) else list(texts) for texts in references]
    texts = tokenize([*predictions, *(text for part in several for text in part)], tokenization)
    rest = iter(texts[len(predictions) :])
    return texts[: len(predictions)], [[next(rest) for _ in part] for part in several]


class ReportNgrams(MeasureMetric):
    """`report_measures` for the evaluate library: `ReportNgrams().compute(predictions=, references=)`.

    `predictions`: a text a report; `references`: a text, or several, a report; `tokenization`: `lower`, `raw` or
    `ptb`; `metrics`: names, by default all that need no Java.
    """

    columns: ClassVar[Mapping[str, Any]] = {
        "predictions": datasets.Value("string"),
        "references": datasets.Value("string"),
    }
    references: ClassVar[Sequence[Any]] = (datasets.List(datasets.Value("string")),)

    def measures(
        self,
        predictions: Sequence[str],
        references: Sequence[str | Sequence[str]],
        tokenization: Tokenization = "lower",
        metrics: Sequence[str] = LEXICAL,
        **_others: Any,
    ) -> Mapping[str, Measure]:
        """`_others` are meant for the metrics this one is combined with."""
        return report_measures(predictions, references, tokenization, chosen(metrics))
