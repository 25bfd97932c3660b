"""What a prompt shows: several pictures, marks, crops; what it says of regions; changed pictures for probes."""

import hashlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from making import make_image
from PIL import Image, ImageOps

from medglip.grounding.bad_input import BadInput
from medglip.grounding.evidence.controls import mirror_evidence
from medglip.grounding.evidence.evidence import Evidence, EvidenceSettings, ImageEvidence
from medglip.grounding.evidence.forms.tokens import TokenShape
from medglip.grounding.types import Region
from medglip.vqa.families import GENERIC, PALIGEMMA
from medglip.vqa.model.processor import load_processor
from medglip.vqa.prompt.prompt import GREY, Example, render
from medglip.vqa.task import Question

DIM = 6
FORMS = ("text", "tokens", "crops", "overlay", "tiles")
SHAPE = TokenShape(DIM)
NewExample = Callable[..., Example]


@pytest.fixture(scope="module")
def processor(tiny_base: Path) -> Any:
    return load_processor(str(tiny_base))


@pytest.fixture(scope="module")
def others(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, ...]:
    folder = tmp_path_factory.mktemp("others")
    paths = tuple(folder / f"{colour}.png" for colour in ("red", "green"))
    for path in paths:
        Image.new("RGB", (40, 30), path.stem).save(path)
    return paths


def test_one_picture_renders_as_it_always_did(processor: Any, new_example: NewExample) -> None:
    example = new_example(1)
    text = (
        "<|im_start|>user\n<image>\nEvidence (places on the image):\n1 <region> nodule, upper left, 24 16 43 46\n"
        "Where is the nodule?<|im_end|>\n<|im_start|>assistant\n"
    )
    picture = Image.open(example.image_path).convert("RGB")
    region = example.evidence.regions[0]
    assert region.embedding is not None
    box = region.box_xyxy_px / np.array([80, 50, 80, 50], np.float32)
    sides = box[2:] - box[:2]
    place = [*box, *(box[:2] + box[2:]) / 2, sides.prod(), region.score, 0, 0, 0]
    features = np.concatenate([region.embedding, place])[None].astype(np.float32)
    digest = hashlib.sha256(text.encode() + b"(80, 50)" + picture.tobytes() + features.tobytes())
    prompt = render(example, EvidenceSettings(max_regions=1), processor, SHAPE)
    assert (prompt.text, prompt.sha256) == (text, digest.hexdigest())


def test_the_picture_comes_first_then_the_others_the_overlay_and_crops(
    processor: Any, new_example: NewExample, others: tuple[Path, ...]
) -> None:
    example = replace(new_example(2), other_paths=others)
    prompt = render(example, EvidenceSettings(forms=FORMS, max_crops=2), processor, SHAPE)
    assert prompt.text.count("<image>") == len(prompt.images) == 8
    assert [image.size for image in prompt.images[:4]] == [(80, 50), (40, 30), (40, 30), (320, 200)]
    assert [image.getpixel((0, 0)) for image in prompt.images[1:3]] == [(255, 0, 0), (0, 128, 0)]
    alone = render(example, EvidenceSettings(), processor, SHAPE)
    assert len(alone.images) == 3
    images = "<image>\n" * 3
    assert f"{images}Evidence in the first image (places on the image):\n1 <region> nodule" in alone.text
    swapped = replace(example, other_paths=others[::-1])
    assert render(swapped, EvidenceSettings(forms=FORMS, max_crops=2), processor, SHAPE).sha256 != prompt.sha256


@pytest.fixture
def on_three(new_example: NewExample, others: tuple[Path, ...]) -> Example:
    """One region on the first picture, none on the second, two on the third."""
    example = new_example(1)
    (nodule,) = example.evidence.regions
    box = np.array([20, 15, 30, 25], np.float32)
    here = (replace(nodule, score=0.99, box_xyxy_px=box), replace(nodule, phrase="liver", score=0.8, box_xyxy_px=box))
    empty = ImageEvidence(size_px=(40, 30), phrases=("nodule",))
    first = replace(example.evidence.first, phrases=("nodule",))
    evidence = replace(example.evidence, images=(first, empty, replace(empty, regions=here)))
    return replace(example, other_paths=others, evidence=evidence, may_cite=True)


def test_regions_of_every_picture_are_told_with_it(processor: Any, on_three: Example) -> None:
    prompt = render(on_three, EvidenceSettings(cite=True), processor, SHAPE)
    assert (
        "Evidence (places on the image):\nImage 1:\n1 <region> nodule, upper left, 24 16 43 46\n"
        "Image 2:\nnodule: not found\n"
        "Image 3:\n2 <region> nodule, lower, 50 50 75 83\n3 <region> liver, lower, 50 50 75 83\nWhere is"
    ) in prompt.text
    assert prompt.features.shape[0] == prompt.text.count("<region>") == 3
    assert prompt.features[1, DIM : DIM + 4].tolist() == pytest.approx([0.5, 0.5, 0.75, 25 / 30])
    assert prompt.completion == "upper left [1, 2]<|im_end|>"
    alone = render(
        replace(on_three, evidence=replace(on_three.evidence, images=on_three.evidence.images[:1])),
        EvidenceSettings(),
        processor,
        SHAPE,
    )
    assert "Evidence in the first image (places on the image):\n1 <region> nodule" in alone.text


def test_crops_and_marks_are_taken_from_their_own_picture(processor: Any, on_three: Example) -> None:
    settings = EvidenceSettings(forms=FORMS, max_crops=1)
    images = render(on_three, settings, processor, SHAPE).images
    assert len(images) == 3 + 2 + 1 + 1
    assert [image.size for image in images[3:5]] == [(320, 200), (280, 210)]
    assert images[-1].tobytes() == images[2].tobytes()  # its one tile is the whole of the third picture
    best = images[-2].resize((1, 1)).getpixel((0, 0))
    assert best == (0, 128, 0)  # of the green third picture, whose nodule scores best
    more = render(on_three, EvidenceSettings(forms=("crops",), max_crops=2), processor, SHAPE).images
    assert len(more) == 3 + 2
    assert more[-1].tobytes() == images[-2].tobytes()
    unmarked = replace(on_three, evidence=replace(on_three.evidence, images=on_three.evidence.images[:1]))
    assert len(render(unmarked, settings, processor, SHAPE).images) == 3 + 1 + 1 + 1


def test_under_blank_kept_the_picture_is_grey_and_its_evidence_stays_its_crops_too(
    processor: Any, new_example: NewExample
) -> None:
    settings = EvidenceSettings(forms=FORMS, max_crops=1)
    plain = render(new_example(1), settings, processor, SHAPE)
    kept = render(replace(new_example(1), transform="blank_kept"), settings, processor, SHAPE)
    assert (kept.text, kept.features.tolist()) == (plain.text, plain.features.tolist())
    # the picture, its copy with marks, the crop, the tile
    assert [kept.images[k].getcolors(1) for k in (0, 3)] == [[(80 * 50, GREY)]] * 2
    assert kept.images[1].getpixel((0, 0)) == GREY
    assert kept.images[2].tobytes() == plain.images[2].tobytes()
    shown = Question(
        question_id="q", image=make_image("a"), question="?", answer="", answer_type="open", transform="blank_kept"
    )
    assert shown.to_example(new_example(1).evidence).evidence.regions


def test_a_family_that_takes_one_image_says_so(
    processor: Any, new_example: NewExample, others: tuple[Path, ...]
) -> None:
    family = replace(GENERIC, name="single", max_images=1)
    assert render(new_example(1), EvidenceSettings(), processor, SHAPE, family=family).images
    with pytest.raises(BadInput, match=r"row e1-0: a prompt of 3 images, single takes 1"):
        render(replace(new_example(1), other_paths=others), EvidenceSettings(), processor, SHAPE, family=family)


def test_no_evidence_shows_no_marks_and_nothing_found_shows_none(processor: Any, new_example: NewExample) -> None:
    settings = EvidenceSettings(forms=FORMS, cite=True, scores=True, say_nothing_found=True)
    example = replace(new_example(2), may_cite=True)
    none = replace(example, evidence=Evidence.none())
    plain = render(none, EvidenceSettings(forms=()), processor, SHAPE)
    shown = render(none, settings, processor, SHAPE)
    assert (shown.text, shown.sha256, shown.completion) == (plain.text, plain.sha256, plain.completion)
    empty = replace(example, evidence=Evidence.of_image("predicted", (80, 50)))
    assert len(render(empty, settings, processor, SHAPE).images) == 1
    assert "Evidence (places on the image):\nno region found\nWhere" in render(empty, settings, processor, SHAPE).text
    asked = replace(empty, evidence=Evidence.of_image("predicted", (80, 50), phrases=("cyst",)))
    assert "Evidence (places on the image):\ncyst: not found\nWhere" in render(asked, settings, processor, SHAPE).text
    marks = EvidenceSettings(forms=("overlay",), say_nothing_found=True)
    assert render(empty, marks, processor, SHAPE).text == plain.text


def test_citations_are_asked_for_and_learnt_where_regions_are_shown(processor: Any, new_example: NewExample) -> None:
    settings = EvidenceSettings(cite=True, max_regions=3)
    example = replace(new_example(3), may_cite=True)
    regions = (*example.evidence.regions[:2], replace(example.evidence.regions[2], phrase="liver"))
    example = replace(example, evidence=example.evidence.each(lambda image: replace(image, regions=regions)))
    prompt = render(example, settings, processor, SHAPE)
    assert "Where is the nodule?\nCite the regions you use by number, like [1].<|im_end|>" in prompt.text
    assert prompt.completion == "upper left [1, 2]<|im_end|>"
    for other in (replace(example, may_cite=False), replace(example, evidence=Evidence.none())):
        plain = render(other, settings, processor, SHAPE)
        assert ("Cite" in plain.text, plain.completion) == (False, "upper left<|im_end|>")
    crops = render(example, EvidenceSettings(forms=("crops",), cite=True), processor, SHAPE)
    assert ("Cite" in crops.text, crops.completion) == (False, "upper left<|im_end|>")


def test_pictures_change_in_memory(processor: Any, new_example: NewExample, others: tuple[Path, ...]) -> None:
    example = replace(new_example(None), other_paths=others)
    blank = render(replace(example, transform="blank"), EvidenceSettings(), processor, SHAPE).images
    assert [(image.size, image.getcolors()) for image in blank[1:]] == [((40, 30), [(1200, GREY)])] * 2
    assert blank[0].getcolors() == [(4000, GREY)]
    flipped = render(replace(example, transform="flipped"), EvidenceSettings(), processor, SHAPE).images
    picture = Image.open(example.image_path).convert("RGB")
    assert flipped[0].tobytes() == ImageOps.mirror(picture).tobytes()
    nothing = render(replace(example, transform="text_only"), EvidenceSettings(), processor, SHAPE)
    assert (nothing.images, nothing.text.count("<image>")) == ((), 0)
    needy = replace(GENERIC, needs_image=PALIGEMMA.needs_image)
    stands_in = render(replace(example, transform="text_only"), EvidenceSettings(), processor, SHAPE, family=needy)
    assert stands_in.images[0].getcolors() == [(4000, GREY)]


def test_a_question_hands_all_its_pictures_on_and_its_evidence_as_they_are_changed(image_path: Path) -> None:
    image = make_image("a", image_path=image_path, size_px=(80, 50))
    second = replace(image, image_id="b", image_path=image_path.with_name("b.png"))
    question = Question(
        question_id="q", image=image, question="Is it left?", answer="yes", answer_type="closed", others=(second,)
    )
    region = Region(phrase="left lung", box_xyxy_px=np.array([0, 0, 20, 10], np.float32))
    evidence = Evidence.of_image("predicted", (80, 50), (region,), ("left lung",))
    example = question.to_example(evidence)
    assert (example.other_paths, example.evidence) == ((second.image_path,), evidence)
    flipped = replace(question, transform="flipped").to_example(evidence)
    assert flipped.transform == "flipped"
    assert flipped.evidence.regions[0].phrase == flipped.evidence.first.phrases[0] == "right lung"
    assert flipped.evidence.regions[0].box_xyxy_px.tolist() == [60, 0, 80, 10]
    assert mirror_evidence(flipped.evidence).regions[0].box_xyxy_px.tolist() == [0, 0, 20, 10]
    blank = replace(question, transform="blank").to_example(evidence).evidence
    assert (blank.regions, blank.first.phrases) == ((), ("left lung",))
    assert replace(question, transform="text_only").to_example(evidence).evidence.first.phrases == ()
    both = replace(evidence, images=evidence.images * 2)
    in_mirror = replace(question, transform="flipped").to_example(both).evidence
    assert [r.box_xyxy_px.tolist() for _, r in in_mirror.numbered] == [[60, 0, 80, 10]] * 2
    blanks = replace(question, transform="blank").to_example(both).evidence
    assert ([part.phrases for part in blanks.images], blanks.numbered) == ([("left lung",)] * 2, ())
    assert replace(question, transform="text_only").to_example(both).evidence.numbered == ()
