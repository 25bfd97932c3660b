"""Report records -> measures, by the protocol, tokenisation and metrics of the settings.

Protocol `full`: each reference whole, as it is given. `r2gen`: see protocols/r2gen.py.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from .metrics.citations import citation_measures
from .metrics.clinical import clinical_measures
from .metrics.java import JavaFailed
from .metrics.meteor import meteor
from .metrics.ngram import ngram_measures
from .metrics.report import GROUPS, METRICS, chosen, tokenize_pairs
from .protocols import r2gen
from .records import Record, cluster, shown
from .settings import EvalSettings
from .statistics.measure import Measure, Measured, Sums
from .statistics.strata import labels_of

VERSION = "1"
"""Of protocol `full`."""


def measure_report(records: Sequence[Record], settings: EvalSettings) -> Measured:
    """bleu_1 .. bleu_4, meteor, rouge_l, cider, and the clinical and citation measures of what the records hold.

    An empty prediction is `failed` and scores 0; a record without reference text is `skipped`. A text is empty where
    the tokenisation leaves no word of it. `answer` is one reference or a list of them, of which empty ones go.
    """
    names, clinical, notes = _chosen(records, settings)
    found, wanted, more = _words(records, settings)
    rows = [row for row, texts in enumerate(wanted) if texts]
    measures, reasons = _lexical(found, wanted, rows, names)
    return Measured(
        protocol=settings.report_protocol,
        version=r2gen.VERSION if settings.report_protocol == "r2gen" else VERSION,
        measures=measures | clinical,
        clusters=[cluster(record) for record in records],
        counts=_counts(found, rows),
        strata=labels_of(records),
        notes=[*_skipped(records, rows), *more, *reasons, *notes],
    )


def _chosen(records: Sequence[Record], settings: EvalSettings) -> tuple[list[str], dict[str, Measure], list[str]]:
    """The n-gram metrics to compute, the clinical and citation measures to give, and notes on these.

    Raises `BadInput` for the name of a metric that the protocol does not have, or the records hold no input for.
    """
    lexical = [name for name in METRICS if not (settings.report_protocol == "r2gen" and name == "cider")]
    clinical: dict[str, Measure] = {}
    notes: list[str] = []
    if not {*settings.metrics} <= {*METRICS, *GROUPS} or not settings.metrics:
        clinical, notes = clinical_measures(records, settings.model_copy(update={"metrics": ()}))
        clinical |= citation_measures(records)
    names = chosen(settings.metrics or (*lexical, *clinical), (*lexical, *clinical))
    given = {name: part for name, part in clinical.items() if name in names}
    return [name for name in lexical if name in names], given, notes


def _words(records: Sequence[Record], settings: EvalSettings) -> tuple[list[str], list[list[str]], list[str]]:
    """Tokenised predictions, tokenised references that hold a word, and notes."""
    predictions = [record["prediction"] for record in records]
    answers = [record["answer"] for record in records]
    references = [[answer] if isinstance(answer, str) else list(answer) for answer in answers]
    notes: list[str] = []
    tokenization = settings.tokenization
    if settings.report_protocol == "r2gen":
        predictions, references, notes = _r2gen(records, predictions, references, settings)
        tokenization = "raw"
    found, wanted = tokenize_pairs(predictions, references, tokenization)
    return found, [[text for text in texts if text] for texts in wanted], notes


def _r2gen(
    records: Sequence[Record], predictions: Sequence[str], references: Sequence[Sequence[str]], settings: EvalSettings
) -> tuple[list[str], list[list[str]], list[str]]:
    """Texts cleaned and references cut, with the constants of each record's corpus."""
    given = {"iu": r2gen.IU, "mimic": r2gen.MIMIC}.get(settings.r2gen_cleaning)
    corpora = [given or r2gen.corpus_of(record["dataset"]) for record in records]
    path = settings.r2gen_vocabulary
    words = {corpus: r2gen.read_vocabulary(path, corpus) if path else None for corpus in set(corpora)}
    found = [r2gen.clean_prediction(text, corpus) for text, corpus in zip(predictions, corpora, strict=True)]
    wanted = [
        [r2gen.clean_reference(text, corpus, words[corpus]) for text in texts]
        for texts, corpus in zip(references, corpora, strict=True)
    ]
    names = " and ".join(sorted(corpus.name for corpus in words))
    notes = [f"r2gen: {names} cleaning, references cut to their first words, split at white space."]
    return found, wanted, notes if path else [*notes, "r2gen: no training vocabulary given, so no word is <unk>."]


def _lexical(
    found: list[str], wanted: list[list[str]], rows: Sequence[int], names: Sequence[str]
) -> tuple[dict[str, Sums], list[str]]:
    """The named n-gram metrics of the reports that have a reference, and why METEOR is missing."""
    if not rows:
        return {}, []
    said, meant = [found[row] for row in rows], [wanted[row] for row in rows]
    measures, reasons = ngram_measures(said, meant, names), []
    if "meteor" in names:
        try:
            measures["meteor"] = meteor(said, meant)
        except JavaFailed as error:
            reasons = [f"meteor is missing, it needs Java: {error}."]
    return {name: replace(measures[name], rows_N=np.array(rows)) for name in names if name in measures}, reasons


def _counts(found: Sequence[str], rows: Sequence[int]) -> dict[str, int]:
    failed = sum(not found[row] for row in rows)
    counts = {"scored": len(rows) - failed, "abstained": 0, "failed": failed, "skipped": len(found) - len(rows)}
    return {"n": len(found), **counts}


def _skipped(records: Sequence[Record], rows: Sequence[int]) -> list[str]:
    names = [records[row]["id"] for row in sorted({*range(len(records))} - {*rows})]
    return [f"{len(names)} records without reference text are skipped: {shown(names)}."] if names else []
