"""The model `rules`: answers what regions alone decide, by fixed templates; no language model is loaded.

Presence, place, half, side, count, size, relation, modality and part of the body. The honest floor under any model that
is shown regions: where it does not answer better than these few lines, it adds nothing to its grounder.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from math import pi
from pathlib import Path

from tqdm.auto import tqdm

from ...grounding.evidence.evidence import Evidence, EvidenceSettings, ImageEvidence, select
from ...grounding.geometry import where
from ...grounding.modalities import MODALITIES
from ...grounding.records import PredictionRecord, RecordFile
from ...grounding.types import Region, region_to_json
from ...grounding.vocabulary import places
from ...grounding.vocabulary.labels import load_labels
from ..derived.claims import SIZE_EDGES, SIZES
from ..task import Job

NAME = "rules"
RULES_EVIDENCE = EvidenceSettings(forms=("text",), max_regions=100, min_score=0.5)
"""What counts as there: the threshold was set before anything was measured."""
EXACT_KINDS = frozenset(
    ("count", "several", "half", "place", "is in half", "is in place", "patient side", "size", "larger", "relation")
)
"""Kinds of question (`kind_of`) that boxes decide by counting and measuring, where they are right."""
ABSTENTION = "the evidence does not answer this"
"""Neither yes nor no, so that closed questions count it as abstained."""
_FILLED = pi / 4
"""Part of its box that a region covers, taken for an ellipse."""
_INSIDE = 0.9


def answer_by_rules(question: str, evidence: Evidence, vocabulary: Mapping[str, Sequence[str]] | None = None) -> str:
    """The answer that the regions of the first template that fits decide; `ABSTENTION` where none does.

    `vocabulary`: what is found in each modality, by which regions tell the modality. Questions on several images, and
    without evidence, are not answered.
    """
    if len(evidence.images) != 1:
        return ABSTENTION
    seen = Seen(select(evidence, RULES_EVIDENCE).first, question, vocabulary or {})
    for pattern, rule in _COMPILED:
        if match := pattern.search(seen.text):
            return rule(seen, match) or ABSTENTION
    return ABSTENTION


def kind_of(question: str) -> str:
    """The kind of a question by the first template that fits: "presence", "count", "half" ...; "" where none does."""
    text = Seen(ImageEvidence(size_px=(1, 1)), question, {}).text
    rule = next((rule for pattern, rule in _COMPILED if pattern.search(text)), None)
    return "" if rule is None else rule.__name__.strip("_").replace("_", " ")


@dataclass(frozen=True, eq=False)
class Seen:
    """A question and the regions of its image. `text`: lower case, `#` for each label that it names."""

    image: ImageEvidence
    question: str
    vocabulary: Mapping[str, Sequence[str]]
    names: tuple[str, ...] = field(init=False)
    text: str = field(init=False)

    def __post_init__(self) -> None:
        mentions, text = load_labels().mentions_in(self.question), self.question
        for start, stop, _ in reversed(mentions):
            text = f"{text[:start]}#{text[stop:]}"
        object.__setattr__(self, "text", " ".join(text.lower().split()))
        # "Which finding is there?" names nothing: what its set asks for is meant
        object.__setattr__(self, "names", tuple(name for _, _, name in mentions) or self.image.phrases)

    def regions(self, index: int = 0) -> list[Region]:
        """Regions of the name with this index, and of kinds of it ("left lung" for "lung"), best first."""
        if index >= len(self.names):
            return []
        name, tree = self.names[index], load_labels()
        own = [region for region in self.image.regions if region.phrase == name]
        return own or [region for region in self.image.regions if name in tree.kinds_of(region.phrase)]

    def box(self, index: int = 0) -> tuple[float, float, float, float] | None:
        """x0, y0, x1, y1 of its best region as parts of the image; None where it has none."""
        if not (regions := self.regions(index)):
            return None
        return _box(regions[0], self.image)

    def size(self, index: int = 0) -> float:
        """What its regions cover, as part of the image."""
        boxes = [_box(region, self.image) for region in self.regions(index)]
        return min(1.0, sum(_FILLED * (x1 - x0) * (y1 - y0) for x0, y0, x1, y1 in boxes))

    @cached_property
    def found(self) -> list[str]:
        """Every phrase with a region, the surest first."""
        return list(dict.fromkeys(region.phrase for region in self.image.regions))


Rule = Callable[[Seen, re.Match[str]], str | None]
"""What a template answers; None: the regions do not decide it."""


def _box(region: Region, image: ImageEvidence) -> tuple[float, float, float, float]:
    x0, y0, x1, y1 = (float(value) for value in region.box_xyxy_px)
    width, height = image.size_px
    return x0 / width, y0 / height, x1 / width, y1 / height


def _yes(is_true: bool) -> str:
    return "yes" if is_true else "no"


def _modality(seen: Seen, match: re.Match[str]) -> str | None:
    """The only modality in which everything that was found is looked for."""
    fits = [name for name, phrases in seen.vocabulary.items() if seen.found and set(seen.found) <= set(phrases)]
    if len(fits) != 1 or not (spoken := MODALITIES[fits[0]].spoken):
        return None
    if not (wanted := match.groupdict().get("modality")):
        return spoken
    is_alike = wanted in (MODALITIES[name].spoken.lower() for name in MODALITIES[fits[0]].looks_like)
    return None if is_alike else _yes(wanted == spoken.lower())


def _body(seen: Seen, match: re.Match[str]) -> str | None:
    parts = {load_labels().body_region(name) for name in seen.found} - {"", "any"}
    return parts.pop() if len(parts) == 1 else None


def _presence(seen: Seen, match: re.Match[str]) -> str | None:
    return _yes(any(seen.regions(k) for k in range(len(seen.names)))) if seen.names else None


def _finding(seen: Seen, match: re.Match[str]) -> str | None:
    """Those of what its set asks for that were found, organs left out."""
    if "#" in seen.text:
        return None
    names = [name for name in seen.names if load_labels().level(name) == "finding"] or seen.names
    return (" and ".join(name for name in names if name in seen.found) or "none") if names else None


def _choice(seen: Seen, match: re.Match[str]) -> str | None:
    return next((name for name in seen.found if name in seen.names), None)


def _count(seen: Seen, match: re.Match[str]) -> str | None:
    return str(len(seen.regions())) if seen.names else None


def _several(seen: Seen, match: re.Match[str]) -> str | None:
    return _yes(len(seen.regions()) > 1) if seen.names else None  # of nothing there are not several


def _size(seen: Seen, match: re.Match[str]) -> str | None:
    """A word, a share, or where neither is asked for both."""
    if not seen.names or not (size := seen.size()):
        return None
    word, share = SIZES[sum(size >= edge for edge in SIZE_EDGES)]
    has_words, has_shares = "tiny" in seen.text, "over 15" in seen.text
    return word if has_words else share if has_shares else f"{word}, {share} of the image"


def _place(seen: Seen, match: re.Match[str]) -> str | None:
    return places.image_place(where(seen.regions()[0].box_xyxy_px, seen.image.size_px)) if seen.box() else None


def _half(seen: Seen, match: re.Match[str]) -> str | None:
    return places.image_half(_side(box)) if (box := seen.box()) else None


def _side(box: tuple[float, float, float, float]) -> str:
    return "left" if box[0] + box[2] < 1 else "right"


def _is_in_half(seen: Seen, match: re.Match[str]) -> str | None:
    if not (box := seen.box()):
        return None
    rows = {"upper": box[1] + box[3] < 1, "lower": box[1] + box[3] >= 1}
    return _yes(({"left": _side(box) == "left", "right": _side(box) == "right"} | rows)[match["half"]])


def _is_in_place(seen: Seen, match: re.Match[str]) -> str | None:
    """The patient's side, or the cell of the grid: "left" alone is its middle row, as questions here mean it."""
    # the last one: "Does the centre of the # lie in the upper left part of the image?"
    *_, told = [None, *places.LOCATION.finditer(seen.text)]
    if not told or " or " in seen.text or not (box := seen.box()):
        return None
    if "patient" in seen.text:
        return _yes(side == told["side"]) if (side := _patient(seen)) else None
    cell = where(seen.regions()[0].box_xyxy_px, seen.image.size_px)
    words = places.read_location(told)
    if not told["row"] and told["side"] and "part" not in seen.text and "third" not in seen.text:
        return _yes(words == {_side(box)})  # "on the left" is a half
    return _yes(set(cell.split()) == words)


def _patient_side(seen: Seen, match: re.Match[str]) -> str | None:
    return places.patient_side(side) if (side := _patient(seen)) else None


def _patient(seen: Seen) -> str | None:
    """The patient's side of the first name: by its own name, or where what has a side shows how the image is seen."""
    if not (box := seen.box()):
        return None
    if (own := seen.names[0].partition(" ")[0]) in places.OTHER_SIDE:
        return own
    # chambers of the heart are left and right by name, not by side
    sided = [r for r in seen.image.regions if r.phrase.startswith(("left ", "right ")) and "heart" not in r.path]
    shown = {_side(_box(r, seen.image)) != r.phrase.partition(" ")[0] for r in sided}
    return places.OTHER_SIDE[_side(box)] if shown == {True} else None


def _compare(measure: Callable[[Seen, int], float]) -> Rule:
    """Whether the first name measures less than the second."""

    def relation(seen: Seen, match: re.Match[str]) -> str | None:
        if len(seen.names) != 2 or not (seen.box(0) and seen.box(1)):
            return None
        return _yes(measure(seen, 0) < measure(seen, 1))

    return relation


def _larger(seen: Seen, match: re.Match[str]) -> str | None:
    if len(seen.names) != 2 or not (seen.box(0) and seen.box(1)):
        return None
    return (max((0, 1), key=seen.size) == 0 and seen.names[0]) or seen.names[1]


def _inside(seen: Seen, match: re.Match[str]) -> str | None:
    """By boxes: nine tenths of the first lie in that of the second."""
    first, second = (seen.box(k) if len(seen.names) == 2 else None for k in (0, 1))
    if not first or not second:
        return None
    if "surround" in seen.text:
        first, second = second, first
    sides = [max(0.0, min(first[k + 2], second[k + 2]) - max(first[k], second[k])) for k in (0, 1)]
    return _yes(sides[0] * sides[1] >= _INSIDE * (first[2] - first[0]) * (first[3] - first[1]))


def _middle(axis: int, sign: int = 1) -> Callable[[Seen, int], float]:
    def middle(seen: Seen, index: int) -> float:
        box = seen.box(index) or (0, 0, 0, 0)
        return sign * (box[axis] + box[axis + 2])

    return middle


_MODALITY = "|".join(re.escape(modality.spoken.lower()) for modality in MODALITIES.values() if modality.spoken)
_IMAGE = r"(?:image|picture|scan|x-?ray|radiograph|slice|photograph)"
_HERE = rf"(?: (?:visible|seen|shown|present|here|(?:(?:in|on) )?th(?:is|e) {_IMAGE}))*\??$"
_A = r"(?:an? |any |the |some |signs? of |evidence of )*"
_THE = r"(?:the centre of )?(?:the )?"
_LIES = r"(?: lie| be found| located| found)?"
_SIDES = r"(?:left|right) or (?:the )?(?:left|right)"
_ENDS = r"(?: lie| on| located| located on)?(?:, left or right)?\??$"
_HALF = r"(?P<half>left|right|upper|lower)"
TEMPLATES: tuple[tuple[str, Rule], ...] = (
    (rf"^(?:was|is|does) (?:this\b[^#]*|an? )?\b(?P<modality>{_MODALITY})\b", _modality),
    (r"modality|imaging technique|kind of (?:image|scan)|type of (?:image|scan)|was this image taken", _modality),
    (r"(?:part|region) of the body|body (?:part|region)", _body),
    (r"^(?:is|are|does|do) .*(?:more than one|several|two or more|multiple)(?: areas? of)? #", _several),
    (r"# in more than one place", _several),
    (r"^how many (?:separate areas of |times is (?:an? )?)?#|number of (?:separate areas of )?#|^count .*#", _count),
    (r"^(?:which|what|of the # and) .*(?:larger|covers more)", _larger),
    (r"larger|more of the image than", _compare(lambda seen, k: -seen.size(k))),
    (r"tiny|over 15|^how (?:large|big)|what size|how much of", _size),
    (r"^(?:is|does) the # (?:lie )?(?:inside|within|enclosed by|surround) the #", _inside),
    (r"# .*left of .*#|# further to the left .*#|from left to right .*#.*#", _compare(_middle(0))),
    (r"# .*right of .*#", _compare(_middle(0, -1))),
    (r"# .*(?:above|higher).*#|from top to bottom .*#.*#", _compare(_middle(1))),
    (r"# .*(?:below|lower).*#", _compare(_middle(1, -1))),
    (rf"^(?:on |in )?which (?:half|side|of) .*patient.*#|from the patient, on which|patient's {_SIDES}", _patient_side),
    (rf"^(?:on |in )?which (?:half|side)(?: of the image)? (?:is|does|holds) {_THE}#{_ENDS}", _half),
    (rf"^is the # (?:in|on) the {_SIDES}", _half),
    (rf"^(?:is|does|can|are) {_THE}#{_LIES} (?:in|on) the {_HALF} (?:half|side of the image)", _is_in_half),
    (rf"^does the {_HALF} half of the image (?:hold|show) the #", _is_in_half),
    (rf"^(?:is|are|does|can|seen from the patient, is) {_THE}#{_LIES} (?:in|on) the\b", _is_in_place),
    (r"^is the patient's (?:left|right) the side of the #", _is_in_place),
    (rf"^where (?:in the image )?(?:is|are|do|does) {_THE}#{_LIES}{_HERE}", _place),
    (rf"which part of the image (?:is|are|do|does) {_THE}#|(?:position|location) of {_THE}#", _place),
    (r"^(?:which|what) (?:of these|one|is there to see).*#|^only one of these", _choice),
    (r"^(?:which|what) (?:kinds? of )?(?:finding|abnormalit|lesion|disease|patholog)", _finding),
    (rf"^(?:is|are) there {_A}#(?:(?:,| or| and)+ {_A}#)*{_HERE}", _presence),
    (rf"^(?:does|do) th(?:is|e) {_IMAGE} (?:show|contain) {_A}#{_HERE}", _presence),
    (rf"^(?:can|do) (?:you |we )?(?:see |find )?{_A}#(?: be)?{_HERE}", _presence),
    (rf"^(?:is|are) {_A}# (?:visible|seen|shown|present){_HERE}", _presence),
)
"""Questions by their words, `#` for the label; the first that fits answers."""
_COMPILED = tuple((re.compile(pattern), rule) for pattern, rule in TEMPLATES)
# what a question may name that is no label
_NAME = r"(?P<name>[^\W\d_][\w-]*(?: [^\W\d_][\w-]*){0,2}?)"
_NAMED = tuple(
    re.compile(pattern, re.IGNORECASE)
    for pattern in (
        rf"^(?:is|are) there {_A}{_NAME}{_HERE}",
        rf"^(?:does|do) th(?:is|e) {_IMAGE} (?:show|contain) {_A}{_NAME}{_HERE}",
        rf"^(?:can|do) (?:you |we )?(?:see|find) {_A}{_NAME}{_HERE}",
        rf"^(?:is|are) {_A}{_NAME} (?:visible|seen|shown|present){_HERE}",
        rf"^where (?:in the image )?(?:is|are) {_THE}{_NAME}{_LIES}{_HERE}",
        rf"^how many {_NAME} (?:is|are|do|can)\b",
    )
)
_NO_NAMES = re.compile(
    r"\b(?:abnormal\w*|normal\w*|any\w*|some\w*|what\w*|it|they|this|that|these|those|more|one|findings?|diseases?|lesions?"
    r"|patholog\w*|problems?|regions?|objects?|structures?|organs?|signs?|evidence)\b",
    re.IGNORECASE,
)


def unknown_name(question: str) -> str:
    """What a question for presence, place or number names that is no label: "Herz" of "Is there a Herz?"; else ""."""
    if load_labels().mentions_in(question):
        return ""
    text = " ".join(question.split())
    match = next((match for pattern in _NAMED if (match := pattern.search(text))), None)
    return "" if match is None or _NO_NAMES.search(match["name"]) else match["name"]


def predict_by_rules(jobs: Sequence[Job], path: Path, vocabulary: Mapping[str, Sequence[str]]) -> None:
    """Write one record a job to `path`; jobs whose id is there already are done."""
    file = RecordFile(path)
    left = [job for job in jobs if job.id not in file.done]
    file.append([rules_record(job, vocabulary) for job in tqdm(left, desc=path.stem, unit="question", disable=None)])


def rules_record(job: Job, vocabulary: Mapping[str, Sequence[str]]) -> PredictionRecord:
    """The record of one question: `model` is `rules`, `regions` are those that the answer rests on."""
    shown = select(job.example.evidence, RULES_EVIDENCE)
    text = answer_by_rules(job.fields["question"], shown, vocabulary)
    own = {
        "id": job.id,
        "evidence": shown.source,
        "phrases": shown.first.phrases,
        "regions": tuple(region_to_json(region) for region in shown.first.regions),
        "prediction": text,
    }
    return PredictionRecord(**{**job.fields, **own, **job.parse(text, shown), "model": NAME, "adapter": ""})
