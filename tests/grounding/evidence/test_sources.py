"""The switch between evidence sources keeps what it promises to keep."""

from dataclasses import replace

import numpy as np
import pytest
from making import make_image
from PIL import Image

from medglip.grounding import BadInput, EvidenceSettings, Region
from medglip.grounding.evidence.controls import donors_for
from medglip.grounding.evidence.evidence import Evidence, ImageEvidence, drop_forms, perturb, select
from medglip.grounding.evidence.forms.tokens import POSITION_DIM, TokenShape, token_features
from medglip.grounding.evidence.names import SOURCES, Form, row_name
from medglip.grounding.evidence.render import to_images, to_text
from medglip.grounding.evidence.sources import Query, RegionCaches, evidence_for


def region(phrase: str, box: tuple[float, float, float, float], score: float = 0.9) -> Region:
    return Region(phrase=phrase, box_xyxy_px=np.array(box, np.float32), score=score, embedding=np.ones(3, np.float32))


STUDIES = [make_image("a"), make_image("b", size_px=(200, 100)), make_image("c")]
CACHES = RegionCaches(
    predicted={
        "a": [
            region("cyst", (10, 10, 30, 30)),
            region("liver", (0, 0, 90, 40), 0.95),
            region("cyst", (0, 0, 5, 5), 0.1),
        ],
        "b": [region("cyst", (100, 50, 200, 100))],
        "c": [],
    },
    truth={"a": [region("cyst", (11, 11, 31, 31), 1.0)]},
)
QUERIES = [Query.of([s], ("cyst",), {"ct": ("liver", "cyst")}) for s in STUDIES]
SETTINGS = EvidenceSettings(max_regions=2)
BOX = (0, 0, 9, 9)


def test_none_renders_to_nothing() -> None:
    for evidence in evidence_for("none", QUERIES, CACHES, SETTINGS):
        assert to_text(evidence, EvidenceSettings(forms=("text", "tokens"))) == ""
        assert token_features(evidence, TokenShape(3)).shape == (0, 3 + POSITION_DIM)


def test_asked_phrases_come_first_and_weak_regions_are_left_out() -> None:
    first = evidence_for("predicted", QUERIES, CACHES, SETTINGS)[0]
    assert [r.phrase for r in first.regions] == ["cyst", "liver"]


@pytest.mark.parametrize(("form", "has_outline"), [("text", False), ("contour", True)])
def test_regions_for_prompts_are_read_once_an_image_without_masks_with_their_outlines(
    form: Form, has_outline: bool
) -> None:
    reads: list[str] = []

    class Stored(dict[str, list[Region]]):
        def __getitem__(self, image_id: str) -> list[Region]:
            reads.append(image_id)
            return super().__getitem__(image_id)

    mask = np.zeros((100, 100), bool)
    mask[10:30, 10:30] = True
    stored = Stored(a=[replace(region("cyst", (10, 10, 30, 30)), mask=mask)])
    settings = EvidenceSettings(forms=(form,))
    caches = RegionCaches(predicted=stored, truth={}).without_masks(settings)
    queries = [Query.of([STUDIES[0]], ("cyst",)), Query.of([STUDIES[0]], ("cyst",))]
    shown = [r for evidence in evidence_for("predicted", queries, caches, settings) for r in evidence.regions]
    assert [(r.mask, r.outline is not None) for r in shown] == [(None, has_outline)] * 2
    assert reads == ["a"]


def test_the_best_of_every_phrase_comes_before_the_second_of_any() -> None:
    red = [region("red blood cell", (10 * k, 0, 10 * k + 9, 9)) for k in range(5)]
    image = make_image("a", modality="microscopy")
    caches = RegionCaches(predicted={"a": [*red, region("white blood cell", (60, 0, 90, 30), 0.5)]}, truth={})
    usual = {"microscopy": ("red blood cell", "white blood cell")}
    (evidence,) = evidence_for("predicted", [Query.of([image], (), usual)], caches, EvidenceSettings(max_regions=5))
    assert [r.phrase.split()[0] for r in evidence.regions] == ["red", "white", "red", "red", "red"]
    assert [r.box_xyxy_px[0] for r in evidence.regions if r.phrase == "red blood cell"] == [0, 10, 20, 30]


def test_of_equal_scores_the_larger_region_comes_first_and_ranking_twice_changes_nothing() -> None:
    regions = [region("cyst", (0, 0, 5, 5)), region("liver", (0, 0, 50, 50)), region("cyst", (0, 0, 20, 20))]
    image = ImageEvidence(size_px=(100, 50), regions=tuple(regions))
    evidence = Evidence(source="oracle", images=(image,)).best(3)
    assert [r.box_xyxy_px[2] for r in evidence.regions] == [50, 20, 5]
    assert evidence.best(2).regions == evidence.best(3).regions[:2]


def test_text_names_place_box_and_what_was_not_found() -> None:
    evidence = evidence_for("predicted", QUERIES, CACHES, SETTINGS)
    assert to_text(evidence[0], EvidenceSettings(forms=("text",))).splitlines()[0] == "1 cyst, left, 10 20 30 60"
    assert to_text(evidence[2], EvidenceSettings(forms=("text", "tokens"))) == "cyst: not found"
    assert to_text(evidence[0], EvidenceSettings(forms=("text", "tokens"))).count("<region>") == len(
        evidence[0].regions
    )


def test_shuffled_gives_another_images_regions_scaled_to_this_image() -> None:
    shuffled = evidence_for("shuffled", QUERIES, CACHES, SETTINGS, seed=1)
    donors = donors_for(STUDIES, np.random.default_rng(1))
    assert all(i != donor for i, donor in enumerate(donors))
    receiver = donors.index(1)
    scale = STUDIES[receiver].size_px[0] / 200
    np.testing.assert_allclose(shuffled[receiver].regions[0].box_xyxy_px, np.array([100, 50, 200, 100]) * scale)
    assert all(evidence.first.phrases == ("cyst",) for evidence in shuffled)


def test_donors_are_other_patients_of_like_anatomy_as_far_as_there_are_any() -> None:
    kinds = [("ct", "chest", "p"), ("ct", "chest", "p"), ("ct", "abdomen", "q"), ("ct", "chest", "r"), ("mr", "", "s")]
    images = [
        make_image(str(k), modality=modality, body_part=part, group=group)
        for k, (modality, part, group) in enumerate(kinds)
    ]
    for seed in range(8):
        donors = donors_for(images, np.random.default_rng(seed))
        assert donors[0] == donors[1] == 3  # the one chest of another patient
        assert donors[3] in (0, 1)
        assert donors[2] in (0, 1, 3)  # no other abdomen: another CT
        assert donors[4] in range(4)  # no other MR: anything
    assert donors_for(images[:2], np.random.default_rng(0)) == [1, 0]  # one patient alone: its other image


def test_random_keeps_what_a_region_is_in_every_form() -> None:
    pooled = (np.arange(2, dtype=np.float32),)
    rich = {name: [replace(r, pooled=pooled) for r in regions] for name, regions in CACHES.predicted.items()}
    caches = replace(CACHES, predicted=rich)
    for p, s in zip(
        *(evidence_for(source, QUERIES, caches, SETTINGS) for source in ("predicted", "random")), strict=True
    ):
        rows = [token_features(evidence, TokenShape(3, (2,))) for evidence in (p, s)]
        np.testing.assert_array_equal(rows[0][:, :5], rows[1][:, :5])


def test_random_keeps_phrases_and_sizes_and_stays_inside() -> None:
    for predicted, scattered in zip(
        evidence_for("predicted", QUERIES, CACHES, SETTINGS),
        evidence_for("random", QUERIES, CACHES, SETTINGS),
        strict=True,
    ):
        assert [r.phrase for r in predicted.regions] == [r.phrase for r in scattered.regions]
        for p, s in zip(predicted.regions, scattered.regions, strict=True):
            sides = [r.box_xyxy_px[2:] - r.box_xyxy_px[:2] for r in (p, s)]
            np.testing.assert_allclose(sides[0], sides[1], rtol=1e-5)
            assert (s.box_xyxy_px >= 0).all()
            assert (s.box_xyxy_px <= np.tile(scattered.first.size_px, 2) + 1e-3).all()


def test_oracle_without_any_truth_is_refused() -> None:
    with pytest.raises(BadInput, match="true regions"):
        evidence_for("oracle", QUERIES[1:], CACHES, SETTINGS)


def test_jitter_keeps_boxes_valid_and_dropout_gives_the_plain_prompt() -> None:
    evidence = evidence_for("predicted", QUERIES, CACHES, SETTINGS)[0]
    rng = np.random.default_rng(0)
    dropped = perturb(evidence, EvidenceSettings(dropout=1.0), rng)
    assert to_text(dropped, EvidenceSettings(forms=("text",))) == ""
    moved = perturb(evidence, EvidenceSettings(dropout=0.0, jitter=0.5), rng)
    assert len(moved.regions) == len(evidence.regions)


def test_crops_lie_inside_the_image_and_follow_the_forms() -> None:
    evidence = evidence_for("predicted", QUERIES, CACHES, SETTINGS)[0]
    image = Image.new("RGB", (100, 50))
    assert to_images([image], evidence, SETTINGS) == []
    crops = to_images([image], evidence, EvidenceSettings(forms=("crops",), max_crops=1))
    assert len(crops) == 1
    assert crops[0].size <= image.size


def test_none_is_one_constant() -> None:
    assert to_text(Evidence.none(), EvidenceSettings(forms=("text",))) == ""


def test_withheld_shows_nothing_and_keeps_its_name() -> None:
    for evidence in evidence_for("withheld", QUERIES, CACHES, SETTINGS):
        assert (evidence.source, evidence.images) == ("withheld", ())


def test_a_row_names_what_was_learned_where_the_source_alone_would_mislead() -> None:
    assert [row_name(source) for source in SOURCES] == [
        *("none", "withheld", "predicted", "predicted → oracle", "random", "shuffled")
    ]
    assert row_name("oracle", "oracle") == "oracle"
    assert row_name("shuffled", "shuffled") == "shuffled → shuffled"
    assert row_name("withheld", "shuffled") == "shuffled → withheld"
    assert row_name("none", "shuffled") == "none"


@pytest.mark.parametrize(("num", "sizes"), [(1, {(90, 60)}), (2, {(45, 60)}), (3, {(30, 60)}), (6, {(30, 30)})])
def test_tiles_cover_the_picture_as_many_as_there_are_crops_wherever_regions_are(
    num: int, sizes: set[tuple[int, int]]
) -> None:
    picture = Image.effect_noise((90, 60), 50)
    settings = EvidenceSettings(forms=("tiles",), max_crops=num, max_regions=9)
    regions = [region("cyst", (k, 0, k + 5, 5)) for k in range(num)]
    evidence = Evidence.of_image("predicted", (90, 60), regions)
    parts = to_images([picture], evidence, settings)
    assert len(parts) == len(to_images([picture], evidence, settings.model_copy(update={"forms": ("crops",)})))
    assert {part.size for part in parts} == sizes
    assert sum(np.asarray(part, np.int64).sum() for part in parts) == np.asarray(picture, np.int64).sum()
    assert to_text(evidence, settings).splitlines()[-1] == f"Image {num + 1} is part {num} of {num} of image 1."
    moved = Evidence.of_image("random", (90, 60), [region("cyst", (50, 50, 60, 60))] * num)
    if num == 1:
        assert [part.tobytes() for part in to_images([picture], moved, settings)] == [parts[0].tobytes()]
    assert to_images([picture], Evidence.none(), settings) == []


def test_forms_are_left_out_by_themselves_and_one_always_stays() -> None:
    rng, settings = np.random.default_rng(0), EvidenceSettings(forms=("text", "tokens", "crops"), form_dropout=0.5)
    drawn = [drop_forms(settings, rng).forms for _ in range(300)]
    assert len(set(drawn)) == 7  # every subset but the empty one, each in the order of the settings
    shares = [sum(form in forms for forms in drawn) / 300 for form in settings.forms]
    assert 0.5 < min(shares) < max(shares) < 0.65
    state = rng.bit_generator.state
    assert drop_forms(EvidenceSettings(), rng) == EvidenceSettings()
    assert rng.bit_generator.state == state  # nothing is drawn where nothing is left out


def test_of_what_is_taken_for_granted_the_likeliest_place_is_evidence_even_if_faint() -> None:
    faint = {"a": [region("cyst", (0, 0, 5, 5), 0.1), region("cyst", (5, 5, 9, 9), 0.06), region("liver", BOX, 0.2)]}
    caches = RegionCaches(predicted=faint, truth={})
    asked = [Query.of([STUDIES[0]], ("cyst",), {"ct": ("liver",)}, granted) for granted in ((), ("cyst",))]
    plain, granted = evidence_for("predicted", asked, caches, SETTINGS)
    assert plain.regions == ()
    assert [round(r.score, 2) for r in granted.regions] == [0.1]
    assert select(granted, SETTINGS).regions == granted.regions  # twice changes nothing
    equal = [region("cyst", BOX, 0.1), region("cyst", (0, 0, 5, 5), 0.1)]  # the first is the better one
    first = evidence_for("predicted", asked, RegionCaches(predicted={"a": equal}, truth={}), SETTINGS)[1]
    assert first.regions == (equal[0],)
    stricter = SETTINGS.model_copy(update={"granted_min_score": 0.3})
    assert evidence_for("predicted", asked, caches, stricter)[1].regions == ()
