"""What a record holds of a written report: its sentences and their regions, and what scores read of them."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from ..grounding.evidence.citable import citations_to_json, numbers_shown
from ..grounding.evidence.evidence import PLAIN, Evidence, EvidenceSettings
from ..grounding.types import region_to_json
from ..grounding.vocabulary.attribution import attribute, attribution_to_meta, sentences_of
from ..grounding.vocabulary.citations import parse_citations
from ..grounding.vocabulary.labels import load_labels
from ..grounding.vocabulary.negation import Negation
from ..grounding.vocabulary.sentences import Sentence, ground_sentences
from .text.deidentified import as_reference


@dataclass(frozen=True, kw_only=True)
class ReportTruth:
    """What reports on images whose findings are annotated are judged with: `meta.labels` and `meta.radfact`.

    `labels`: the findings, the same for every record of a run. `evidence`: by report id, the regions in which the
    sentences of a model that was given none are grounded afterwards; left out, those it was given.
    """

    labels: tuple[str, ...]
    evidence: dict[str, Evidence] = field(default_factory=dict)


def read_text(
    text: str,
    evidence: Evidence,
    shown: Evidence,
    meta: dict[str, Any],
    settings: EvidenceSettings = PLAIN,
    truth: Evidence | None = None,
    negation: Negation = "rules",
) -> dict[str, Any]:
    """A record's fields read out of the report that the model wrote; `shown`: the evidence of its prompt.

    Scores read the text without citations and under the reference's policy of de-identification marks; where that
    differs from what was written, `meta.raw` holds the latter.
    """
    cited = as_reference(text, meta)
    plain = parse_citations(cited, len(numbers_shown(shown, settings))).text if settings.cite else cited
    raw = {"raw": text} if plain != text else {}
    meta = meta | raw | grounded_meta(cited, evidence, shown, settings, truth, negation)
    return ({"prediction": plain} if raw else {}) | {"parsed": plain, "meta": meta}


def grounded_meta(
    text: str,
    evidence: Evidence,
    shown: Evidence,
    settings: EvidenceSettings,
    truth: Evidence | None = None,
    negation: Negation = "rules",
) -> dict[str, Any]:
    """A report's sentences and the regions they speak of, for its record's `meta`.

    `sentences`: each with its regions as they are found afterwards. Where the model was to cite they have the regions
    of either way, and further there are `attribution`: each sentence with what it `cited` and what was `grounded` for
    it, as indices into the record's `regions`; the `agreement` of the two; and `citations` of the whole text, held
    against `truth` as those of answers are. `negation`: the engine that decides what a sentence denies.
    """
    sentences, attribution = ground_text(text, evidence, shown, settings, negation)
    meta: dict[str, Any] = {"sentences": sentences_to_json(sentences), "negation": negation}
    if settings.cite:
        citations = parse_citations(text, len(numbers_shown(shown, settings)))
        meta |= {"citations": citations_to_json(citations, shown, truth), **attribution}
    return meta


def ground_text(
    text: str, evidence: Evidence, shown: Evidence, settings: EvidenceSettings, negation: Negation
) -> tuple[tuple[Sentence, ...], dict[str, Any]]:
    """The sentences of a text with their regions in the first image; for `meta` how it came to them, if it may cite."""
    tree = load_labels()
    if not settings.cite:
        return ground_sentences(text, evidence.first.regions, tree, evidence.first.size_px, negation=negation), {}
    regions, size_px = shown.first.regions, shown.first.size_px
    num_shown = len(numbers_shown(shown, settings))
    attributions = attribute(text, regions, tree, size_px, num_shown=num_shown, negation=negation)
    return sentences_of(attributions, regions), attribution_to_meta(attributions, regions)


def sentences_to_json(sentences: Sequence[Sentence]) -> list[dict[str, Any]]:
    """Sentences and their regions, without masks, as records have them."""
    return [
        {
            "text": sentence.text,
            "is_negated": sentence.is_negated,
            "regions": [region_to_json(region) | {"mask_rle": None} for region in sentence.regions],
        }
        for sentence in sentences
    ]
