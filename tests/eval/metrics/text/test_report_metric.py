import math
import random

import pytest

from medglip.eval.catalog import text_names
from medglip.eval.hf_metrics import ReportNgrams
from medglip.eval.metrics.text.lexical import choose, report_measures
from medglip.eval.metrics.text.ngram import BLEU
from medglip.grounding.bad_input import BadInput

WORDS = ["no", "effusion", "left", "lung", "is", "clear", ".", "heart", "normal"]


def _texts(num: int, seed: int) -> list[str]:
    rng = random.Random(seed)
    return [" ".join(rng.choice(WORDS) for _ in range(rng.randint(4, 20))) for _ in range(num)]


def test_bleu_and_rouge_by_hand() -> None:
    found = report_measures(["the lungs are clear"], ["the lungs are both clear"])
    brevity = math.exp(1 - 5 / 4)  # 4 words found, 5 wanted
    assert found["bleu_1"].value == pytest.approx(brevity, abs=1e-6)
    assert found["bleu_2"].value == pytest.approx(brevity * math.sqrt(2 / 3), abs=1e-6)
    assert found["rouge_l"].value == pytest.approx(2.44 * 1 * 0.8 / (0.8 + 1.44 * 1))  # P 4/4, R 4/5, beta 1.2
    assert found["cider"].value == 0.0  # one report has no document frequencies


def test_perfect_and_empty() -> None:
    texts = _texts(5, 0)
    perfect = {name: part.value for name, part in report_measures(texts, texts).items()}
    assert perfect.pop("cider") == pytest.approx(10.0)
    assert list(perfect.values()) == pytest.approx([1.0] * 5, abs=1e-6)
    empty = {name: part.value for name, part in report_measures([""] * 5, texts).items()}
    assert list(empty.values()) == pytest.approx([0.0] * 6, abs=1e-6)


def test_tokenisation_changes_the_scores() -> None:
    found, wanted = ["Heart normal. Lungs clear."], ["heart normal . lungs clear ."]
    assert report_measures(found, wanted)["bleu_4"].value == pytest.approx(1.0, abs=1e-6)
    assert report_measures(found, wanted, "raw")["bleu_4"].value < 0.1


def test_metric_of_evaluate() -> None:
    texts = _texts(4, 3)
    found = ReportNgrams().compute(predictions=texts, references=texts)
    assert found is not None
    assert found["rouge_l"] == 1.0


def test_metric_of_evaluate_takes_several_references_and_metrics() -> None:
    found = ReportNgrams().compute(
        predictions=["a b c"], references=[["x", "a b c"]], tokenization="raw", metrics=["rouge_l", "bleu_1"]
    )
    assert found == pytest.approx({"bleu_1": 1.0, "rouge_l": 1.0}, abs=1e-6)


def test_names_of_metrics() -> None:
    assert choose(["cider", "bleu"]) == [*BLEU, "cider"]
    assert choose([]) == []
    assert choose(text_names()) == text_names()
    with pytest.raises(BadInput, match="did you mean 'rouge_l'"):
        choose(["bleu", "rouge"])
    with pytest.raises(BadInput, match="no report metric 'cider'"):
        choose(["cider"], ["rouge_l"])
