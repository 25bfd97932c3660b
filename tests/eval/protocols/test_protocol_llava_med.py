"""Each case is worked out by hand from LLaVA-Med's run_eval.py (commit b9a98a7)."""

import json
from pathlib import Path

import pytest

from medglip.eval.protocols.llava_med import Candidates, is_abstention, normalize, read_candidates, rules, score
from medglip.eval.settings import EvalSettings
from medglip.grounding.bad_input import BadInput


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        ("The Left lung.", "left lung"),
        ("1.5 mm.", "1.5 mm"),
        ("v1.a 2.", "v1a 2"),
        ("no.5", "no.5"),  # the look-behind is misspelt: only what follows a full stop counts
        ("x-ray", "x ray"),
        ("x-ray - CT", "xray ct"),  # the mark touches a blank somewhere, so it vanishes everywhere
        ("lung,liver", "lung liver"),
        ("lung, liver", "lung liver"),
        ("1,000 cells/mm", "1000 cellsmm"),  # a comma between digits: all marks vanish
        ("None of two", "0 of 2"),
        ("ten", "10"),
        ("a-an the", ""),
        ("dont", "don't"),
        ("mightntve shouldnt've", "mightntve shouldn't've"),
        ("somebody'd", "somebodyd"),
        ("a:b", "a:b"),  # a colon is no mark
        ("", ""),
    ],
)
def test_normalisation(text: str, clean: str) -> None:
    assert normalize(text) == clean


def test_thirty_two_full_stops_go_in_a_pass() -> None:
    assert normalize("." * 40 + "x") == "." * 8 + "x"
    assert score("." * 40 + "x", "x", False)["open_recall"] == 1.0  # open questions get a second pass
    assert score("." * 70 + "x", "x", False)["open_recall"] == 0.0
    assert score("yes" + "." * 40, "yes" + "." * 41, True)["closed_accuracy"] == 0.0


def test_a_repeated_hit_inflates() -> None:
    found = score("lung lung lung heart", "left lung", False)  # hits 3, other words 1, missed 1
    assert found["open_recall"] == 3 / 4
    assert found["open_precision"] == 3 / 4
    assert found["open_f1"] == 3 / 4
    assert found["open_exact_match"] == 1 / 4
    assert "open_accuracy" not in found


def test_nothing_shared_is_nought() -> None:
    for prediction, reference in (("", "lung"), ("lung", "the"), ("heart", "lung")):
        assert set(score(prediction, reference, False).values()) == {0.0}


@pytest.mark.parametrize(
    ("prediction", "reference", "right"),
    [
        ("Yes", "yes", 1),
        ("yes and no", "no", 1),  # both words: right if the reference is among them
        ("It is abnormal", "no", 1),  # inside a word
        ("a nodule", "no", 1),
        ("there is fluid", "yes", 0),
        ("left", "left", 0),  # neither yes nor no
        ("left, an abnormal side", "left", 1),
        ("no", "The", 1),  # a reference without words is part of everything
        ("", "yes", 0),
    ],
)
def test_closed(prediction: str, reference: str, right: int) -> None:
    assert score(prediction, reference, True) == {"closed_accuracy": right}


def test_abstention_is_neither_substring() -> None:
    assert is_abstention("fluid")
    assert not is_abstention("a nodule")


def test_the_first_of_equal_candidates_wins() -> None:
    left_first, right_first = Candidates(["left lung", "right lung"]), Candidates(["right lung", "left lung"])
    assert left_first.nearest("lung") == "left lung"  # both share 1/2
    assert right_first.nearest("lung") == "right lung"
    assert left_first.nearest("nothing here") == "left lung"
    assert Candidates(["left upper lung", "lung"]).nearest("left lung") == "lung"  # 2/3 against 1/1


def test_candidates_are_words_not_counts() -> None:
    found = Candidates(["lung lung heart", "lung heart liver"])
    assert found.nearest("lung") == "lung lung heart"  # 1/2 of distinct words against 1/3
    assert score("the lungs", "5", False, Candidates(["5", "lungs"]))["open_accuracy"] == 0.0
    assert score("five", "5", False, Candidates(["lungs", "5"]))["open_accuracy"] == 1.0


def test_bleu_orders_stand_alone() -> None:
    found = score("left upper lung", "left lung", False)
    assert found["open_bleu_1"] == pytest.approx(2 / 3)
    assert found["open_bleu_2"] == pytest.approx(2.2250738585072014e-308)
    assert score("a left upper lobe", "left upper lung", False)["open_bleu_2"] == pytest.approx(1 / 2)
    same = score("mass in left upper lobe", "mass in left upper lobe", False)
    assert [same[name] for name in ("open_bleu", "open_bleu_1", "open_bleu_2", "open_bleu_3")] == [1.0] * 4
    assert found["open_bleu"] == pytest.approx(0, abs=1e-70)


def test_candidate_files(tmp_path: Path) -> None:
    path = tmp_path / "candidates.json"
    path.write_text(json.dumps({"0": ["Left lung", 5, "the"]}))
    assert read_candidates(path).answers == ["left lung", "5", ""]
    made = rules(EvalSettings(protocol="llava_med", candidates=path))
    assert made.notes == ()
    assert made.score("left", "left lung", False)["open_accuracy"] == 1.0
    (note,) = rules(EvalSettings(protocol="llava_med")).notes
    assert "candidates" in note
    for text in ("{", "[]", '{"1": []}', '{"0": []}', '{"0": "lung"}', '{"0": [null]}'):
        path.write_text(text)
        with pytest.raises(BadInput, match="candidate"):
            read_candidates(path)
    with pytest.raises(BadInput, match="no such file"):
        read_candidates(tmp_path / "none.json")
