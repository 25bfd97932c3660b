"""Models that make what the clinical metrics read: labels, graphs, entailments. Optional, and never needed to score.

Any function of one of the three forms will do. `load_labeler` wraps CheXbert where radeval is installed, which fetches
the weights itself (StanfordAIMI/RRG_scorers). f1chexbert 0.0.2 calls what transformers 5 no longer has, as radgraph
0.1.18 does (see `scripts.scorers.radgraph`), and the RadGraph inside radeval 2.2.1 does not import: what is made in an
environment of its own can be put into the records.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from typing import Any, cast

from ....grounding.bad_input import BadInput
from ...records import Record, meta_of
from ..fields import holds
from .chexbert import CHEXPERT

Labeler = Callable[[Sequence[str]], Sequence[Sequence[int | None]]]
"""Reports -> CheXpert's fourteen labels each, in CheXbert's order: 1, 0, -1 (uncertain) or None (not mentioned)."""

GraphReader = Callable[[Sequence[str]], Sequence[Mapping[str, Any]]]
"""Reports -> RadGraph's entities each, `{}` for an empty report."""

Verifier = Callable[[str, Sequence[str]], Sequence[int] | None]
"""A phrase and premises -> the indices of those that entail it, as RadFact asks; None where they do not entail it."""


def find_same_words(phrase: str, premises: Sequence[str]) -> Sequence[int] | None:
    """The simplest `Verifier`, a floor for others: premises of the same words in order, in any case."""
    words, *others = (re.findall(r"\w+", text.lower()) for text in (phrase, *premises))
    return [index for index, other in enumerate(others) if other == words] or None


def add_labels(records: Sequence[Record], labeler: Labeler) -> list[Record]:
    """The records with `meta.labels` of their prediction and answer, where they do not hold it yet."""
    return _fill(records, "labels", lambda texts: [dict(zip(CHEXPERT, row, strict=True)) for row in labeler(texts)])


def add_graphs(records: Sequence[Record], reader: GraphReader) -> list[Record]:
    """The records with `meta.radgraph` of their prediction and answer, where they do not hold it yet."""
    return _fill(records, "radgraph", reader)


def _fill(records: Sequence[Record], field: str, read: Callable[[Sequence[str]], Sequence[Any]]) -> list[Record]:
    empty = [row for row, record in enumerate(records) if not holds(record, field)]
    # one call for all texts, references first: a model works in batches
    texts = [records[row][side] for side in ("answer", "prediction") for row in empty]
    values = read(texts) if texts else []
    if len(values) != len(texts):
        raise ValueError(f"{len(texts)} reports were given and {len(values)} came back for meta.{field}")
    filled = list(records)
    for row, truth, written in zip(empty, values[: len(empty)], values[len(empty) :], strict=True):
        meta = {**meta_of(records[row]), field: {"reference": truth, "prediction": written}}
        filled[row] = cast(Record, {**records[row], "meta": meta})
    return filled


def judge(
    candidate: Sequence[Mapping[str, Any]], reference: Sequence[Mapping[str, Any]], verifier: Verifier
) -> dict[str, list[dict[str, Any]]]:
    """`meta.radfact` of one record: the phrases of a report and its reference, each judged against the other side.

    A phrase is `{"phrase": "...", "boxes": [...]}`, boxes as RadFact takes them and only where it has a place.
    """

    def judge_phrase(phrase: Mapping[str, Any], premises: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        indices = verifier(phrase["phrase"], [premise["phrase"] for premise in premises])
        return {
            "phrase": phrase["phrase"],
            "status": "not_entailed" if indices is None else "entailed",
            "boxes": list(phrase.get("boxes") or []),
            # the boxes of the phrases that entail this one
            "evidence_boxes": [box for index in indices or () for box in premises[index].get("boxes") or []],
        }

    return {
        "candidate": [judge_phrase(phrase, reference) for phrase in candidate],
        "reference": [judge_phrase(phrase, candidate) for phrase in reference],
    }


def read_by_radgraph(parser: Any) -> GraphReader:
    """The reader of a `RadGraph` of the radgraph package or of one that follows it."""

    def read(reports: Sequence[str]) -> list[dict[str, Any]]:
        # an empty report has an empty graph; the parser would read one out of the word "None"
        texts = [report for report in reports if report.strip()]
        graphs = parser(texts) if texts else {}
        if lost := [texts[index] for index in range(len(texts)) if str(index) not in graphs]:
            raise BadInput(f"RadGraph has no graph of the report {lost[0][:60]!r}.", fix="shorten it, or leave it out")
        parsed = iter([graphs[str(index)]["entities"] for index in range(len(texts))])
        return [next(parsed) if report.strip() else {} for report in reports]

    return read


def load_labeler(device: str = "cpu") -> Labeler:
    """CheXbert on a torch device: what is not mentioned is 0. Raises `BadInput` where radeval is not installed."""
    try:
        module = import_module("radeval.metrics.f1chexbert")
    except ModuleNotFoundError as error:
        fix = "pip install radeval, or give meta.labels in the records"
        raise BadInput(f"no CheXbert to make meta.labels with: {error}.", fix=fix) from error
    scorer = module.F1CheXbert(device=device)
    # uncertain labels stay uncertain: the settings decide on them when scoring
    return lambda reports: scorer.get_labels(list(reports), mode="classification")
