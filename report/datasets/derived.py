"""Reports that a picture's regions write themselves: modality and part of the body, then a sentence a phrase.

Source: any region set; licence, split and patients are those of its pictures. Nothing is said that no mask or box tells
(`vqa.derived.facts`): a place is named only where it is certain, a number never. Nothing is denied either: a set does
not annotate all that may be in a picture, and a model that learned from it to deny would deny what it cannot see.
"""

from collections.abc import Iterable

from ...grounding.datasets.phantoms.words import plural
from ...grounding.types import AnnotatedImage
from ...grounding.vocabulary.labels import load_labels
from ...grounding.vocabulary.sentences import Sentence
from ...vqa.derived import captions
from ...vqa.derived.claims import body_part, grid_cell
from ...vqa.derived.facts import Facts, Place, facts_of
from ...vqa.derived.questions import is_plural, with_article
from ..task import Report


def to_reports(images: Iterable[AnnotatedImage]) -> list[Report]:
    """One report a study that has regions, in their order; each sentence with every region it speaks of."""
    return [_report(facts) for facts in map(facts_of, images) if facts.places]


def _report(facts: Facts) -> Report:
    image = facts.image
    sentences = (Sentence(text=_opening(facts)), *(_sentence(facts, place) for place in captions.largest(facts)))
    text = " ".join(sentence.text for sentence in sentences)
    return Report(report_id=f"{image.image_id}#report", image=image, text=text, sentences=sentences)


def _opening(facts: Facts) -> str:
    """`X-ray image of the chest.`; a part that is a label itself, as the eye, would be a finding without a region."""
    part = body_part(facts)
    told = "" if load_labels().phrases_in(part) else part
    return captions.text({"modality": facts.image.modality, "body": told, "seen": [], "absent": []}, 0)


def _sentence(facts: Facts, place: Place) -> Sentence:
    """What is said of one phrase: where it is if there is one and that is certain, else that it is seen."""
    phrase, is_single = place.phrase, place in facts.single
    lies, is_ = ("lie", "are") if is_plural(phrase) else ("lies", "is")
    if place.number > 1:
        text = f"Several {plural(phrase)} are seen."
    elif is_single and (cell := grid_cell(place)):
        text = f"The {phrase} {lies} in the {captions.part(cell)} of the image."
    else:
        text = f"{f'the {phrase}' if is_single else with_article(phrase)} {is_} seen."
    regions = tuple(facts.image.regions[k] for k in place.indices)
    return Sentence(text=captions.capital(text), regions=regions)
