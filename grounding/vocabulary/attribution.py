"""Which regions a sentence rests on, two ways: those it cites as it is written, those found for it afterwards.

Both end in one record, so that they can be compared: `count_agreement` counts how far they name the same regions, and
a sentence that needs a region and has none either way is marked.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np

from ..geometry import iou
from ..types import Region
from .citations import Citations, parse_citations
from .contradictions import find_claims
from .labels import LabelTree
from .negation import Negation, blank_denied
from .sentences import Sentence, ground_sentences, split_sentences

Support = Literal["both", "cited", "grounded", "neither", "not_needed"]
SUPPORTS: tuple[Support, ...] = get_args(Support)
SAME_PLACE_IOU = 0.5
"""Two regions lie at the same place from this IoU of their boxes on."""

# Citations behind the stop of its sentence: "A nodule. [1]".
_LATE_CITATION = re.compile(r"([.!?]+)((?:[ \t]*\[\s*\d[\d\s,;]*\])+)")
_NORMAL = re.compile(
    r"\b(?:normal|unremarkable|clear|intact|within normal limits|negative (?:study|examination|exam)|healthy)\b", re.I
)
# What the image is: "X-ray image of the chest."
_TITLE = re.compile(
    r"(?:(?:this|the picture) is )?(?:an? )?(?:[\w-]+ ){0,3}(?:image|photograph|radiograph|film)(?: of the [\w ]+)?\.?",
    re.I,
)


@dataclass(frozen=True, kw_only=True)
class Attribution:
    """One sentence, without its citations. `cited`, `grounded`: indices into the list of regions it was read with.

    `elsewhere`: cited numbers, from 1 as they were written, of regions in other images; `missing`: those that no
    region has. `is_normal`: it says that something is as it should be, and names no finding.
    """

    text: str
    cited: tuple[int, ...] = ()
    grounded: tuple[int, ...] = ()
    missing: tuple[int, ...] = ()
    is_negated: bool = False
    is_normal: bool = False
    elsewhere: tuple[int, ...] = ()

    @property
    def support(self) -> Support:
        """Which way gives it regions.

        `not_needed` where it has none and is negated or normal, or says what kind of image it is.
        """
        cites = bool(self.cited or self.elsewhere)
        if cites or self.grounded:
            return "both" if cites and self.grounded else "cited" if cites else "grounded"
        needs_none = self.is_negated or self.is_normal or _TITLE.fullmatch(self.text) is not None
        return "not_needed" if needs_none else "neither"


def attribute(
    text: str,
    regions: Sequence[Region],
    tree: LabelTree,
    size_px: tuple[int, int] | None = None,
    *,
    num_shown: int | None = None,
    here: range | None = None,
    negation: Negation = "rules",
) -> tuple[Attribution, ...]:
    """Both ways for each sentence of a text.

    `num_shown`: so many regions, of all images, were shown with numbers, and the text may cite them, like [1]; None: it
    was not asked to cite, and brackets are text. A citation behind a full stop belongs to the sentence before it.
    `here`: the numbers that the first of `regions` have, one each; left out: 1 is the first, and each has one.
    Grounding afterwards is `ground_sentences` over all `regions`. `negation`: the engine that decides what is denied.
    """
    if num_shown is not None:  # "A nodule. [1]" -> "A nodule [1]."
        text = _LATE_CITATION.sub(lambda match: f"{match[2]}{match[1]}", text)
    here = range(1, len(regions) + 1) if here is None else here
    index_of = {id(region): index for index, region in enumerate(regions)}
    attributions: list[Attribution] = []
    for sentence in split_sentences(text):
        citations = Citations(text=sentence) if num_shown is None else parse_citations(sentence, num_shown)
        parts = ground_sentences(citations.text, regions, tree, size_px, negation=negation)
        grounded = dict.fromkeys(index_of[id(region)] for part in parts for region in part.regions)
        # Normal: a word that says so, not denied itself ("not clear"), and no finding that is said to be there.
        has_word = _NORMAL.search(blank_denied(citations.text, negation)) is not None
        claims = find_claims(citations.text, tree, negation) if has_word else ()
        attributions.append(
            Attribution(
                text=citations.text,
                cited=tuple(here.index(number) for number in citations.cited if number in here),
                elsewhere=tuple(number for number in citations.cited if number not in here),
                grounded=tuple(grounded),
                missing=citations.missing,
                is_negated=bool(parts) and all(part.is_negated for part in parts),
                is_normal=has_word and all(claim == "absent" for _, claim in claims),
            )
        )
    return tuple(attributions)


def sentences_of(attributions: Sequence[Attribution], regions: Sequence[Region]) -> tuple[Sentence, ...]:
    """The sentences with the regions that either way gives them, each once, cited ones first."""
    indices = [dict.fromkeys([*one.cited, *one.grounded]) for one in attributions]
    return tuple(
        Sentence(text=one.text, regions=tuple(regions[index] for index in own), is_negated=one.is_negated)
        for one, own in zip(attributions, indices, strict=True)
    )


@dataclass(frozen=True, kw_only=True)
class Agreement:
    """How far citing and grounding name the same regions, over all sentences of a text.

    `num_cited` and `num_grounded` count (sentence, region) pairs of each way. A pair agrees if the other way gives the
    same sentence the same region, or one whose box overlaps it by `SAME_PLACE_IOU`; `cited_found` and
    `grounded_cited` count those. `supports`: sentences by what supports them, in the order of `SUPPORTS`.
    """

    num_cited: int = 0
    num_grounded: int = 0
    cited_found: int = 0
    grounded_cited: int = 0
    supports: tuple[int, ...] = (0,) * len(SUPPORTS)

    @property
    def precision(self) -> float | None:
        """Part of the citations that grounding finds too; None without one."""
        return self.cited_found / self.num_cited if self.num_cited else None

    @property
    def recall(self) -> float | None:
        """Part of what grounding finds that is cited; None without anything."""
        return self.grounded_cited / self.num_grounded if self.num_grounded else None

    @property
    def f1(self) -> float | None:
        """Harmonic mean of the two; 0 where one way has pairs and none agrees, None without any pair."""
        if not (self.num_cited or self.num_grounded):
            return None
        precision, recall = self.precision or 0.0, self.recall or 0.0
        return 2 * precision * recall / (precision + recall) if precision + recall else 0.0


def count_agreement(attributions: Sequence[Attribution], regions: Sequence[Region]) -> Agreement:
    """The counts of `Agreement`; `regions`: the list that the attributions were read with."""
    # same_RR[i, j]: whether citing region i and grounding region j name the same place.
    boxes_R4 = np.array([region.box_xyxy_px for region in regions], np.float32).reshape(-1, 4)
    same_RR = (iou(boxes_R4, boxes_R4) >= SAME_PLACE_IOU) | np.eye(len(boxes_R4), dtype=bool)
    supports = [one.support for one in attributions]
    return Agreement(
        num_cited=sum(len(one.cited) for one in attributions),
        num_grounded=sum(len(one.grounded) for one in attributions),
        cited_found=sum(bool(same_RR[c, list(one.grounded)].any()) for one in attributions for c in one.cited),
        grounded_cited=sum(bool(same_RR[g, list(one.cited)].any()) for one in attributions for g in one.grounded),
        supports=tuple(supports.count(name) for name in SUPPORTS),
    )


def agreement_to_json(agreement: Agreement) -> dict[str, Any]:
    """Counts and parts, for a report's JSON and a record's meta."""
    names = ("num_cited", "num_grounded", "precision", "recall", "f1")
    values = {name: getattr(agreement, name) for name in names}
    rounded = {name: round(value, 4) if isinstance(value, float) else value for name, value in values.items()}
    return rounded | {"sentences": dict(zip(SUPPORTS, agreement.supports, strict=True))}


def attribution_to_json(one: Attribution) -> dict[str, Any]:
    """What a report's JSON holds of a sentence beside its text and regions."""
    return {
        "cited": list(one.cited),
        "grounded": list(one.grounded),
        "missing_citations": list(one.missing),
        "is_normal": one.is_normal,
        "support": one.support,
    }


def attribution_from_json(values: Mapping[str, Any]) -> Attribution:
    """A sentence of a report's JSON that was read both ways. Raises `KeyError` for a missing key."""
    return Attribution(
        text=values["text"],
        cited=tuple(values["cited"]),
        grounded=tuple(values["grounded"]),
        missing=tuple(values["missing_citations"]),
        is_negated=values["is_negated"],
        is_normal=values["is_normal"],
    )


def attribution_to_meta(attributions: Sequence[Attribution], regions: Sequence[Region]) -> dict[str, Any]:
    """For a record's `meta`: each sentence both ways, and the agreement of the two."""
    rows = [
        {"text": a.text, "is_negated": a.is_negated, **attribution_to_json(a)}
        | ({"cited_elsewhere": list(a.elsewhere)} if a.elsewhere else {})
        for a in attributions
    ]
    return {"attribution": rows, "agreement": agreement_to_json(count_agreement(attributions, regions))}
