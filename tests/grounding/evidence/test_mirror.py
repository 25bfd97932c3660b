"""Found in the mirror and told of the stored picture is what a picture stored mirrored would give."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageOps

from medglip.grounding.evidence.controls import InMirror, mirror_evidence, mirror_image
from medglip.grounding.evidence.evidence import Evidence
from medglip.grounding.evidence.forms.tokens import TokenShape, token_features
from medglip.grounding.grounders.cache import regions_of
from medglip.grounding.grounders.medglip import GrounderSettings, MedGlipGrounder
from medglip.grounding.grounders.oracle import TruthGrounder
from medglip.grounding.types import AnnotatedImage, Region

SIDED, OTHER = ["left bright square", "dark square"], ["right bright square", "dark square"]


@pytest.fixture
def pair(make_studies: Callable[[int], list[AnnotatedImage]], tmp_path: Path) -> tuple[AnnotatedImage, AnnotatedImage]:
    """A study with a region on one side, and the same as if its picture had been stored flipped."""
    shown = make_studies(2)[1]
    regions = (replace(shown.regions[0], phrase=SIDED[0]), shown.regions[1])
    shown = replace(shown, regions=regions, phrases=tuple(SIDED))
    path = tmp_path / "flipped.png"
    ImageOps.mirror(Image.open(shown.image_path)).save(path)
    return shown, replace(mirror_image(shown), image_path=path)


def features(regions: list[Region], image: AnnotatedImage) -> np.ndarray:
    """Boxes, embeddings and scores of the regions, as a prompt has them of the flipped picture."""
    evidence = Evidence.of_image("predicted", image.size_px, regions)
    return token_features(evidence, TokenShape(len(regions[0].embedding if regions[0].embedding is not None else ())))


def same(a: list[Region], b: list[Region], image: AnnotatedImage) -> bool:
    said = [[(r.phrase, r.path, r.mask is None) for r in regions] for regions in (a, b)]
    return said[0] == said[1] and np.allclose(features(a, image), features(b, image), atol=1e-4)


def seen(regions: list[Region], image: AnnotatedImage) -> list[Region]:
    """As the probe shows them."""
    return list(mirror_evidence(Evidence.of_image("predicted", image.size_px, regions)).regions)


def test_what_is_found_in_the_mirror_is_that_of_the_flipped_picture(
    tiny_grounder: MedGlipGrounder, pair: tuple[AnnotatedImage, AnnotatedImage]
) -> None:
    shown, flipped = pair
    limits = GrounderSettings(min_score=0.0, max_per_phrase=20)
    tiny_grounder = MedGlipGrounder(tiny_grounder.model, tiny_grounder.processor, limits)
    plain = tiny_grounder.ground([shown], [SIDED])[0]
    in_mirror = InMirror(tiny_grounder.mirror())
    found = in_mirror.ground([shown], [SIDED])[0]
    assert {region.phrase for region in found} == set(SIDED)
    assert same(seen(found, shown), tiny_grounder.ground([flipped], [OTHER])[0], shown)
    # flipped twice it is what the picture as stored gives
    assert same(seen(in_mirror.ground([flipped], [OTHER])[0], shown), plain, shown)
    assert same(tiny_grounder.ground([shown], [SIDED])[0], plain, shown)
    assert not same(found, plain, shown)


def test_true_regions_keep_their_boxes_and_are_read_in_the_flipped_picture(
    tiny_grounder: MedGlipGrounder, pair: tuple[AnnotatedImage, AnnotatedImage]
) -> None:
    shown, flipped = pair
    oracle = InMirror(TruthGrounder(tiny_grounder.mirror()))
    found = oracle.ground([shown], [SIDED])[0]
    plain = TruthGrounder(tiny_grounder).ground([shown], [SIDED])[0]
    assert oracle.depends_on_annotations
    assert [r.phrase for r in found] == [r.phrase for r in plain] == SIDED
    assert all(np.allclose(a.box_xyxy_px, b.box_xyxy_px) for a, b in zip(found, plain, strict=True))
    dim = tiny_grounder.embedding_dim
    vectors = [features(regions, shown)[:, :dim] for regions in (found, plain)]
    assert not any(np.allclose(a, b) for a, b in zip(*vectors, strict=True))
    assert same(seen(found, shown), TruthGrounder(tiny_grounder).ground([flipped], [OTHER])[0], shown)


def test_both_are_kept_apart_on_disk(
    tiny_grounder: MedGlipGrounder, pair: tuple[AnnotatedImage, AnnotatedImage], tmp_path: Path
) -> None:
    shown, _ = pair
    cache = tmp_path / "regions"
    plain, _ = regions_of(tiny_grounder, [shown], [SIDED], cache)
    found, skipped = regions_of(InMirror(tiny_grounder.mirror()), [shown], [SIDED], cache)
    again, _ = regions_of(tiny_grounder, [shown], [SIDED], cache)
    assert not skipped.entries
    assert same(plain["image-1"], again["image-1"], shown)
    assert not same(plain["image-1"], found["image-1"], shown)
