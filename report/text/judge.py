"""Written sentences against the truth of an image whose findings are annotated: labels and RadFact's verdicts."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ...grounding.grounder import true_regions
from ...grounding.types import AnnotatedImage
from ...grounding.vocabulary.labels import load_labels
from ...grounding.vocabulary.sentences import Sentence
from ...grounding.vocabulary.statements import Statement, judge_sentence, read_statements, state_regions

if TYPE_CHECKING:
    from ..task import Report


def truth_of_image(image: AnnotatedImage) -> tuple[Statement, ...]:
    """Every phrase that the set annotates on the image: how often it is there, and where."""
    return tuple(state_regions(phrase, true_regions(image, [phrase]), image.size_px) for phrase in image.phrases)


def finding_labels(reports: "Sequence[Report]") -> tuple[str, ...]:
    """Findings that are annotated, present or not, on the images of these reports, sorted; none: no truth is exact."""
    phrases = {phrase for report in reports for phrase in report.image.phrases}
    return tuple(sorted(phrase for phrase in phrases if load_labels().level(phrase) == "finding"))


def judge(report: "Report", written: Sequence[Sentence], labels: Sequence[str]) -> dict[str, Any]:
    """`labels` and `radfact` of a record's `meta`: what was written, with its regions, against the image's truth.

    Labels: 1 where a true region has it, and where the text affirms it. RadFact: a written sentence is judged against
    the image's truth, whether the reference names it or not; a sentence of the reference against what was written.
    """
    truth, size_px = truth_of_image(report.image), report.image.size_px
    stated = [statement for sentence in written for statement in read_statements(sentence)]
    phrases = {
        "reference": {statement.phrase for statement in truth if statement.number},
        "prediction": {statement.phrase for statement in stated if statement.number != 0},
    }
    return {
        "labels": {side: {name: int(name in affirmed) for name in labels} for side, affirmed in phrases.items()},
        "radfact": {
            "candidate": [judge_sentence(sentence, truth, size_px) for sentence in written],
            "reference": [judge_sentence(sentence, stated, size_px) for sentence in report.sentences],
        },
    }
