"""Report records -> measures, by the protocol, tokenisation and metrics of the settings.

Protocol `full`: each reference whole, as it is given; of a prediction all but thoughts (`<think>`). `r2gen`: see
protocols/r2gen.py.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from ...grounding.vocabulary.model_text import drop_thoughts, has_thoughts
from ..catalog import FIELD_METRICS, REPORT_PROTOCOLS, TEXT_METRICS, text_names
from ..metrics.fields import field_measures
from ..metrics.text.java import JavaFailed
from ..metrics.text.lexical import choose, modules_of, tokenize_pairs
from ..protocols import r2gen
from ..records import Record, cluster, first_few
from ..settings import EvalSettings
from ..statistics.measure import Facts, Measured, Measures, count_samples
from ..statistics.strata import labels_of

VERSION = "2"
"""Of protocol `full`."""
_NO_VOCABULARY = "r2gen: no training vocabulary given (--vocabulary), so rare words of references are not <unk>."


def measure_report(records: Sequence[Record], settings: EvalSettings) -> Measured:
    """bleu_1 .. bleu_4, meteor, rouge_l, cider, and the clinical and citation measures of what the records hold.

    An empty prediction is `failed` and scores 0; a record without reference text is `skipped`. A text is empty where
    the tokenisation leaves no word of it. `answer` is one reference or a list of them, of which empty ones go.
    """
    judge_notes, facts = list[str](), Facts()
    if settings.judge_endpoint:
        records, judge_notes, facts = _judged(records, settings)
    names, clinical, clinical_notes = _choose(records, settings)
    predictions = [record["prediction"] for record in records]
    answers = [record["answer"] for record in records]
    wanted = [[answer] if isinstance(answer, str) else list(answer) for answer in answers]
    protocol_notes: list[str] = []
    thoughts = sum(map(has_thoughts, predictions))
    tokenization = settings.tokenization
    if settings.report_protocol == "r2gen":
        predictions, wanted, protocol_notes = _clean_as_r2gen(records, predictions, wanted, settings)
        tokenization = "raw"
    else:
        predictions = [drop_thoughts(text) for text in predictions]
    texts, wanted = tokenize_pairs(predictions, wanted, tokenization)
    references = [[text for text in part if text] for part in wanted]  # those that hold a word
    rows = [row for row, part in enumerate(references) if part]
    measures: Measures = {}
    reasons: list[str] = []
    for key, chosen in modules_of(names).items() if rows else ():
        scored = [texts[row] for row in rows], [references[row] for row in rows]
        try:
            sums = TEXT_METRICS[key].load().measures(*scored, chosen)
            measures |= {name: replace(sums[name], rows_N=np.array(rows)) for name in chosen}
        except JavaFailed as error:
            reasons.append(f"{', '.join(chosen)} is missing, it needs Java: {error}.")
    measures = {name: measures[name] for name in names if name in measures}
    skipped = [records[row]["id"] for row in sorted({*range(len(records))} - {*rows})]
    notes = [f"{len(skipped)} records without reference text are skipped: {first_few(skipped)}."] if skipped else []
    if thoughts:
        what = "r2gen scores as if they were said" if settings.report_protocol == "r2gen" else "are left out"
        notes.append(f"{thoughts} of {len(records)} predictions hold thoughts (<think> ...), which {what}.")
    return Measured(
        protocol=settings.report_protocol,
        version=r2gen.VERSION if settings.report_protocol == "r2gen" else VERSION,
        measures=measures | clinical,
        clusters=[cluster(record) for record in records],
        counts=count_samples(len(records), failed=sum(not texts[row] for row in rows), skipped=len(skipped)),
        strata=labels_of(records),
        notes=[*notes, *protocol_notes, *reasons, *clinical_notes, *judge_notes],
        facts=facts,
    )


def _judged(records: Sequence[Record], settings: EvalSettings) -> tuple[list[Record], list[str], Facts]:
    """The records as a served model judges them, notes, and what the result states of it."""
    from ...grounding.served.judge import judge_at
    from ..metrics.clinical.served_judge import FIELDS, PROMPTS, judge_reports

    chosen = {*settings.metrics}  # what nobody wants to see is not asked
    fields = [key for key in FIELDS if not chosen or chosen & {key, *FIELD_METRICS[key].names}]
    if not fields:
        return list(records), [], {}
    filled, notes = judge_reports(records, judge_at(settings.judge_endpoint, settings.judge_model), fields)
    names = ", ".join(FIELDS[key] for key in fields)
    notes.append(f"{names}, where records lacked them: judged by {settings.judge_model}.")
    return filled, notes, {"judge_prompt": PROMPTS, "judge_model": settings.judge_model}


def _choose(records: Sequence[Record], settings: EvalSettings) -> tuple[list[str], Measures, list[str]]:
    """The text metrics to compute, the measures of `meta` to give, and notes on these.

    Raises `BadInput` for the name of a metric that the protocol does not have, or the records hold no input for.
    """
    lexical = [name for name in text_names() if name not in REPORT_PROTOCOLS[settings.report_protocol].leaves_out]
    clinical: Measures = {}
    notes: list[str] = []
    # where metrics of words alone are named, `meta` is not read, and may be broken
    if not {*settings.metrics} <= {*text_names(), *TEXT_METRICS} or not settings.metrics:
        clinical, notes = field_measures(records, settings)
    names = choose(settings.metrics or (*lexical, *clinical), (*lexical, *clinical))
    given = {name: part for name, part in clinical.items() if name in names}
    return [name for name in lexical if name in names], given, notes


def _clean_as_r2gen(
    records: Sequence[Record], predictions: Sequence[str], references: Sequence[Sequence[str]], settings: EvalSettings
) -> tuple[list[str], list[list[str]], list[str]]:
    """Texts cleaned and references cut, with the constants of each record's corpus."""
    given = {"iu": r2gen.IU, "mimic": r2gen.MIMIC}.get(settings.r2gen_cleaning)
    corpora = [given or r2gen.corpus_of(record["dataset"]) for record in records]
    path = settings.r2gen_vocabulary
    words = {corpus: r2gen.read_vocabulary(path, corpus) if path else None for corpus in set(corpora)}
    texts = [r2gen.clean_prediction(text, corpus) for text, corpus in zip(predictions, corpora, strict=True)]
    rows = zip(references, corpora, strict=True)
    wanted = [[r2gen.clean_reference(text, corpus, words[corpus]) for text in part] for part, corpus in rows]
    names = " and ".join(sorted(corpus.name for corpus in words))
    notes = [f"r2gen: {names} cleaning, references cut to their first words, split at white space."]
    return texts, wanted, notes if path else [*notes, _NO_VOCABULARY]
