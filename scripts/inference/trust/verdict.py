"""Whether an answer is given, held back, or left to the regions alone: a model's words are not all of one worth."""

import re
from collections.abc import Sequence

from ....grounding.evidence.evidence import Evidence
from ....grounding.evidence.names import Source
from ....grounding.evidence.sources import Query
from ....grounding.types import Region
from ....grounding.vocabulary.labels import load_labels
from ....grounding.vocabulary.places import LOCATION
from ....vqa.answer import asks_yes_or_no
from ....vqa.inference.confidence import Confidence, read_confidence
from ....vqa.inference.generate import ScoredAnswer
from ....vqa.inference.rules import ABSTENTION, NAME, RULES_EVIDENCE, answer_by_rules, kind_of, unknown_name
from ..system import TrainedSystem
from .knowledge import Vocabulary, is_learned

LEARNED_NONE = "and this core never learned it"
NO_LABEL = "which is no label"
_NONE = re.compile(r"(?:no|not|none|zero|0)\b", re.IGNORECASE)


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
    min_score: float,
) -> str:
    """Why an answer of a model, `text` in plain words, is held back; "" where it is given.

    Too low a probability; the question names what is no label; nothing that it names was found, where its absence is no
    answer; or the answer names what no region shows. Without evidence the probability alone counts. `min_score`:
    regions below it were shown as guesses, and count as not found.
    """
    if answered.probability is not None and answered.probability < confidence.threshold:
        return f"its probability of {answered.probability:.2f} is below {confidence.threshold:.2f}"
    if not answered.evidence.images or answered.evidence.source in ("none", "withheld"):
        return ""
    regions = [region for part in answered.evidence.images for region in part.regions if region.score >= min_score]
    if not query.first.asked and (name := unknown_name(question)):
        return f"nothing of {name} was looked for, {NO_LABEL}"
    missing = [phrase for phrase in query.first.asked if not is_found(phrase, regions)]
    if missing and len(missing) == len(query.first.asked):
        is_absence_known = all(is_learned(phrase, vocabulary) for phrase in missing)
        if not is_absence_known:
            return f"nothing of {', '.join(missing)} was found, {LEARNED_NONE}"
        if not _NONE.match(text) and kind_of(question) != "finding":  # that it is not there may be the answer
            return f"nothing of {', '.join(missing)} was found"
    if asks_yes_or_no(question) or kind_of(question) in ("modality", "body"):
        return ""
    if not regions and LOCATION.search(text):
        return "no region that shows a place was found"
    named = [phrase for phrase in load_labels().phrases_in(text) if phrase not in query.first.asked]
    unseen = next((phrase for phrase in named if _is_unseen(phrase, regions, query, vocabulary)), "")
    return f"no region of {unseen} was found" if unseen else ""


def judge_rules(answered: ScoredAnswer, query: Query, min_score: float) -> str:
    """Why an answer of the rules is held back: it rests on a guess at what the question takes for granted."""
    regions = [region for region in answered.evidence.regions if region.score >= min_score]
    guessed = [phrase for phrase in query.first.granted if not is_found(phrase, regions)]
    return f"nothing of {', '.join(guessed)} was found" if guessed and answered.text != ABSTENTION else ""


def _is_unseen(phrase: str, regions: Sequence[Region], query: Query, vocabulary: Vocabulary) -> bool:
    """Whether nothing shows what an answer names. Of organs that were not looked for only unlearned ones count."""
    tree = load_labels()
    if is_found(phrase, regions) or any(phrase in tree.ancestors(region.phrase) for region in regions):
        return False
    return tree.level(phrase) == "finding" or phrase in query.first.phrases or not is_learned(phrase, vocabulary)


def is_found(phrase: str, regions: Sequence[Region]) -> bool:
    """Whether a region is one of the phrase, or of a kind of it: "left lung" of "lung"."""
    tree = load_labels()
    return any(phrase == region.phrase or phrase in tree.kinds_of(region.phrase) for region in regions)
