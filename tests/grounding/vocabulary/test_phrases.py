"""Knowledge prompts, flips that keep their word, chunks, and places of findings in sentences."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from medglip.grounding import BadInput
from medglip.grounding.vocabulary.labels import load_labels
from medglip.grounding.vocabulary.phrases import (
    PlacedPhrase,
    chunks,
    has_side,
    mirror,
    phrases_of_sentence,
    with_description,
)

WORDS = ["left", "Right", "LEFT", "lt.", "Rt", "LLL", "rul", "L", "R", "ventricle", "lung", "-", ".", "_", "bilateral"]


def test_descriptions_follow_the_phrase_as_written() -> None:
    tree = load_labels()
    assert with_description("Polyps", tree) == f"Polyps: {tree.description('polyp')}"
    assert with_description("flux capacitor", tree) == "flux capacitor"
    assert with_description("", tree) == ""


@given(st.lists(st.text(max_size=3), max_size=20), st.integers(1, 25))
def test_chunks_keep_order_and_lose_nothing(phrases: list[str], size: int) -> None:
    parts = list(chunks(phrases, size))
    assert [phrase for part in parts for phrase in part] == phrases
    assert all(0 < len(part) <= size for part in parts)
    assert all(len(part) == size for part in parts[:-1])


def test_chunks_need_a_size() -> None:
    with pytest.raises(BadInput, match="1 or more"):
        chunks(["a"], 0)


@pytest.mark.parametrize(
    ("phrase", "flipped"),
    [
        ("left lung", "right lung"),
        ("Right-sided pleural effusion", "Left-sided pleural effusion"),
        ("LEFT and RIGHT", "RIGHT and LEFT"),
        ("opacity at the lt. base", "opacity at the rt. base"),
        ("Rt kidney", "Lt kidney"),
        ("LLL consolidation", "RLL consolidation"),
        ("R hemidiaphragm", "L hemidiaphragm"),
        ("kidney_left", "kidney_right"),
        ("leftmost vertebra", "rightmost vertebra"),
        ("left lateral ventricle", "right lateral ventricle"),
    ],
)
def test_sides_are_swapped(phrase: str, flipped: str) -> None:
    assert mirror(phrase) == (flipped, True)
    assert has_side(phrase)


@pytest.mark.parametrize(
    "phrase",
    [
        *(
            "bilateral effusions",
            "upright",
            "leftover",
            "dextral",
            "L2 vertebra",
            "T1 MRI",
            "fright",
            "polyp",
            "",
            "art",
        ),
        *(
            "left ventricle",
            "left ventricular myocardium",
            "right atrium",
            "left hepatic lobe",
            "right lobe of the liver",
        ),
    ],
)
def test_words_without_a_side_and_shapes_named_by_one_stay(phrase: str) -> None:
    assert mirror(phrase) == (phrase, False)
    assert not has_side(phrase)


@given(st.text(max_size=60) | st.lists(st.sampled_from(WORDS), max_size=6).map(" ".join))
def test_mirror_is_an_involution_and_says_whether_it_changed(phrase: str) -> None:
    flipped, changed = mirror(phrase)
    assert mirror(flipped) == (phrase, changed)
    assert changed == (flipped != phrase) == has_side(phrase)


def test_labels_of_either_side_are_mirror_images() -> None:
    tree = load_labels()
    for label in tree.labels:
        flipped, changed = mirror(label)
        if changed and label != "right middle lobe":  # the left lung has none
            assert tree.label(flipped) == flipped in tree.siblings(label)


@pytest.mark.parametrize(
    ("sentence", "phrases"),
    [
        ("Opacity in the left lower lobe.", ["left lower lobe opacity"]),
        ("Left lower lobe opacity.", ["left lower lobe opacity"]),
        ("There is a small right apical pneumothorax.", ["right apical pneumothorax"]),
        ("Right-sided pleural effusion.", ["right pleural effusion"]),
        ("Bilateral pleural effusions.", ["bilateral pleural effusion"]),
        ("Left and right pleural effusions.", ["left pleural effusion", "right pleural effusion"]),
        ("Opacities in the right upper lobe and left base.", ["right upper lobe opacity", "left base opacity"]),
        ("Opacities in the right upper and left lower lobes.", ["right upper lobe opacity", "left lower lobe opacity"]),
        ("Opacity and effusion at the left base.", ["left base opacity", "left base pleural effusion"]),
        ("The right lung shows a nodule.", ["right lung nodule"]),
        ("In the left upper lobe there is a nodule.", ["left upper lobe nodule"]),
        ("Mass in the upper pole of the left kidney.", ["left kidney upper pole mass"]),
        ("A cyst is seen in the right kidney.", ["right kidney cyst"]),
        ("Nodule in the left lung, effusion on the right.", ["left lung nodule", "right pleural effusion"]),
        ("The heart is enlarged.", ["heart"]),
        ("Cardiomegaly with left pleural effusion.", ["cardiomegaly", "left pleural effusion"]),
        ("Bibasilar atelectasis.", ["bibasilar atelectasis"]),
        ("Infarct in the right frontal lobe.", ["right frontal lobe infarct"]),
        ("Ring-enhancing lesion in the left occipital lobe", ["left occipital lobe ring-enhancing lesion"]),
        ("Right temporal lobe tumour.", ["right temporal lobe tumor"]),
        ("Liver, spleen and kidneys are normal.", ["liver", "spleen", "kidney"]),
        ("Lt. lower lobe consolidation", ["left lower lobe consolidation"]),
        ("Left pleural effusion at the base.", ["left base pleural effusion"]),
        (
            "Consolidation at the right base and left pleural effusion.",
            ["right base consolidation", "left pleural effusion"],
        ),
        ("A polyp in the upper left corner.", ["upper left corner polyp"]),
        ("Hepatic cyst in the right lobe of the liver.", ["right liver lobe liver cyst"]),
        ("Subdural hematoma over the left hemisphere.", ["left hemisphere subdural hematoma"]),
        ("Consolidation of the lingula", ["lingula consolidation"]),
        ("Gallstones in the gallbladder", ["gallstone"]),
        ("Nodules in the right lung, left lung and liver.", ["right lung nodule", "left lung nodule", "liver nodule"]),
        ("Retrocardiac opacity; atelectasis at the left base.", ["retrocardiac opacity", "left base atelectasis"]),
        ("Pneumothorax without effusion.", ["pneumothorax", "pleural effusion"]),
        ("Nothing to see here.", []),
        ("", []),
    ],
)  # fmt: skip
def test_findings_keep_their_places(sentence: str, phrases: list[str]) -> None:
    assert [str(phrase) for phrase in phrases_of_sentence(sentence, load_labels())] == phrases


def test_phrase_and_place_can_be_had_apart() -> None:
    (found,) = phrases_of_sentence("Opacity in the left lower lobe", load_labels())
    assert found == PlacedPhrase(phrase="opacity", place="left lower lobe")


@given(
    st.lists(st.sampled_from([*WORDS, "opacity", "nodule", "in the", "and", ",", "lobe", "of the", "is"]), max_size=12)
)
def test_no_finding_of_a_sentence_is_lost(words: list[str]) -> None:
    tree = load_labels()
    sentence = " ".join(words)
    findings = {label for label in tree.phrases_in(sentence) if tree.level(label) == "finding"}
    found = phrases_of_sentence(sentence, tree)
    assert findings <= {phrase.phrase for phrase in found} <= set(tree.phrases_in(sentence))
