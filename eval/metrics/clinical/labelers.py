"""Models that make what the clinical metrics read: labels, graphs, entailments. Optional, and never needed to score.

Anything of the shape of the three protocols will do. `load_labeler` wraps CheXbert where radeval is installed, which
fetches the weights itself (StanfordAIMI/RRG_scorers). Of the public packages, f1chexbert 0.0.2 and radgraph 0.1.18 call
what transformers 5 no longer has, and the RadGraph inside radeval 2.2.1 does not import: run these in an environment of
their own and put what they say into the records.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from typing import Any, Protocol, cast

from ....grounding.bad_input import BadInput
from ...records import Record
from ..fields import holds
from .chexbert import CHEXPERT


class Labeler(Protocol):
    """Reports -> CheXpert's fourteen labels each, in CheXbert's order: 1, 0, -1 (uncertain) or None (not mentioned)."""

    def labels(self, reports: Sequence[str]) -> Sequence[Sequence[int | None]]:
        """One list of labels a report."""
        ...


class GraphReader(Protocol):
    """Reports -> RadGraph's entities each, `{}` for an empty report."""

    def graphs(self, reports: Sequence[str]) -> Sequence[Mapping[str, Any]]:
        """One graph a report."""
        ...


class Verifier(Protocol):
    """Natural language inference over phrases, as RadFact asks it."""

    def evidence(self, phrase: str, premises: Sequence[str]) -> Sequence[int] | None:
        """Indices of the premises that entail the phrase; None where they do not entail it."""


class SamePhrase:
    """The simplest verifier, a floor for others: a phrase is entailed by one of the same words, whatever their case."""

    def evidence(self, phrase: str, premises: Sequence[str]) -> Sequence[int] | None:
        """Indices of the premises with the same words, in the same order."""
        words, *others = (re.findall(r"\w+", text.lower()) for text in (phrase, *premises))
        return [index for index, other in enumerate(others) if other == words] or None


def add_labels(records: Sequence[Record], labeler: Labeler) -> list[Record]:
    """The records with `meta.labels` of their prediction and answer, where they do not hold it yet."""

    def read(texts: Sequence[str]) -> list[dict[str, int | None]]:
        return [dict(zip(CHEXPERT, labels, strict=True)) for labels in labeler.labels(texts)]

    return _fill(records, "labels", read)


def add_graphs(records: Sequence[Record], reader: GraphReader) -> list[Record]:
    """The records with `meta.radgraph` of their prediction and answer, where they do not hold it yet."""
    return _fill(records, "radgraph", reader.graphs)


def _fill(records: Sequence[Record], field: str, read: Callable[[Sequence[str]], Sequence[Any]]) -> list[Record]:
    empty = [row for row, record in enumerate(records) if not holds(record, field)]
    # one call for all texts, references first: a model works in batches
    texts = [records[row][side] for side in ("answer", "prediction") for row in empty]
    found = read(texts) if texts else []
    if len(found) != len(texts):
        raise ValueError(f"{len(texts)} reports were given and {len(found)} came back for meta.{field}")
    filled = list(records)
    for row, truth, written in zip(empty, found[: len(empty)], found[len(empty) :], strict=True):
        meta = {**(records[row].get("meta") or {}), field: {"reference": truth, "prediction": written}}
        filled[row] = cast(Record, {**records[row], "meta": meta})
    return filled


def judge(
    candidate: Sequence[Mapping[str, Any]], reference: Sequence[Mapping[str, Any]], verifier: Verifier
) -> dict[str, list[dict[str, Any]]]:
    """`meta.radfact` of one record: the phrases of a report and its reference, each judged against the other side.

    A phrase is `{"phrase": "...", "boxes": [...]}`, boxes as RadFact takes them and only where it has a place.
    """
    verdicts: dict[str, list[dict[str, Any]]] = {"candidate": [], "reference": []}
    for side, phrases, premises in (("candidate", candidate, reference), ("reference", reference, candidate)):
        for phrase in phrases:
            indices = verifier.evidence(phrase["phrase"], [premise["phrase"] for premise in premises])
            verdicts[side].append(
                {
                    "phrase": phrase["phrase"],
                    "status": "not_entailed" if indices is None else "entailed",
                    "boxes": list(phrase.get("boxes") or []),
                    # the boxes of the phrases that entail this one
                    "evidence_boxes": [box for index in indices or () for box in premises[index].get("boxes") or []],
                }
            )
    return verdicts


class CheXbertLabeler:
    """`Labeler` over an `F1CheXbert` of radeval."""

    def __init__(self, scorer: Any):
        self.scorer = scorer

    def labels(self, reports: Sequence[str]) -> Sequence[Sequence[int | None]]:
        """Uncertain labels stay uncertain: the settings decide on them when scoring. What is not mentioned is 0."""
        return self.scorer.get_labels(list(reports), mode="classification")


class RadGraphReader:
    """`GraphReader` over a `RadGraph` of the radgraph package or of one that follows it."""

    def __init__(self, parser: Any):
        self.parser = parser

    def graphs(self, reports: Sequence[str]) -> list[dict[str, Any]]:
        """An empty report has an empty graph; the parser would read one out of the word "None"."""
        texts = [report for report in reports if report.strip()]
        found = self.parser(texts) if texts else {}
        parsed = iter([found[str(index)]["entities"] for index in range(len(texts))])
        return [next(parsed) if report.strip() else {} for report in reports]


def load_labeler(device: str = "cpu") -> Labeler:
    """CheXbert on a torch device. Raises `BadInput` where radeval is not installed."""
    try:
        module = import_module("radeval.metrics.f1chexbert")
    except ModuleNotFoundError as error:
        raise BadInput(
            f"no CheXbert to make meta.labels with: {error}.",
            fix="pip install radeval, or give meta.labels in the records",
        ) from error
    return CheXbertLabeler(module.F1CheXbert(device=device))
