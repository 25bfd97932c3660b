import random
from collections.abc import Callable

import numpy as np
import pytest
from pycocoevalcap.bleu.bleu import Bleu
from pycocoevalcap.cider.cider import Cider
from pycocoevalcap.rouge.rouge import Rouge, my_lcs

from medglip.eval.metrics.text.lexical import WITHOUT_JAVA
from medglip.eval.metrics.text.ngram import common_subsequence
from medglip.eval.metrics.text.ngram import measures as ngram_measures

WORDS = ["no", "effusion", "left", "lung", "is", "clear", ".", "heart", "normal", "naïve", "1\N{NO-BREAK SPACE}1/2"]
Corpus = tuple[list[str], list[list[str]]]


def _corpus(num: int, shortest: int, longest: int, references: int, seed: int) -> Corpus:
    rng = random.Random(seed)

    def text() -> str:
        return " ".join(rng.choice(WORDS) for _ in range(rng.randint(shortest, longest)))

    found, wanted = (
        [text() for _ in range(num)],
        [[text() for _ in range(rng.randint(1, references))] for _ in range(num)],
    )
    for row in range(0, num, 5):
        found[row] = wanted[row][0]
    return found, wanted


def _reference(found: list[str], wanted: list[list[str]]) -> tuple[list[float], np.ndarray, np.ndarray]:
    """BLEU-1..4 of the corpus, ROUGE-L and CIDEr of each report, by pycocoevalcap."""
    texts = dict(enumerate(wanted)), {row: [text] for row, text in enumerate(found)}
    bleu = Bleu(4).compute_score(*texts, verbose=0)[0]
    return bleu, Rouge().compute_score(*texts)[1], Cider().compute_score(*texts)[1]


CORPORA = {
    "reports": _corpus(40, 5, 60, 1, 0),
    "several references": _corpus(60, 0, 30, 4, 1),
    "one word or none": _corpus(50, 0, 1, 3, 2),
    "one report": _corpus(1, 5, 9, 1, 3),
    "the same report": (["heart normal ."] * 6, [["heart normal ."]] * 6),
    "nothing shared": (["a b c"] * 5, [["d e f", ""]] * 5),
    "nothing found": ([""] * 5, [["heart is normal ."]] * 5),
}


@pytest.mark.parametrize("name", CORPORA)
def test_equal_to_pycocoevalcap(name: str) -> None:
    bleu, rouge_l, cider = _reference(*CORPORA[name])
    measures = ngram_measures(*CORPORA[name], WITHOUT_JAVA)
    assert list(measures) == list(WITHOUT_JAVA)
    assert [part.value for part in measures.values()][:4] == pytest.approx(bleu, rel=1e-13, abs=0)
    assert measures["rouge_l"].value == rouge_l.mean()
    assert measures["rouge_l"].columns_NK[:, 0].tolist() == rouge_l.tolist()
    assert measures["cider"].value == pytest.approx(cider.mean(), rel=1e-13)
    assert measures["cider"].columns_NK[:, 0] == pytest.approx(cider, rel=1e-13)


def test_bleu_of_a_resample_is_that_of_its_texts() -> None:
    found, wanted = CORPORA["several references"]
    drawn = np.random.default_rng(0).integers(0, len(found), len(found))
    bleu = _reference([found[row] for row in drawn], [wanted[row] for row in drawn])[0]
    weights_1N = np.bincount(drawn, minlength=len(found))[None].astype(float)
    measures = ngram_measures(found, wanted, WITHOUT_JAVA)
    for n in range(1, 5):
        part = measures[f"bleu_{n}"]
        assert part.value_at(weights_1N)[0] == pytest.approx(bleu[n - 1], rel=1e-12)
        assert part.value_at(np.ones_like(weights_1N))[0] == part.value


def test_cider_of_a_part_keeps_the_document_frequencies_of_all() -> None:
    found, wanted = CORPORA["reports"]
    whole = ngram_measures(found, wanted, WITHOUT_JAVA)["cider"]
    is_first = np.arange(len(found)) < 10
    part = whole.subset(is_first)
    assert part.value == pytest.approx(_reference(found, wanted)[2][:10].mean())
    assert part.value != pytest.approx(_reference(found[:10], wanted[:10])[2].mean(), rel=1e-3)


def test_only_named_metrics() -> None:
    corpus = CORPORA["reports"]
    assert list(ngram_measures(*corpus, ["rouge_l"])) == ["rouge_l"]
    assert list(ngram_measures(*corpus, ["cider", "bleu_2"])) == ["bleu_2", "cider"]
    assert ngram_measures(*corpus, ["meteor"]) == {}


@pytest.mark.parametrize("longest", [0, 1, 5, 63, 64, 65, 200])
def test_common_subsequence(longest: int) -> None:
    rng = random.Random(longest)
    pick: Callable[[], list[str]] = lambda: [rng.choice("abcd") for _ in range(rng.randint(0, longest))]  # noqa: E731
    for _ in range(10):
        first, second = pick(), pick()
        assert common_subsequence(first, second) == my_lcs(first, second)
