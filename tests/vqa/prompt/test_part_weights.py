"""Parts of a target weigh what they are given, however long they are; weighted draws come as often as asked."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from making import is_close

from medglip.grounding.evidence.evidence import EvidenceSettings
from medglip.grounding.training.settings import TrainSettings
from medglip.vqa.model.grounded_mllm import GroundedMLLM
from medglip.vqa.prompt.prompt import Example
from medglip.vqa.training.batches import length_batches
from medglip.vqa.training.train import answer_loss, token_losses

NewMllm = Callable[..., GroundedMLLM]
NewExample = Callable[..., Example]
SHOW = EvidenceSettings()
BOTH = "Findings: there is a nodule in the upper left of the image. Impression: a nodule."
PARTS = (("Findings:", 1.0), ("Impression:", 3.0))


def test_a_part_weighs_what_it_is_given_and_other_rows_are_as_ever(new_mllm: NewMllm, new_example: NewExample) -> None:
    mllm = new_mllm(is_random=True)
    both, short = replace(new_example(1), target=BOTH, parts=PARTS), new_example(0, seed=1)
    batch = mllm.collate([mllm.render(both, SHOW), mllm.render(short, SHOW)])
    assert "weights" in batch
    is_label = batch["labels"] != -100
    ids = batch["labels"][0][is_label[0]]
    weights = batch["weights"][0][is_label[0]]
    text = mllm.processor.tokenizer.decode(ids[weights == weights[-1]])
    assert text.strip().startswith("Impression: a nodule.")
    assert weights.sum() == pytest.approx(4.0, abs=1e-5)
    assert weights[weights == weights[-1]].sum() == pytest.approx(3.0, abs=1e-5)
    losses = token_losses(mllm(batch), batch["labels"]).detach()
    last = weights == weights[-1]
    first = losses[0][is_label[0]]
    wanted = (first[~last].mean() + 3 * first[last].mean()) / 4
    second = losses[1][is_label[1]].mean()
    assert float(answer_loss(mllm, batch)["loss"].detach()) == pytest.approx(float((wanted + second) / 2), rel=1e-4)


def test_without_parts_nothing_changes(new_mllm: NewMllm, new_example: NewExample) -> None:
    mllm = new_mllm(is_random=True)
    plain = replace(new_example(1), target=BOTH)
    alike = mllm.collate([mllm.render(plain, SHOW)])
    assert "weights" not in alike
    asked = mllm.collate([mllm.render(replace(plain, target=None, parts=PARTS), SHOW)])
    assert "weights" not in asked
    one = mllm.collate([mllm.render(replace(plain, parts=(("Nowhere:", 2.0),)), SHOW)])
    ours, theirs = (answer_loss(mllm, batch)["loss"] for batch in (alike, one))
    assert is_close(ours, theirs, 1e-5)


def test_weighted_draws_come_in_proportion_in_batches_of_like_length() -> None:
    rates = TrainSettings(steps=200, batch_size=8)
    lengths = np.random.default_rng(0).integers(10, 400, 40).tolist()
    weights = [3.0] * 10 + [1.0] * 30
    batches = length_batches(lengths, rates, weights=weights)
    assert batches == length_batches(lengths, rates, weights=weights)
    assert len(batches) == 200
    drawn = np.array(batches).ravel()
    assert (drawn < 10).mean() == pytest.approx(0.5, abs=0.06)
