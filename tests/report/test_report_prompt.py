"""What the model is asked with a report: plain ones as ever, context in a fixed order, prior images last."""

from dataclasses import replace
from pathlib import Path

import pytest
from making import make_image

from medglip.grounding.evidence.evidence import Evidence
from medglip.grounding.types import AnnotatedImage
from medglip.grounding.vocabulary.sentences import Sentence
from medglip.report.task import INSTRUCTION, Report, Section


def image(name: str) -> AnnotatedImage:
    return make_image(name, modality="xray", group="1", split="train", size_px=(8, 8))


PLAIN = Report(report_id="1", image=image("a"), text="Clear.", sentences=(Sentence(text="Clear."),))


def test_a_report_of_one_image_with_nothing_known_is_asked_for_as_ever() -> None:
    example = PLAIN.to_example(Evidence.none())
    assert example.instruction == INSTRUCTION == "Write the findings of this image as a short report."
    assert (example.target, example.other_paths, example.image_path) == ("Clear.", (), Path("a.png"))
    assert not example.may_cite
    assert not example.transform


def test_context_stands_in_a_fixed_order_and_prior_images_come_last() -> None:
    full = replace(
        PLAIN,
        others=(image("b"), image("c")),
        views=("PA", "LATERAL"),
        prior_text="Was clear.",
        comparison="None.",
        indication="Cough.",
        technique="PA.",
        prior_image=image("p"),
        prior_others=(image("q"),),
        section="both",
    )
    example = full.to_example(Evidence.none())
    assert example.instruction.splitlines() == [
        "Indication: Cough.",
        "Technique: PA.",
        "Comparison: None.",
        "Prior report: Was clear.",
        "Image 1: PA. Image 2: LATERAL. Image 3: this study. Image 4: the prior study. Image 5: the prior study.",
        "Write the findings and the impression of this study as a short report.",
    ]
    assert [path.stem for path in (example.image_path, *example.other_paths)] == list("abcpq")


@pytest.mark.parametrize(("section", "words"), [("findings", "the findings of"), ("impression", "the impression of")])
def test_the_prompt_asks_for_the_section_that_is_the_target(section: Section, words: str) -> None:
    assert words in replace(PLAIN, section=section).to_example(Evidence.none()).instruction
