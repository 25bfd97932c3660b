import json
from pathlib import Path

import pytest

from medglip.eval.protocols.r2gen import (
    IU,
    MIMIC,
    Corpus,
    clean,
    clean_prediction,
    clean_reference,
    corpus_of,
    read_vocabulary,
)
from medglip.grounding.bad_input import BadInput


@pytest.mark.parametrize(
    ("report", "words"),
    [
        ("The Heart is normal. Lungs are clear.", "the heart is normal . lungs are clear ."),
        ("11. Rib fracture. 2. No effusion", "1rib fracture . no effusion ."),  # "1. " goes inside "11. " too
        ("Clear lungs 2. Normal heart", "clear lungs . normal heart ."),
        ("3.5-cm [mass] <XXXX>; left: a/b's", "35-cm mass xxxx left abs ."),  # "-" and digits stay, ":" to "[" go
        ("no effusion.\nNo mass.", "no effusion no mass ."),  # a line break is no end of a sentence here
        (" \n", ""),
    ],
)
def test_cleaning_of_iu(report: str, words: str) -> None:
    assert " ".join(clean(report, IU)) == words


def test_cleaning_of_mimic_joins_lines_and_stops() -> None:
    assert " ".join(clean("No effusion.\nNo  mass.", MIMIC)) == "no effusion . no mass ."
    assert " ".join(clean("Normal..... Heart ____ seen", MIMIC)) == "normal . heart seen ."


def test_cleaned_text_stays_and_unknown_words_are_kept() -> None:
    cleaned = clean_prediction("Heart normal. No effusion.", MIMIC)
    assert clean_prediction(cleaned, MIMIC) == cleaned
    assert clean_prediction("the <unk> is normal .", MIMIC) == "the <unk> is normal ."
    assert clean_prediction("", MIMIC) == ""
    assert clean_reference("the <unk> is normal .", MIMIC) == "the <unk> is normal ."
    assert clean_reference("the <UNK> is normal .", IU, {"the", "unk", "."}) == "the <unk> <unk> <unk> ."


@pytest.mark.parametrize("corpus", [IU, MIMIC])
def test_a_prediction_gains_no_full_stop(corpus: Corpus) -> None:
    assert clean_prediction("the heart is normal . there is no", corpus) == "the heart is normal . there is no"
    assert clean_prediction("The heart is normal. No mass.\n", corpus) == "the heart is normal . no mass ."
    assert clean_reference("there is no", corpus) == "there is no ."  # R2Gen cleans its references so


def test_references_are_cut_and_unknown_words_named() -> None:
    report = " ".join(f"word{number}" for number in range(150))
    assert clean_reference(report, IU).split()[-1] == "word58"  # 60 less the mark of the beginning
    assert clean_reference(report, MIMIC).split()[-1] == "word98"
    assert clean_reference("Heart enlarged.", IU, {"heart", "."}) == "heart <unk> ."


def test_corpus_by_data_set() -> None:
    assert [corpus_of(name).name for name in ("iu_xray", "IU-Xray", "Open-i", "mimic_cxr", "phantom")] == [
        "iu",
        "iu",
        "iu",
        "mimic",
        "mimic",
    ]


def test_vocabulary_of_words_or_of_training_reports(tmp_path: Path) -> None:
    path = tmp_path / "annotation.json"
    path.write_text(json.dumps({"train": [{"report": "Clear lungs."}] * 3 + [{"report": "Clear heart."}], "test": []}))
    assert read_vocabulary(path, IU) == {"clear", "lungs", "."}
    assert read_vocabulary(path, MIMIC) == frozenset()
    path.write_text('["heart"]')
    assert read_vocabulary(path, IU) == {"heart"}


@pytest.mark.parametrize("text", ["{}", '{"train": [1]}', "[1]", "nothing", '{"train": {"report": "a"}}'])
def test_broken_vocabulary_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "words.json"
    path.write_text(text)
    with pytest.raises(BadInput, match=r"not (a training vocabulary|JSON).*Fix: give a JSON list of words"):
        read_vocabulary(path, IU)
