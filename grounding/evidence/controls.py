"""Controls over evidence: another image's regions, random places, the picture flipped."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from ..geometry import mirror_boxes
from ..types import Region
from ..vocabulary.phrases import mirror
from .evidence import Evidence


def transplant(evidence: Evidence, donor: Evidence) -> Evidence:
    """The donor's regions, scaled to this image: the `shuffled` control keeps everything but the truth."""
    scale = np.tile(np.array(evidence.size_px, np.float32) / np.array(donor.size_px, np.float32), 2)
    regions = tuple(replace(r, box_xyxy_px=r.box_xyxy_px * scale, mask=None) for r in donor.regions)
    return replace(evidence, source="shuffled", regions=regions)


def scatter(evidence: Evidence, rng: np.random.Generator) -> Evidence:
    """The same phrases and sizes at random places, embeddings removed: the `random` control."""
    regions = tuple(_move(region, evidence.size_px, rng) for region in evidence.regions)
    return replace(evidence, source="random", regions=regions)


def _move(region: Region, size_px: tuple[int, int], rng: np.random.Generator) -> Region:
    sides = region.box_xyxy_px[2:] - region.box_xyxy_px[:2]
    room = np.maximum(np.array(size_px, np.float32) - sides, 0)
    corner = (room * rng.random(2)).astype(np.float32)
    embedding = None if region.embedding is None else np.zeros_like(region.embedding)
    return replace(region, box_xyxy_px=np.concatenate([corner, corner + sides]), mask=None, embedding=embedding)


def mirrored(evidence: Evidence) -> Evidence:
    """The same evidence for the picture flipped left to right, in places and words; mirrored twice it is unchanged.

    Embeddings stay: those of the flipped picture must be read in it, see `mirror.InMirror`.
    """
    return evidence.each(_mirrored)


def _mirrored(evidence: Evidence) -> Evidence:
    width, phrases = evidence.size_px[0], tuple(mirror(phrase)[0] for phrase in evidence.phrases)
    regions = tuple(mirrored_region(region, width) for region in evidence.regions)
    return replace(evidence, regions=regions, phrases=phrases)


def mirrored_region(region: Region, width: int) -> Region:
    """The region in an image of this width in pixels flipped left to right; its own inverse but for rounding."""
    mask = None if region.mask is None else np.ascontiguousarray(region.mask[:, ::-1])
    return replace(
        region,
        phrase=mirror(region.phrase)[0],
        path=tuple(mirror(name)[0] for name in region.path),
        box_xyxy_px=mirror_boxes(region.box_xyxy_px, width),
        mask=mask,
    )


def derangement(groups: Sequence[str], rng: np.random.Generator) -> list[int]:
    """For each place a donor's index from the same group (a modality, say), never itself; any other if alone in it."""
    donors = list(range(len(groups)))
    for group in sorted(set(groups)):
        members = rng.permutation([i for i, g in enumerate(groups) if g == group])
        for place, donor in zip(members, np.roll(members, 1), strict=True):
            donors[place] = int(donor)
    others = max(len(groups), 1)
    return [(i + 1) % others if donor == i else donor for i, donor in enumerate(donors)]
