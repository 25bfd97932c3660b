"""Questions that regions decide better than a model: the rules answer them, and the answer says why."""

from ...grounding.evidence.sources import Look, Query
from ...grounding.vocabulary.learned import Vocabulary, is_found, is_learned
from .confidence import Confidence
from .generate import ScoredAnswer
from .rules import ABSTENTION, RULES_EVIDENCE, answer_by_rules, kind_of


def answer_by_regions(
    question: str,
    query: Query,
    look: Look,
    confidence: Confidence,
    vocabulary: Vocabulary,
    modality: str = "unknown",
) -> ScoredAnswer | None:
    """The answer of the regions alone, which says why in `by_rules`; None where the model is to answer.

    They are asked on one image, for kinds of question in which they know more (`Confidence`), of phrases that the
    grounder learned in the `modality`, and answer where something that the question asks for was found.
    """
    kind = kind_of(question) if len(query.images) == 1 else ""
    asked = [phrase for phrase in query.first.asked if is_learned(phrase, vocabulary, modality)]
    if not kind or not asked or not confidence.falls_back(kind):
        return None
    shown = look(RULES_EVIDENCE)
    regions = [region for region in shown.first.regions if region.score >= RULES_EVIDENCE.min_score]
    text = answer_by_rules(question, shown, vocabulary)
    if text == ABSTENTION or not any(is_found(phrase, regions) for phrase in asked):
        return None
    return ScoredAnswer(text=text, probability=None, evidence=shown, by_rules=confidence.why_rules(kind))
