"""Regions become evidence: one source (`none | predicted | oracle | random | shuffled`), any subset of forms.

Pure functions without torch. `Evidence.none()` renders to nothing, so its prompt is the plain one, byte for byte.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from .geometry import mirror_boxes
from .phrases import mirror
from .settings import Settings
from .types import Region

Source = Literal["none", "predicted", "oracle", "random", "shuffled"]
Form = Literal["text", "tokens", "crops", "overlay"]
SOURCES: tuple[Source, ...] = get_args(Source)
FORMS: tuple[Form, ...] = get_args(Form)
REGION_TOKEN = "<region>"
NOTHING_FOUND = "no region found"
POSITION_DIM = 8
SURENESS = ((0.75, "likely"), (0.5, "possible"), (0.0, "unsure"))
"""A region's score in words: the first whose lowest score it reaches."""


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


def transplant(evidence: Evidence, donor: Evidence) -> Evidence:
    """The donor's regions, scaled to this image: the `shuffled` control keeps everything but the truth."""
    scale = np.tile(np.array(evidence.size_px, np.float32) / np.array(donor.size_px, np.float32), 2)
    regions = tuple(replace(r, box_xyxy_px=r.box_xyxy_px * scale, mask=None) for r in donor.regions)
    return replace(evidence, source="shuffled", regions=regions)


def scatter(evidence: Evidence, rng: np.random.Generator) -> Evidence:
    """The same phrases and sizes at random places, embeddings removed: the `random` control."""
    regions = tuple(_move(region, evidence.size_px, rng) for region in evidence.regions)
    return replace(evidence, source="random", regions=regions)


def _move(region: Region, size_px: tuple[int, int], rng: np.random.Generator) -> Region:
    sides = region.box_xyxy_px[2:] - region.box_xyxy_px[:2]
    room = np.maximum(np.array(size_px, np.float32) - sides, 0)
    corner = (room * rng.random(2)).astype(np.float32)
    embedding = None if region.embedding is None else np.zeros_like(region.embedding)
    return replace(region, box_xyxy_px=np.concatenate([corner, corner + sides]), mask=None, embedding=embedding)


def mirrored(evidence: Evidence) -> Evidence:
    """The same evidence for the picture flipped left to right, in places and words; mirrored twice it is unchanged.

    Embeddings stay: those of the flipped picture must be read in it, see `mirror.InMirror`.
    """
    return evidence.each(_mirrored)


def _mirrored(evidence: Evidence) -> Evidence:
    width, phrases = evidence.size_px[0], tuple(mirror(phrase)[0] for phrase in evidence.phrases)
    regions = tuple(mirrored_region(region, width) for region in evidence.regions)
    return replace(evidence, regions=regions, phrases=phrases)


def mirrored_region(region: Region, width: int) -> Region:
    """The region in an image of this width in pixels flipped left to right; its own inverse but for rounding."""
    mask = None if region.mask is None else np.ascontiguousarray(region.mask[:, ::-1])
    return replace(
        region,
        phrase=mirror(region.phrase)[0],
        path=tuple(mirror(name)[0] for name in region.path),
        box_xyxy_px=mirror_boxes(region.box_xyxy_px, width),
        mask=mask,
    )


def derangement(groups: Sequence[str], rng: np.random.Generator) -> list[int]:
    """For each place a donor's index from the same group (a modality, say), never itself; any other if alone in it."""
    donors = list(range(len(groups)))
    for group in sorted(set(groups)):
        members = rng.permutation([i for i, g in enumerate(groups) if g == group])
        for place, donor in zip(members, np.roll(members, 1), strict=True):
            donors[place] = int(donor)
    others = max(len(groups), 1)
    return [(i + 1) % others if donor == i else donor for i, donor in enumerate(donors)]


def where(box_xyxy_px: NDArray[np.float32], size_px: tuple[int, int]) -> str:
    """The box's centre in words of a 3 x 3 grid of the IMAGE (not of the patient): `upper left` ... `centre`."""
    centre = (box_xyxy_px[:2] + box_xyxy_px[2:]) / 2 / np.array(size_px, np.float32)
    column, row = (min(2, max(0, int(3 * value))) for value in centre)
    words = [("upper", "", "lower")[row], ("left", "", "right")[column]]
    return " ".join(word for word in words if word) or "centre"


def box_to_percent(box_xyxy_px: NDArray[np.float32], size_px: tuple[int, int]) -> list[int]:
    """x0, y0, x1, y1 as whole percent of the image's width and height: the small default's box notation."""
    return np.rint(100 * box_xyxy_px / np.tile(np.array(size_px, np.float32), 2)).astype(int).clip(0, 100).tolist()


BoxText = Callable[[NDArray[np.float32], tuple[int, int]], str]
"""Box and (width, height) of the image, in pixels, to text."""


def percent_text(box_xyxy_px: NDArray[np.float32], size_px: tuple[int, int]) -> str:
    """`12 20 31 44`: whole percent."""
    return " ".join(str(value) for value in box_to_percent(box_xyxy_px, size_px))


def sureness(score: float) -> str:
    """A score in [0, 1] in a word: see `SURENESS`."""
    return next(word for lowest, word in SURENESS if score >= lowest)


def to_text(
    evidence: Evidence,
    forms: Sequence[Form],
    box_text: BoxText = percent_text,
    *,
    has_scores: bool = False,
    says_nothing_found: bool = False,
) -> str:
    """One line a region with its number, then the asked phrases that were not found; empty for no evidence.

    With `text`: `1 nodule, upper left, 12 20 31 44`, or `1 nodule, likely, upper left, 12 20 31 44` where
    `has_scores`; with `tokens` a `<region>` placeholder follows the number. `box_text`: how the language model writes
    a box. `says_nothing_found`: "no region found" where there is no other line. Of several images each has its lines
    below its name, `Image 2:`, where it has any.
    """
    has_text, has_tokens = "text" in forms, "tokens" in forms
    if evidence.source == "none" or not (has_text or has_tokens):
        return ""
    tokens = f" {REGION_TOKEN}" if has_tokens else ""
    lines, number = [], 0
    for place, part in enumerate(evidence.images, 1):
        own = [
            f"{number + k}{tokens}" + (f" {_words(region, part.size_px, box_text, has_scores)}" if has_text else "")
            for k, region in enumerate(part.regions, 1)
        ]
        number += len(own)
        own += _not_found(part) if has_text else []
        lines += [f"Image {place}:", *own] if own and evidence.others else own
    if has_text and says_nothing_found and not lines:
        lines = [NOTHING_FOUND]
    return "\n".join(lines)


def _not_found(evidence: Evidence) -> list[str]:
    found = {region.phrase for region in evidence.regions}
    return [f"{phrase}: not found" for phrase in evidence.phrases if phrase not in found]


def _words(region: Region, size_px: tuple[int, int], box_text: BoxText, has_scores: bool) -> str:
    sure = [sureness(region.score)] if has_scores else []
    place, box = where(region.box_xyxy_px, size_px), box_text(region.box_xyxy_px, size_px)
    return ", ".join([region.phrase, *sure, place, box])


def to_crops(image: Image.Image, evidence: Evidence, settings: EvidenceSettings) -> list[Image.Image]:
    """Padded crops of the first regions, at most `max_crops`, when the forms ask for them. See `overlay.to_overlay`."""
    if "crops" not in settings.forms:
        return []
    return [_crop(image, region, settings.crop_margin) for region in evidence.regions[: settings.max_crops]]


def _crop(image: Image.Image, region: Region, margin: float) -> Image.Image:
    x0, y0, x1, y1 = (float(value) for value in region.box_xyxy_px)
    dx, dy = margin * (x1 - x0), margin * (y1 - y0)
    left, top = max(0, int(x0 - dx)), max(0, int(y0 - dy))
    return image.crop((left, top, min(image.width, int(x1 + dx) + 1), min(image.height, int(y1 + dy) + 1)))


def token_features(evidence: Evidence, embedding_dim: int) -> NDArray[np.float32]:
    """float32[R, embedding_dim + 8]: the region's embedding (zeros where there is none), then its place and score.

    Regions of all images, as they are numbered, each with its place in its own.
    """
    rows = [_features(region, part.size_px, embedding_dim) for part in evidence.images for region in part.regions]
    return np.stack(rows) if rows else np.zeros((0, embedding_dim + POSITION_DIM), np.float32)


def _features(region: Region, size_px: tuple[int, int], embedding_dim: int) -> NDArray[np.float32]:
    box = region.box_xyxy_px / np.tile(np.array(size_px, np.float32), 2)
    centre, sides = (box[:2] + box[2:]) / 2, box[2:] - box[:2]
    embedding = np.zeros(embedding_dim, np.float32) if region.embedding is None else region.embedding
    return np.concatenate([embedding, box, centre, [sides.prod(), region.score]]).astype(np.float32)
