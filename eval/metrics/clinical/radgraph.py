"""RadGraph reward: entities and relations of a report against those of its reference, on given graphs.

Where they stand: `meta.radgraph` of a record, `{"reference": GRAPH, "prediction": GRAPH}`, a graph in RadGraph's own
form: `{"1": {"tokens": "effusion", "label": "OBS-DP", "relations": [["located_at", "2"]]}, ...}`, or its whole output
for the report, which holds these under `entities`; `{}` for an empty report. Rules: the three reward levels of the
radgraph package 0.1.18, digit for digit (Jain et al. 2021; Delbrouck et al. 2022).
"""

from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, model_validator

from ...statistics.measure import Measures, mean

LEVELS = ("simple", "partial", "complete")


class Entity(BaseModel):
    """One entity: its words, its label (`OBS-DP`, `OBS-DA`, `ANAT-DP`, ...) and `[relation, id of the target]`s."""

    tokens: str
    label: str
    relations: list[tuple[str, str]] = []


def _entities(value: Any) -> Any:
    # a graph may hold an entity of the id "entities", which has tokens
    whole = isinstance(value, dict) and isinstance(value.get("entities"), dict) and "tokens" not in value["entities"]
    return value["entities"] if whole else value


Graph = Annotated[dict[str, Entity], BeforeValidator(_entities)]


class Graphs(BaseModel):
    """`meta.radgraph` of one record."""

    reference: Graph
    prediction: Graph

    @model_validator(mode="after")
    def _check(self) -> "Graphs":
        for side in (self.reference, self.prediction):
            for name, entity in side.items():
                if lost := [target for _, target in entity.relations if target not in side]:
                    raise ValueError(f"entity {name!r} is related to {lost[0]!r}, which is not there")
        return self


Form = Graphs


def facts(graph: Mapping[str, Entity], level: str) -> AbstractSet[tuple[Any, ...]]:
    """What a graph says at a level, each thing once.

    `simple`: words and label of every entity; `partial`: also whether it has a relation; `complete`: an entity with
    relations stands once for each, with the relation and the words of its target, all words then in lower case.
    """
    if level == "simple":
        return {(entity.tokens, entity.label) for entity in graph.values()}
    if level == "partial":
        return {(entity.tokens, entity.label, bool(entity.relations)) for entity in graph.values()}
    # "complete": the package lowers the words of entities with relations alone
    alone = {(entity.tokens, entity.label) for entity in graph.values() if not entity.relations}
    return alone | {
        (entity.tokens.lower(), entity.label, relation, graph[target].tokens.lower())
        for entity in graph.values()
        for relation, target in entity.relations
    }


def reward(graphs: Graphs, level: str) -> float:
    """F1 in [0, 1] of the two sets of facts; 0 where either is empty."""
    wanted, written = facts(graphs.reference, level), facts(graphs.prediction, level)
    return 2 * len(wanted & written) / (len(wanted) + len(written)) if wanted and written else 0.0


def measures(values: Sequence[Graphs], rows: Sequence[int], *_others: Any) -> tuple[Measures, list[str]]:
    """radgraph_simple, radgraph_partial, radgraph_complete: mean rewards in [0, 1]; there is nothing to note."""
    return {f"radgraph_{level}": mean([reward(one, level) for one in values], rows) for level in LEVELS}, []
