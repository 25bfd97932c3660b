"""The switch: which regions a prompt is given. One function builds every source from the same caches."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from .bad_input import BadInput
from .evidence import Evidence, EvidenceSettings, Source, derangement, scatter, select, transplant
from .grounder import true_regions
from .types import Region, Study


@dataclass(frozen=True, kw_only=True, eq=False)
class Query:
    """What one prompt asks to be grounded: `asked` by the question itself, `usual` for its modality."""

    study: Study
    asked: tuple[str, ...] = ()
    usual: tuple[str, ...] = ()

    @property
    def phrases(self) -> tuple[str, ...]:
        """Every phrase to look for, asked ones first, none twice."""
        return tuple(dict.fromkeys([*self.asked, *self.usual]))


@dataclass(frozen=True, kw_only=True)
class RegionCaches:
    """Regions by study id: what the grounder found, and what is true."""

    predicted: Mapping[str, Sequence[Region]]
    truth: Mapping[str, Sequence[Region]]


def evidence_for(
    source: Source, queries: Sequence[Query], caches: RegionCaches, settings: EvidenceSettings, seed: int = 0
) -> list[Evidence]:
    """One `Evidence` a query. `shuffled` takes the predicted regions of another image of the same modality, the same
    donor for every query on one image; `random` keeps the predicted phrases and sizes. Seeds fix both.

    Raises `BadInput` if `oracle` is asked for and no study has a true region.
    """
    if source == "none":
        return [Evidence.none(query.study.size_px) for query in queries]
    if source == "oracle" and queries and not any(caches.truth.get(query.study.study_id) for query in queries):
        raise BadInput("evidence source 'oracle' needs true regions, these studies have none.", fix="leave it out")
    found = [_gather("oracle" if source == "oracle" else "predicted", query, caches, settings) for query in queries]
    if source == "shuffled":
        return _shuffle(queries, caches, settings, seed)
    if source == "random":
        return [scatter(evidence, np.random.default_rng([seed, i])) for i, evidence in enumerate(found)]
    return found


def true_evidence(study: Study) -> Evidence:
    """Every phrase that the set annotates on the image, with its true regions: what citations are held against."""
    regions = tuple(true_regions(study, study.phrases))
    return Evidence(source="oracle", size_px=study.size_px, regions=regions, phrases=study.phrases)


def _gather(source: Source, query: Query, caches: RegionCaches, settings: EvidenceSettings) -> Evidence:
    """The regions of the query's phrases from its own image, the best of them kept."""
    cache = caches.truth if source == "oracle" else caches.predicted
    regions = [r for r in cache.get(query.study.study_id, ()) if r.phrase in query.phrases]
    evidence = Evidence(source=source, size_px=query.study.size_px, regions=tuple(regions), phrases=query.asked)
    return select(evidence, settings)


def _shuffle(queries: Sequence[Query], caches: RegionCaches, settings: EvidenceSettings, seed: int) -> list[Evidence]:
    """Every query answered from its donor image, its own asked phrases kept."""
    studies = {query.study.study_id: query.study for query in queries}
    order = list(studies.values())
    donors = derangement([study.modality for study in order], np.random.default_rng(seed))
    donor_of = {study.study_id: order[donor] for study, donor in zip(order, donors, strict=True)}
    shuffled = []
    for query in queries:
        donor = Query(study=donor_of[query.study.study_id], asked=query.asked, usual=query.usual)
        own = Evidence(source="shuffled", size_px=query.study.size_px, phrases=query.asked)
        shuffled.append(transplant(own, _gather("predicted", donor, caches, settings)))
    return shuffled
