"""The four sub-scores of RadCliQ-v1 of each record: `meta.radcliq`; the map itself is `eval.metrics.clinical.radcliq`.

RadGraph: mean of entity and relation F1 of `meta.radgraph`, which is to be of RadGraph's first model; BERTScore: F of
distilroberta-base, layer 5, idf over the references, rescaled by the package's baseline; semb: cosine of CheXbert's
vectors; BLEU-2 of one report. As Yu et al. 2023 (github.com/rajpurkarlab/CXR-Report-Metric) put them together.
"""

from collections.abc import Callable, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray
from torch import nn

from ...eval.metrics.clinical.radgraph import Entity, Graphs
from ...eval.metrics.fields import holds
from ...eval.metrics.text.lexical import report_measures
from ...eval.records import Record, meta_of
from .chexbert import CheXbertLabeler
from .radgraph import older_tokenizers

Scores = Callable[[Sequence[str], Sequence[str]], NDArray[np.float64]]
"""Predictions and references to a score each, float64[N]."""


def add_sub_scores(records: Sequence[Record], chexbert: Path, bertscore: Path) -> list[Record]:
    """The records with `meta.radcliq`, where they hold `meta.radgraph` and not that yet."""
    rows = [k for k, record in enumerate(records) if holds(record, "radgraph") and not holds(record, "radcliq")]
    if not rows:
        return list(records)
    predictions, references = ([str(records[k][side]) for k in rows] for side in ("prediction", "answer"))
    parts = {
        "radgraph": np.array([graph_f1(Graphs.model_validate(meta_of(records[k])["radgraph"])) for k in rows]),
        "bertscore": _bertscore(bertscore)(predictions, references),
        "semb": _cosines(chexbert)(predictions, references),
        "bleu2": bleu_2(predictions, references),
    }
    filled = list(records)
    for index, k in enumerate(rows):
        own = {name: float(values[index]) for name, values in parts.items()}
        filled[k] = cast(Record, {**records[k], "meta": {**meta_of(records[k]), "radcliq": own}})
    return filled


def graph_f1(graphs: Graphs) -> float:
    """Mean of the F1 of entities (words, label) and of relations (both ends, kind), in [0, 1]; 0 for an empty side."""

    def entity(one: Entity) -> tuple[str, str]:
        return one.tokens, one.label

    sides = (graphs.reference, graphs.prediction)
    entities = [{entity(one) for one in side.values()} for side in sides]
    relations = [
        {(entity(one), entity(side[target]), kind) for one in side.values() for kind, target in one.relations}
        for side in sides
    ]
    return (_f1(*entities) + _f1(*relations)) / 2


def _f1(one: set[Any], other: set[Any]) -> float:
    return 2 * len(one & other) / (len(one) + len(other)) if one and other else 0.0


def bleu_2(predictions: Sequence[str], references: Sequence[str]) -> NDArray[np.float64]:
    """float64[N]: BLEU-2 of each report by itself."""
    sums = report_measures(predictions, references, metrics=("bleu_2",))["bleu_2"]
    return np.array([sums.formula(row[None])[0] for row in sums.columns_NK])


def _cosines(folder: Path) -> Scores:
    labeler = CheXbertLabeler(folder)

    def score(predictions: Sequence[str], references: Sequence[str]) -> NDArray[np.float64]:
        sides = labeler.vectors(predictions), labeler.vectors(references)
        return nn.functional.cosine_similarity(*sides).double().numpy()

    return score


def _bertscore(folder: Path) -> Scores:
    package = import_module("bert_score")
    baseline = Path(str(package.__file__)).parent / "rescale_baseline" / "en" / "distilroberta-base.tsv"

    def score(predictions: Sequence[str], references: Sequence[str]) -> NDArray[np.float64]:
        scorer = package.BERTScorer(
            model_type=str(folder),
            num_layers=5,
            lang="en",
            idf=True,
            idf_sents=list(references),
            rescale_with_baseline=True,
            baseline_path=str(baseline),
        )
        with older_tokenizers():  # an empty report has its special tokens alone
            return np.asarray(scorer.score(list(predictions), list(references))[2], np.float64)

    return score
