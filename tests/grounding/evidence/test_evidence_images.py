"""Evidence of several images: numbers run through, each image keeps its own frame, the first is as if it were alone."""

from dataclasses import replace

import numpy as np
import pytest
from making import make_image

from medglip.grounding.evidence.controls import mirror_evidence
from medglip.grounding.evidence.evidence import (
    Evidence,
    EvidenceSettings,
    ImageEvidence,
    perturb,
    select,
    without_masks,
)
from medglip.grounding.evidence.forms.tokens import TokenShape, token_features
from medglip.grounding.evidence.names import SOURCES, Source
from medglip.grounding.evidence.render import to_text
from medglip.grounding.evidence.sources import Query, RegionCaches, evidence_for
from medglip.grounding.types import Region

VOCABULARY = {"ct": ("liver",), "mr": ("brain",)}


def region(phrase: str, x: float, score: float = 0.9) -> Region:
    box, mask = np.array([x, 0, x + 10, 10], np.float32), np.zeros((50, 100), bool)
    return Region(phrase=phrase, box_xyxy_px=box, score=score, mask=mask, embedding=np.full(3, x, np.float32))


STUDIES = {name: make_image(name, size_px=(100 * k, 50)) for k, name in enumerate("abcde", 1)}
FOUND = {
    "a": [region("left cyst", 10, 0.8), region("liver", 20, 0.99)],
    "b": [region("left cyst", 30, 0.9), region("liver", 40, 0.5), region("left cyst", 50, 0.35)],
    "c": [region("liver", 60, 0.7)],
    "d": [region("left cyst", 70, 0.6)],
    "e": [region("liver", 80, 0.6)],
}
CACHES = RegionCaches(predicted=FOUND, truth=FOUND)
SETTINGS = EvidenceSettings(max_regions=3)


def query(*names: str) -> Query:
    return Query.of([STUDIES[name] for name in names], ("left cyst",), VOCABULARY)


@pytest.mark.parametrize("source", SOURCES)
def test_further_images_change_nothing_for_the_first(source: Source) -> None:
    alone = evidence_for(source, [query(name) for name in "abc"], CACHES, SETTINGS, seed=2)
    several = [query("a", "d", "b"), query("b"), query("c", "e")]
    together = evidence_for(source, several, CACHES, SETTINGS, seed=2)
    for one, all_of_it in zip(alone, together, strict=True):
        first = replace(all_of_it, images=all_of_it.images[:1])
        assert to_text(first, EvidenceSettings(forms=("text", "tokens"))) == to_text(
            one, EvidenceSettings(forms=("text", "tokens"))
        )
        assert np.array_equal(token_features(first, TokenShape(3)), token_features(one, TokenShape(3)))
    assert [len(evidence.images) for evidence in together] == (
        [0, 0, 0] if source in ("none", "withheld") else [3, 1, 2]
    )
    again = evidence_for(source, several, CACHES, SETTINGS, seed=2)
    assert all(
        np.array_equal(token_features(x, TokenShape(3)), token_features(y, TokenShape(3)))
        for x, y in zip(again, together, strict=True)
    )


def test_no_image_is_its_own_donor() -> None:
    for seed in range(5):
        found = evidence_for("shuffled", [query("a", "d"), query("b", "e")], CACHES, SETTINGS, seed=seed)
        for names, evidence in zip(("ad", "be"), found, strict=True):
            for name, part in zip(names, evidence.images, strict=True):
                own = {float(r.embedding[0]) for r in FOUND[name] if r.embedding is not None}
                assert not own & {float(r.embedding[0]) for r in part.regions if r.embedding is not None}


def test_every_image_is_asked_what_is_usual_in_its_modality() -> None:
    asked = Query.of([STUDIES["a"], make_image("m", modality="mr")], ("left cyst",), VOCABULARY)
    assert [image.phrases for image in asked.images] == [("left cyst", "liver"), ("left cyst", "brain")]


def test_numbers_run_through_and_the_best_of_all_images_are_shown() -> None:
    (evidence,) = evidence_for("predicted", [query("a", "c", "b")], CACHES, SETTINGS)
    shown = select(evidence, SETTINGS)
    assert [(image, r.phrase, r.score) for image, r in shown.numbered] == [
        (1, "left cyst", 0.8),
        (3, "left cyst", 0.9),
        (3, "left cyst", 0.35),
    ]
    assert to_text(shown, EvidenceSettings(forms=("text", "tokens"))).splitlines() == [
        "Image 1:",
        "1 <region> left cyst, upper left, 10 0 20 20",
        "Image 2:",
        "left cyst: not found",
        "Image 3:",
        "2 <region> left cyst, upper left, 15 0 20 20",
        "3 <region> left cyst, upper left, 25 0 30 20",
    ]
    assert to_text(shown, EvidenceSettings(forms=("tokens",))).splitlines() == [
        "Image 1:",
        "1 <region>",
        "Image 3:",
        "2 <region>",
        "3 <region>",
    ]
    features = token_features(shown, TokenShape(3))
    assert features[:, 0].tolist() == [10, 30, 50]
    np.testing.assert_allclose(features[:, 3], [10 / 100, 30 / 200, 50 / 200])
    assert select(shown, SETTINGS).numbered == shown.numbered
    nothing = Evidence(source="predicted", images=(ImageEvidence(size_px=(9, 9)),) * 2)
    assert to_text(nothing, EvidenceSettings(forms=("text",), say_nothing_found=True)) == "no region found"


def test_all_images_are_changed_each_in_its_own_frame() -> None:
    (evidence,) = evidence_for("predicted", [query("a", "b")], CACHES, SETTINGS)
    once = mirror_evidence(evidence)
    assert [r.phrase for _, r in once.numbered][:1] == ["right cyst"] == list(once.images[1].phrases)
    assert once.images[1].regions[0].box_xyxy_px.tolist() == [160, 0, 170, 10]
    twice = mirror_evidence(once)
    assert to_text(twice, EvidenceSettings(forms=("text",))) == to_text(evidence, EvidenceSettings(forms=("text",)))
    moved = perturb(evidence, EvidenceSettings(dropout=0.0, jitter=0.3), np.random.default_rng(0))
    boxes = [[r.box_xyxy_px.tolist() for _, r in e.numbered] for e in (evidence, moved)]
    assert all(before != after for before, after in zip(*boxes, strict=True))
    assert not perturb(evidence, EvidenceSettings(dropout=1.0), np.random.default_rng(0)).numbered
    assert all(r.mask is None for _, r in without_masks(evidence).numbered)
