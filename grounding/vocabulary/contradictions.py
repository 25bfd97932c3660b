"""Sentences against what the grounder finds: what a report says is there and is not, or the other way round.

A contradiction is a flag beside the sentence; no text is ever changed.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from pydantic import Field, model_validator

from ..settings import Settings
from ..types import Region
from .labels import LabelTree
from .negation import Negation, blank_denied, straighten

Claim = Literal["present", "absent"]
"""What a sentence says of a finding."""


class ContradictionSettings(Settings):
    """From which calibrated chance on the grounder speaks against a sentence; between the two it says nothing.

    Regions of a denied phrase, which are drawn beside the sentence, speak against it from `region_score` on.
    """

    absent_below: float = Field(default=0.1, ge=0, le=1)
    """A phrase said to be there is contradicted below this chance."""
    present_above: float = Field(default=0.6, ge=0, le=1)
    """A phrase said to be absent is contradicted from this chance on."""
    region_score: float = Field(default=0.5, ge=0, le=1)
    """A phrase said to be absent is contradicted by a region of it of this score or more."""

    @model_validator(mode="after")
    def _in_order(self) -> "ContradictionSettings":
        if self.absent_below > self.present_above:
            raise ValueError(f"absent_below {self.absent_below} is above present_above {self.present_above}")
        return self


@dataclass(frozen=True, kw_only=True)
class Contradiction:
    """One phrase of one sentence (its index). `chance` in [0, 1]: by the grounder, that the phrase is in the image, or
    the score of its best region; `limit`: from which on a denial is flagged.
    """

    sentence: int
    phrase: str
    said: Claim
    chance: float
    limit: float = ContradictionSettings().present_above

    @property
    def words(self) -> str:
        """For people: `says "nodule" is present; the grounder gives it a chance of 0.03`."""
        if self.said == "absent":
            given = f"{self.limit:.2f} or more ({self.chance:.2f})"
            return f"says “{self.phrase}” is absent: denied although the grounder gives it {given}"
        return f"says “{self.phrase}” is present; the grounder gives it a chance of {self.chance:.2f}"


def find_contradictions(
    texts: Sequence[str],
    presences: Mapping[str, float],
    tree: LabelTree,
    settings: ContradictionSettings | None = None,
    negation: Negation = "rules",
    regions: Sequence[Region] = (),
) -> tuple[Contradiction, ...]:
    """The claims that the grounder speaks against, in the order of the sentences `texts`.

    `presences`: calibrated chance of each phrase that was asked, by label; of others a denial is flagged where one of
    the `regions`, which are drawn, has the phrase. Only findings and phrases outside the tree count: naming an organ
    claims nothing. Neither do hedged words ("possible", "cannot be excluded"), nor a denial of some only ("no new
    nodule", "no nodule in the left lung"): one chance for the whole image cannot speak against those. `negation`: the
    engine that decides what is denied; with `off` nothing is flagged, for every denied finding would be.
    """
    limits = settings or ContradictionSettings()
    flags: list[Contradiction] = []
    for index, text in enumerate(texts if negation != "off" else ()):
        for phrase, claim in dict.fromkeys(find_claims(text, tree, negation)):
            flag = Contradiction(sentence=index, phrase=phrase, said=claim, chance=0.0, limit=limits.present_above)
            chance = presences.get(phrase)
            drawn = max((float(region.score) for region in regions if region.phrase == phrase), default=0.0)
            if chance is not None and (
                chance < limits.absent_below if claim == "present" else chance >= limits.present_above
            ):
                flags.append(replace(flag, chance=round(chance, 4)))
            elif claim == "absent" and drawn and drawn >= limits.region_score:
                flags.append(replace(flag, chance=round(drawn, 4), limit=limits.region_score))
    return tuple(flags)


def find_claims(text: str, tree: LabelTree, negation: Negation = "rules") -> Iterator[tuple[str, Claim]]:
    """Each finding that a sentence says is there, or is not there at all; hedged and partial claims are left out.

    A finding said both ways in one sentence ("no nodule but for a nodule in the left lung") is there.
    """
    text = straighten(text)
    # `visible` is the text with denied letters blanked, place by place: a mention that differs is denied.
    visible = blank_denied(text, negation)
    mentions = [mention for mention in tree.mentions_in(text) if tree.level(mention[2]) in ("finding", "")]
    affirmed = {phrase for start, end, phrase in mentions if visible[start:end] == text[start:end]}
    for start, end, phrase in mentions:
        # A hedge counts in the clause around the mention.
        left = max((edge.end() for edge in _EDGE.finditer(text, 0, start)), default=0)
        right = _EDGE.search(text, end)
        if _HEDGED.search(text[left : right.start() if right else len(text)]):
            continue
        if phrase not in affirmed and not _PARTIAL.search(_denial_around(text, visible, start, end)):
            yield phrase, "absent"
        elif visible[start:end] == text[start:end]:
            yield phrase, "present"


# Claims that are no claims: "possible nodule", "cannot be excluded", "history of".
_HEDGED = re.compile(
    r"\b(?:possibl[ey]|probabl[ey]|likely|may|might|could|suspect(?:ed|s)?|suspicio\w+|suggest\w*|question(?:able)?|vs"
    r"|versus|cannot|can not|can't|couldn't|not (?:rule[sd]? out|excluded?)|differential|concern\w*|presum\w+"
    r"|consider\w*|uncertain|equivocal|if|risk|history|follow[ -]?up|exclude|evaluat\w+|prior|previous(?:ly)?)\b|\?",
    re.IGNORECASE,
)
# A denial of some only: "no new nodule", "no nodule in the left lung".
_PARTIAL = re.compile(
    r"\b(?:new|other|another|further|additional|second|more|larger?|big|sizeable|small|focal|significant\w*|acute"
    r"|active|definite(?:ly)?|obvious(?:ly)?|convincing|gross|suspicious|increas\w+|displaced|tension|left|right"
    r"|bilateral\w*|upper|lower|middle|apical|apex|basal|bases?|central|peripheral|elsewhere|remaining)\b",
    re.IGNORECASE,
)
# Hedges reach to the end of their clause.
_EDGE = re.compile(r"[;:]|\b(?:but|however|although|though|whereas|while)\b", re.IGNORECASE)


def _denial_around(text: str, visible: str, start: int, end: int) -> str:
    """What the negation covers around the mention, which is left out itself: "left kidney" is a name, not a location.

    The heart is normal, no new nodule at the base.     the mention: "nodule"
                         no new  .  at the base.        what is returned
    """
    affirmed = [index for index, (letter, seen) in enumerate(zip(text, visible, strict=True)) if letter == seen]
    left = max((index + 1 for index in affirmed if index < start), default=0)
    right = min((index for index in affirmed if index >= end), default=len(text))
    return f"{text[left:start]} . {text[end:right]}"
