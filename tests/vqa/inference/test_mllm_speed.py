"""What makes a step cheaper changes neither the loss nor a gradient."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from making import are_close, is_close
from torch import Tensor

from medglip.grounding.evidence.evidence import EvidenceSettings
from medglip.grounding.evidence.forms.tokens import TokenShape
from medglip.grounding.evidence.names import Form
from medglip.grounding.training.settings import TrainSettings
from medglip.vqa.model.grounded_mllm import GroundedMLLM, load
from medglip.vqa.model.settings import LoraSettings, MllmSettings
from medglip.vqa.prompt.batch import Batch
from medglip.vqa.prompt.prompt import Example
from medglip.vqa.training.batches import length_batches
from medglip.vqa.training.settings import MllmTrainSettings
from medglip.vqa.training.train import answer_loss, token_losses, train, validation

NewMllm = Callable[..., GroundedMLLM]
NewExample = Callable[..., Example]
SHOW = EvidenceSettings()


@pytest.fixture
def uneven(new_mllm: NewMllm, new_example: NewExample) -> tuple[GroundedMLLM, Batch]:
    """Answers of three lengths, one of them empty."""
    mllm = new_mllm(is_random=True)
    targets = ("upper left " * 6, "left", None)
    examples = [Example(**{**vars(new_example(n, seed=n)), "target": t}) for n, t in enumerate(targets)]
    return mllm, mllm.collate([mllm.render(example, SHOW) for example in examples])


def gradients(mllm: GroundedMLLM, loss: Tensor) -> dict[str, Tensor]:
    mllm.zero_grad()
    loss.backward()
    return {name: p.grad.clone() for name, p in mllm.named_parameters() if p.grad is not None}


def test_logits_of_labels_alone_give_the_same_loss_and_gradients(uneven: tuple[GroundedMLLM, Batch]) -> None:
    mllm, batch = uneven
    is_label_BK = batch["labels"] != -100
    losses_BK = token_losses(mllm(batch), batch["labels"])
    full = (losses_BK.sum(1) / is_label_BK.sum(1).clamp(min=1)).mean()
    wanted = gradients(mllm, full)
    found = answer_loss(mllm, batch)
    assert is_close(found["loss"], full, 1e-5)
    assert is_close(found["token_loss"], losses_BK.sum() / is_label_BK.sum(), 1e-5)
    again = gradients(mllm, found["loss"])
    assert wanted.keys() == again.keys()
    assert are_close(again, wanted, 1e-5)


def test_the_output_layer_sees_nothing_but_positions_of_labels(uneven: tuple[GroundedMLLM, Batch]) -> None:
    mllm, batch = uneven
    seen: list[int] = []
    mllm.model.get_output_embeddings().register_forward_hook(lambda _, __, out: seen.append(out[..., 0].numel()))
    answer_loss(mllm, batch)
    num_labels = int((batch["labels"] != -100).sum())
    assert seen == [num_labels]
    assert num_labels < batch["labels"].numel()
    mllm(batch)
    assert seen[1] == 3 * (batch["labels"].shape[1] + 1)


def test_the_output_layer_reads_rows_laid_out_as_new(uneven: tuple[GroundedMLLM, Batch]) -> None:
    """Of one position torch calls a slice contiguous that has strides of its own; the matrix is then copied for it."""
    mllm, batch = uneven
    strides: list[tuple[int, ...]] = []
    output = mllm.model.get_output_embeddings()
    output.register_forward_pre_hook(lambda _, args: strides.append(args[0].stride()))
    one = {key: value[:1] for key, value in batch["inputs"].items()}
    with mllm.ready(batch["features"][:1]), torch.no_grad():
        mllm.model(**one, logits_to_keep=1)
    width = output.weight.shape[1]
    assert strides == [(width, width, 1)]


def test_below_the_first_update_no_graph_is_built(tiny_base: Path, new_example: NewExample) -> None:
    lora = LoraSettings(r=2, layers=1, train_projector=False)
    mllm = load(MllmSettings(base=str(tiny_base), dtype="fp32", lora=lora), TokenShape(6)).train()
    graphs: dict[str, bool] = {}
    for name, module in mllm.model.named_modules():
        if name.endswith(("vision_tower", "multi_modal_projector", "layers.0", "layers.1")):
            module.register_forward_hook(
                lambda _, __, out, name=name: graphs.update({name: _tensor(out).requires_grad})
            )
    cases: list[tuple[Form, bool]] = [("text", False), ("tokens", True)]
    for form, is_reached in cases:
        graphs.clear()
        answer_loss(mllm, mllm.collate([mllm.render(new_example(1), EvidenceSettings(forms=(form,)))]))
        first, last = (next(v for k, v in graphs.items() if k.endswith(f"model.layers.{n}")) for n in (0, 1))
        assert (first, last) == (is_reached, True)  # region vectors enter at the bottom and must be reached there
        assert not any(found for name, found in graphs.items() if "vision_tower" in name or "projector" in name)


def _tensor(out: Any) -> Tensor:
    return out if isinstance(out, Tensor) else out[0]


def test_batches_of_like_length_pad_less_and_use_every_example_equally() -> None:
    lengths = np.random.default_rng(0).integers(10, 400, 96).tolist()
    rates = TrainSettings(steps=36, batch_size=8)
    batches = length_batches(lengths, rates)
    assert batches == length_batches(lengths, rates)
    assert len(batches) == 36
    assert {len(batch) for batch in batches} == {8}
    assert set(np.bincount([k for batch in batches for k in batch], minlength=96)) == {3}
    spread = [max(lengths[k] for k in batch) - min(lengths[k] for k in batch) for batch in batches]
    assert np.mean(spread) < 80  # by chance it would be about 300


@pytest.mark.parametrize("by_image", [False, True])
def test_grouped_and_checkpointed_training_resumes_exactly(
    by_image: bool, new_mllm: NewMllm, new_example: NewExample, tmp_path: Path
) -> None:
    examples = [new_example(n, seed=n // 2) for n in range(4)]
    rates = TrainSettings(steps=4, batch_size=2, warmup_steps=1, checkpoint_every=2)
    settings = MllmTrainSettings(train=rates, group_by_length=True, by_image=by_image, gradient_checkpointing=True)
    straight, halted, resumed = (new_mllm() for _ in range(3))
    log = train(straight, examples, SHOW, settings, tmp_path / "straight")
    calls = iter([halted.collate] * 3)
    halted.collate = lambda *given: next(calls, _interrupt)(*given)  # type: ignore[method-assign]
    with pytest.raises(KeyboardInterrupt):
        train(halted, examples, SHOW, settings, tmp_path / "halted")
    again = train(resumed, examples, SHOW, settings, tmp_path / "halted")
    assert [entry["loss"] for entry in again] == [entry["loss"] for entry in log]
    assert not straight.model.get_base_model().is_gradient_checkpointing


def _interrupt(*_: Any) -> Any:
    raise KeyboardInterrupt


def test_without_progress_training_stops_and_keeps_the_best(
    new_mllm: NewMllm, new_example: NewExample, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rates = TrainSettings(steps=20, batch_size=1, warmup_steps=1, checkpoint_every=20, validate_every=1, patience=2)
    settings = MllmTrainSettings(train=rates)
    values, asked = iter([1.0, 2.0, 1.5, 1.5, 9.0]), []
    monkeypatch.setattr("medglip.vqa.training.train.validation", lambda *given: asked.append(given) or next(values))
    mllm, held_out = new_mllm(), [new_example(0)]
    log = train(mllm, [new_example(1)], SHOW, settings, tmp_path, held_out=held_out)
    assert [entry["validation"] for entry in log] == [1.0, 2.0, 1.5, 1.5]
    assert len(asked) == 4
    again = new_mllm()
    train(again, [new_example(1)], SHOW, settings, tmp_path, held_out=held_out)
    assert len(asked) == 4
    assert json.loads((tmp_path / "best" / "value.json").read_text()) == 2.0
    assert all(torch.equal(a, b) for a, b in zip(mllm.parameters(), again.parameters(), strict=True))


def test_validation_is_the_mean_loss_whatever_the_batches(new_mllm: NewMllm, new_example: NewExample) -> None:
    mllm, examples = new_mllm(), [new_example(n, seed=n) for n in range(3)]
    one, all_at_once = (validation(examples, SHOW, size, mllm) for size in (1, 3))
    assert one == pytest.approx(all_at_once, abs=1e-5)
    assert one < 0
