"""Questions about one region cut out of its picture: what it shows and, where a set tells, what it is like.

They teach what a crop means, as `regions` teaches region tokens; `true_words` is what a projector learns to spell.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

import numpy as np

from ...grounding.datasets.phantoms.words import specks
from ...grounding.evidence.evidence import Evidence, without_masks
from ...grounding.files import sha256
from ...grounding.types import AnnotatedImage, Region
from ..task import Question
from .regions import RegionQuestion

NAME, DETAIL = "crop-name", "detail"
"""`content_type` of questions for what a crop shows, and of those of phantoms for a finding's details."""
WORDINGS = ("What does the crop show?", "What is seen in the crop?", "What is it that was cut out?")


def crop_questions(
    images: Iterable[AnnotatedImage], details: Sequence[Question], max_questions: int, seed: int
) -> list[RegionQuestion]:
    """At most `max_questions` on each image, each with the one region that it is about, of source `oracle`.

    Of a phrase one region is asked about, for its name; those of `details` that ask about the single region of a phrase
    come first. The draw depends on the seed and the image's id alone.
    """
    asked: dict[str, list[Question]] = {}
    for question in details:
        asked.setdefault(question.image.image_id, []).append(question)
    questions: list[RegionQuestion] = []
    for image in images:
        rng = np.random.default_rng([seed, int(sha256(image.image_id)[:12], 16)])
        drawn = {image.regions[index].phrase: image.regions[index] for index in rng.permutation(len(image.regions))}
        bare = replace(image, regions=())  # their masks would fill the memory for nothing
        shown = {phrase: _alone(image, region) for phrase, region in drawn.items()}
        own = [question for question in asked.get(image.image_id, ()) if _is_about_one(question, image)]
        about = [(replace(question, image=bare), shown[question.phrases[0]]) for question in own]
        for phrase, evidence in shown.items():
            name = Question(
                question_id=f"{image.image_id}#{NAME}-{phrase}",
                image=bare,
                question=WORDINGS[int(rng.integers(len(WORDINGS)))],
                answer=phrase,
                answer_type="open",
                content_type=NAME,
            )
            about.append((name, evidence))
        questions += about[:max_questions]
    return questions


def true_words(questions: Sequence[RegionQuestion]) -> Mapping[tuple[str, str], tuple[str, ...]]:
    """By the id of the image and the phrase of the region, the words that are true of its crop, the phrase first."""
    words: dict[tuple[str, str], list[str]] = {}
    for question, evidence in questions:
        phrase = evidence.regions[0].phrase
        own = words.setdefault((question.image.image_id, phrase), [phrase])
        if question.content_type == DETAIL and question.answer_type == "open":
            own.append(question.answer)
        elif question.content_type == DETAIL and question.answer == "yes":
            own.append(specks(question.image.modality, phrase))
    return {key: tuple(own) for key, own in words.items()}


def _alone(image: AnnotatedImage, region: Region) -> Evidence:
    return without_masks(Evidence.of_image("oracle", image.size_px, (region,)))


def _is_about_one(question: Question, image: AnnotatedImage) -> bool:
    phrases = [region.phrase for region in image.regions]
    return len(question.phrases) == 1 and phrases.count(question.phrases[0]) == 1
