"""Questions about one image that share a row learn what they learn apart; every question comes as often as before."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from making import are_close, is_close

from medglip.grounding.bad_input import BadInput
from medglip.grounding.evidence.evidence import EvidenceSettings
from medglip.grounding.evidence.names import Form
from medglip.grounding.training.settings import TrainSettings
from medglip.vqa.model.grounded_mllm import GroundedMLLM
from medglip.vqa.prompt.prompt import Example
from medglip.vqa.training.batches import group_by_beginning, unit_batches
from medglip.vqa.training.settings import MllmTrainSettings
from medglip.vqa.training.train import answer_loss, train

NewMllm = Callable[..., GroundedMLLM]
NewExample = Callable[..., Example]


def questions(new_example: NewExample) -> list[Example]:
    """Three of two regions, two of them in the same words, one of another region, one without evidence."""
    two, one, none = new_example(2), new_example(1, seed=3), new_example(None)
    return [
        replace(two, target="upper left"),
        replace(one, target="right"),
        replace(two, instruction="Is it on the left side of the image?", target="yes"),
        replace(two, target="lower right of the image"),
        replace(none, target="no"),
    ]


@pytest.mark.parametrize("forms", [("text",), ("tokens",), ("text", "tokens", "crops"), ()])
def test_loss_and_gradients_are_those_of_rows_apart(
    forms: tuple[Form, ...], new_mllm: NewMllm, new_example: NewExample
) -> None:
    mllm = new_mllm(is_random=True)
    prompts = [mllm.render(one, EvidenceSettings(forms=forms)) for one in questions(new_example)]
    found = []
    for by_image in (False, True):
        mllm.zero_grad()
        losses = answer_loss(mllm, mllm.collate(prompts, by_image))
        losses["loss"].backward()
        found.append((losses, {name: p.grad.clone() for name, p in mllm.named_parameters() if p.grad is not None}))
    (apart, wanted), (shared, gradients) = found
    assert is_close(shared["loss"], apart["loss"], 1e-5)
    assert is_close(shared["token_loss"], apart["token_loss"], 1e-5)
    assert wanted.keys() == gradients.keys()
    assert are_close(gradients, wanted, 1e-4)


def test_the_attention_of_gpus_sees_the_same(new_mllm: NewMllm, new_example: NewExample) -> None:
    mllm = new_mllm(is_random=True)
    mllm.model.set_attn_implementation({"text_config": "sdpa"})
    prompts = [mllm.render(one, EvidenceSettings()) for one in questions(new_example)]
    apart, shared = (answer_loss(mllm, mllm.collate(prompts, by_image))["loss"] for by_image in (False, True))
    assert is_close(shared, apart, 1e-5)


def test_one_row_holds_an_image_once(new_mllm: NewMllm, new_example: NewExample) -> None:
    mllm = new_mllm()
    show = EvidenceSettings(forms=("tokens", "crops"))
    prompts = [mllm.render(one, show) for one in questions(new_example)]
    apart, shared = (mllm.collate(prompts, by_image) for by_image in (False, True))
    assert len(apart["inputs"]["input_ids"]) == 5
    assert len(shared["inputs"]["input_ids"]) == len(shared["features"]) == 3
    assert len(apart["inputs"]["pixel_values"]) == 9
    assert len(shared["inputs"]["pixel_values"]) == 5
    assert torch.equal(shared["labels"][shared["labels"] != -100].sort().values, _labels(apart["labels"]))


def _labels(labels: torch.Tensor) -> torch.Tensor:
    return labels[labels != -100].sort().values


def test_parts_keep_what_they_weigh(new_mllm: NewMllm, new_example: NewExample) -> None:
    mllm = new_mllm(is_random=True)
    parts = (("Findings:", 1.0), ("Impression:", 3.0))
    report = replace(new_example(1), target="Findings: a nodule. Impression: a nodule, upper left.", parts=parts)
    prompts = [mllm.render(one, EvidenceSettings()) for one in (report, new_example(1), report)]
    apart, shared = (answer_loss(mllm, mllm.collate(prompts, by_image))["loss"] for by_image in (False, True))
    assert is_close(shared, apart, 1e-5)


def test_examples_that_begin_alike_are_a_unit(new_example: NewExample) -> None:
    assert group_by_beginning(questions(new_example), EvidenceSettings()) == [[0, 2, 3], [1], [4]]


def test_each_comes_once_an_epoch_beside_its_like() -> None:
    units, rates = [list(range(k, k + 6)) for k in range(0, 96, 6)], TrainSettings(steps=24, batch_size=8)
    batches = unit_batches(units, [10] * 96, rates)
    assert batches == unit_batches(units, [10] * 96, rates)
    assert {len(batch) for batch in batches} == {8}
    assert set(np.bincount(np.ravel(batches), minlength=96)) == {2}
    num_units = [len({index // 6 for index in batch}) for batch in batches]
    assert np.mean(num_units) < 4  # by chance it would be about 7


def test_weighted_units_come_in_proportion() -> None:
    units, rates = [[k, k + 1] for k in range(0, 40, 2)], TrainSettings(steps=400, batch_size=8)
    batches = unit_batches(units, [10] * 40, rates, weights=[3.0] * 10 + [1.0] * 30)
    assert (np.ravel(batches) < 10).mean() == pytest.approx(0.5, abs=0.05)


def test_another_base_is_refused(new_mllm: NewMllm, new_example: NewExample, tmp_path: Path) -> None:
    mllm = new_mllm()
    mllm.letterbox_px = None
    with pytest.raises(BadInput, match="by_image"):
        train(mllm, [new_example(1)], EvidenceSettings(), MllmTrainSettings(by_image=True), tmp_path)
