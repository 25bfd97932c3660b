import re
import subprocess
import sys
import time
from importlib.util import find_spec

import numpy as np
import pytest

from medglip.grounding.bad_input import BadInput
from medglip.grounding.types import Region
from medglip.grounding.vocabulary import negation
from medglip.grounding.vocabulary.attribution import attribute
from medglip.grounding.vocabulary.contradictions import find_contradictions
from medglip.grounding.vocabulary.labels import load_labels
from medglip.grounding.vocabulary.negation import BLANK, Negation, blank_denied, engine_named
from medglip.grounding.vocabulary.sentences import ground_sentences

needs_negspacy = pytest.mark.skipif(find_spec("negspacy") is None, reason="medglip[negation] is not installed")
ENGINES = pytest.mark.parametrize("by", ["rules", pytest.param("negspacy", marks=needs_negspacy)])
NODULE = Region(phrase="nodule", box_xyxy_px=np.array([0, 0, 10, 10], np.float32), score=0.9)
CASES = [
    ("No pleural effusion or pneumothorax.", "pneumothorax", True),
    ("Opacity without effusion.", "effusion", True),
    ("Opacity without effusion.", "opacity", False),
    ("Absence of nodules.", "nodule", True),
    ("Negative for fracture.", "fracture", True),
    ("No effusion, but a small pneumothorax.", "pneumothorax", False),
    ("No effusion; opacity at the base.", "opacity", False),
    ("No effusion, consolidation or nodule.", "nodule", True),
    ("No effusion, nodule or mass is seen.", "nodule", True),
    ("No effusion, the opacity is unchanged.", "opacity", False),
    ("Pneumothorax is not seen.", "pneumothorax", True),
    ("Effusion, nodule and mass are not seen.", "effusion", True),
    ("Opacity on the left, effusion is not identified.", "opacity", False),
    ("Pneumonia has been ruled out.", "pneumonia", True),
    ("No significant change of the effusion.", "effusion", False),
    ("Pneumonia cannot be excluded.", "pneumonia", False),
    ("Although there is no effusion, there is an opacity.", "opacity", False),
    ("No opacity in the left lung and the right lung shows an opacity.", "opacity", False),
    ("There is a nodule.", "nodule", False),
    ("There is a nodule.", "mass", False),
    ("No masses.", "mass", True),
    ("Abnormal nodule.", "nodule", False),
]


def is_negated(sentence: str, phrase: str, by: Negation = "rules") -> bool:
    """Whether every mention of the phrase (whole words, any case) is denied; False if the sentence has none."""
    mention = re.compile(rf"(?<!\w){re.escape(phrase)}(?:e?s)?(?!\w)", re.IGNORECASE)
    return bool(mention.search(sentence)) and not mention.search(blank_denied(sentence, by))


@pytest.mark.parametrize(("sentence", "phrase", "negated"), CASES)
def test_negation_reaches_to_the_end_of_its_clause(sentence: str, phrase: str, negated: bool) -> None:
    assert is_negated(sentence, phrase) is negated


@ENGINES
@pytest.mark.parametrize(
    "sentence",
    [
        "The effusion isn't seen.",
        "The effusion isn’t seen.",
        "There isn't an effusion.",
        "There isn’t an effusion.",
        "Effusions aren't present.",
        "The effusion wasnʼt found.",
        "We don’t see an effusion.",
        "We can't see an effusion.",
        "The effusion cannot be seen.",
        "An effusion hasn’t been noted.",
        "Effusion: No",
        "Effusion: none.",
        "Effusion: not seen.",
        "Effusion: absent.",
        "Effusion - none.",
        "Effusion: no, nodule: yes.",
        "Effusion absent.",
        "The effusion is no longer seen.",
        "There is no longer an effusion.",
        "This doesn’t show an effusion.",
        "The effusion doesn't exist.",
        "Effusion never seen.",
        "Effusion completely resolved.",
        "Effusion (none).",
        "Effusion, none.",
        "Effusion: is not seen.",
        "Effusion = none",
        "Resolved effusion.",
        "Interval resolution of the effusion.",
        "The effusion has now entirely resolved.",
        "Clearing of the effusion.",
        "Effusion: n/a",
        "Effusion? No.",
        "Effusion (-)",
        "Effusion is highly unlikely.",
        "Unlikely effusion.",
        "Absent effusion.",
        "Lack of effusion.",
        "Neither nodule nor effusion.",
        "Failed to show an effusion.",
        "Effusion has not been seen.",
        "Effusion is not there anymore.",
        "Effusion excluded.",
    ],
)
def test_a_denial_is_known_in_every_spelling(by: Negation, sentence: str) -> None:
    assert is_negated(sentence, "effusion", by)
    assert len(blank_denied(sentence, by)) == len(sentence)


def test_what_is_resolved_is_gone() -> None:
    assert is_negated("Interval resolution of the effusion.", "effusion")
    assert is_negated("Nothing to suggest effusion.", "effusion")
    assert not is_negated("No doubt effusion.", "effusion")


@ENGINES
@pytest.mark.parametrize(
    "sentence",
    [
        "Effusion: no change.",
        "Effusion: not changed.",
        "Effusion: small. Nodule: none.",
        "The effusion is no longer increasing.",
        "The effusion hasn't resolved.",
        "The effusion is not absent.",
        "The effusion isn’t absent.",
        "Effusion almost completely resolved.",
        "Partial resolution of the effusion.",
        "No resolution of the effusion.",
        "The effusion has not completely resolved.",
        "Effusion should be ruled out.",
        "Effusion is not unlikely.",
        "Cannot exclude effusion.",
        "Resolved pneumonia, effusion persists.",
        "Resolved pneumonia with a small effusion.",
    ],
)
def test_what_is_denied_of_a_finding_does_not_deny_it(by: Negation, sentence: str) -> None:
    assert not is_negated(sentence, "effusion", by)


@pytest.mark.parametrize("words", ["no longer ", ": none ", "is not seen, ", "no nodule, ", "isn't "])
def test_a_sentence_without_end_is_read_in_a_moment(words: str) -> None:
    start = time.process_time()
    blank_denied(words * 10_000)
    assert time.process_time() - start < 5


@needs_negspacy
def test_negspacy_is_right_of_most() -> None:
    assert sum(is_negated(sentence, phrase, "negspacy") is negated for sentence, phrase, negated in CASES) >= 18


@ENGINES
def test_denied_words_are_gone_and_the_length_is_kept(by: Negation) -> None:
    said = blank_denied("Lung clear; left base  without effusion.", by)
    assert len(said) == len("Lung clear; left base  without effusion.")
    assert said.startswith("Lung clear; left base  ")
    assert "effusion" not in said
    assert not load_labels().phrases_in(blank_denied("No pleural effusion.", by))


@ENGINES
@pytest.mark.parametrize("text", ["All affirmed.", "A nodule of 3.5 cm (axial); stable – µ²", "Clear", " ", ""])
def test_where_nothing_is_denied_nothing_changes(by: Negation, text: str) -> None:
    assert blank_denied(text, by) == text


@ENGINES
def test_a_denied_stretch_has_no_gaps_so_that_words_in_it_stay_together(by: Negation) -> None:
    said = blank_denied("Normal heart. No new  lung nodule", by)
    start = said.index(BLANK)
    assert set(said[start:]) == {BLANK}


@ENGINES
@pytest.mark.parametrize("text", ["No change of the effusion.", "No interval change of the effusion."])
def test_what_only_looks_like_a_negation_denies_nothing(by: Negation, text: str) -> None:
    assert not is_negated(text, "effusion", by)


@ENGINES
def test_a_negation_ends_at_but(by: Negation) -> None:
    said = blank_denied("No effusion but a nodule.", by)
    assert load_labels().phrases_in(said) == ("nodule",)


@pytest.mark.parametrize("sentence", [case[0] for case in CASES])
def test_off_denies_nothing(sentence: str) -> None:
    assert blank_denied(sentence, "off") == sentence


@ENGINES
def test_a_denied_sentence_gets_no_region_and_the_finding_said_present_is_flagged(by: Negation) -> None:
    (sentence,) = ground_sentences("No nodule.", [NODULE], load_labels(), negation=by)
    (read,) = attribute("No nodule.", [NODULE], load_labels(), negation=by)
    assert (sentence.regions, sentence.is_negated) == ((), True)
    assert (read.grounded, read.support) == ((), "not_needed")
    (flag,) = find_contradictions(["No nodule."], {"nodule": 0.97}, load_labels(), negation=by)
    assert flag.said == "absent"


def test_off_grounds_every_sentence_and_flags_none() -> None:
    (sentence,) = ground_sentences("No nodule.", [NODULE], load_labels(), negation="off")
    (read,) = attribute("No nodule.", [NODULE], load_labels(), negation="off")
    assert (sentence.regions, sentence.is_negated) == ((NODULE,), False)
    assert (read.grounded, read.support) == ((0,), "grounded")
    assert find_contradictions(["No nodule."], {"nodule": 0.02}, load_labels(), negation="off") == ()


def test_normal_sentences_are_normal_by_the_engine_that_is_asked() -> None:
    text = "The heart is normal without nodule."
    found = {by: attribute(text, (), load_labels(), negation=by)[0].is_normal for by in ("rules", "off")}
    assert found == {"rules": True, "off": False}


def test_a_missing_package_is_one_clear_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "negspacy.negation", None)
    monkeypatch.delitem(sys.modules, f"{negation.__name__}.negspacy", raising=False)
    for ask in (lambda: engine_named("negspacy"), lambda: blank_denied("No nodule.", "negspacy")):
        with pytest.raises(BadInput, match=r"pip install 'medglip\[negation\]'"):
            ask()
    assert engine_named("rules") == "rules"


def test_the_table_names_every_engine() -> None:
    assert tuple(negation.ENGINES) == negation.NEGATIONS


def test_an_unknown_engine_is_refused_with_the_nearest() -> None:
    with pytest.raises(BadInput, match="did you mean 'negspacy'"):
        engine_named("negspaci")


def test_importing_the_room_does_not_import_spacy() -> None:
    code = "import sys, medglip.report.output.grounded; print('spacy' in sys.modules)"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd="/")
    assert run.stdout.strip() == "False"
