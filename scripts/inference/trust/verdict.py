"""Whether an answer is given, held back, or left to the regions alone: a model's words are not all of one worth."""

from collections.abc import Sequence

from ....grounding.evidence.evidence import Evidence
from ....grounding.evidence.names import Source
from ....grounding.evidence.sources import Query
from ....grounding.types import Region
from ....grounding.vocabulary.labels import load_labels
from ....vqa.answer import asks_yes_or_no
from ....vqa.inference.confidence import Confidence, read_confidence
from ....vqa.inference.generate import ScoredAnswer
from ....vqa.inference.rules import ABSTENTION, NAME, RULES_EVIDENCE, answer_by_rules, kind_of
from ..system import TrainedSystem
from .knowledge import Vocabulary, is_learned

LEARNED_NONE = "and this core never learned it"


def answer_by_regions(finished: TrainedSystem, question: str, query: Query, source: Source) -> tuple[ScoredAnswer, str]:
    """The answer of the regions alone, and why they are asked; an empty reason where the model answers itself.

    They are asked on one image, with regions found, for kinds of question in which they know more (`Confidence`), and
    answer where something that the question asks for was found.
    """
    none = ScoredAnswer(text="", probability=None, evidence=Evidence.none())
    kind = kind_of(question) if source == "predicted" and len(query.images) == 1 else ""
    if str(finished.folder) == NAME or not kind or not query.first.asked:
        return none, ""
    confidence = read_confidence(finished.adapter(source))
    if not confidence.falls_back(kind):
        return none, ""
    shown = finished.evidence(query, source, RULES_EVIDENCE)
    regions = [region for region in shown.first.regions if region.score >= RULES_EVIDENCE.min_score]
    text = answer_by_rules(question, shown, finished.vocabulary)
    if text == ABSTENTION or not any(is_found(phrase, regions) for phrase in query.first.asked):
        return none, ""
    return ScoredAnswer(text=text, probability=None, evidence=shown), confidence.why_rules(kind)


def judge(
    answered: ScoredAnswer,
    text: str,
    question: str,
    query: Query,
    confidence: Confidence,
    vocabulary: Vocabulary,
) -> str:
    """Why an answer of a model, `text` in plain words, is held back; "" where it is given.

    Too low a probability; nothing that the question names was found, where its absence is no answer; or it names what
    no region shows. Without evidence the probability alone counts.
    """
    if answered.probability is not None and answered.probability < confidence.threshold:
        return f"its probability of {answered.probability:.2f} is below {confidence.threshold:.2f}"
    if not answered.evidence.images or answered.evidence.source in ("none", "withheld"):
        return ""
    regions = [region for part in answered.evidence.images for region in part.regions]
    missing = [phrase for phrase in query.first.asked if not is_found(phrase, regions)]
    if missing and len(missing) == len(query.first.asked):
        is_absence_known = all(is_learned(phrase, vocabulary) for phrase in missing)
        if not is_absence_known:
            return f"nothing of {', '.join(missing)} was found, {LEARNED_NONE}"
        if not asks_yes_or_no(question) and kind_of(question) not in ("count", "finding"):
            return f"nothing of {', '.join(missing)} was found"
    named = [phrase for phrase in load_labels().phrases_in(text) if load_labels().level(phrase) == "finding"]
    unseen = [phrase for phrase in named if not is_found(phrase, regions) and phrase not in query.first.asked]
    return f"no region of {unseen[0]} was found" if unseen and not asks_yes_or_no(question) else ""


def is_found(phrase: str, regions: Sequence[Region]) -> bool:
    """Whether a region is one of the phrase, or of a kind of it: "left lung" of "lung"."""
    tree = load_labels()
    return any(phrase == region.phrase or phrase in tree.kinds_of(region.phrase) for region in regions)
