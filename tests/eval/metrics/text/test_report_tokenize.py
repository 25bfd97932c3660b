import shutil

import pytest
from pycocoevalcap.tokenizer.ptbtokenizer import PTBTokenizer

from medglip.eval.metrics.text.tokenize import collapse, tokenize
from medglip.grounding.bad_input import BadInput

needs_java = pytest.mark.skipif(shutil.which("java") is None, reason="no Java on this machine")


def test_lower_and_raw() -> None:
    texts = ["No  Effusion.\nHeart: 1.5 cm,normal", "Élève’s ŒDEMA (5 µm)", " \n"]
    assert tokenize(texts) == ["no effusion . heart : 1.5 cm , normal", "élève’s œdema ( 5 µm )", ""]
    assert tokenize(texts, "raw") == ["No Effusion. Heart: 1.5 cm,normal", "Élève’s ŒDEMA (5 µm)", ""]


def test_white_space_of_any_kind_is_a_blank() -> None:
    breaks = "a\r\nb\u2028c\u2029d\u0085e\u000bf\u000cg\u001ch\u00a0i\tj"
    assert collapse(breaks) == "a b c d e f g h i j"
    assert tokenize([breaks]) == ["a b c d e f g h i j"]


@needs_java
def test_ptb_is_that_of_pycocoevalcap() -> None:
    texts = [
        'The heart is "normal". (No) pleural-effusion, don\'t worry; etc.',
        "vein.2. Lungs",
        "A 1 1/2 cm nodule at 5:30 p.m. - 50% [XXXX]...",
        "café naïve 5 µm – α",
    ]
    whole = {row: [{"caption": text}] for row, text in enumerate(texts)}
    assert tokenize(texts, "ptb") == [text for [text] in PTBTokenizer().tokenize(whole).values()]


@needs_java
def test_ptb_keeps_a_line_for_each_text() -> None:
    texts = ["", "First.\u2028\u0085Line\r\n", "...", "\ud800 half \ufffe", "*NL* <p>\x00", "文字 😀", " ", "Last", ""]
    found = tokenize(texts, "ptb")
    assert [found[0], found[1], found[2], *found[6:]] == ["", "first line", "", "", "last", ""]


def test_ptb_without_java_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: None)
    with pytest.raises(BadInput, match=r"needs Java: no `java` command was found.*install Java"):
        tokenize(["a"], "ptb")
