"""Questions about the numbered regions that are shown: what one is, where it lies, which one something is, how many.

They teach what a region token means, so the words around the tokens must not: order and number are drawn by chance.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from ...grounding.bad_input import BadInput
from ...grounding.datasets.phantoms.words import NUMBERS
from ...grounding.evidence.controls import donors_for, transplant
from ...grounding.evidence.evidence import Evidence, without_masks
from ...grounding.files import sha256
from ...grounding.geometry import where
from ...grounding.types import AnnotatedImage, Region
from ...grounding.vocabulary.places import image_place
from ..task import Question

RegionQuestion = tuple[Question, Evidence]
"""A question and the regions that it is about, numbered from 1 in their order."""

MAX_SHOWN = 5
"""Regions a prompt at most."""
MIDLINE = 0.05
"""Of the image's width: a centre nearer to the midline lies in neither half."""
WORDINGS: dict[str, tuple[str, ...]] = {
    "region-name": ("What is region {number}?", "What does region {number} show?", "What is seen in region {number}?"),
    "region-place": ("Where in the image is region {number}?", "In which part of the image does region {number} lie?"),
    "region-number": ("Which region is the {phrase}?", "What is the number of the region that shows the {phrase}?"),
    "region-where": ("Where is the {phrase}?", "Where does the {phrase} lie?"),
    "region-any": ("Does any region show the {phrase}?", "Is the {phrase} among the regions?"),
    "region-half": ("Is the {phrase} in the {side} half of the image?", "Does the {phrase} lie in the {side} half?"),
    "region-count": ("How many regions show the {phrase}?", "How many times is the {phrase} among the regions?"),
}
"""By `content_type` of the question."""


class _Claim(NamedTuple):
    """What can be asked about a region of this number, or about all of a phrase; `side`: of the image."""

    kind: str
    number: int
    phrase: str
    answer: str
    side: str = ""


def region_questions(
    images: Iterable[AnnotatedImage], regions: Mapping[str, Sequence[Region]], max_questions: int, seed: int
) -> list[RegionQuestion]:
    """At most `max_questions` on each image, all about the same regions, with evidence of source `oracle`.

    `regions`: by image id; of an image with more than five, five are drawn, of as many phrases as there are. Masks are
    left behind. What none of the regions shows is asked for, too: phrases of other images of the modality. The draw
    depends on the seed, the image's id and those phrases alone.
    """
    images, questions = list(images), list[RegionQuestion]()
    phrases: dict[str, set[str]] = {}  # of each modality, all that its regions show
    for image in images:
        phrases.setdefault(image.modality, set()).update(r.phrase for r in regions.get(image.image_id, ()))
    for image in images:
        if image_regions := regions.get(image.image_id):
            rng = np.random.default_rng([seed, int(sha256(image.image_id)[:12], 16)])
            evidence = _draw_regions(image, image_regions, rng)
            claims = _claims(evidence, sorted(phrases[image.modality]), rng)
            drawn = [claims[k] for k in sorted(rng.permutation(len(claims))[:max_questions].tolist())]
            bare = replace(image, regions=())  # their masks would fill the memory for nothing
            for kind, number, phrase, answer, side in drawn:
                wording = WORDINGS[kind][int(rng.integers(len(WORDINGS[kind])))]
                question = Question(
                    question_id=f"{image.image_id}#{kind}-{number}",
                    image=bare,
                    question=wording.format(number=number, phrase=phrase, side=side),
                    answer=answer,
                    answer_type="open",
                    content_type=kind,
                )
                questions.append((question, evidence))
    return questions


def with_other_regions(questions: Sequence[RegionQuestion], seed: int) -> list[RegionQuestion]:
    """The same questions with as many regions of another image, of another patient and like anatomy where there is one.

    Raises `BadInput` for fewer than two images.
    """
    known = {question.image.image_id: (question.image, evidence) for question, evidence in questions}
    if len(known) < 2:
        raise BadInput("regions of one image alone cannot be shuffled.", fix="max_probed: more, or more images")
    images, evidences = zip(*known.values(), strict=True)
    # as many regions first: a question may ask for the third
    donors = donors_for(images, np.random.default_rng(seed), [len(evidence.regions) for evidence in evidences])
    donor_of = {name: evidences[donor] for name, donor in zip(known, donors, strict=True)}
    return [
        (question, replace(evidence, source="shuffled", images=(transplant(evidence.first, donor.first),)))
        for question, evidence in questions
        for donor in [donor_of[question.image.image_id]]
    ]


def _draw_regions(image: AnnotatedImage, regions: Sequence[Region], rng: np.random.Generator) -> Evidence:
    """Some of the regions in an order that says nothing; a phrase comes twice only where no other is left.

    Else the many cells of a smear would crowd out the few that differ:

        drawn      rbc rbc rbc wbc platelet rbc     earlier of its phrase    0 1 2 0 0 3
        taken      rbc wbc platelet rbc rbc         those with the lowest numbers, then shuffled
    """
    drawn = [regions[index] for index in rng.permutation(len(regions))]
    phrases = [region.phrase for region in drawn]
    earlier = [phrases[:index].count(phrase) for index, phrase in enumerate(phrases)]
    taken = np.argsort(earlier, kind="stable")[:MAX_SHOWN]
    ordered = tuple(drawn[index] for index in rng.permutation(taken))
    return without_masks(Evidence.of_image("oracle", image.size_px, ordered))


def _claims(evidence: Evidence, known: Sequence[str], rng: np.random.Generator) -> list[_Claim]:
    """All that can be asked. `known`: phrases of the modality."""
    phrases = [region.phrase for region in evidence.regions]
    claims: list[_Claim] = []
    for number, region in enumerate(evidence.regions, 1):
        place = image_place(where(region.box_xyxy_px, evidence.first.size_px))
        claims.append(_Claim("region-name", number, region.phrase, region.phrase))
        claims.append(_Claim("region-place", number, region.phrase, place))
        if phrases.count(region.phrase) > 1:
            continue
        if len(phrases) > 1:
            claims.append(_Claim("region-number", number, region.phrase, str(number)))
        claims.append(_Claim("region-where", number, region.phrase, place))
        from_midline = region.box_xyxy_px[[0, 2]].mean() / evidence.first.size_px[0] - 0.5
        if abs(from_midline) > MIDLINE:
            side, own = ("left", "right")[int(rng.integers(2))], "left" if from_midline < 0 else "right"
            claims.append(_Claim("region-half", number, region.phrase, "yes" if side == own else "no", side))
    for number, phrase in enumerate(dict.fromkeys(phrases), 1):
        claims.append(_Claim("region-count", number, phrase, NUMBERS[phrases.count(phrase)]))
    # something is among the regions and, as often, something is not; their numbers are 1 and 2
    present = sorted(set(phrases))
    if absent := [phrase for phrase in known if phrase not in present]:
        claims.append(_Claim("region-any", 1, present[int(rng.integers(len(present)))], "yes"))
        claims.append(_Claim("region-any", 2, absent[int(rng.integers(len(absent)))], "no"))
    return claims
