"""The switch: which regions a prompt is given. One function builds every source from the same caches."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from ..bad_input import BadInput
from ..grounder import true_regions
from ..types import AnnotatedImage, Region
from .controls import derangement, scatter, transplant
from .evidence import Evidence, EvidenceSettings, Source, select


@dataclass(frozen=True, kw_only=True, eq=False)
class Query:
    """What one prompt asks to be grounded: `asked` by the question itself, `usual` for its modality.

    `others`: the same of the prompt's further images.
    """

    image: AnnotatedImage
    asked: tuple[str, ...] = ()
    usual: tuple[str, ...] = ()
    others: tuple["Query", ...] = ()

    @staticmethod
    def of(
        images: Sequence[AnnotatedImage], asked: tuple[str, ...], vocabulary: Mapping[str, Sequence[str]]
    ) -> "Query":
        """Of a prompt's images: `asked` of all, and of each what `vocabulary` has for its modality."""
        first, *others = (Query(image=s, asked=asked, usual=tuple(vocabulary.get(s.modality, ()))) for s in images)
        return replace(first, others=tuple(others))

    @property
    def images(self) -> tuple["Query", ...]:
        """Of every image, in order."""
        return (self, *self.others)

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
    donor for every query on one image; `random` keeps the predicted phrases and sizes. Seeds fix both. What further
    images there are changes nothing for the first ones.

    Raises `BadInput` if `oracle` is asked for and no study has a true region.
    """
    if source == "none":
        return [Evidence.none(query.image.size_px) for query in queries]
    images = [image for query in queries for image in query.images]
    if source == "oracle" and queries and not any(caches.truth.get(image.image.image_id) for image in images):
        raise BadInput("evidence source 'oracle' needs true regions, these studies have none.", fix="leave it out")
    donors = _donors(queries, seed) if source == "shuffled" else {}
    of_image = partial(_of_image, source, caches, settings, donors)
    found: list[Evidence] = []
    for i, query in enumerate(queries):  # seeds of the first image; one more number tells the others apart
        first, *others = (of_image(image, [seed, i, k] if k else [seed, i]) for k, image in enumerate(query.images))
        found.append(replace(first, others=tuple(others)))
    return found


def _of_image(
    source: Source,
    caches: RegionCaches,
    settings: EvidenceSettings,
    donors: Mapping[str, AnnotatedImage],
    query: Query,
    seeds: list[int],
) -> Evidence:
    if source == "shuffled":
        donor = replace(query, image=donors[query.image.image_id])
        own = Evidence(source="shuffled", size_px=query.image.size_px, phrases=query.asked)
        return transplant(own, _gather("predicted", donor, caches, settings))
    found = _gather("oracle" if source == "oracle" else "predicted", query, caches, settings)
    return scatter(found, np.random.default_rng(seeds)) if source == "random" else found


def true_evidence(image: AnnotatedImage) -> Evidence:
    """Every phrase that the set annotates on the image, with its true regions: what citations are held against."""
    regions = tuple(true_regions(image, image.phrases))
    return Evidence(source="oracle", size_px=image.size_px, regions=regions, phrases=image.phrases)


def _gather(source: Source, query: Query, caches: RegionCaches, settings: EvidenceSettings) -> Evidence:
    """The regions of the query's phrases from its own image, the best of them kept."""
    cache = caches.truth if source == "oracle" else caches.predicted
    regions = [r for r in cache.get(query.image.image_id, ()) if r.phrase in query.phrases]
    evidence = Evidence(source=source, size_px=query.image.size_px, regions=tuple(regions), phrases=query.asked)
    return select(evidence, settings)


def _donors(queries: Sequence[Query], seed: int) -> dict[str, AnnotatedImage]:
    """For each image, by its study's id, the one whose regions it is given: another first image of its modality.

    Images that are never first have donors of their own, so that those of the others stay as they are.
    """
    first = {query.image.image_id: query.image for query in queries}
    every = {image.image.image_id: image.image for query in queries for image in query.images}
    rng, found = np.random.default_rng(seed), dict[str, AnnotatedImage]()
    for order in (list(first.values()), list(every.values()) if len(every) > len(first) else []):
        donors = derangement([annotated.modality for annotated in order], rng)
        found = {annotated.image_id: order[donor] for annotated, donor in zip(order, donors, strict=True)} | found
    return found
