import numpy as np
import pytest
from pydantic import ValidationError

from medglip.grounding.types import Region
from medglip.grounding.vocabulary.contradictions import ContradictionSettings, find_claims, find_contradictions
from medglip.grounding.vocabulary.labels import load_labels

TREE = load_labels()


def said(text: str) -> dict[str, str]:
    return dict(find_claims(text, TREE))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("There is a nodule in the right upper lung.", {"nodule": "present"}),
        ("No nodule is seen.", {"nodule": "absent"}),
        ("The left lung is clear, no nodule.", {"nodule": "absent"}),
        ("A nodule, but no pneumothorax.", {"nodule": "present", "pneumothorax": "absent"}),
        ("No pneumothorax or nodule.", {"nodule": "absent", "pneumothorax": "absent"}),
        ("No new nodule.", {}),
        ("No nodule in the left lung.", {}),
        ("Possible nodule.", {}),
        ("A nodule cannot be excluded.", {}),
        ("Pneumonia may be present; there is a nodule.", {"nodule": "present"}),
        ("No nodule but for one nodule at the base.", {"nodule": "present"}),
        ("There isn’t a nodule.", {"nodule": "absent"}),
        ("Nodule: none.", {"nodule": "absent"}),
        ("The nodule is no longer seen.", {"nodule": "absent"}),
        ("A nodule can’t be excluded.", {}),
        ("In İzmir no nodule, but a pneumothorax.", {"nodule": "absent", "pneumothorax": "present"}),
        ("The heart is large.", {}),
        ("", {}),
    ],
)
def test_claims_are_what_is_said_of_the_whole_image(text: str, expected: dict[str, str]) -> None:
    assert said(text) == expected


def test_flags_both_ways_and_nothing_in_between() -> None:
    texts = ["There is a nodule.", "No pneumothorax."]
    at = {"nodule": 0.02, "pneumothorax": 0.97}
    found = find_contradictions(texts, at, TREE)
    assert [(f.sentence, f.phrase, f.said, f.chance) for f in found] == [
        (0, "nodule", "present", 0.02),
        (1, "pneumothorax", "absent", 0.97),
    ]
    assert "0.02" in found[0].words
    assert find_contradictions(texts, {"nodule": 0.5, "pneumothorax": 0.5}, TREE) == ()
    assert find_contradictions(texts, {"nodule": 0.97, "pneumothorax": 0.02}, TREE) == ()


def test_what_the_grounder_finds_likely_is_not_denied_in_silence() -> None:
    (flag,) = find_contradictions(["No opacity is seen."], {"opacity": 0.8084}, TREE)
    assert flag.words == "says “opacity” is absent: denied although the grounder gives it 0.60 or more (0.81)"
    assert find_contradictions(["No opacity is seen."], {"opacity": 0.59}, TREE) == ()


def test_a_region_drawn_beside_a_denial_contradicts_it() -> None:
    drawn = Region(phrase="opacity", box_xyxy_px=np.array([0, 0, 9, 9], np.float32), score=0.58)
    (flag,) = find_contradictions(["No opacity is seen."], {"opacity": 0.3}, TREE, regions=[drawn])
    assert "denied although the grounder gives it 0.50 or more (0.58)" in flag.words
    assert find_contradictions(["No nodule is seen.", "An opacity."], {}, TREE, regions=[drawn]) == ()
    assert find_contradictions(["No opacity in the left lung."], {}, TREE, regions=[drawn]) == ()


def test_phrases_that_were_not_asked_are_never_flagged() -> None:
    assert find_contradictions(["There is a nodule."], {}, TREE) == ()


def test_thresholds_are_settings_and_must_be_in_order() -> None:
    settings = ContradictionSettings(absent_below=0.4, present_above=0.6)
    assert len(find_contradictions(["There is a nodule."], {"nodule": 0.3}, TREE, settings)) == 1
    with pytest.raises(ValidationError, match="above"):
        ContradictionSettings(absent_below=0.8, present_above=0.2)


def test_one_phrase_is_flagged_once_a_sentence() -> None:
    assert len(find_contradictions(["A nodule and another nodule."], {"nodule": 0.0}, TREE)) == 1
