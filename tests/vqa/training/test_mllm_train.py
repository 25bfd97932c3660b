"""Training reaches what it should train, and a kill costs nothing."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from making import is_close

from medglip.grounding.bad_input import BadInput
from medglip.grounding.evidence.evidence import EvidenceSettings
from medglip.grounding.training.settings import TrainSettings
from medglip.vqa.model.grounded_mllm import GroundedMLLM
from medglip.vqa.prompt.prompt import Example
from medglip.vqa.training.settings import MllmTrainSettings
from medglip.vqa.training.train import answer_loss, token_losses, train

NewMllm = Callable[..., GroundedMLLM]
NewExample = Callable[..., Example]
SHOW = EvidenceSettings()


def settings(steps: int) -> MllmTrainSettings:
    rate = TrainSettings(steps=steps, batch_size=2, learning_rate=1e-2, warmup_steps=1, checkpoint_every=2)
    return MllmTrainSettings(train=rate)


class _Interrupted(list[Example]):
    """Examples whose drawing is interrupted after so many draws."""

    def __init__(self, examples: list[Example], after: int):
        super().__init__(examples)
        self.left = after

    def __getitem__(self, place: Any) -> Any:
        self.left -= 1
        if self.left < 0:
            raise KeyboardInterrupt
        return super().__getitem__(place)


def test_the_loss_depends_on_region_vectors_and_teaches_their_projector(
    new_mllm: NewMllm, new_example: NewExample
) -> None:
    mllm = new_mllm()
    tokens = EvidenceSettings(forms=("tokens",))
    batch = mllm.collate([mllm.render(new_example(2), tokens), mllm.render(new_example(1), tokens)])
    loss = answer_loss(mllm, batch)["loss"]
    loss.backward()
    trained = {name: p.grad for name, p in mllm.named_parameters() if p.requires_grad}
    for part in ("region_projector", "multi_modal_projector", "lora_B"):
        reached = [g for name, g in trained.items() if part in name]
        assert reached
        assert all(g is not None and g.abs().sum() > 0 for g in reached)
    assert not any("vision_tower" in name or "embed_tokens" in name for name in trained)
    batch["features"][0] = batch["features"][0] + 1
    assert answer_loss(mllm, batch)["loss"] != loss


def test_a_missing_vector_is_named_with_both_counts(new_mllm: NewMllm, new_example: NewExample) -> None:
    mllm = new_mllm()
    batch = mllm.collate([mllm.render(new_example(2), SHOW)])
    batch["features"] = [batch["features"][0][:1]]
    with pytest.raises(ValueError, match=r"\[2\] <region> tokens in the rows, \[1\] region vectors"):
        mllm(batch)


def test_a_resumed_training_equals_a_straight_one(new_mllm: NewMllm, new_example: NewExample, tmp_path: Path) -> None:
    examples = [new_example(n, seed=n) for n in range(4)]
    straight, halted, resumed = (new_mllm() for _ in range(3))
    log = train(straight, examples, SHOW, settings(4), tmp_path / "straight")
    # the schedule belongs to the length, so the first half is the same run, interrupted after its first checkpoint
    with pytest.raises(KeyboardInterrupt):
        train(halted, _Interrupted(examples, after=5), SHOW, settings(4), tmp_path / "halted")
    again = train(resumed, examples, SHOW, settings(4), tmp_path / "halted")
    assert [entry["loss"] for entry in again] == [entry["loss"] for entry in log]
    for (name, a), b in zip(straight.named_parameters(), resumed.parameters(), strict=True):
        assert torch.equal(a, b), name


def test_examples_without_a_target_teach_nothing(new_mllm: NewMllm, new_example: NewExample, tmp_path: Path) -> None:
    blank = Example(**{**vars(new_example(1)), "target": None})
    with pytest.raises(BadInput, match="no examples to train on"):
        train(new_mllm(), [blank], SHOW, settings(2), tmp_path)


def test_a_long_answer_weighs_as_much_as_a_short_one(new_mllm: NewMllm, new_example: NewExample) -> None:
    mllm = new_mllm()
    long = Example(**{**vars(new_example(1)), "target": "upper left " * 8})
    prompts = [mllm.render(example, SHOW) for example in (new_example(1), long)]
    alone = [answer_loss(mllm, mllm.collate([prompt]))["loss"] for prompt in prompts]
    together = answer_loss(mllm, mllm.collate(prompts))
    assert is_close(together["loss"], torch.stack(alone).mean(), 1e-5)
    batch = mllm.collate(prompts)
    assert token_losses(mllm(batch), batch["labels"]).shape == batch["labels"].shape


def test_a_batch_of_like_length_shows_the_same_forms(
    new_mllm: NewMllm, new_example: NewExample, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mllm = new_mllm()
    render, shown = mllm.render, []
    monkeypatch.setattr(
        mllm, "render", lambda example, evidence: shown.append(evidence.forms) or render(example, evidence)
    )
    rates = settings(8).model_copy(update={"group_by_length": True})
    train(
        mllm,
        [new_example(1), new_example(2)],
        EvidenceSettings(forms=("text", "tokens"), form_dropout=0.5),
        rates,
        tmp_path,
    )
    pairs = list(zip(shown[::2], shown[1::2], strict=True))
    assert len(pairs) == 8
    assert all(one == other for one, other in pairs)
    assert len(set(pairs)) > 1
