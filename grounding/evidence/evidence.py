"""The regions that one prompt may rest on, of each of its images, from one source, shown in any subset of forms.

Pure functions without torch. `Evidence.none()` renders to nothing, so its prompt is the plain one, byte for byte.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import compress

import numpy as np
from pydantic import Field

from ..settings import Settings
from ..types import FAINT_SCORE, MIN_SCORE, Region
from .choice import choose
from .names import Form, Source, TrainSource, needs_outlines
from .outlines import outlined


class EvidenceSettings(Settings):
    """Which regions the language model is given, and in which forms."""

    forms: tuple[Form, ...] = ("text", "tokens")
    """Any subset of text (words and boxes), tokens (soft region tokens), crops (further images), overlay (a copy of the
    image with the boxes drawn and numbered as in the text, a further image for each that has any), tiles (the control
    of crops at equal image tokens: the image in as many parts as there would be crops), context (each crop again with
    its surroundings, the region framed; crops+context is Targeted Visual Prompting's). Other marks than the boxes of
    overlay, each a copy by itself: ellipse, alpha (filled box), arrow (to the middle), contour (outline of the mask),
    mask (filled); a region without a mask has its box there."""
    train_source: TrainSource = "predicted"
    """Training only: whose regions the adapter learns from: predicted, oracle or shuffled. Shuffled makes the control
    that learned from evidence which says nothing, with the same tokens, images and steps. Tables call the answers with
    `oracle` of an adapter that learned with predicted evidence `predicted → oracle`."""
    grounder: str | None = None
    """Who finds the regions, of training and of what is scored: a core, a detector, or a file of regions
    (`results.json,instances.json` for COCO results). Left out: the run's own core, which reads the regions of others
    all the same: region tokens are its."""
    max_regions: int = 4
    """At most this many regions in a prompt: those the question asks about first, the best one of each phrase before
    the second of any."""
    max_regions_per_image: int | None = Field(default=None, gt=0)
    """At most this many regions of one image, findings first; then anatomy (organs and parts; no tubes and devices), in
    a prompt each by name once: never more of it than findings on an image that shows one, at most two where none is
    found. What a question asks about by name is no part of this rule. Left out: no such limit."""
    min_score: float = MIN_SCORE
    """Regions below this score are not evidence."""
    granted_min_score: float = FAINT_SCORE
    """The best region of a phrase that the question takes for granted ("Where is the liver?") is evidence from this
    score on, if it is below `min_score`: where something must be, the likeliest place is the best answer."""
    max_crops: int = 1
    """At most this many crops in a prompt, of context as many: each costs as many image tokens as an image."""
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
    context_dropout: float = 0.15
    """Training only: probability of not saying what the image is (modality, part of the body), evidence or not."""
    form_dropout: float = Field(default=0.0, ge=0, lt=1)
    """Training only: probability of leaving out each form, so that every one is learned by itself; one always stays."""


PLAIN = EvidenceSettings(forms=())
"""Nothing of the regions is shown: the plain prompt, whatever the evidence."""


@dataclass(frozen=True, kw_only=True, eq=False)
class ImageEvidence:
    """The regions of one image. `phrases` are those that were looked for in it; some may have no region.

    `granted`: those of them that the question takes to be there.
    """

    size_px: tuple[int, int]
    regions: tuple[Region, ...] = ()
    phrases: tuple[str, ...] = ()
    granted: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True, eq=False)
class Evidence:
    """The regions that one prompt may rest on, of each of its images in turn; () renders to the plain prompt.

    There may be fewer than images in the prompt: nothing was looked for in the further ones. Numbers run through:

        images   a: liver, cyst   b: (none)   c: liver
        numbers  1      2                     3
    """

    source: Source
    images: tuple[ImageEvidence, ...] = ()

    @classmethod
    def of_image(
        cls, source: Source, size_px: tuple[int, int], regions: Sequence[Region] = (), phrases: Sequence[str] = ()
    ) -> "Evidence":
        """The evidence of one image, (width, height) in pixels."""
        image = ImageEvidence(size_px=size_px, regions=tuple(regions), phrases=tuple(phrases))
        return cls(source=source, images=(image,))

    @classmethod
    def none(cls) -> "Evidence":
        """No evidence: nothing was looked for in any image."""
        return cls(source="none")

    @property
    def first(self) -> ImageEvidence:
        """The evidence of the first image, empty where there is none."""
        return self.images[0] if self.images else ImageEvidence(size_px=(1, 1))

    @property
    def numbered(self) -> tuple[tuple[int, Region], ...]:
        """(number of its image, from 1, region), in the order of the regions' numbers."""
        return tuple((number, region) for number, image in enumerate(self.images, 1) for region in image.regions)

    @property
    def regions(self) -> tuple[Region, ...]:
        """The regions of all images, in the order of their numbers."""
        return tuple(region for image in self.images for region in image.regions)

    def each(self, change: Callable[[ImageEvidence], ImageEvidence]) -> "Evidence":
        """With the evidence of every image changed by itself."""
        return replace(self, images=tuple(change(image) for image in self.images))

    def best(self, max_regions: int, max_per_image: int | None = None) -> "Evidence":
        """The best regions of all images together (see `rank`); each image keeps its own.

        `max_per_image`: those of `choice.choose`.
        """
        keyed = [(key, index, region) for index, image in enumerate(self.images) for key, region in rank(image)]
        # stable: equal ones keep the order of the images, and of the regions in them
        rows = [(index, region, not key[0]) for key, index, region in sorted(keyed, key=lambda row: row[0])]
        chosen = rows[:max_regions] if max_per_image is None else choose(rows, max_regions, max_per_image)
        images = [
            replace(image, regions=tuple(region for of, region, _ in chosen if of == index))
            for index, image in enumerate(self.images)
        ]
        return replace(self, images=tuple(images))


def rank(image: ImageEvidence) -> list[tuple[tuple[bool, int, float, float], Region]]:
    """Regions of an image, each behind its key, best first. Ranking the first few again gives the same order.

    Phrases that were asked for come first; then the best region of each phrase, then the second of each, and so on;
    then the higher score, the larger box (as part of the image), the given order:

        red .9, red .8, white .5   ->   red .9, white .5, red .8
    """

    def quality(region: Region) -> tuple[float, float]:
        sides = (region.box_xyxy_px[2:] - region.box_xyxy_px[:2]) / np.array(image.size_px)
        # rounded, so that boxes of one size stay equal when they are moved or mirrored
        return -region.score, -round(float(sides.prod()), 5)

    num_better: Counter[str] = Counter()
    rows = []
    for region in sorted(image.regions, key=quality):
        # False sorts first: phrases asked for
        rows.append(((region.phrase not in image.phrases, num_better[region.phrase], *quality(region)), region))
        num_better[region.phrase] += 1
    return sorted(rows, key=lambda row: row[0])


def gather(image: ImageEvidence, settings: EvidenceSettings) -> ImageEvidence:
    """What one image may contribute to a prompt: its regions of at least `min_score`, best first, and of each phrase
    that is taken for granted the best one even if it is faint.

    At most `max_regions`; `select` chooses among these. Sources gather, because noise and random boxes are drawn for
    what is gathered.
    """
    own = [[region for region in image.regions if region.phrase == phrase] for phrase in image.granted]
    # of equal scores, which a cap makes, the first: grounders give the best first
    guesses = [max(regions, key=lambda region: region.score) for regions in own if regions]
    shown = {id(region) for region in guesses if region.score >= settings.granted_min_score}
    kept = [region for region in image.regions if region.score >= settings.min_score or id(region) in shown]
    sure = replace(image, regions=tuple(kept))
    alone = Evidence(source="predicted", images=(sure,))
    best = alone.best(settings.max_regions, settings.max_regions_per_image).first
    if not needs_outlines(settings.forms):
        return best
    # before a control or noise moves the region: an outline goes where its box goes, a mask is left behind
    return replace(best, regions=tuple(map(outlined, best.regions)))


def select(evidence: Evidence, settings: EvidenceSettings) -> Evidence:
    """The regions that a prompt shows: the best of all that its images contribute, at most `max_regions` together.

    Called where a prompt is rendered and nowhere else; `Prompt.evidence` is handed on. Selecting twice changes nothing.
    """
    each = evidence.each(lambda image: gather(image, settings))
    return each.best(settings.max_regions, settings.max_regions_per_image)


def perturb(evidence: Evidence, settings: EvidenceSettings, rng: np.random.Generator) -> Evidence:
    """Training noise: evidence dropped now and then, boxes jittered; fed clean boxes, it fails on predicted ones."""
    # one draw always comes first, so that the boxes' draws do not depend on the rate
    if rng.random() < settings.dropout:
        return Evidence.none()

    def jitter(image: ImageEvidence) -> ImageEvidence:
        regions, edges = [], np.tile(np.array(image.size_px, np.float32), 2)
        for region in image.regions:
            box = region.box_xyxy_px
            sides = np.tile(box[2:] - box[:2], 2)
            noise = rng.uniform(-settings.jitter, settings.jitter, 4).astype(np.float32)
            moved = np.clip(box + sides * noise, 0, edges)
            # a box that would get thinner than a pixel stays; the mask no longer fits a moved one
            is_wide = (moved[2:] - moved[:2] > 1).all()
            regions.append(replace(region, box_xyxy_px=moved, mask=None) if is_wide else region)
        return replace(image, regions=tuple(regions))

    return evidence.each(jitter)


def drop_forms(settings: EvidenceSettings, rng: np.random.Generator) -> EvidenceSettings:
    """With some of the forms, by `form_dropout`; the forms as they are where it is 0, and nothing is drawn then."""
    if not (settings.form_dropout and settings.forms):
        return settings
    stays = rng.random(len(settings.forms)) >= settings.form_dropout
    stays[rng.integers(len(stays))] |= not stays.any()
    return settings.model_copy(update={"forms": tuple(compress(settings.forms, stays))})


def without_masks(evidence: Evidence) -> Evidence:
    """No region of any image with its mask: prompts have no use for masks, memory has."""
    return evidence.each(lambda image: replace(image, regions=tuple(replace(r, mask=None) for r in image.regions)))
