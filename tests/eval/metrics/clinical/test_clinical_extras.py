import sys
from collections.abc import Callable
from types import ModuleType
from typing import Any

import pytest

from medglip.eval.metrics.clinical.labelers import (
    add_graphs,
    add_labels,
    find_same_words,
    judge,
    load_labeler,
    read_by_radgraph,
)
from medglip.eval.metrics.fields import field_measures
from medglip.eval.settings import EvalSettings
from medglip.grounding.bad_input import BadInput

Make = Callable[..., Any]


class StubCheXbert:
    """Cardiomegaly by its name, uncertain after "possible", as radeval writes labels."""

    def __init__(self, device: str = "cpu"):
        self.device = device

    def get_labels(self, reports: list[str], mode: str = "rrg") -> list[list[int]]:
        assert mode == "classification"
        marks = [("possible" not in text) * 2 - 1 if "cardiomegaly" in text else 0 for text in reports]
        return [[0, mark, *[0] * 11, int(not mark)] for mark in marks]


class StubRadGraph:
    def __call__(self, reports: list[str]) -> dict[str, Any]:
        assert all(reports)
        return {
            str(place): {"entities": {"1": {"tokens": text, "label": "OBS-DP", "relations": []}}}
            for place, text in enumerate(reports)
        }


def test_models_fill_what_records_lack(record: Make) -> None:
    texts = [("cardiomegaly", "possible cardiomegaly"), ("clear", "clear"), ("clear", "")]
    records = [record(row, "report", *pair, meta={"modality": "CR"}) for row, pair in enumerate(texts)]
    filled: Any = add_graphs(
        add_labels(records, lambda texts: StubCheXbert().get_labels(list(texts), mode="classification")),
        read_by_radgraph(StubRadGraph()),
    )
    assert all("labels" not in given["meta"] for given in records)  # the records given stay as they are
    assert filled[0]["meta"]["labels"]["prediction"]["Cardiomegaly"] == -1
    assert filled[0]["meta"]["labels"]["reference"]["Edema"] == 0
    assert filled[2]["meta"]["radgraph"]["prediction"] == {}
    assert filled[0]["meta"]["modality"] == "CR"
    found, _ = field_measures(filled, EvalSettings(uncertain_policy="positive"))
    assert found["chexbert_micro_f1_14"].value == 1.0
    assert found["radgraph_simple"].value == pytest.approx(1 / 3)
    negative, _ = field_measures(filled, EvalSettings(uncertain_policy="negative"))
    assert negative["chexbert_micro_f1_5"].value == 0.0
    assert add_labels(filled, lambda reports: []) == filled  # what is given is not asked again


def test_a_model_that_loses_reports_is_refused(record: Make) -> None:
    with pytest.raises(ValueError, match="2 reports were given and 0 came back"):
        add_labels([record(0, "report", "a", "b")], lambda reports: [])


def test_judged_phrases_are_radfacts_input(record: Make) -> None:
    box = [0.1, 0.1, 0.4, 0.4]
    candidate = [{"phrase": "Left effusion.", "boxes": [box]}, {"phrase": "no edema"}]
    reference = [{"phrase": "left effusion", "boxes": [box]}, {"phrase": "clear lungs"}]
    verdicts = judge(candidate, reference, find_same_words)
    assert [phrase["status"] for phrase in verdicts["candidate"]] == ["entailed", "not_entailed"]
    assert verdicts["candidate"][0]["evidence_boxes"] == [box]
    found, _ = field_measures([record(0, "report", "a", "b", meta={"radfact": verdicts})], EvalSettings())
    assert found["radfact_logical_f1"].value == 0.5
    assert found["radfact_grounding_f1"].value == 1.0


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "radeval", None)  # importing it fails
    with pytest.raises(BadInput, match=r"no CheXbert.*pip install radeval, or give meta\.labels in the records"):
        load_labeler()


def test_an_installed_package_is_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("radeval", "radeval.metrics", "radeval.metrics.f1chexbert"):
        monkeypatch.setitem(sys.modules, name, ModuleType(name))
    sys.modules["radeval.metrics.f1chexbert"].__dict__["F1CheXbert"] = StubCheXbert
    assert load_labeler("cpu")(["cardiomegaly"])[0][1] == 1
