"""Regions become evidence: one source (`none | predicted | oracle | random | shuffled`), any subset of forms.

Pure functions without torch. `Evidence.none()` renders to nothing, so its prompt is the plain one, byte for byte.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal, get_args

import numpy as np

from ..settings import Settings
from ..types import Region

Source = Literal["none", "predicted", "oracle", "random", "shuffled"]
Form = Literal["text", "tokens", "crops", "overlay"]
SOURCES: tuple[Source, ...] = get_args(Source)
FORMS: tuple[Form, ...] = get_args(Form)


class EvidenceSettings(Settings):
    """What the language model is given of the regions."""

    forms: tuple[Form, ...] = ("text", "tokens")
    """Any subset of text (words and boxes), tokens (soft region tokens), crops (further images), overlay (a copy of the
    picture with the boxes drawn and numbered as in the text, a further image for each that has any)."""
    max_regions: int = 4
    """At most so many regions a prompt, best first; those the question asks about come before all others."""
    min_score: float = 0.3
    """Regions below this score are not evidence."""
    max_crops: int = 1
    """At most so many crops a prompt: each costs as many image tokens as a picture."""
    crop_margin: float = 0.25
    """Part of the box's size added on each side of a crop."""
    scores: bool = False
    """Text also says how sure the grounder is: likely (score of 0.75 or more), possible (0.5 or more), unsure."""
    say_nothing_found: bool = False
    """Text says "no region found" where it would be silent: nothing was asked for by name, and nothing was found."""
    cite: bool = False
    """Ask for citations of the regions by number, like [1], and learn to give them."""
    dropout: float = 0.1
    """Training only: probability of showing no evidence at all."""
    jitter: float = 0.05
    """Training only: boxes move by up to this part of their size."""


PLAIN = EvidenceSettings(forms=())
"""Nothing of the regions is shown: the plain prompt, whatever the evidence."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Evidence:
    """The regions one prompt may rest on. `phrases` are those that were looked for; some may have no region.

    `others`: those of the prompt's further images, in their order, one each; where they are left out nothing was looked
    for there. Numbers run through: first the regions of this image, then those of the others.
    """

    source: Source
    size_px: tuple[int, int]
    regions: tuple[Region, ...] = ()
    phrases: tuple[str, ...] = ()
    others: tuple["Evidence", ...] = ()

    @property
    def images(self) -> tuple["Evidence", ...]:
        """The evidence of every image, in order."""
        return (self, *self.others)

    @property
    def numbered(self) -> tuple[tuple[int, Region], ...]:
        """(number of its image, from 1, region), in the order of the regions' numbers."""
        return tuple((place, region) for place, part in enumerate(self.images, 1) for region in part.regions)

    def each(self, change: Callable[["Evidence"], "Evidence"]) -> "Evidence":
        """With every image's evidence changed by itself."""
        return replace(change(self), others=tuple(change(other) for other in self.others))

    @staticmethod
    def none(size_px: tuple[int, int] = (1, 1)) -> "Evidence":
        """No evidence: renders to the plain prompt."""
        return Evidence(source="none", size_px=size_px)


def select(evidence: Evidence, settings: EvidenceSettings) -> Evidence:
    """The regions worth showing: scored high enough, asked-for phrases first, then by score, at most `max_regions`.

    That many of all images together; each image keeps its own, best first.
    """
    good = [(place, region) for place, region in evidence.numbered if region.score >= settings.min_score]
    good.sort(key=lambda found: (found[1].phrase not in evidence.images[found[0] - 1].phrases, -found[1].score))
    kept = good[: settings.max_regions]
    first, *others = (
        replace(part, regions=tuple(region for at, region in kept if at == place))
        for place, part in enumerate(evidence.images, 1)
    )
    return replace(first, others=tuple(others))


def perturb(evidence: Evidence, settings: EvidenceSettings, rng: np.random.Generator) -> Evidence:
    """Training noise: evidence dropped now and then, boxes jittered; fed clean boxes, it fails on predicted ones."""
    if rng.random() < settings.dropout:
        return Evidence.none(evidence.size_px)
    return evidence.each(
        lambda part: replace(
            part, regions=tuple(_jitter(region, part.size_px, settings.jitter, rng) for region in part.regions)
        )
    )


def _jitter(region: Region, size_px: tuple[int, int], amount: float, rng: np.random.Generator) -> Region:
    box = region.box_xyxy_px
    sides = np.tile(box[2:] - box[:2], 2)
    moved = box + sides * rng.uniform(-amount, amount, 4).astype(np.float32)
    moved = np.clip(moved, 0, np.tile(np.array(size_px, np.float32), 2))
    return replace(region, box_xyxy_px=moved, mask=None) if (moved[2:] - moved[:2] > 1).all() else region


def without_masks(evidence: Evidence) -> Evidence:
    """No region of any image with its mask: prompts have no use for masks, memory has."""
    return evidence.each(
        lambda part: replace(part, regions=tuple(replace(region, mask=None) for region in part.regions))
    )
