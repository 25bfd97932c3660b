"""What a plan counts is what loading and training find: every parameter, and about the memory and the operations."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch.autograd.graph import saved_tensors_hooks
from torch.utils.flop_counter import FlopCounterMode

from medglip.grounding.evidence.evidence import EvidenceSettings
from medglip.grounding.evidence.forms.tokens import TokenShape
from medglip.vqa.model.footprint import NF4_BYTES, TRAINED_BYTES, measure
from medglip.vqa.model.grounded_mllm import load
from medglip.vqa.model.settings import ATTENTION, MLP, LoraSettings, MllmSettings
from medglip.vqa.training.train import answer_loss

SHAPE = TokenShape(16, (4, 8))


def test_parameters_are_exact_and_activations_and_operations_near(tiny_base: Path, new_example: Callable) -> None:
    lora = LoraSettings(r=4, linears=ATTENTION + MLP)
    settings = MllmSettings(base=str(tiny_base), dtype="fp32", lora=lora)
    found = measure(settings, str(tiny_base), TokenShape(6))
    mllm = load(settings, TokenShape(6))
    mllm.model.set_attn_implementation({"text_config": "sdpa"})
    trained = {name: p.numel() for name, p in mllm.named_parameters() if p.requires_grad}
    assert found.base == sum(p.numel() for p in mllm.model.parameters()) - sum(
        n for name, n in trained.items() if not name.startswith("region_projector")
    )
    assert found.trained == sum(trained.values())
    assert found.lora == sum(n for name, n in trained.items() if "lora_" in name)
    assert found.regions == sum(n for name, n in trained.items() if name.startswith("region_projector"))
    batch = mllm.collate([mllm.render(new_example(4), EvidenceSettings(forms=("text", "tokens")))])
    tokens, labels = batch["inputs"]["input_ids"].shape[1], batch["labels"].shape[1]
    kept: dict[int, int] = {}
    alive = []

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        if not isinstance(tensor, torch.nn.Parameter):
            alive.append(tensor.untyped_storage())
            kept[alive[-1].data_ptr()] = alive[-1].nbytes()
        return tensor

    with saved_tensors_hooks(keep, lambda tensor: tensor), FlopCounterMode(display=False) as counter:
        loss = answer_loss(mllm.train(), batch)["loss"]
        loss.backward()
    # of a CPU the attention keeps pairs too, which a GPU does not: a tenth here
    assert sum(kept.values()) == pytest.approx(found.activation_bytes("fp32", tokens, labels, False), rel=0.3)
    assert counter.get_total_flops() == pytest.approx(found.flops(tokens, 1, labels, False), rel=0.3)


def test_memory_follows_from_precision_batch_and_checkpointing(tiny_base: Path) -> None:
    found = measure(MllmSettings(base=str(tiny_base)), str(tiny_base), SHAPE)
    assert found.precisions == ("fp32", "bf16", "4bit")
    assert found.weight_bytes("fp32") == 2 * found.weight_bytes("bf16") == 4 * found.base
    assert found.weight_bytes("4bit") == NF4_BYTES * found.packed + 2 * (found.base - found.packed)
    one, two = (found.step_bytes("bf16", size, 100, 10, False) for size in (1, 2))
    assert two - one == found.activation_bytes("bf16", 100, 10, False)
    assert one - found.weight_bytes("bf16") - (two - one) == pytest.approx(TRAINED_BYTES * found.trained + 2**30)
    assert found.activation_bytes("bf16", 100, 10, True) < found.activation_bytes("bf16", 100, 10, False)
    # of two layers one is kept, and the input of both
    logits = found.activation_bytes("bf16", 0, 10, False)
    halved = (found.activation_bytes("bf16", 100, 10, False) - logits) / 2 + 100 * 2 * found.layers * found.width
    assert found.activation_bytes("bf16", 100, 10, True) - logits == pytest.approx(halved)
