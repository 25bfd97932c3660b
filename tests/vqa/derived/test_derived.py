"""Derived questions: the check agrees with the generator, flips swap sides, absence is never guessed, same bytes."""

import json
import re
from collections import Counter
from dataclasses import replace
from functools import partial
from pathlib import Path
from string import Formatter

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from making import make_image

from medglip.grounding.bad_input import BadInput
from medglip.grounding.datasets.schema import to_dataset
from medglip.grounding.geometry import mask_to_box
from medglip.grounding.types import AnnotatedImage, Region
from medglip.grounding.vocabulary.labels import load_labels
from medglip.vqa.datasets import derived as derived_set
from medglip.vqa.derived.check import check
from medglip.vqa.derived.claims import Claim, claims
from medglip.vqa.derived.derive import Item, derive, items_of, summary, to_item, write
from medglip.vqa.derived.facts import facts_of
from medglip.vqa.derived.settings import DeriveSettings
from medglip.vqa.derived.wordings import WORDINGS

read_file = partial(derived_set.read_file, allow_outside=True)  # the images of these lines are nowhere
SIZE = (61, 47)  # primes: no margin falls on a pixel
NAMES = ("liver", "kidney", "pancreas", "lung tumor", "right lung", "left lung", "nucleus", "polyp", "glioma")
SWAP = {"left": "right", "right": "left"}


def _region(phrase: str, box: tuple[int, int, int, int], kind: str = "box", size: tuple[int, int] = SIZE) -> Region:
    """A filled box, an ellipse or a ring with a mask, or a box alone."""
    x0, y0, x1, y1 = box
    if kind == "bare":
        return Region(phrase=phrase, box_xyxy_px=np.array(box, np.float32))
    ys, xs = np.mgrid[: size[1], : size[0]] + 0.5
    inside = (xs > x0) & (xs < x1) & (ys > y0) & (ys < y1)
    radius = ((2 * xs - x0 - x1) / (x1 - x0)) ** 2 + ((2 * ys - y0 - y1) / (y1 - y0)) ** 2
    mask = inside if kind == "box" else inside & (radius < 1) & ((radius > 0.4) | (kind != "ring"))
    mask = mask if mask.any() else inside
    return Region(phrase=phrase, box_xyxy_px=mask_to_box(mask), mask=mask)


def _image(
    *regions: Region, phrases: tuple[str, ...] = (), name: str = "set/1", modality: str = "ct"
) -> AnnotatedImage:
    present = tuple(dict.fromkeys(region.phrase for region in regions))
    return make_image(
        name,
        image_path=Path("/images/1.png"),
        modality=modality,
        dataset="set",
        split="train",
        size_px=SIZE,
        regions=regions,
        phrases=(*present, *phrases),
    )


@st.composite
def images(draw: st.DrawFn) -> AnnotatedImage:
    regions = []
    for _ in range(draw(st.integers(0, 5))):
        x0, y0 = draw(st.integers(0, SIZE[0] - 4)), draw(st.integers(0, SIZE[1] - 4))
        box = (x0, y0, draw(st.integers(x0 + 3, SIZE[0])), draw(st.integers(y0 + 3, SIZE[1])))
        regions.append(
            _region(draw(st.sampled_from(NAMES)), box, draw(st.sampled_from(["box", "disc", "ring", "bare"])))
        )
    image = _image(*regions, modality=draw(st.sampled_from(["ct", "xray", "histology", "unknown"])))
    return replace(image, phrases=tuple(draw(st.lists(st.sampled_from(NAMES), unique=True))))


def _items(image: AnnotatedImage) -> list[tuple[Claim, Item]]:
    facts = facts_of(image)
    return [
        (claim, to_item(claim, facts, k, k % len(WORDINGS[claim.form]), "")) for k, claim in enumerate(claims(facts))
    ]


def _flipped(image: AnnotatedImage) -> AnnotatedImage:
    width = image.size_px[0]
    regions = [
        replace(
            region,
            box_xyxy_px=np.array([width, 0, width, 0], np.float32)
            + region.box_xyxy_px[[2, 1, 0, 3]] * np.array([-1, 1, -1, 1], np.float32),
            mask=None if region.mask is None else region.mask[:, ::-1],
        )
        for region in image.regions
    ]
    return replace(image, regions=tuple(regions))


def _other(item: Item) -> str:
    """The answer of a closed or sided item turned round."""
    turned = {"yes": "no", "no": "yes"}
    return turned.get(item["answer"]) or (_swapped(item["answer"]) if item["kind"] == "side" else "")


FEW = settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much],
    derandomize=True,
)


@FEW
@given(images())
def test_every_claim_passes_the_check_and_its_opposite_fails(image: AnnotatedImage) -> None:
    for _, item in _items(image):
        assert check(item, image), item
        if other := _other(item):
            assert not check({**item, "answer": other}, image), item


@FEW
@given(images(), st.integers(0, 3))
def test_drawn_items_and_captions_pass_the_check(image: AnnotatedImage, seed: int) -> None:
    for item in items_of(image, DeriveSettings(seed=seed, per_kind=3)):
        assert check(item, image), item


def _mirrored_claims(image: AnnotatedImage) -> Counter[str]:
    """Claims of the image's sides with left and right exchanged."""
    found = Counter[str]()
    for claim, _ in _items(image):
        if claim.form.startswith(("side-image", "position", "relation-left")):
            asks = {key: _swapped(value) if key in ("side", "place") else value for key, value in claim.asks.items()}
            if claim.form == "relation-left":
                asks = {"first": asks["second"], "second": asks["first"]}
            answer = claim.answer if claim.answer in ("yes", "no") else _swapped(claim.answer)
            found[json.dumps([claim.form, sorted(asks.items()), answer])] += 1
    return found


def _swapped(text: str) -> str:
    return " ".join(SWAP.get(word, word) for word in text.split())


def _claims_of_sides(image: AnnotatedImage) -> Counter[str]:
    chosen = [c for c, _ in _items(image) if c.form.startswith(("side-image", "position", "relation-left"))]
    return Counter(json.dumps([c.form, sorted(c.asks.items()), c.answer]) for c in chosen)


@FEW
@given(images())
def test_a_flipped_picture_swaps_left_and_right(image: AnnotatedImage) -> None:
    flipped = _flipped(image)
    assert _claims_of_sides(flipped) == _mirrored_claims(image)
    for claim, item in _items(image):
        if claim.form in ("side-image", "side-image-yesno", "relation-left"):
            assert not check(item, flipped)
            assert check({**item, "answer": _other(item), "provenance": {"regions": []}}, flipped)


@FEW
@given(images())
def test_absence_is_asked_only_of_what_is_annotated(image: AnnotatedImage) -> None:
    tree = load_labels()
    for claim, item in _items(image):
        absent = [phrase for phrase in item["phrases"] if phrase not in {r.phrase for r in image.regions}]
        assert set(absent) <= set(image.phrases), item
        assert not any(tree.is_near(phrase, region.phrase) for phrase in absent for region in image.regions)
        if claim.kind == "presence":
            assert (claim.answer == "no") == bool(absent)


LUNGS = (_region("right lung", (5, 10, 20, 35)), _region("left lung", (40, 10, 55, 35)))


def _sides(image: AnnotatedImage, form: str = "side-patient") -> dict[str, str]:
    return {claim.asks["phrase"]: claim.answer for claim, _ in _items(image) if claim.form == form}


def test_the_patients_side_needs_labels_that_tell_it() -> None:
    nodule = _region("lung tumor", (8, 12, 12, 16), "disc")
    image = _image(*LUNGS, nodule, modality="xray")
    assert _sides(image) == {"lung tumor": "the patient's right"}
    assert _sides(image, "side-image")["lung tumor"] == "the image's left half"
    assert _sides(_flipped(image)) == {}, "a mirrored picture has no patient's side"
    assert _sides(_image(nodule)) == {}, "the modality alone does not tell"
    liver, spleen = _region("liver", (5, 5, 25, 25)), _region("spleen", (5, 5, 25, 25))
    tumor = _region("kidney", (50, 30, 56, 36))
    assert _sides(_image(liver, tumor))["kidney"] == "the patient's left"
    assert _sides(_image(spleen, tumor)) == {}, "a spleen at the image's left is a mirrored slice"


@pytest.mark.parametrize(
    ("regions", "form"),
    [
        ([_region("liver", (21, 10, 41, 30))], "side-image"),  # on the middle line
        ([_region("liver", (14, 2, 26, 8))], "position"),  # centre on a third's line
        ([_region("liver", (0, 0, 29, 5))], "size-word"),  # 5 %
        ([_region("liver", (2, 2, 12, 12)), _region("kidney", (40, 2, 50, 12))], "relation-larger"),
        ([_region("liver", (2, 2, 20, 12)), _region("kidney", (8, 20, 30, 32))], "relation-left"),
        ([_region("polyp", (2, 2, 9, 9)), _region("polyp", (9, 9, 15, 15))], "count"),  # they touch
        ([_region("nucleus", (2, 2, 9, 9))], "count"),
        ([_region("nucleus", (2, 2, 9, 9))], "position"),
        ([_region("liver", (2, 2, 9, 9)), _region("liver", (30, 30, 40, 40))], "position"),
        ([_region("liver", (0, 0, 40, 30), "bare")], "size-word"),  # the organ fills 22 to 44 %: large; see below
    ],
)
def test_borderline_cases_are_not_asked(regions: list[Region], form: str) -> None:
    found = [claim for claim, _ in _items(_image(*regions)) if claim.form == form]
    if regions[0].mask is None:
        assert [claim.answer for claim in found] == ["large"], "sure for any filling of the box from half to all"
    else:
        assert not found


def test_a_known_scene_is_told_as_it_is() -> None:
    ring, core = (
        _region("left ventricular myocardium", (4, 4, 18, 18), "ring"),
        _region("left ventricle", (9, 9, 13, 13)),
    )
    polyps = [_region("polyp", (30 + 10 * k, 30, 36 + 10 * k, 36)) for k in range(3)]
    image = _image(ring, core, *polyps, phrases=("glioma",), modality="mr")
    found = {(c.form, *sorted(map(str, c.asks.values()))): c.answer for c, _ in _items(image)}
    assert found["count", "polyp"] == "3"
    assert found["count-yesno", "left ventricle"] == "no"
    assert found["position", "left ventricle"] == "upper left of the image"
    assert found["presence", "glioma"] == "no"
    inside = {(c.asks["first"], c.answer) for c, _ in _items(image) if c.form == "relation-inside"}
    assert inside == {("left ventricle", "yes"), ("left ventricular myocardium", "no")}
    (told,) = [item for item in items_of(image, DeriveSettings()) if item["kind"] == "caption"]
    assert "MRI image" in told["answer"]
    assert "upper left part of the image" in told["answer"]
    assert "glioma" in told["answer"].split(".")[-2]
    assert 1 <= told["answer"].count(". ") + 1 <= 3


@FEW
@given(images())
def test_a_side_or_place_names_its_frame(image: AnnotatedImage) -> None:
    """Of the image or of the patient; what stays without one are names of anatomy."""
    for _, item in _items(image):
        for words in (item["question"], item["answer"]):
            for name in sorted(NAMES, key=len, reverse=True):
                words = words.replace(name, "it")
            if re.search(r"\b(left|right|upper|lower|centre)\b", words):
                assert re.search(r"\b(image|picture|patient)\b", words), item


def test_a_lie_is_found() -> None:
    image = _image(*LUNGS, modality="xray")
    item = next(item for claim, item in _items(image) if claim.form == "position")
    assert check(item, image)
    assert not check({**item, "question": item["question"] + " "}, image)
    assert not check({**item, "image_id": "set/2"}, image)
    moved = {**item["provenance"]["regions"][0], "box_xyxy_px": [0, 0, 1, 1]}
    assert not check({**item, "provenance": {"regions": [moved]}}, image)


def test_every_form_has_four_wordings_that_name_what_is_asked() -> None:
    for form, texts in WORDINGS.items():
        assert len(set(texts)) >= 4, form
        fields = [{name for _, name, _, _ in Formatter().parse(text) if name} for text in texts]
        assert all(
            {name.removeprefix("a_") for name in some} == {n.removeprefix("a_") for n in fields[0]} for some in fields
        )


@pytest.fixture(scope="module")
def many() -> list[AnnotatedImage]:
    rng = np.random.default_rng(4)
    found = []
    for k in range(90):
        names = rng.choice(["liver", "kidney", "pancreas"], int(rng.integers(1, 4)), replace=False)
        boxes = [(x, y, x + 9, y + 7) for x, y in rng.integers(0, (50, 37), (len(names), 2)).tolist()]
        regions = [_region(str(name), box, "disc") for name, box in zip(names, boxes, strict=True)]
        image = _image(*regions, phrases=("lung tumor",), name=f"set/{k}")
        found.append(
            replace(image, phrases=("liver", "kidney", "pancreas", "lung tumor"), split=("train", "val")[k % 2])
        )
    return found


def test_yes_is_as_common_as_no_and_no_open_answer_is_the_most(many: list[AnnotatedImage]) -> None:
    items, skipped = derive(to_dataset(many), DeriveSettings(per_kind=3), {"set": "CC0"})
    assert not skipped.entries
    closed = Counter((i["split"], i["form"], i["answer"]) for i in items if i["answer_type"] == "closed")
    assert len(closed) > 10
    for split, form, _ in closed:
        assert closed[split, form, "yes"] == closed[split, form, "no"], (split, form)
    places = Counter(i["answer"] for i in items if i["form"] == "position" and i["split"] == "train")
    assert max(places.values()) <= max(5, sum(places.values()) / 2)
    assert max(Counter((i["image_id"], i["kind"]) for i in items).values()) <= 3
    assert {i["licence"] for i in items} == {"CC0"}
    assert summary(items)[-1]["items"] == len(items)


def test_the_same_seed_gives_the_same_bytes_and_others_other_ones(many: list[AnnotatedImage], tmp_path: Path) -> None:
    files = [tmp_path / f"{k}.jsonl" for k in range(3)]
    for file, seed in zip(files, (1, 1, 2), strict=True):
        write(file, derive(to_dataset(many[:20]), DeriveSettings(seed=seed), {})[0])
    first, same, other = (file.read_bytes() for file in files)
    assert first == same != other


def test_lines_are_read_as_questions(many: list[AnnotatedImage], tmp_path: Path) -> None:
    data = to_dataset(many[:12])
    items, _ = derive(data, DeriveSettings(splits=("val",), limit=4), {})
    assert {item["split"] for item in items} == {"val"}
    assert len({item["image_id"] for item in items}) == 4
    write(tmp_path / "qa.jsonl", items)
    plain, whole = read_file(tmp_path / "qa.jsonl"), read_file(tmp_path / "qa.jsonl", data, kinds=("caption",))
    assert [q.question_id for q in plain] == [item["id"] for item in items]
    assert plain[0].image.image_path == Path("/images/1.png")
    assert plain[0].image.size_px == SIZE
    assert not plain[0].image.regions
    assert len(whole) == 4
    assert all(q.image.regions and q.content_type == "caption" for q in whole)
    assert read_file(tmp_path / "qa.jsonl", to_dataset(many[20:])) == []
    old = tmp_path / "qa-0.1.jsonl"  # as version 0.1 wrote it
    old.write_text((tmp_path / "qa.jsonl").read_text().replace('"image_id"', '"study_id"'))
    assert [q.image.image_id for q in read_file(old)] == [item["image_id"] for item in items]


def test_what_a_question_asks_for_is_not_told_beside_it(many: list[AnnotatedImage], tmp_path: Path) -> None:
    items, _ = derive(to_dataset(many[:12]), DeriveSettings(balance=False), {})
    write(tmp_path / "qa.jsonl", items)
    told = {q.content_type: q.to_example(q.true_evidence()).context for q in read_file(tmp_path / "qa.jsonl")}
    assert {kind for kind, context in told.items() if not context} == {"modality", "body", "organ", "caption"}


@pytest.mark.parametrize("change", [{"answer": None}, {"answer": " "}, {"answer_type": "OPEN"}, {"phrases": "liver"}])
def test_a_bad_line_is_named(many: list[AnnotatedImage], tmp_path: Path, change: dict[str, object]) -> None:
    items, _ = derive(to_dataset(many[:3]), DeriveSettings(), {})
    items[1] = {key: value for key, value in {**items[1], **change}.items() if value is not None}
    write(tmp_path / "qa.jsonl", items)
    with pytest.raises(BadInput, match=r"qa\.jsonl: row 2: .*" + next(iter(change))):
        read_file(tmp_path / "qa.jsonl")


def test_nothing_to_ask_is_said(many: list[AnnotatedImage], tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"split 'test'.*Fix: splits: train, val"):
        derive(to_dataset(many[:4]), DeriveSettings(splits=("test",)), {})
    with pytest.raises(BadInput, match="no question"):
        write(tmp_path / "qa.jsonl", [])
