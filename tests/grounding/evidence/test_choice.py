"""`max_regions_per_image`: findings first, never more anatomy than findings, lungs once in a prompt."""

import numpy as np
import pytest
from making import make_image

from medglip.grounding.evidence.choice import kind_of
from medglip.grounding.evidence.evidence import Evidence, EvidenceSettings, ImageEvidence, gather, select
from medglip.grounding.evidence.sources import Query, RegionCaches, evidence_for
from medglip.grounding.types import Region
from medglip.grounding.vocabulary.labels import load_labels

LUNGS = {"left lung": 0.95, "right lung": 0.94, "heart": 0.9}


def regions(**scores: float) -> tuple[Region, ...]:
    box, path = np.array([1, 1, 9, 9], np.float32), load_labels().path
    names = {name.replace("_", " "): score for name, score in scores.items()}
    return tuple(Region(phrase=n, box_xyxy_px=box, score=s, path=path(n)) for n, s in names.items())


def view(*asked: str, **scores: float) -> ImageEvidence:
    return ImageEvidence(size_px=(10, 10), regions=regions(**LUNGS, **scores), phrases=asked)


def shown(*views: ImageEvidence, most: int = 4, **settings: int) -> list[list[str]]:
    chosen = EvidenceSettings(**{"max_regions": 4, "max_regions_per_image": most, **settings})  # pyright: ignore[reportArgumentType]
    once = select(Evidence(source="predicted", images=views), chosen)
    again = select(once, chosen)
    assert [i.regions for i in again.images] == [i.regions for i in once.images]
    return [[region.phrase for region in image.regions] for image in once.images]


@pytest.mark.parametrize(
    ("found", "wanted"),
    [
        ({}, ["left lung", "right lung"]),
        ({"opacity": 0.5}, ["left lung", "opacity"]),
        ({"opacity": 0.5, "nodule": 0.4}, ["left lung", "right lung", "opacity", "nodule"]),
        ({"opacity": 0.5, "nodule": 0.4, "cardiomegaly": 0.35}, ["left lung", "opacity", "nodule", "cardiomegaly"]),
        ({"pacemaker": 0.99}, ["pacemaker", "left lung", "right lung"]),  # a device is no finding and no anatomy
        ({"opacity": 0.2}, ["left lung", "right lung"]),  # below min_score: not found
    ],
)
def test_anatomy_is_never_more_than_findings(found: dict[str, float], wanted: list[str]) -> None:
    assert shown(view(**found)) == [wanted]


def test_two_views_do_not_fill_the_places_with_the_lungs_of_both() -> None:
    assert shown(view(), view()) == [["left lung", "right lung"], []]
    assert shown(view(opacity=0.4), view()) == [["left lung", "opacity"], ["right lung"]]
    assert shown(view(opacity=0.4), view(nodule=0.4), max_regions=2) == [["opacity"], ["nodule"]]


def test_what_a_question_names_keeps_its_place_and_without_the_limit_all_is_as_before() -> None:
    assert shown(view("heart", "left lung", opacity=0.5), most=3) == [["left lung", "heart", "opacity"]]
    before = EvidenceSettings(max_regions=3)
    assert [r.phrase for r in gather(view(opacity=0.5), before).regions] == list(LUNGS)


def test_kinds_follow_the_tree_and_a_sentence_is_of_its_category() -> None:
    sentence = Region(
        phrase="patchy right base", box_xyxy_px=np.array([0, 0, 1, 1], np.float32), path=load_labels().path("pneumonia")
    )
    kinds = [kind_of(region) for region in (*regions(heart=1, edema=1, pacemaker=1), sentence)]
    assert kinds == ["anatomy", "finding", "device", "finding"]


def test_nothing_is_looked_for_in_a_film_from_the_side_and_no_frontal_one_takes_from_it() -> None:
    usual = {"xray": ["left lung", "opacity"]}
    images = [make_image(f"{k}", modality="xray", is_lateral=k % 2 == 1, group=f"p{k // 2}") for k in range(8)]
    assert Query.of(images[1:2], ["heart"], usual).first.phrases == ()
    queries = [Query.of(images[k : k + 2], (), usual) for k in range(0, 8, 2)]
    caches = RegionCaches(predicted={image.image_id: regions(opacity=0.9) for image in images}, truth={})
    for evidence in evidence_for("shuffled", queries, caches, EvidenceSettings()):
        assert [len(image.regions) for image in evidence.images] == [1, 0]


def test_the_oracle_shows_what_an_image_has_though_nobody_says_what_was_looked_for() -> None:
    image = make_image("a", modality="xray", regions=regions(pneumonia=1, opacity=1))
    query = Query.of([image], (), {"xray": ["heart"]})
    assert (query.first.phrases, query.first.for_oracle.phrases) == (("heart",), ("pneumonia", "opacity"))
    caches = RegionCaches(predicted={}, truth={"a": image.regions})
    (evidence,) = evidence_for("oracle", [query], caches, EvidenceSettings())
    assert {region.phrase for region in evidence.regions} == {"pneumonia", "opacity"}
