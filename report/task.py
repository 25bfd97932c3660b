"""The report and what the model is asked with it: `Report` -> `Example`."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from ..grounding.evidence.evidence import Evidence
from ..grounding.types import AnnotatedImage
from ..grounding.vocabulary.sentences import Sentence
from ..vqa.prompt.prompt import Example

Section = Literal["findings", "impression", "both"]
"""What is to be written; `both` reads "Findings: ... Impression: ..."."""

INSTRUCTION = "Write the findings of this image as a short report."


@dataclass(frozen=True, kw_only=True, eq=False)
class Report:
    """One report of one study of one image or several.

    `study` is the first image, that of the evidence, `others` follow; `views` names each of them ("PA", "LATERAL"), ""
    where unknown. `text` is what is to be written, the section `section`; `sentences` joined by a blank are `text`,
    their regions empty where unknown. `findings` and `impression` as they are known apart. `indication`, `technique`
    and `comparison` are given to the model, empty where they are not to be; likewise the first image of an earlier
    study (`prior_study`, `prior_others`) and its text. `taken`: digits of date and time, `20180131080556`, so that
    studies of a patient sort by it; "" where unknown. `meta`: what its record keeps besides.
    """

    report_id: str
    image: AnnotatedImage
    text: str
    sentences: tuple[Sentence, ...] = ()
    section: Section = "findings"
    others: tuple[AnnotatedImage, ...] = ()
    views: tuple[str, ...] = ()
    findings: str = ""
    impression: str = ""
    indication: str = ""
    technique: str = ""
    comparison: str = ""
    taken: str = ""
    prior_image: AnnotatedImage | None = None
    prior_others: tuple[AnnotatedImage, ...] = ()
    prior_text: str = ""
    meta: Mapping[str, Any] = field(default_factory=dict)

    @property
    def images(self) -> tuple[AnnotatedImage, ...]:
        """Every image of the study itself, in order."""
        return (self.image, *self.others)

    @property
    def priors(self) -> tuple[AnnotatedImage, ...]:
        """Every image of the earlier study."""
        return (*([self.prior_image] if self.prior_image else []), *self.prior_others)

    @property
    def shown(self) -> tuple[AnnotatedImage, ...]:
        """Every image of the prompt: those of the study, then those of the earlier one."""
        return self.images + self.priors


def to_example(report: Report, evidence: Evidence) -> Example:
    """The prompt's parts; the whole text is the target."""
    return Example(
        example_id=report.report_id,
        image_path=report.image.image_path,
        instruction=instruction(report),
        target=report.text,
        evidence=evidence,
        other_paths=tuple(image.image_path for image in report.shown[1:]),
    )


def instruction(report: Report) -> str:
    """What is known of the study, a line each in a fixed order, then what the images are, then what to write.

        Indication: ... | Technique: ... | Comparison: ... | Prior report: ... | Image 1: PA. Image 2: ... | Write ...

    A report of one image with nothing known is asked for by `INSTRUCTION` alone.
    """
    given = {
        "Indication": report.indication,
        "Technique": report.technique,
        "Comparison": report.comparison,
        "Prior report": report.prior_text,
    }
    lines = [f"{name}: {text}" for name, text in given.items() if text]
    return "\n".join([*lines, *_told(report), _asked(report)])


def _told(report: Report) -> list[str]:
    """What each image is, where there are several."""
    if len(report.shown) == 1:
        return []
    views = [view or "this study" for view in (*report.views, *[""] * len(report.images))][: len(report.images)]
    names = [*views, *["the prior study"] * len(report.priors)]
    return [" ".join(f"Image {number}: {name}." for number, name in enumerate(names, 1))]


def _asked(report: Report) -> str:
    section = {"findings": "the findings", "impression": "the impression"}.get(
        report.section, "the findings and the impression"
    )
    images = "this image" if len(report.shown) == 1 else "this study"
    return INSTRUCTION.replace("the findings", section).replace("this image", images)
