"""Reports that the regions of a recipe's region sets write themselves: modality, body part, a sentence a phrase.

Nothing is said that no mask or box tells (`vqa.derived.facts`): a location is named only where it is certain, a number
never. Nothing is denied either: a set does not annotate all that may be in an image, and a model that learned from it
to deny would deny what it cannot see.
Source: any region set; licence, split and patients are those of its images.
"""

from collections.abc import Iterable

from pydantic import Field

from ...grounding.bad_input import BadInput, Skipped
from ...grounding.datasets.phantoms.words import plural
from ...grounding.settings import Settings
from ...grounding.types import AnnotatedImage
from ...grounding.vocabulary.labels import load_labels
from ...grounding.vocabulary.sentences import Sentence
from ...vqa.derived.claims import body_part, grid_cell
from ...vqa.derived.facts import facts_of
from ...vqa.derived.wordings import capital, caption_text, is_plural, largest, part, with_article
from ..task import Report
from .sets import ReportContext


class DerivedReportSettings(Settings):
    """Of which images reports are derived."""

    splits: tuple[str, ...] = ()
    """Only images of these splits; all when left out."""
    limit: int | None = Field(default=None, gt=0)
    """At most so many images of each set, drawn with the seed; all when left out."""
    seed: int = Field(default=0, ge=0)
    """Seed of that draw."""


def read(settings: DerivedReportSettings, context: ReportContext, skipped: Skipped) -> list[Report]:
    """One report an image that has regions; nothing is skipped.

    Raises `BadInput` outside of a recipe with region sets, and where no image is of the settings' splits.
    """
    from ...grounding.datasets.schema import images
    from ...vqa.derived.derive import chosen_rows
    from ...vqa.derived.settings import DeriveSettings

    if context.region_images is None:
        raise BadInput("no region sets to derive reports from.", fix="name them in `grounding.data` of a recipe")
    data = context.region_images()
    return to_reports(images(data.select(chosen_rows(data, DeriveSettings(**settings.model_dump())))))


def to_reports(images: Iterable[AnnotatedImage]) -> list[Report]:
    """One report an image that has regions, in their order; each sentence with every region it speaks of."""
    reports: list[Report] = []
    for facts in filter(lambda facts: facts.places, map(facts_of, images)):
        image, body = facts.image, body_part(facts)
        # A part that is a label itself, as the eye, would be a finding without a region.
        body = "" if load_labels().phrases_in(body) else body
        opening = caption_text({"modality": image.modality, "body": body, "seen": [], "absent": []}, 0)
        sentences = [Sentence(text=opening)]
        for place in largest(facts):
            # Where a phrase is if there is one region of it and its location is certain, else that it is seen.
            phrase, is_single = place.phrase, place in facts.single
            lies, is_ = ("lie", "are") if is_plural(phrase) else ("lies", "is")
            if place.number > 1:
                text = f"Several {plural(phrase)} are seen."
            elif is_single and (cell := grid_cell(place)):
                text = f"The {phrase} {lies} in the {part(cell)}."
            else:
                text = f"{f'the {phrase}' if is_single else with_article(phrase)} {is_} seen."
            regions = tuple(image.regions[k] for k in place.indices)
            sentences.append(Sentence(text=capital(text), regions=regions))
        text = " ".join(sentence.text for sentence in sentences)
        report_id = f"{image.image_id}#report"
        reports.append(Report(report_id=report_id, image=image, text=text, sentences=tuple(sentences)))
    return reports
