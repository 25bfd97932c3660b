"""VQA as LLaVA-Med's `llava/eval/run_eval.py` scores it (microsoft/LLaVA-Med, commit b9a98a7, `eval_metrics/`).

Its quirks are part of it:

- Normalisation. Marks as in `vqa_normalizer`; a full stop goes unless a digit follows, but at most 32 of them, because
  `re.UNICODE` stands where a count belongs; number words, articles; apostrophes of contractions are put in ("dont"
  becomes "don't"). The metrics of open questions normalise what is normalised already, so that 64 full stops go there.
- Open recall, precision, F1 are over the distinct words of both texts, and a word in both counts as often as the
  *prediction* says it: a repeated hit inflates them. 0 where nothing is shared. Its "exact match" (here
  open_exact_match) is the share of the prediction's words: distinct reference words found / words said.
- open_bleu is nltk's sentence BLEU (orders 1 to 4); open_bleu_1, _2, _3 are of one order alone, as its weights say.
- Open accuracy: the candidate with the largest share of its distinct words in the prediction, the first of equals, is
  the answer, right if equal to the reference. Candidates are the open answers of train, in their order.
- Closed: right if the prediction holds "yes" or "no" as a substring ("abnormal" does) and the reference as a substring.

Unlike the original, a blank after an answer type does not drop the question ("CLOSED " in VQA-RAD).
"""

from collections import Counter
from collections.abc import Sequence
from functools import lru_cache, partial
from pathlib import Path

from ...grounding.bad_input import BadInput
from ...grounding.foreign import read_json
from ..settings import EvalSettings
from .sentence_bleu import sentence_bleu
from .vqa_normalizer import PERIOD, clear_marks, plain_words
from .vqa_rules import VqaRules

PROTOCOL = "llava_med"
VERSION = "1"

_MAX_PERIODS = 32  # the value of re.UNICODE, which stands where a count belongs
_BLEU = {"open_bleu": (0.25,) * 4, "open_bleu_1": (1,), "open_bleu_2": (0, 1), "open_bleu_3": (0, 0, 1)}
"""Weights of the orders 1, 2, ... in each."""
_NO_CANDIDATES = 'open_accuracy is left out: it needs candidates, a file {"0": [open answers of train, in order]}.'

_CONTRACTED = """
ain't aren't can't could've couldn't couldn't've didn't doesn't don't hadn't hadn't've hasn't haven't he'd he'd've he's
how'd how'll how's isn't it'd it'd've it'll ma'am might've mightn't mightn't've must've mustn't needn't not've o'clock
'ow's'at oughtn't shan't she'd've should've shouldn't shouldn't've somebody'd've somebody'll somebody's someone'd
someone'd've someone'll someone's something'd something'd've something'll that's there'd there'd've there're there's
they'd they'd've they'll they're they've 'twas wasn't we'd've we've weren't what'll what're what's what've when's
where'd where's where've who'd who'd've who'll who's who've why'll why're why's won't would've wouldn't wouldn't've
y'all y'all'd've y'all'll you'd you'd've you'll you're you've
"""

CONTRACTIONS = {
    word[:index] + word[index + 1 :]: word
    for word in _CONTRACTED.split()
    for index, letter in enumerate(word)
    if letter == "'"
} | {"somebody'd": "somebodyd"}  # the wrong way round in the original
"""Lower-case word without one of its apostrophes -> the word, as the VQA evaluation spells it."""


def rules(settings: EvalSettings) -> VqaRules:
    """The rules of `llava_med`, with open_accuracy where the settings name a file of candidates."""
    candidates = read_candidates(settings.candidates) if settings.candidates else None
    return VqaRules(
        protocol=PROTOCOL,
        version=VERSION,
        is_yes_no=lambda reference: normalize(reference) in ("yes", "no"),
        is_abstention=is_abstention,
        score=partial(score, candidates=candidates),
        notes=() if candidates else (_NO_CANDIDATES,),
    )


@lru_cache(maxsize=1 << 16)
def normalize(text: str) -> str:
    """One pass of the normalisation."""
    clean = PERIOD.sub("", clear_marks(text.lower()), count=_MAX_PERIODS)
    return " ".join(CONTRACTIONS.get(word, word) for word in plain_words(clean.lower()))


def is_abstention(prediction: str) -> bool:
    """Neither "yes" nor "no" is a substring."""
    text = normalize(prediction)
    return "yes" not in text and "no" not in text


def score(prediction: str, reference: str, is_closed: bool, candidates: "Candidates | None" = None) -> dict[str, float]:
    """closed_accuracy; or open_recall, open_precision, open_f1, open_exact_match, open_bleu*, and open_accuracy."""
    text, wanted = normalize(prediction), normalize(reference)
    if is_closed:
        return {"closed_accuracy": float(not is_abstention(prediction) and wanted in text)}
    bleu = dict(zip(_BLEU, sentence_bleu(text.split(), wanted.split(), list(_BLEU.values())), strict=True))
    text, wanted = normalize(text), normalize(wanted)  # again, as the original does: more full stops go
    scores = overlap(text.split(), wanted.split()) | bleu
    if candidates:
        scores["open_accuracy"] = float(candidates.nearest(text) == wanted)
    return scores


def overlap(text: Sequence[str], wanted: Sequence[str]) -> dict[str, float]:
    """open_recall, open_precision, open_f1 and open_exact_match of normalised words."""
    counts, sought = Counter(text), Counter(wanted)
    shared = counts.keys() & sought.keys()
    hits = sum(counts[word] for word in shared)
    missed = sum(count for word, count in sought.items() if word not in shared)
    recall, precision = (hits / (hits + missed), hits / len(text)) if hits else (0.0, 0.0)
    return {
        "open_recall": recall,
        "open_precision": precision,
        "open_f1": 2 * precision * recall / (precision + recall) if hits else 0.0,
        "open_exact_match": len(shared) / len(text) if text else 0.0,
    }


class Candidates:
    """The answers that an open prediction is mapped to, in order, and which of them hold each word."""

    def __init__(self, answers: Sequence[str]):
        self.answers = [normalize(str(answer)) for answer in answers]
        words = [set(answer.split()) for answer in self.answers]
        self._sizes = [len(row) for row in words]
        self._holders: dict[str, list[int]] = {}
        for index, row in enumerate(words):
            for word in row:
                self._holders.setdefault(word, []).append(index)
        self._nearest: dict[str, str] = {}

    def nearest(self, text: str) -> str:
        """The normalised candidate with the largest share of its words in a normalised prediction."""
        if text not in self._nearest:
            # only candidates that share a word can win, so that thousands of others are never looked at
            words = set(text.split())
            shares = Counter(index for word in words for index in self._holders.get(word, ()))
            best = min(shares, key=lambda index: (-shares[index] / self._sizes[index], index), default=0)
            self._nearest[text] = self.answers[best]
        return self._nearest[text]


def read_candidates(path: Path) -> Candidates:
    """A candidate file `{"0": [answers...]}`. Raises `BadInput` for another form and for an empty list."""
    fix = 'give {"0": [open answers of train, in order]}'
    content = read_json(path, fix)
    answers = content.get("0") if isinstance(content, dict) else None
    if not isinstance(answers, list) or not answers:
        raise BadInput("no list of candidates.", file=path, fix=fix)
    if odd := [answer for answer in answers if not isinstance(answer, str | int | float) or isinstance(answer, bool)]:
        raise BadInput(f"candidate {odd[0]!r} is no text.", file=path, fix=fix)
    return Candidates(answers)
