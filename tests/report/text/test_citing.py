"""Targets of reports cite what is shown of each sentence, and reading them undoes it."""

from dataclasses import replace

import numpy as np
from making import make_image

from medglip.grounding.evidence.evidence import PLAIN, Evidence, EvidenceSettings
from medglip.grounding.types import Region
from medglip.grounding.vocabulary.attribution import attribute
from medglip.grounding.vocabulary.labels import load_labels
from medglip.grounding.vocabulary.sentences import Sentence
from medglip.report.task import Report
from medglip.report.text.citation_targets import cited_text, to_cited
from medglip.vqa.prompt.prompt import write_target

STUDY = make_image("a", modality="xray", group="g", split="train", size_px=(80, 50))


def region(phrase: str, x: float) -> Region:
    return Region(phrase=phrase, box_xyxy_px=np.array([x, 0, x + 10, 10], np.float32), score=0.9)


NODULE, OTHER, HEART = region("nodule", 0), region("nodule", 60), region("heart", 30)
SENTENCES = (
    Sentence(text="A nodule.", regions=(region("nodule", 1),)),
    Sentence(text="The heart is large.", regions=(HEART,)),
    Sentence(text="No effusion.", is_negated=True),
)
TEXT = "A nodule. The heart is large. No effusion."
KNOWN = Report(report_id="1", image=STUDY, text=TEXT, sentences=SENTENCES)


def shown(*regions: Region) -> Evidence:
    return Evidence.of_image("predicted", (80, 50), regions)


def test_a_sentence_cites_what_is_shown_at_its_true_place_and_nothing_wrong() -> None:
    said = cited_text(KNOWN, shown(OTHER, NODULE, HEART), (1, 2, 3))
    assert said == "A nodule [2]. The heart is large [3]. No effusion."


def test_without_true_places_a_sentence_cites_what_its_words_speak_of() -> None:
    said = cited_text(replace(KNOWN, sentences=()), shown(OTHER, NODULE, HEART), (1, 2, 3))
    assert said == "A nodule [1, 2]. The heart is large [3]. No effusion."


def test_what_is_cited_is_read_back_sentence_by_sentence() -> None:
    regions = (OTHER, NODULE, HEART)
    read = attribute(cited_text(KNOWN, shown(*regions), (1, 2, 3)), regions, load_labels(), num_shown=3)
    assert [(one.text, one.cited, one.missing) for one in read] == [
        ("A nodule.", (1,), ()),
        ("The heart is large.", (2,), ()),
        ("No effusion.", (), ()),
    ]


def test_a_text_is_left_as_it_is_where_nothing_can_be_cited() -> None:
    assert cited_text(KNOWN, shown(), ()) == TEXT
    assert cited_text(KNOWN, shown(OTHER), (1,)) == TEXT
    assert cited_text(KNOWN, shown(NODULE), ()) == TEXT  # crops have no numbers


def test_the_settings_decide_whether_a_target_cites() -> None:
    evidence = shown(NODULE)
    example = to_cited(KNOWN, KNOWN.to_example(evidence))
    cited = EvidenceSettings(cite=True)
    assert write_target(example, evidence, cited) == "A nodule [1]. The heart is large. No effusion."
    assert write_target(example, evidence, EvidenceSettings()) == TEXT
    assert write_target(example, evidence, PLAIN) == TEXT
    assert write_target(replace(example, target=None), evidence, cited) is None
