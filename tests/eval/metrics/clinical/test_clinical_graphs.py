import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from medglip.eval.hf_metrics import RadGraphReward
from medglip.eval.metrics.clinical.radgraph import LEVELS, Graphs, measures, reward
from medglip.eval.metrics.fields import field_measures
from medglip.eval.settings import EvalSettings
from medglip.grounding.bad_input import BadInput

Make = Callable[..., Any]


def _entity(tokens: str, label: str, *relations: tuple[str, str]) -> dict[str, Any]:
    return {"tokens": tokens, "label": label, "relations": [list(pair) for pair in relations], "start_ix": 0}


REFERENCE = {
    "1": _entity("small", "OBS-DP", ("modify", "2")),
    "2": _entity("effusion", "OBS-DP", ("located_at", "3")),
    "3": _entity("left", "ANAT-DP"),
}
PREDICTION = {
    "1": _entity("effusion", "OBS-DP", ("located_at", "2")),
    "2": _entity("right", "ANAT-DP"),
}


def _rewards(reference: Any, prediction: Any) -> list[float]:
    graphs = Graphs(reference=reference, prediction=prediction)
    return [reward(graphs, level) for level in LEVELS]


def test_rewards_by_hand() -> None:
    # simple and partial: effusion of 3 and 2; complete: located_at left is not located_at right
    assert _rewards(REFERENCE, PREDICTION) == pytest.approx([2 / 5, 2 / 5, 0.0])
    assert _rewards(REFERENCE, REFERENCE) == [1.0, 1.0, 1.0]
    alone = {"1": _entity("effusion", "OBS-DP")}
    assert _rewards(REFERENCE, alone) == pytest.approx([2 / 4, 0.0, 0.0])  # it has no relation there


def test_a_flipped_negation_costs() -> None:
    assert _rewards({"1": _entity("edema", "OBS-DP")}, {"1": _entity("edema", "OBS-DA")}) == [0.0] * 3


def test_case_counts_but_for_relations() -> None:
    upper = {"1": _entity("Effusion", "OBS-DP", ("located_at", "2")), "2": _entity("Left", "ANAT-DP")}
    lower = {"1": _entity("effusion", "OBS-DP", ("located_at", "2")), "2": _entity("left", "ANAT-DP")}
    assert _rewards(upper, lower) == [0.0, 0.0, pytest.approx(1 / 2)]  # as the radgraph package has it


def test_an_entity_counts_once_however_often_it_is_said() -> None:
    twice = {"1": _entity("edema", "OBS-DP"), "2": _entity("edema", "OBS-DP")}
    assert _rewards(twice, {"1": _entity("edema", "OBS-DP")}) == [1.0] * 3


def test_every_relation_of_an_entity_counts() -> None:
    places = {"2": _entity("left", "ANAT-DP"), "3": _entity("base", "ANAT-DP")}
    both = {"1": _entity("opacity", "OBS-DP", ("located_at", "2"), ("located_at", "3")), **places}
    one = {"1": _entity("opacity", "OBS-DP", ("located_at", "2")), **places}
    assert _rewards(both, one) == pytest.approx([1.0, 1.0, 2 * 3 / 7])


def test_empty_graphs_are_worth_nothing() -> None:
    assert _rewards({}, {}) == [0.0] * 3
    assert _rewards(REFERENCE, {}) == [0.0] * 3


def test_means_over_the_records_that_hold_graphs(record: Make) -> None:
    whole = {"text": "a small left effusion", "entities": REFERENCE}  # radgraph's whole output for a report
    metas = [{"radgraph": {"reference": whole, "prediction": REFERENCE}}, {}, {"radgraph": None}, None]
    metas.append({"radgraph": {"reference": REFERENCE, "prediction": PREDICTION}})
    records = [record(row, "report", "a", "b", meta=meta) for row, meta in enumerate(metas)]
    found, notes = field_measures(records, EvalSettings())
    assert [measure.value for measure in found.values()] == pytest.approx([0.7, 0.7, 0.5])
    assert found["radgraph_simple"].rows_N.tolist() == [0, 4]
    assert notes[0] == "RadGraph reward: 3 of 5 records hold no meta.radgraph and are not among it."
    assert found["radgraph_simple"].value_at(np.array([[0.0, 2.0]])) == pytest.approx([0.4])


@pytest.mark.parametrize(
    ("graph", "problem"),
    [
        ({"1": {"tokens": "edema"}}, r"meta\.radgraph\.reference\.1\.label of 's0'"),
        ({"1": _entity("edema", "OBS-DP", ("modify", "9"))}, r"'1' is related to '9', which is not there"),
        ([], r"meta\.radgraph\.reference of 's0'"),
        ({"1": {"tokens": "edema", "label": "OBS-DP", "relations": [["modify"]]}}, r"relations\.0\.1 of 's0'"),
    ],
)
def test_broken_graphs_name_the_record(record: Make, graph: Any, problem: str) -> None:
    given = {"radgraph": {"reference": graph, "prediction": {}}}
    with pytest.raises(BadInput, match=problem):
        field_measures([record(0, "report", "a", "b", meta=given)], EvalSettings())


def test_metric_of_evaluate() -> None:
    texts = [json.dumps(REFERENCE), json.dumps(PREDICTION)]
    found = RadGraphReward().compute(predictions=texts, references=texts[:1] * 2)
    graphs = [Graphs(reference=REFERENCE, prediction=json.loads(text)) for text in texts]  # pyright: ignore[reportArgumentType]
    assert found is not None
    assert found == {name: measure.value for name, measure in measures(graphs, [0, 1])[0].items()}
    assert found["radgraph_simple"] == pytest.approx(0.7)
