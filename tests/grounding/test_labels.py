"""The label tree: one meaning a word, words found whole, paths that agree with themselves."""

from pathlib import Path

import pytest

from medglip.grounding import MODALITIES, BadInput
from medglip.grounding.datasets.phantom_draw import LABELS as PHANTOM_LABELS
from medglip.grounding.labels import load_labels, read_labels

PUBLIC = """liver; kidney tumor; spleen; lung tumor; pancreas; kidney; glioma; multiple sclerosis lesion; nucleus;
gland; anterior hippocampus; posterior hippocampus; right ventricle; left ventricular myocardium; left ventricle;
vertebra; intervertebral disc; spinal canal; fetal head; common carotid artery; benign breast tumor; malignant breast
tumor; retinal vessels; hard exudates; skin lesion; polyp; right lung; left lung; red blood cell; white blood cell;
platelet"""


@pytest.mark.parametrize("name", [" ".join(name.split()) for name in PUBLIC.split(";")])
def test_labels_of_public_sets_are_labels_and_defaults_somewhere(name: str) -> None:
    tree = load_labels()
    assert tree.label(name) == name
    assert tree.path(name)[-1] == name
    assert any(name in tree.default_phrases(modality) for modality in MODALITIES)


def test_phantoms_and_tree_agree() -> None:
    tree = load_labels()
    for name, label in PHANTOM_LABELS.items():
        assert tree.path(name) == label.path, name
        assert label.modality in tree.labels[name].modalities, name


def test_every_label_and_synonym_is_found_as_itself() -> None:
    tree = load_labels()
    for name, label in tree.labels.items():
        for word in (name, *label.synonyms):
            assert tree.phrases_in(f"Is there a {word.upper()}?") == (name,), word


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("Is the left lung larger than the liver?", ("left lung", "liver")),
        ("Are the lungs clear?", ("lung",)),
        ("How many vertebrae and intervertebral discs?", ("vertebra", "intervertebral disc")),
        ("liver, spleen and the liver again", ("liver", "spleen")),
        ("Are there multiple opacities?", ("opacity",)),
        ("RBCs, platelets", ("red blood cell", "platelet")),
        ("a brain tumour", ("tumor",)),
        ("ground glass opacities", ("ground-glass opacity",)),
        ("lungfish delivered", ()),
        ("", ()),
    ],
)
def test_phrases_are_whole_words_longest_first_in_order(text: str, found: tuple[str, ...]) -> None:
    assert load_labels().phrases_in(text) == found


def test_ancestors_are_labels_above() -> None:
    tree = load_labels()
    assert tree.ancestors("anterior hippocampus") == ("brain", "hippocampus")
    assert tree.ancestors("left lungs") == ("lung",)
    for name in tree.labels:
        assert name not in tree.ancestors(name)


def test_unknown_phrases_have_no_place() -> None:
    tree = load_labels()
    assert tree.label("  Left   Elbow ") == "left elbow"
    assert tree.path("left elbow") == tree.ancestors("left elbow") == tree.synonyms("left elbow") == ()


def test_defaults_by_any_name_of_a_modality() -> None:
    tree = load_labels()
    assert tree.default_phrases("MRI") == tree.default_phrases("mr") != ()
    assert tree.default_phrases("unknown") == ()
    with pytest.raises(BadInput, match="modality"):
        tree.default_phrases("smell")


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("liver: {path: [a]}\nspleen: {synonyms: [Livers]}", "both 'liver' and 'spleen'"),
        ("liver: {paths: [a]}", "unknown key 'paths'"),
        ("liver: {modalities: [smell]}", "smell"),
        ("- liver", "not a label tree"),
        ("a: [", "not a label tree"),
    ],
)
def test_wrong_files_are_named(tmp_path: Path, text: str, problem: str) -> None:
    (tmp_path / "labels.yaml").write_text(text)
    with pytest.raises(BadInput, match=problem) as caught:
        read_labels(tmp_path / "labels.yaml")
    assert "labels.yaml" in str(caught.value)
