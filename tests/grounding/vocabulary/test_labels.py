"""The label tree: one meaning a word, words found whole, paths that agree with themselves."""

import json
import os
import subprocess
import sys
import xml.etree.ElementTree as ET
from collections import Counter
from itertools import product
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from medglip.grounding import MODALITIES, BadInput
from medglip.grounding.datasets.phantoms.draw import FINDINGS, STRUCTURES
from medglip.grounding.vocabulary.labels import LEVELS, Label, LabelTree, load_labels, read_labels

PUBLIC = """liver; kidney tumor; spleen; lung tumor; pancreas; kidney; glioma; multiple sclerosis lesion; nucleus;
gland; anterior hippocampus; posterior hippocampus; right ventricle; left ventricular myocardium; left ventricle;
vertebra; intervertebral disc; spinal canal; fetal head; common carotid artery; benign breast tumor; malignant breast
tumor; retinal vessels; hard exudates; skin lesion; polyp; right lung; left lung; red blood cell; white blood cell;
platelet"""
TOTALSEGMENTATOR = """spleen gallbladder liver stomach pancreas esophagus trachea thyroid_gland small_bowel duodenum
colon urinary_bladder prostate sacrum heart aorta pulmonary_vein brachiocephalic_trunk atrial_appendage_left
superior_vena_cava inferior_vena_cava portal_vein_and_splenic_vein spinal_cord brain skull sternum
costal_cartilages vertebrae_S1 face lung_upper_lobe_left lung_lower_lobe_left lung_upper_lobe_right
lung_middle_lobe_right lung_lower_lobe_right
heart_myocardium heart_atrium_left heart_ventricle_left heart_atrium_right heart_ventricle_right pulmonary_artery"""
PAIRED = """kidney adrenal_gland kidney_cyst subclavian_artery common_carotid_artery brachiocephalic_vein iliac_artery
iliac_vena humerus scapula clavicula femur hip gluteus_maximus gluteus_medius gluteus_minimus autochthon iliopsoas"""
OTHERS = {
    "CheXpert": """Enlarged Cardiomediastinum; Cardiomegaly; Lung Opacity; Lung Lesion; Consolidation; Pneumonia;
        Atelectasis; Pneumothorax; Pleural Effusion; Pleural Other; Support Devices""",
    "SLAKE": """Lung Cancer; Liver Cancer; Kidney Cancer; Brain Edema; Brain Enhancing Tumor; Brain Non-enhancing Tumor;
        Infiltration; Pulmonary Mass; Pulmonary Nodule; Pulmonary Infiltration; Large Bowel; Small Bowel; Intestine;
        Left Mandible; Parotid; Larynx; Left Femoral Head; Right Temporal Lobe; Left Eye; Left Optic Nerve;
        Optic Chiasm; Pituitary; Brain Stem; Inner Ear; Middle Ear; TM Joint; Rectum; Bladder; Trachea; Esophagus;
        Pulmonary bronchus""",
    "AMOS": "right kidney; gall bladder; esophagus; postcava; left adrenal gland; duodenum; bladder; aorta",
    "ISIC": "MEL; NV; BCC; AKIEC; BKL; DF; VASC; SCC",
    "fundus": "EX; HE; MA; SE; OD; drusen; optic cup; cotton wool spots",
    "PanNuke": "Neoplastic; Inflammatory; Connective; Dead; Epithelial",
    "BraTS": "NCR; ED; ET",
}


def _words(text: str) -> list[str]:
    return [" ".join(name.split()) for name in text.split(";")]


@pytest.mark.parametrize("name", _words(PUBLIC))
def test_labels_of_public_sets_are_labels_and_defaults_somewhere(name: str) -> None:
    tree = load_labels()
    assert tree.label(name) == name
    assert tree.path(name)[-1] == name
    assert set(tree.labels[name].modalities) & set(MODALITIES)


def test_phantoms_and_tree_agree() -> None:
    tree = load_labels()
    for table, is_finding in ((STRUCTURES, False), (FINDINGS, True)):
        for modality, name in ((modality, name) for modality, names in table.items() for name in names):
            assert tree.path(name)[-1] == name
            assert modality in tree.labels[name].modalities, name
            assert (tree.level(name) == "finding") == is_finding, name


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
        ("He is ex. OD", ()),
        ("", ()),
    ],
)
def test_phrases_are_whole_words_longest_first_in_order(text: str, found: tuple[str, ...]) -> None:
    assert load_labels().phrases_in(text) == found


def test_mentions_are_where_the_words_stand() -> None:
    text = "LEFT lung; the Left  Lungs, (RBCs)"
    mentions = load_labels().mentions_in(text)
    assert [text[start:end] for start, end, _ in mentions] == ["LEFT lung", "Left  Lungs", "RBCs"]
    assert [label for *_, label in mentions] == ["left lung", "left lung", "red blood cell"]


@pytest.mark.parametrize("other", ["İ İ ", "İİİ, ", "ẞß ", "ﬁŉ ", "K ", "Ω’ "])
def test_letters_whose_case_has_another_length_move_no_mention(other: str) -> None:
    text = f"{other}the left lung"
    assert [text[start:end] for start, end, _ in load_labels().mentions_in(text)] == ["left lung"]


# --- words of data sets ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("word", [*TOTALSEGMENTATOR.split(), *(w for text in OTHERS.values() for w in _words(text))])
def test_class_names_of_public_sets_mean_one_label(word: str) -> None:
    assert len(load_labels().candidates(word)) == 1


@pytest.mark.parametrize(("word", "side"), list(product(PAIRED.split(), ("left", "right"))))
def test_paired_class_names_keep_their_side(word: str, side: str) -> None:
    (label,) = load_labels().candidates(f"{word}_{side}")
    assert label.startswith(f"{side} ") or label == "cyst"


def test_numbered_class_names_are_their_kind_of_bone() -> None:
    tree = load_labels()
    numbers = {"C": (7, "cervical"), "T": (12, "thoracic"), "L": (5, "lumbar")}
    for letter, (most, kind) in numbers.items():
        assert {tree.label(f"vertebrae_{letter}{i}") for i in range(1, most + 1)} == {f"{kind} vertebra"}
    assert {tree.label(f"rib_left_{i}") for i in range(1, 13)} == {"left rib"}


def test_unknown_words_have_no_candidates_and_ambiguous_ones_several() -> None:
    tree = load_labels()
    assert tree.candidates("flux capacitor") == tree.candidates("") == ()
    assert {"tumor", "liver tumor", "lung tumor"} <= set(tree.candidates("Tumours"))
    assert tree.candidates("tumor", body_region="cells and tissue") == ("tumor tissue",)
    assert tree.candidates("tumor", body_region="fetus") == ("bone lesion",)
    assert tree.candidates("fracture", body_region="chest") == ("rib fracture",)
    assert tree.candidates("edema", body_region="chest") == ("pulmonary edema",)
    assert tree.candidates("RBC") == ("red blood cell",)
    for label in tree.labels.values():
        for word in label.also:
            assert len(tree.candidates(word)) > 1, f"{word!r} would be guessed"


@pytest.fixture(scope="module")
def data() -> Path:
    folder = os.environ.get("MEDGLIP_DATA", "")
    if not folder:
        pytest.skip("MEDGLIP_DATA is not set")
    return Path(folder)


def test_every_category_of_the_real_data_is_a_label(data: Path) -> None:
    files = [*data.glob("regions/*/annotations.json"), data / "dsb2018/annotations.json"]
    files += [data / "covid_cxr/lung_boxes.json"]
    names = {row["name"] for file in files if file.is_file() for row in json.loads(file.read_text())["categories"]}
    names |= {
        name.text or ""
        for file in sorted(data.glob("bccd/Annotations/*.xml"))[:60]
        for name in ET.parse(file).iter("name")
    }
    if not names:
        pytest.skip("no annotations there")
    tree = load_labels()
    assert [name for name in names if tree.label(name) not in tree.labels] == []


def test_findings_of_real_answers_are_named(data: Path) -> None:
    file = data / "slake_text/train.json"
    if not file.is_file():
        pytest.skip("no SLAKE there")
    rows = [row for row in json.loads(file.read_text()) if row["q_lang"] == "en"]
    about = [row["answer"] for row in rows if row["content_type"] == "Abnormality" and row["answer_type"] == "OPEN"]
    assert len(about) > 100
    named = [answer for answer in about if load_labels().phrases_in(answer)]
    assert len(named) / len(about) > 0.85


# --- levels, regions, descriptions -----------------------------------------------------------------------------------


def test_the_tree_has_the_scale_of_the_paper() -> None:
    tree = load_labels()
    written = [label for label in tree.labels if tree.body_region(label) != "any"]
    assert len(written) >= 180
    assert {tree.body_region(label) for label in tree.labels} == set(tree.regions)
    assert len(tree.regions) > 6
    assert {tree.level(label) for label in tree.labels} == set(LEVELS)


@pytest.mark.parametrize(
    ("phrase", "level", "region"),
    [
        ("liver", "organ", "abdomen"),
        ("left kidney", "part", "abdomen"),
        ("kidney tumor", "finding", "abdomen"),
        ("glioma", "finding", "head and neck"),
        ("polyp", "finding", "abdomen"),
        ("melanoma", "finding", "skin"),
        ("optic disc", "part", "eye"),
        ("left eye", "part", "eye"),
        ("RBC", "organ", "cells and tissue"),
        ("lesion", "finding", "any"),
        ("unheard of", "", ""),
    ],
)
def test_levels_and_regions(phrase: str, level: str, region: str) -> None:
    assert (load_labels().level(phrase), load_labels().body_region(phrase)) == (level, region)


def test_descriptions_are_short_say_more_than_the_name_and_are_unique() -> None:
    tree = load_labels()
    for name, label in tree.labels.items():
        words = tree.description(name).lower().replace(",", "").split()
        own = {word for text in (name, *label.synonyms) for word in text.lower().split()}
        assert 2 < len(words) <= 12, name
        assert len(set(words) - own) >= 3, name
    described = [label.description for label in tree.labels.values()]
    assert len(described) == len(set(described))


def test_few_labels_are_usual_in_a_modality() -> None:
    counts = Counter(modality for label in load_labels().labels.values() for modality in label.modalities)
    assert max(counts.values()) <= 15
    assert counts.keys() == MODALITIES.keys() - {"unknown"}


@pytest.mark.parametrize(
    ("word", "kinds"),
    [
        ("left lung", ("lung",)),
        ("left common carotid artery", ("carotid artery", "common carotid artery")),
        ("subdural hematoma", ("intracranial hemorrhage",)),
        ("mitral valve", ("heart valve",)),
        ("lymphocyte", ("white blood cell",)),
        ("liver tumor", ()),
        ("hepatic vessel", ()),
        ("right upper lobe", ()),
        ("flux capacitor", ()),
    ],
)
def test_a_region_of_a_kind_is_one_of_what_lies_above_a_part_or_a_tumor_is_not(
    word: str, kinds: tuple[str, ...]
) -> None:
    assert load_labels().kinds_of(word) == kinds
    assert set(kinds) <= set(load_labels().ancestors(word))


@pytest.mark.parametrize("words", [("aortic valve", "mitral valve"), ("intraparenchymal hemorrhage", "brain bleed")])
def test_two_categories_of_one_set_are_two_labels(words: tuple[str, str]) -> None:
    first, second = map(load_labels().label, words)
    assert first != second


# --- above, below, beside --------------------------------------------------------------------------------------------


def test_ancestors_are_labels_above() -> None:
    tree = load_labels()
    assert tree.ancestors("anterior hippocampus") == ("brain", "hippocampus")
    assert tree.ancestors("left lungs") == ("lung",)
    assert tree.ancestors("polyp") == ("bowel", "colon")
    for name, label in tree.labels.items():
        assert name not in tree.ancestors(name)
        assert {part for part in label.path if part in tree.labels} <= set(tree.ancestors(name))


def test_above_is_transitive_and_the_inverse_of_below() -> None:
    tree = load_labels()
    for name in tree.labels:
        for above in tree.ancestors(name):
            assert name not in tree.ancestors(above)
            assert name in tree.descendants(above)
            assert set(tree.ancestors(above)) < set(tree.ancestors(name))
            assert set(tree.descendants(name)) < set(tree.descendants(above))


def test_siblings_are_mutual_and_neither_above_below_nor_the_same_place() -> None:
    tree = load_labels()
    for name, label in tree.labels.items():
        for sibling in tree.siblings(name):
            assert name in tree.siblings(sibling)
            assert sibling not in (name, *tree.ancestors(name), *tree.descendants(name), *label.overlaps)
            assert tree.level(sibling) == tree.level(name)
            assert tree.path(sibling)[:-1] == label.path or {"left", "right"} & set(name.split())
    assert "right lung" in tree.siblings("left lung")
    assert "left kidney" in tree.siblings("right kidney")
    assert "nodule" not in tree.siblings("left lung")
    assert "pneumonia" not in tree.siblings("opacity")
    assert tree.siblings("lesion") == tree.siblings("unheard of") == ()


def test_near_is_mutual_and_covers_above_below_and_overlaps() -> None:
    tree = load_labels()
    names = list(tree.labels)
    for place, name in enumerate(names[::7]):
        assert tree.is_near(name, name)
        near = [*tree.ancestors(name), *tree.descendants(name), *tree.labels[name].overlaps, *tree.synonyms(name)]
        assert all(tree.is_near(name, other) for other in near)
        assert not any(tree.is_near(name, sibling) for sibling in tree.siblings(name))
        others = names[place % 5 :: 5]
        assert [tree.is_near(name, other) for other in others] == [tree.is_near(other, name) for other in others]
    assert tree.is_near("unheard of", "unheard of")
    assert not tree.is_near("unheard of", "lung")


def test_sides_are_labels_below_their_kind() -> None:
    tree = load_labels()
    assert tree.path("left femur") == ("limb", "femur", "left femur")
    assert tree.label("femur left") == tree.label("left thigh bone") == "left femur"
    assert tree.siblings("left femur") == ("right femur", "femoral head")


# --- unknown words, defaults, files ----------------------------------------------------------------------------------


def test_unknown_phrases_have_no_place() -> None:
    tree = load_labels()
    assert tree.label("  Left   Elbow ") == "left elbow"
    assert tree.path("left elbow") == tree.ancestors("left elbow") == tree.synonyms("left elbow") == ()
    assert tree.description("left elbow") == tree.body_region("left elbow") == tree.level("left elbow") == ""
    assert tree.descendants("left elbow") == tree.siblings("left elbow") == ()


@given(st.text(max_size=40))
def test_any_text_is_no_error(text: str) -> None:
    tree = load_labels()
    assert set(tree.phrases_in(text)) <= set(tree.labels)
    assert set(tree.candidates(text)) <= set(tree.labels)
    assert tree.label(tree.label(text)) == tree.label(text)


def test_loading_needs_no_torch() -> None:
    code = "import sys, medglip.grounding.vocabulary.phrases; from medglip.grounding.vocabulary import labels; "
    code += "labels.load_labels(); print('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "False\n"


def test_trees_made_by_hand_need_no_file() -> None:
    tree = LabelTree(labels={"a": Label(path=("root",)), "b": Label(path=("root", "a"))})
    assert tree.ancestors("b") == ("a",)
    assert tree.body_region("b") == "root"


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("liver: {path: [a]}\n  spleen: {synonyms: [Livers]}", "both 'liver' and 'spleen'"),
        ("liver: {codes: [spleen]}\n  spleen: {}", "both 'spleen' and 'liver'"),
        ("liver: {paths: [a]}", "unknown key 'paths' of 'liver'. Fix: did you mean 'path'"),
        ("liver: {path: abdomen}", r"path of 'liver' is 'abdomen'. Fix: a list: `path: \[abdomen\]`"),
        ("liver: {modalities: [smell]}", "smell"),
        ("liver: {kind: organs}", "kind of 'liver' is 'organs'. Fix: did you mean 'organ'"),
        ("liver: {path: [spleen]}\n  spleen: {path: [liver]}", "above itself"),
        ("liver: {path: [liver]}", "above itself"),
        ("liver: {overlaps: [spleem]}\n  spleen: {}", "no label. Fix: did you mean 'spleen'"),
        ("- liver", "not a label tree"),
        ("a: [", "not a label tree"),
    ],
)
def test_wrong_labels_are_named(tmp_path: Path, text: str, problem: str) -> None:
    (tmp_path / "labels.yaml").write_text(f"version: 2\nlabels:\n  {text}\n")
    with pytest.raises(BadInput, match=problem) as caught:
        read_labels(tmp_path / "labels.yaml")
    assert "labels.yaml" in str(caught.value)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("version: 1\nlabels: {}", "version is 1"),
        ("labels: {}", "version is None"),
        ("version: 2\nlabel: {}", "unknown key 'label'. Fix: did you mean 'labels'"),
        ("- version", "not a label tree"),
        ("", "not a label tree"),
    ],
)
def test_wrong_files_are_named(tmp_path: Path, text: str, problem: str) -> None:
    (tmp_path / "labels.yaml").write_text(text)
    with pytest.raises(BadInput, match=problem):
        read_labels(tmp_path / "labels.yaml")
    with pytest.raises(BadInput, match="not a label tree"):
        read_labels(tmp_path / "missing.yaml")
