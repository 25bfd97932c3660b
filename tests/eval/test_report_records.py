import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from medglip.eval.metrics.text.lexical import report_measures
from medglip.eval.settings import EvalSettings
from medglip.eval.statistics.bootstrap import estimates
from medglip.eval.statistics.measure import Measured
from medglip.eval.tasks.report import measure_report
from medglip.grounding.bad_input import BadInput

Record = Any
LEXICAL = ("bleu", "rouge_l", "cider")


@pytest.fixture(autouse=True)
def no_java(monkeypatch: pytest.MonkeyPatch) -> None:
    """METEOR takes long to start; its own tests are elsewhere."""
    monkeypatch.setattr(shutil, "which", lambda name: None)


def _measured(records: list[Record], **settings: Any) -> Measured:
    return measure_report(records, EvalSettings(metrics=settings.pop("metrics", LEXICAL), **settings))


def test_counts_add_up_and_nothing_is_dropped(record: Callable[..., Record]) -> None:
    answers = ["heart normal", "lungs clear", " \n", "no effusion", ""]
    found = ["heart normal", "", "heart normal", "\u2028", ""]
    records = [record(number, "report", *texts) for number, texts in enumerate(zip(answers, found, strict=True))]
    measured = _measured(records)
    assert measured.counts == {"n": 5, "scored": 1, "abstained": 0, "failed": 2, "skipped": 2}
    assert measured.notes == ["2 records without reference text are skipped: s2, s4."]
    assert all(part.rows_N.tolist() == [0, 1, 3] for part in measured.measures.values())
    assert measured.measures["rouge_l"].value == pytest.approx(1 / 3)
    assert estimates(measured.measures, measured.clusters, resamples=50)["rouge_l"].n == 3


def test_no_reference_at_all(record: Callable[..., Record]) -> None:
    measured = _measured([record(0, "report", "", "heart normal")])
    assert measured.measures == {}
    assert measured.counts["skipped"] == 1


def test_a_reference_may_be_a_list(record: Callable[..., Record]) -> None:
    records = [record(0, "report", ["no", "heart normal", ""], "heart normal"), record(1, "report", [""], "heart")]
    measured = _measured(records)
    assert measured.measures["rouge_l"].value == 1.0
    assert measured.counts["skipped"] == 1


def test_full_is_the_whole_reference_in_the_tokenisation(record: Callable[..., Record]) -> None:
    answers = [" ".join(f"Word{number}." for number in range(200)), "Heart normal."]
    found = [text.upper() for text in answers]
    records = [record(number, "report", *texts) for number, texts in enumerate(zip(answers, found, strict=True))]
    for tokenization in ("raw", "lower"):
        measured = _measured(records, tokenization=tokenization)
        reference = report_measures(found, answers, tokenization)
        assert {name: part.value for name, part in measured.measures.items()} == {
            name: part.value for name, part in reference.items()
        }
    assert (measured.protocol, measured.version) == ("full", "2")


def test_named_metrics_only(record: Callable[..., Record]) -> None:
    records = [record(number, "report", "heart normal", "heart") for number in range(3)]
    assert list(_measured(records, metrics=("rouge_l", "bleu_2")).measures) == ["bleu_2", "rouge_l"]
    with pytest.raises(BadInput, match=r"no report metric 'blue_1'.*did you mean 'bleu_1'"):
        _measured(records, metrics=("blue_1",))
    with pytest.raises(BadInput, match=r"no report metric 'label_f1'.*give records `meta\.labels`"):
        _measured(records, metrics=("label_f1",))


def test_r2gen_cuts_references_and_has_no_cider(record: Callable[..., Record], tmp_path: Path) -> None:
    words = [f"word{number}" for number in range(120)]
    answer, found = f"{' '.join(words)}.", f"{' '.join(words[:59])}"
    records = [{**record(number, "report", answer, found), "dataset": "iu_xray"} for number in range(3)]
    measured = _measured(records, report_protocol="r2gen", metrics=())
    assert list(measured.measures)[:5] == ["bleu_1", "bleu_2", "bleu_3", "bleu_4", "rouge_l"]
    assert "cider" not in measured.measures
    assert measured.measures["bleu_1"].value == pytest.approx(1)  # a prediction that was cut gains no full stop
    assert any("no training vocabulary" in note for note in measured.notes)
    as_mimic = _measured(records, report_protocol="r2gen", r2gen_cleaning="mimic", metrics=("bleu",))
    assert as_mimic.measures["bleu_1"].value == pytest.approx(np.exp(1 - 99 / 59), abs=1e-6)
    path = tmp_path / "words.json"
    path.write_text(json.dumps(words[:30]))
    known = _measured(records, report_protocol="r2gen", r2gen_vocabulary=path, metrics=("bleu",))
    assert known.measures["bleu_1"].value == pytest.approx(30 / 59)
    with pytest.raises(BadInput, match="no report metric 'cider'"):
        _measured(records, report_protocol="r2gen", metrics=("cider",))


def test_r2gen_leaves_empty_predictions_empty(record: Callable[..., Record]) -> None:
    records = [record(0, "report", "Heart normal.", ""), record(1, "report", "Heart normal.", "Heart normal.")]
    measured = _measured(records, report_protocol="r2gen", metrics=("rouge_l",))
    assert measured.measures["rouge_l"].value == 0.5
    assert measured.counts["failed"] == 1
