"""The switch: which regions a prompt is given. Every source is a module here and a row in `names.SOURCES`.

A module holds `gather_images(queries, caches, settings, seed) -> Gathered`.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from importlib import import_module

from ...grounder import true_regions
from ...types import AnnotatedImage, Region
from ..evidence import Evidence, EvidenceSettings, ImageEvidence, gather
from ..names import SOURCES, Source, needs_outlines
from ..outlines import outlined

Gathered = list[list[ImageEvidence]]
"""Of each query the evidence of each of its images."""
Look = Callable[[EvidenceSettings], Evidence]
"""The evidence of one query by what is shown of it; its regions are looked for once, whatever is shown."""


@dataclass(frozen=True, kw_only=True, eq=False)
class ImageQuery:
    """What is looked for in one image: `asked` by the question itself, `usual` in its modality.

    `granted`: those asked for that the question takes to be there. `known`: what the true regions of an image are
    called of which nobody says what was looked for in it (MS-CXR's boxes in a report's image); the oracle shows these.
    """

    image: AnnotatedImage
    asked: tuple[str, ...] = ()
    granted: tuple[str, ...] = ()
    usual: tuple[str, ...] = ()
    known: tuple[str, ...] = ()

    @property
    def phrases(self) -> tuple[str, ...]:
        """Every phrase to look for, asked ones first, none twice."""
        return tuple(dict.fromkeys([*self.asked, *self.usual]))

    @property
    def evidence(self) -> ImageEvidence:
        """What is looked for, without regions."""
        return ImageEvidence(size_px=self.image.size_px, phrases=self.asked, granted=self.granted)

    @property
    def for_oracle(self) -> "ImageQuery":
        """The query as the oracle is asked it."""
        return replace(self, usual=self.known) if self.known else self


@dataclass(frozen=True, kw_only=True, eq=False)
class Query:
    """What one prompt asks to be grounded in each of its images, in order; at least one."""

    images: tuple[ImageQuery, ...]

    @staticmethod
    def of(
        images: Iterable[AnnotatedImage],
        asked: Sequence[str] = (),
        vocabulary: Mapping[str, Sequence[str]] | None = None,
        granted: Sequence[str] = (),
    ) -> "Query":
        """Of a prompt's images: `asked` of all, those `granted` among them, and of each what `vocabulary` has for its
        modality.

        In a film from the side nothing is looked for: no region set holds one, so that a core finds the organs of a
        frontal film there, in wrong places. The model sees it as a picture.
        """
        usual = vocabulary or {}
        rows: list[ImageQuery] = []
        for image in images:
            words = {"asked": tuple(asked), "usual": tuple(usual.get(image.modality, ())), "granted": tuple(granted)}
            known = () if image.phrases else tuple(dict.fromkeys(region.phrase for region in image.regions))
            rows.append(ImageQuery(image=image, known=known, **({} if image.is_lateral else words)))
        return Query(images=tuple(rows))

    @property
    def first(self) -> ImageQuery:
        """The query of the first image."""
        return self.images[0]


@dataclass(frozen=True, kw_only=True)
class RegionCaches:
    """Regions by image id: those of the grounder, and the true ones."""

    predicted: Mapping[str, Sequence[Region]]
    truth: Mapping[str, Sequence[Region]]

    def without_masks(self, settings: EvidenceSettings) -> "RegionCaches":
        """The same regions for prompts, which have no use for masks but for outlines, where a form draws them.

        Those of an image are read once: its masks, over and over for thousands of questions, would fill the memory.
        """
        draws = needs_outlines(settings.forms)
        return RegionCaches(predicted=_Maskless(self.predicted, draws), truth=_Maskless(self.truth, draws))


class _Maskless(Mapping[str, Sequence[Region]]):
    """Regions by image id, none with its mask."""

    def __init__(self, regions: Mapping[str, Sequence[Region]], draws_outlines: bool):
        self._regions, self._draws = regions, draws_outlines
        self._read: dict[str, tuple[Region, ...]] = {}

    def __getitem__(self, image_id: str) -> tuple[Region, ...]:
        if image_id not in self._read:
            whole = self._regions[image_id]
            kept = map(outlined, whole) if self._draws else whole
            self._read[image_id] = tuple(replace(region, mask=None) for region in kept)
        return self._read[image_id]

    def __iter__(self) -> Iterator[str]:
        return iter(self._regions)

    def __len__(self) -> int:
        return len(self._regions)


def evidence_for(
    source: Source, queries: Sequence[Query], caches: RegionCaches, settings: EvidenceSettings, seed: int = 0
) -> list[Evidence]:
    """One `Evidence` a query, of the regions that each of its images may contribute (see `evidence.gather`).

    The seed fixes what is random. What further images there are changes nothing for the first ones.
    Raises `BadInput` if a source needs true regions and no image has one.
    """
    if not (module := SOURCES[source].module):
        return [Evidence(source=source) for _ in queries]
    rows = import_module(f".{module}", __name__).gather_images(queries, caches, settings, seed)
    return [Evidence(source=source, images=tuple(images)) for images in rows]


def look_for(source: Source, query: Query, find: Callable[[AnnotatedImage, Sequence[str]], Sequence[Region]]) -> Look:
    """What gives the evidence of a query; `find` gives the regions of an image, and is called now, once an image."""
    # nobody looks where nothing is shown, which saves the core for `none` and `withheld`
    images = query.images if SOURCES[source].module else ()
    caches = RegionCaches(predicted={one.image.image_id: find(one.image, one.phrases) for one in images}, truth={})
    return lambda shown: evidence_for(source, [query], caches, shown)[0]


def gather_regions(
    query: ImageQuery, regions: Mapping[str, Sequence[Region]], settings: EvidenceSettings
) -> ImageEvidence:
    """The best regions of the query's phrases out of its image's in a cache."""
    asked_for = [r for r in regions.get(query.image.image_id, ()) if r.phrase in query.phrases]
    return gather(replace(query.evidence, regions=tuple(asked_for)), settings)


def true_evidence(images: Iterable[AnnotatedImage]) -> Evidence:
    """Every phrase that the set annotates on each image, with its true regions: citations are scored against it."""
    rows = [
        ImageEvidence(size_px=i.size_px, regions=tuple(true_regions(i, i.phrases)), phrases=i.phrases) for i in images
    ]
    return Evidence(source="oracle", images=tuple(rows))
