"""Words of a phrase: knowledge prompts, left and right under a flip, chunks, places of findings in a sentence."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from ..bad_input import BadInput
from .labels import LabelTree

# --- knowledge prompts -----------------------------------------------------------------------------------------------


def with_description(phrase: str, tree: LabelTree) -> str:
    """The phrase with how it looks, "polyp: rounded raised bump on the pink lining"; unchanged if it is unknown."""
    description = tree.description(phrase)
    return f"{phrase}: {description}" if description else phrase


def chunks(phrases: Sequence[str], size: int) -> Iterator[list[str]]:
    """The phrases in order, at most `size` at a time. Raises `BadInput` for a size under 1."""
    if size < 1:
        raise BadInput(f"chunks of {size} phrases.", fix="give a size of 1 or more")
    return (list(phrases[start : start + size]) for start in range(0, len(phrases), size))


# --- left and right --------------------------------------------------------------------------------------------------

_TWINS = {"left": "right", "lt": "rt", "lul": "rul", "lll": "rll", "lml": "rml", "l": "r"}
_TWINS |= {twin: word for word, twin in _TWINS.items()}
_ANATOMY = (
    r"(?:ventric(?:le|les|ular)|atri(?:um|al|a)|heart(?! border)|coronary|(?:liver|hepatic) lobes?"
    r"|lobes? of (?:the )?liver)"
)
_SIDE = re.compile(
    rf"(?<![A-Za-z])(?:(left|Left|LEFT|right|Right|RIGHT)(?![ _-]+{_ANATOMY}(?![A-Za-z]))"
    r"(?=(?:most|wards?)?(?![A-Za-z]))"
    r"|([LlRr]t|LT|RT)(?=\.|[ _]+[A-Za-z])"
    r"|([LR][UML]L|[lr][uml]l)(?![A-Za-z])"
    r"|([LR])(?=\.?[ ]+[A-Za-z]))"
)


def mirror(phrase: str) -> tuple[str, bool]:
    """The phrase as it reads for an image flipped left to right, and whether that changed it.

    Left and right, lt. and rt., L and R, and lobes by letters (LLL) change sides; "bilateral" stays. So do the names
    of chambers and lobes that are told by their shape: a flipped left ventricle still looks like a left ventricle.
    Twice mirrored is unchanged.
    """

    def other_side(match: re.Match[str]) -> str:
        word, twin = match[0], _TWINS[match[0].lower()]
        return twin.upper() if word.isupper() else twin.capitalize() if word[0].isupper() else twin

    flipped = _SIDE.sub(other_side, phrase)
    return flipped, flipped != phrase


def has_side(phrase: str) -> bool:
    """Whether a flip of the image changes what the phrase says."""
    return _SIDE.search(phrase) is not None


# --- places of findings ----------------------------------------------------------------------------------------------

_WHERE = (
    r"(?:left|right|lt\.?|rt\.?|both|bilateral|bibasilar|basilar|upper|lower|middle|mid|apical|basal|superior|inferior"
    r"|anterior|posterior|medial|lateral|central|peripheral|perihilar|retrocardiac|lingular|subpleural|frontal|parietal"
    r"|temporal|occipital|cerebellar|periventricular|proximal|distal)"
)
_SPOT = (
    r"(?:lobes?|lungs?|zones?|bases?|apex|apices|hemithorax|sides?|fields?|quadrants?|poles?|hemispheres?|segments?"
    r"|regions?|hil(?:um|a)|angles?|lingula|corners?|cent(?:er|re)|half|periphery)"
)
_PLACE = re.compile(rf"\b(?:{_WHERE}(?:-sided)?[ -]+)*(?:{_WHERE}(?:-sided)?(?!\w)|{_SPOT}\b)", re.IGNORECASE)
_STOP = re.compile(r"[;,.:?!]|\b(?:but|with|without|while|no|and|or)\b", re.IGNORECASE)
_LEAD = re.compile(
    r"\b(?:in|at|within|of|on|over|along|near|above|below|behind|into|involving|to|throughout)\s+(?:(?:the|its|a)\s+)?$",
    re.I,
)
_VERB = re.compile(r"\b(?:is|are|was|were|there|shows?|has|have|contains?|demonstrates?|in|of|at|on)\b", re.IGNORECASE)
_OF = re.compile(r"\s+of\s+(?:the\s+)?", re.IGNORECASE)
_AND = re.compile(r"\s*(?:,|,?\s*\b(?:and|or))\s+(?:(?:in|at|on)\s+)?(?:(?:the|an?)\s+)?", re.IGNORECASE)
_SAME = {
    "lt": "left",
    "rt": "right",
    "both": "bilateral",
    "bases": "base",
    "apices": "apex",
    "hila": "hilum",
    "center": "centre",
}
_DROP = {"the", "sided", "of"}


@dataclass(frozen=True, kw_only=True)
class PlacedPhrase:
    """A label named in a sentence, and the words that say where it is ("" if none)."""

    phrase: str
    place: str = ""

    def __str__(self) -> str:
        """Both as one phrase: "left lower lobe opacity"."""
        return f"{self.place} {self.phrase}".strip()


def phrases_of_sentence(sentence: str, tree: LabelTree) -> tuple[PlacedPhrase, ...]:
    """Labels named in the sentence, findings with their places: "opacity in the left lower lobe" has one, there.

    Rules: a place stands right before its finding ("right apical pneumothorax"), or behind it after a preposition, or
    at the start of its clause ("the left base shows an opacity"); places joined by "and" make one phrase each. Organs
    that serve as a place are no phrases of their own. Denied findings are not told apart: give the affirmed part.
    """
    # "Opacity in the left lower lobe and right base, with effusion": findings are opacity and effusion; spots, the
    # spans that may say where, are "left lower lobe" and "right base". Each finding takes the spots beside it, the
    # first one first, and what one has taken the next ones cannot have.
    mentions = tree.mentions_in(sentence)
    findings = [(start, end, label) for start, end, label in mentions if tree.level(label) == "finding"]
    organs = [mention for mention in mentions if mention not in findings]
    spots = _spots_in(sentence, findings, organs)
    spots_of: list[list[Spot]] = []
    for finding in findings:
        taken = {spot for earlier in spots_of for spot in earlier}
        spots_of.append(_find_spots(sentence, finding, findings, [spot for spot in spots if spot not in taken]))
    for i in reversed(range(len(findings) - 1)):  # "opacity and effusion in the left base": both are there
        if not spots_of[i] and _AND.fullmatch(sentence[findings[i][1] : findings[i + 1][0]]):
            spots_of[i] = [spot for spot in spots_of[i + 1] if spot[0] > findings[i + 1][1]]
    used = {spot for of_finding in spots_of for spot in of_finding}
    free = [m for m in organs if not any(start <= m[0] < end for start, end in used)]
    placed = [
        (finding[0], PlacedPhrase(phrase=finding[2], place="" if tree.is_above(place, finding[2]) else place))
        for finding, of_finding in zip(findings, spots_of, strict=True)
        for place in _names_of(sentence, of_finding, finding[0], tree)
    ]
    placed += [(start, PlacedPhrase(phrase=label)) for start, _, label in free]
    return tuple(dict.fromkeys(phrase for _, phrase in sorted(placed, key=lambda pair: pair[0])))


Mention = tuple[int, int, str]
Spot = tuple[int, int]
"""[start, end) in characters; of a mention also its label."""


def _spots_in(sentence: str, findings: list[Mention], organs: list[Mention]) -> list[Spot]:
    """Spans of words of place and of organs outside the findings' own names; those that belong together are one."""
    words = [match.span() for match in _PLACE.finditer(sentence)]
    words = [w for w in words if not any(w[0] < end and start < w[1] for start, end, _ in findings)]
    merged: list[Spot] = []
    for start, end in sorted([*words, *((start, end) for start, end, _ in organs)]):
        between = sentence[merged[-1][1] : start] if merged else "."
        if not between.strip(" -") or _OF.fullmatch(between):  # "left" "lung"; "base" of the "left lung"
            merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
        else:
            merged.append((start, end))
    return merged


def _find_spots(sentence: str, finding: Mention, findings: list[Mention], spots: list[Spot]) -> list[Spot]:
    """The spots that say where a finding is, in order; the three rules in the order of `phrases_of_sentence`."""
    before = [i for i, (_, end) in enumerate(spots) if end <= finding[0]]
    after = [i for i, (start, _) in enumerate(spots) if start >= finding[1]]
    own: list[Spot] = []
    if before and _touches(sentence, spots[before[-1]][1], finding[0]):  # "right apical | pneumothorax"
        own = _and_joined(sentence, spots, before[::-1])[::-1]
    if after:
        first = spots[after[0]]
        behind = sentence[finding[1] : first[0]]
        is_free = not any(finding[1] <= other[0] < first[0] for other in findings)
        if _LEAD.search(behind) and not _STOP.search(behind) and is_free:  # "opacity | in the | left lower lobe"
            # not "opacity in the left base and right effusion": the right belongs to the effusion
            loose = [i for i in after if not any(_touches(sentence, spots[i][1], f[0]) for f in findings)]
            own += _and_joined(sentence, spots, loose)
    if not own and before:  # "the left base | shows an | opacity"
        ahead = sentence[spots[before[-1]][1] : finding[0]]
        is_near = len(ahead.split()) <= 5 and not _STOP.search(ahead)
        own = [spots[before[-1]]] if is_near and _VERB.search(ahead) else []
    return own


def _touches(sentence: str, end: int, start: int) -> bool:
    """Whether a place that ends there stands before a finding that starts there, at most two adjectives between."""
    between = sentence[end:start]
    return end <= start and len(between.split()) <= 2 and not _STOP.search(between) and not _VERB.search(between)


def _and_joined(sentence: str, spots: list[Spot], order: list[int]) -> list[Spot]:
    """The first spot in this order and those that "and" joins to it."""
    joined: list[Spot] = []
    for i in order:
        if joined:
            first, second = sorted([joined[-1], spots[i]])
            if not _AND.fullmatch(sentence[first[1] : second[0]]):
                break
        joined.append(spots[i])
    return joined


def _names_of(sentence: str, spots: list[Spot], start: int, tree: LabelTree) -> list[str]:
    """Places as words: one before and one behind the finding are the same place, several of a kind are several."""
    texts = [(spot[0] < start, _place_name(sentence[spot[0] : spot[1]], tree)) for spot in spots]
    last = texts[-1][1].split()[-1:] if texts else []
    if last and re.fullmatch(_SPOT, last[0], re.I):  # "right upper and left lower lobe"
        texts = [(b, t if re.search(rf"{_SPOT}$", t) or b != texts[-1][0] else f"{t} {last[0]}") for b, t in texts]
    before, behind = [t for b, t in texts if b], [t for b, t in texts if not b]
    if len(before) == 1 and len(behind) == 1:
        return [" ".join(dict.fromkeys(f"{before[0]} {behind[0]}".split()))]
    return before + behind or [""]


def _place_name(text: str, tree: LabelTree) -> str:
    """Words of a place in one order and number: "upper poles of the left kidney" -> "left kidney upper pole"."""
    if _OF.search(text) and tree.path(text):
        return tree.label(text)
    parts = reversed(_OF.split(text.lower().replace("-", " ").replace(".", "")))
    words = [_SAME.get(word, word) for part in parts for word in part.split() if word not in _DROP]
    return " ".join(word[:-1] if re.fullmatch(_SPOT, word) and word.endswith("s") else word for word in words)
