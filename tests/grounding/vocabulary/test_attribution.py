import numpy as np
import pytest

from medglip.grounding.types import Region
from medglip.grounding.vocabulary.attribution import (
    Agreement,
    attribute,
    attribution_to_meta,
    count_agreement,
    sentences_of,
)
from medglip.grounding.vocabulary.labels import load_labels

TREE = load_labels()


def region(phrase: str, x: float = 0.0, score: float = 0.9) -> Region:
    return Region(phrase=phrase, box_xyxy_px=np.array([x, 0, x + 10, 10], np.float32), score=score)


NODULE, EFFUSION, HEART = region("nodule"), region("pleural effusion", 20), region("heart", 40)
REGIONS = (NODULE, EFFUSION, HEART)


@pytest.mark.parametrize(
    "text", ["A nodule [1]. No effusion.", "A nodule. [1] No effusion.", "A nodule [1] . No effusion."]
)
def test_a_citation_belongs_to_its_sentence_wherever_the_full_stop_is(text: str) -> None:
    first, second = attribute(text, REGIONS, TREE, num_shown=3)
    assert first.cited == (0,)
    assert first.text.replace(" ", "") == "Anodule."
    assert second.cited == ()
    assert second.is_negated


def test_each_way_alone_both_and_neither() -> None:
    text = "A nodule [1]. The heart is large. Something bright [2]. A fracture. No effusion. The bones are normal."
    read = attribute(text, REGIONS, TREE, num_shown=3)
    assert [one.support for one in read] == ["both", "grounded", "cited", "neither", "not_needed", "not_needed"]


@pytest.mark.parametrize(
    ("text", "support"),
    [
        ("X-ray image of the chest.", "not_needed"),
        ("This is a CT image of the abdomen.", "not_needed"),
        ("Fundus photograph.", "not_needed"),
        ("The nodule lies in the centre of the image.", "neither"),
        ("Image of a large nodule in the lung.", "neither"),
    ],
)
def test_what_picture_it_is_needs_no_region(text: str, support: str) -> None:
    [read] = attribute(text, [region("heart")], load_labels())
    assert read.support == support


def test_a_normal_sentence_with_a_finding_needs_a_region() -> None:
    (one,) = attribute("The heart size is normal, there is a fracture.", (), TREE)
    assert one.support == "neither"


def test_without_citations_brackets_are_text() -> None:
    (one,) = attribute("A nodule [1, 2, 3, 4].", REGIONS, TREE)
    assert one.text == "A nodule [1, 2, 3, 4]."
    assert one.cited == ()
    assert one.grounded == (0,)


def test_citations_of_nothing_are_kept_apart() -> None:
    (one,) = attribute("A nodule [1, 7].", REGIONS, TREE, num_shown=3)
    assert (one.cited, one.missing) == ((0,), (7,))


def test_regions_that_were_not_shown_can_be_grounded_but_not_cited() -> None:
    (one,) = attribute("An effusion [2].", REGIONS, TREE, num_shown=1)
    assert (one.cited, one.grounded, one.missing) == ((), (1,), (2,))


def test_sentences_hold_every_region_of_either_way_once_cited_first() -> None:
    read = attribute("A nodule and an effusion [2].", REGIONS, TREE, num_shown=3)
    (sentence,) = sentences_of(read, REGIONS)
    assert sentence.regions == (EFFUSION, NODULE)


def test_agreement_counts_pairs_and_takes_overlapping_boxes_for_one_place() -> None:
    twin = Region(phrase="opacity", box_xyxy_px=np.array([0, 0, 10, 8], np.float32))
    regions = (twin, NODULE, EFFUSION)
    found = count_agreement(attribute("A nodule [1]. An effusion [1].", regions, TREE, num_shown=1), regions)
    assert (found.num_cited, found.num_grounded) == (2, 2)
    assert (found.cited_found, found.grounded_cited) == (1, 1)
    assert found.precision == found.recall == found.f1 == 0.5


def test_agreement_of_nothing_is_none_and_of_one_way_alone_zero() -> None:
    assert Agreement().f1 is None
    assert count_agreement(attribute("A nodule.", REGIONS, TREE, num_shown=3), REGIONS).f1 == 0.0


def test_meta_is_plain_json() -> None:
    import json

    read = attribute("A nodule [1]. No effusion.", REGIONS, TREE, num_shown=3)
    meta = attribution_to_meta(read, REGIONS)
    assert json.loads(json.dumps(meta)) == meta
    assert meta["agreement"]["f1"] == 1.0
    assert meta["attribution"][0]["support"] == "both"
