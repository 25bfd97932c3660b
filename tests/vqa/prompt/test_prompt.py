"""Prompts: no evidence is the plain prompt byte for byte; one vector for every placeholder."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from medglip.grounding.bad_input import BadInput
from medglip.grounding.evidence.evidence import Evidence, EvidenceSettings
from medglip.grounding.evidence.forms.tokens import TokenShape
from medglip.vqa.model.processor import load_processor
from medglip.vqa.prompt.batch import collate
from medglip.vqa.prompt.prompt import Example, render

DIM = 6
SHAPE = TokenShape(DIM)
NewExample = Callable[..., Example]


@pytest.fixture(scope="module")
def processor(tiny_base: Path) -> Any:
    return load_processor(str(tiny_base))


def test_the_chat_is_written_as_designed(processor: Any, new_example: NewExample) -> None:
    prompt = render(new_example(2), EvidenceSettings(max_regions=1), processor, SHAPE)
    assert prompt.text == (
        "<|im_start|>user\n<image>\nEvidence (places on the image):\n1 <region> nodule, upper left, 24 16 43 46\n"
        "Where is the nodule?<|im_end|>\n<|im_start|>assistant\n"
    )
    assert prompt.completion == "upper left<|im_end|>"


@pytest.mark.parametrize("forms", [(), ("text",), ("tokens",), ("text", "tokens"), ("text", "tokens", "crops")])
def test_no_evidence_is_the_plain_prompt_byte_for_byte(processor: Any, new_example: NewExample, forms: Any) -> None:
    example = new_example(2)
    none = replace(example, evidence=Evidence.none())
    plain = [{"role": "user", "content": [{"type": "image"}, {"type": "text", "text": example.instruction}]}]
    prompt = render(none, EvidenceSettings(forms=forms), processor, SHAPE)
    assert prompt.text == processor.apply_chat_template(plain, add_generation_prompt=True, tokenize=False)
    assert prompt.sha256 == render(none, EvidenceSettings(forms=()), processor, SHAPE).sha256
    assert len(prompt.images) == 1
    assert prompt.features.shape == (0, SHAPE.width)
    empty = render(
        replace(example, evidence=Evidence.of_image("predicted", (80, 50))), EvidenceSettings(), processor, SHAPE
    )
    assert empty.text == prompt.text


@pytest.mark.parametrize("num_regions", [0, 1, 3, 9])
def test_placeholders_equal_vectors(processor: Any, new_example: NewExample, num_regions: int) -> None:
    example = new_example(num_regions)
    for forms in [("text", "tokens"), ("tokens",), ("text",)]:
        prompt = render(example, EvidenceSettings(forms=forms), processor, SHAPE)
        assert prompt.text.count("<region>") == len(prompt.features)
        assert len(prompt.features) == (min(num_regions, 4) if "tokens" in forms else 0)


def test_a_region_has_a_token_for_each_kind_of_feature(processor: Any, new_example: NewExample) -> None:
    pooled = (np.full(2, 7, np.float32), np.full(3, 8, np.float32))
    example = new_example(2)
    rich = example.evidence.each(lambda i: replace(i, regions=tuple(replace(r, pooled=pooled) for r in i.regions)))
    settings, shape = EvidenceSettings(forms=("tokens",)), TokenShape(DIM, (2, 3))
    prompt = render(replace(example, evidence=rich), settings, processor, shape)
    assert "\n1 <region><region><region>\n2 <region><region><region>\n" in prompt.text
    assert prompt.features[:, DIM : DIM + 5].tolist() == [[7, 7, 8, 8, 8]] * 2
    assert not render(example, settings, processor, shape).features[:, DIM : DIM + 5].any()  # the regions have none
    before = render(replace(example, evidence=rich), settings, processor, TokenShape(DIM, (), 8))
    assert before.text == render(example, settings, processor, SHAPE).text
    assert before.features.shape == (2, DIM + 8)


def test_slices_stand_at_the_end_of_the_row(processor: Any, new_example: NewExample) -> None:
    example, settings = new_example(1), EvidenceSettings(forms=("tokens",))
    sliced = example.evidence.each(lambda i: replace(i, regions=tuple(replace(r, z=(0.25, 0.5)) for r in i.regions)))
    assert render(example, settings, processor, SHAPE).features[0, -3:].tolist() == [0, 0, 0]
    assert render(replace(example, evidence=sliced), settings, processor, SHAPE).features[0, -3:].tolist() == [
        *(0.25, 0.5, 1)
    ]


def test_crops_say_where_they_were(processor: Any, new_example: NewExample) -> None:
    example = new_example(3)
    numbered = render(example, EvidenceSettings(forms=("text", "crops"), max_crops=2), processor, SHAPE).text
    assert "\nImage 2 is a crop of region 1.\nImage 3 is a crop of region 2.\nWhere is" in numbered
    marked = render(example, EvidenceSettings(forms=("overlay", "crops")), processor, SHAPE).text
    assert marked.count(" is a crop of ") == marked.count("Image 3 is a crop of region 1.") == 1
    alone = render(new_example(1), EvidenceSettings(forms=("crops",)), processor, SHAPE).text
    assert "(places on the image):\nImage 2 is a crop of image 1, upper left, 24 16 43 46.\nWhere is" in alone


def test_crops_are_cut_from_the_pixels_of_the_file(processor: Any, new_example: NewExample) -> None:
    example = new_example(1)
    settings = EvidenceSettings(forms=("crops",), crop_margin=0.0)
    cut = render(example, settings, processor, SHAPE).images[-1]
    x0, y0 = (int(value) for value in example.evidence.regions[0].box_xyxy_px[:2])
    whole = Image.open(example.image_path).convert("RGB")
    assert cut.tobytes() == whole.crop((x0, y0, x0 + cut.width, y0 + cut.height)).tobytes()


def test_the_context_comes_first_and_special_tokens_in_it_are_refused(processor: Any, new_example: NewExample) -> None:
    example = replace(new_example(1), context="CT of the abdomen.")
    assert "\nCT of the abdomen.\nEvidence (places" in render(example, EvidenceSettings(), processor, SHAPE).text
    assert "\nCT of the abdomen.\nWhere is" in render(example, EvidenceSettings(forms=()), processor, SHAPE).text
    with pytest.raises(BadInput, match="special token"):
        render(replace(example, context="CT of the <image>."), EvidenceSettings(), processor, SHAPE)


def test_crops_follow_the_picture(processor: Any, new_example: NewExample) -> None:
    settings = EvidenceSettings(forms=("text", "crops"), max_crops=2)
    prompt = render(new_example(3), settings, processor, SHAPE, letterbox_px=64)
    assert prompt.text.count("<image>") == len(prompt.images) == 3
    assert {image.size for image in prompt.images} == {(64, 64)}


def test_the_hash_sees_text_pixels_and_features(processor: Any, new_example: NewExample) -> None:
    first, settings = new_example(1), EvidenceSettings(forms=("tokens",))
    same = render(first, settings, processor, SHAPE).sha256
    assert render(first, settings, processor, SHAPE).sha256 == same
    region = first.evidence.regions[0]
    other = replace(region, embedding=np.zeros(DIM, np.float32))
    changed = [
        replace(first, instruction="Is it left?"),
        replace(first, evidence=first.evidence.each(lambda image: replace(image, regions=(other,)))),
    ]
    hashes = {render(example, settings, processor, SHAPE).sha256 for example in changed}
    assert len({*hashes, same, render(first, settings, processor, SHAPE, letterbox_px=64).sha256}) == 4


@pytest.mark.parametrize("token", ["<image>", "<region>", "<|im_end|>"])
def test_special_tokens_in_a_question_are_refused(processor: Any, new_example: NewExample, token: str) -> None:
    with pytest.raises(BadInput, match=r"row e1-0: the text holds the special token"):
        render(new_example(1, instruction=f"What is {token}?"), EvidenceSettings(), processor, SHAPE)


def test_labels_are_the_answer_and_rows_pad_on_the_left(processor: Any, new_example: NewExample) -> None:
    examples = [new_example(0), replace(new_example(3), target="no"), replace(new_example(1), target=None)]
    prompts = [render(example, EvidenceSettings(), processor, SHAPE) for example in examples]
    batch = collate(prompts, processor)
    for row, example in enumerate(examples):
        ids = [i for i in batch["labels"][row].tolist() if i != -100]
        assert processor.tokenizer.decode(ids) == (f"{example.target}<|im_end|>" if example.target else "")
        assert batch["inputs"]["attention_mask"][row, -1] == 1
    assert batch["inputs"]["attention_mask"][0, 0] == 0
    assert [len(rows) for rows in batch["features"]] == [0, 3, 1]


def test_a_prompt_that_is_too_long_is_refused_and_not_cut(processor: Any, new_example: NewExample) -> None:
    prompt = render(new_example(3), EvidenceSettings(), processor, SHAPE)
    with pytest.raises(BadInput, match=r"a prompt of \d+ tokens, the model takes 20"):
        collate([prompt], processor, max_tokens=20)
