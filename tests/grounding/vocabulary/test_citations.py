"""Citations are read back as they were written; those of regions that do not exist are told apart."""

from dataclasses import replace
from typing import Any, Literal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from making import make_image

from medglip.grounding.evidence.citable import citations_to_json, numbers_shown
from medglip.grounding.evidence.evidence import Evidence, EvidenceSettings, ImageEvidence
from medglip.grounding.types import AnnotatedImage, Region
from medglip.grounding.vocabulary.citations import parse_citations, with_citations
from medglip.vqa.task import Question

words = st.text(st.characters(exclude_characters="[]", exclude_categories=("Cs",)), max_size=20).map(str.strip)
numbers = st.lists(st.integers(0, 9999), unique=True, max_size=5)


@given(words, numbers, st.integers(0, 20))
def test_what_is_written_is_read_back(text: str, cited: list[int], num_regions: int) -> None:
    found = parse_citations(with_citations(text, cited), num_regions)
    assert found.text == text
    assert set(found.cited) | set(found.missing) == set(cited)
    assert all(1 <= number <= num_regions for number in found.cited)
    assert not any(1 <= number <= num_regions for number in found.missing)


@pytest.mark.parametrize(
    ("raw", "text", "cited", "missing"),
    [
        ("yes [1].", "yes.", (1,), ()),
        ("[2] liver [ 1,3 ] and spleen [2][9]", "liver and spleen", (2, 1, 3), (9,)),
        ("at [0.12, 0.20, 0.31, 0.44]", "at [0.12, 0.20, 0.31, 0.44]", (), ()),
        ("see [a], [] and [-1]", "see [a], [] and [-1]", (), ()),
        ("no [0]", "no", (), (0,)),
        ("", "", (), ()),
    ],
)
def test_forms_of_citations(raw: str, text: str, cited: tuple[int, ...], missing: tuple[int, ...]) -> None:
    found = parse_citations(raw, 3)
    assert (found.text, found.cited, found.missing) == (text, cited, missing)


def cited(transform: Literal["", "flipped"]) -> dict[str, Any]:
    def region(phrase: str, *box: float) -> Region:
        return Region(phrase=phrase, box_xyxy_px=np.array(box, np.float32))

    image = make_image(
        "a",
        group="g",
        size_px=(80, 50),
        regions=(region("left kidney", 50, 5, 70, 45),),
        phrases=("left kidney", "right kidney"),
    )
    question = Question(question_id="q", image=image, question="?", answer="yes", answer_type="closed")
    found = [region("left kidney", 51, 5, 70, 45), region("right kidney", 5, 5, 9, 9), region("liver", 1, 2, 3, 4)]
    evidence = Evidence.of_image("predicted", (80, 50), found)
    question = replace(question, transform=transform)
    shown = question.to_example(evidence).evidence
    return citations_to_json(parse_citations("yes [1, 2, 3, 4]", 3), shown, question.true_evidence())


def test_cited_regions_carry_the_truth_of_their_phrase_where_it_is_known() -> None:
    found = cited("")
    assert (found["cited"], found["missing"], found["shown"]) == ([1, 2, 3], [4], 3)
    assert [region.get("truth") for region in found["regions"]] == [[[50, 5, 70, 45]], [], None]
    in_mirror = cited("flipped")["regions"]
    assert [region["phrase"] for region in in_mirror] == ["right kidney", "left kidney", "liver"]
    assert [region.get("truth") for region in in_mirror] == [[[10, 5, 30, 45]], [], None]


def test_a_region_of_a_further_image_is_cited_with_it_and_held_against_its_truth() -> None:
    def image(name: str, x: float) -> AnnotatedImage:
        region = Region(phrase="cyst", box_xyxy_px=np.array([x, 0, x + 9, 9], np.float32))
        return make_image(name, group="g", size_px=(80, 50), regions=(region,), phrases=("cyst",))

    images = image("a", 0), image("b", 40)
    question = Question(
        question_id="q", image=images[0], question="?", answer="yes", answer_type="closed", others=images[1:]
    )
    parts = [ImageEvidence(size_px=(80, 50), regions=one.regions) for one in images]
    shown = Evidence(source="predicted", images=tuple(parts))
    assert numbers_shown(shown, EvidenceSettings()) == (1, 2)
    found = citations_to_json(parse_citations("yes [2, 1, 3]", 2), shown, question.true_evidence())
    assert [(row["number"], row.get("image"), row["truth"]) for row in found["regions"]] == [
        (2, 2, [[40, 0, 49, 9]]),
        (1, None, [[0, 0, 9, 9]]),
    ]
    assert found["missing"] == [3]
