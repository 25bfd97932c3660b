"""The report and what the model is asked with it: `Report` -> `Example`."""

from dataclasses import dataclass

from ..grounding.evidence import Evidence
from ..grounding.types import Region, Study
from ..vqa.mllm.prompt import Example

INSTRUCTION = "Write the findings of this image as a short report."


@dataclass(frozen=True, kw_only=True, eq=False)
class Sentence:
    """One sentence and the regions it speaks of; a negated or general sentence has none."""

    text: str
    regions: tuple[Region, ...] = ()
    is_negated: bool = False


@dataclass(frozen=True, kw_only=True, eq=False)
class Report:
    """One report of one study. `sentences` joined by a blank are `text`; their regions are empty where unknown."""

    report_id: str
    study: Study
    text: str
    sentences: tuple[Sentence, ...] = ()


def to_example(report: Report, evidence: Evidence) -> Example:
    """The prompt's parts; the whole text is the target."""
    return Example(
        example_id=report.report_id,
        image_path=report.study.image_path,
        instruction=INSTRUCTION,
        target=report.text,
        evidence=evidence,
    )
