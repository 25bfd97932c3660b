"""What a record holds of a written report: its sentences, their regions, and both against an annotated image."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ..grounding.evidence.citable import citations_to_json, numbers_shown
from ..grounding.evidence.evidence import PLAIN, Evidence, EvidenceSettings
from ..grounding.grounder import true_regions
from ..grounding.types import AnnotatedImage, region_to_json
from ..grounding.vocabulary.attribution import attribute, attribution_to_meta, sentences_of
from ..grounding.vocabulary.citations import parse_citations
from ..grounding.vocabulary.labels import load_labels
from ..grounding.vocabulary.negation import Negation, blank_denied
from ..grounding.vocabulary.sentences import Sentence, ground_sentences
from ..grounding.vocabulary.statements import Statement, judge_sentence, read_statements, state_regions
from .text.deidentified import as_reference

if TYPE_CHECKING:
    from .task import Report


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

    `meta.sentences`: each with its regions as they are found afterwards. Where the model was to cite they have the
    regions of either way, and further there are `attribution`: each sentence with what it `cited` and what was
    `grounded` for it, as indices into the record's `regions`; the `agreement` of the two; and `citations` of the whole
    text, held against `truth` as those of answers are. `negation`: the engine that decides what a sentence denies.
    Scores read the text without citations and under the reference's policy of de-identification marks; where that
    differs from what was written, `meta.raw` holds the latter.
    """
    written = as_reference(text, meta)
    citations = parse_citations(written, len(numbers_shown(shown, settings))) if settings.cite else None
    plain = citations.text if citations else written
    raw = {"raw": text} if plain != text else {}
    sentences, attribution = ground_text(written, evidence, shown, settings, negation)
    meta = meta | raw | {"sentences": sentences_to_json(sentences), "negation": negation}
    if citations:
        meta |= {"citations": citations_to_json(citations, shown, truth), **attribution}
    return ({"prediction": plain} if raw else {}) | {"parsed": plain, "meta": meta}


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


def truth_of_image(image: AnnotatedImage) -> tuple[Statement, ...]:
    """Every phrase that the set annotates on the image: how often it is there, and where."""
    return tuple(state_regions(phrase, true_regions(image, [phrase]), image.size_px) for phrase in image.phrases)


def finding_labels(reports: "Sequence[Report]") -> tuple[str, ...]:
    """Findings that are annotated, present or not, on the images of these reports, sorted; none: no truth is exact."""
    phrases = {phrase for report in reports for phrase in report.image.phrases}
    return tuple(sorted(phrase for phrase in phrases if load_labels().level(phrase) == "finding"))


def judge(report: "Report", written: Sequence[Sentence], labels: Sequence[str]) -> dict[str, Any]:
    """`labels` and `radfact` of a record's `meta`: what was written, with its regions, against the image's truth.

    Labels: 1 where a true region has it, and where the text affirms it. RadFact: a written sentence is judged against
    the image's truth, whether the reference names it or not; a sentence of the reference against what was written.
    """
    truth, size_px = truth_of_image(report.image), report.image.size_px
    stated = [statement for sentence in written for statement in read_statements(sentence)]
    phrases = {
        "reference": {statement.phrase for statement in truth if statement.number},
        "prediction": {statement.phrase for statement in stated if statement.number != 0},
    }
    return {
        "labels": {side: {name: int(name in affirmed) for name in labels} for side, affirmed in phrases.items()},
        "radfact": {
            "candidate": [judge_sentence(sentence, truth, size_px) for sentence in written],
            "reference": [judge_sentence(sentence, stated, size_px) for sentence in report.sentences],
        },
    }


def findings_f1(records: Sequence[Mapping[str, Any]]) -> float:
    """Micro F1, in [0, 1], of the findings of reports; 0 where nobody names any.

    Of a record with `meta.labels` those that it holds, else the findings of the label tree that reference and
    prediction affirm.
    """
    tree, right, named = load_labels(), 0, 0
    for record in records:
        labels = record["meta"].get("labels")
        sides: list[set[str]] = []
        for side, text in (("reference", record["answer"]), ("prediction", record["prediction"])):
            if labels:
                sides.append({name for name, value in labels[side].items() if value == 1})
            else:
                affirmed = tree.phrases_in(blank_denied(text))
                sides.append({phrase for phrase in affirmed if tree.level(phrase) == "finding"})
        right += len(sides[0] & sides[1])
        named += len(sides[0]) + len(sides[1])
    return 2 * right / named if named else 0.0
