"""Whether an answer is given, held back, or left to the regions alone: a model's words are not all of one worth."""

import re
from collections.abc import Sequence

from ....grounding.evidence.names import Source
from ....grounding.evidence.sources import Look, Query
from ....grounding.types import Region
from ....grounding.vocabulary.labels import load_labels
from ....grounding.vocabulary.learned import is_found
from ....grounding.vocabulary.places import LOCATION
from ....vqa.answer import asks_yes_or_no
from ....vqa.inference.by_regions import answer_by_regions
from ....vqa.inference.confidence import Confidence, read_confidence
from ....vqa.inference.generate import ScoredAnswer
from ....vqa.inference.rules import ABSTENTION, NAME, kind_of, unknown_name
from ..system import TrainedSystem
from .knowledge import Learned

LEARNED_NONE = "and this core never learned it in such images"
NO_LABEL = "which is no label"
_NONE = re.compile(r"(?:no|not|none|zero|0)\b", re.IGNORECASE)


def regions_instead(
    finished: TrainedSystem, question: str, query: Query, look: Look, source: Source, modality: str
) -> ScoredAnswer | None:
    """The answer of the regions found alone, where they know more than the model; None where it answers itself."""
    if source != "predicted" or str(finished.folder) == NAME:
        return None
    confidence = read_confidence(finished.adapter(source))
    return answer_by_regions(question, query, look, confidence, finished.vocabulary, modality)


def judge(
    answered: ScoredAnswer,
    text: str,
    question: str,
    query: Query,
    confidence: Confidence,
    learned: Learned,
    min_score: float,
) -> str:
    """Why an answer of a model, `text` in plain words, is held back; "" where it is given.

    Too low a probability; the question names what is no label; nothing that it names was found, where its absence is no
    answer; the grounder learned none of it in such images; or the answer names what no region shows. Without evidence
    the probability alone counts. `min_score`: regions below it were shown as guesses, and count as not found.
    """
    if answered.probability is not None and answered.probability < confidence.threshold:
        told = f"{answered.probability:.2f}", f"{confidence.threshold:.2f}"
        # 0.418 is not "0.42, below 0.42"
        told = told if told[0] != told[1] else (f"{answered.probability:.4f}", f"{confidence.threshold:.4f}")
        return f"its probability of {told[0]} is below {told[1]}"
    if not answered.evidence.images or answered.evidence.source in ("none", "withheld"):
        return ""
    regions = [region for part in answered.evidence.images for region in part.regions if region.score >= min_score]
    if not query.first.asked and (name := unknown_name(question)):
        return f"nothing of {name} was looked for, {NO_LABEL}"
    missing = [phrase for phrase in query.first.asked if not is_found(phrase, regions)]
    if missing and len(missing) == len(query.first.asked):
        if not all(learned.has(phrase) for phrase in missing):
            return f"nothing of {', '.join(missing)} was found, {LEARNED_NONE}"
        if not _NONE.match(text) and kind_of(question) != "finding":  # that it is not there may be the answer
            return f"nothing of {', '.join(missing)} was found"
    if foreign := learned.foreign(query.first.asked):
        return foreign
    if asks_yes_or_no(question) or kind_of(question) in ("modality", "body"):
        return ""
    if not regions and LOCATION.search(text):
        return "no region that shows a place was found"
    named = [phrase for phrase in load_labels().phrases_in(text) if phrase not in query.first.asked]
    unseen = next((phrase for phrase in named if _is_unseen(phrase, regions, query, learned)), "")
    return f"no region of {unseen} was found" if unseen else ""


def judge_rules(answered: ScoredAnswer, query: Query, learned: Learned, min_score: float) -> str:
    """Why an answer of the rules is held back: it rests on a guess at what the question takes for granted, or on what
    the grounder learned in other images.
    """
    if answered.text != ABSTENTION and (foreign := learned.foreign(query.first.asked)):
        return foreign
    regions = [region for region in answered.evidence.regions if region.score >= min_score]
    guessed = [phrase for phrase in query.first.granted if not is_found(phrase, regions)]
    return f"nothing of {', '.join(guessed)} was found" if guessed and answered.text != ABSTENTION else ""


def _is_unseen(phrase: str, regions: Sequence[Region], query: Query, learned: Learned) -> bool:
    """Whether nothing shows what an answer names. Of organs that were not looked for only unlearned ones count."""
    tree = load_labels()
    if is_found(phrase, regions) or any(phrase in tree.ancestors(region.phrase) for region in regions):
        return False
    return tree.level(phrase) == "finding" or phrase in query.first.phrases or not learned.has(phrase)
