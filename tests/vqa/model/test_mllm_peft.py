"""DoRA and rsLoRA keep the promises of LoRA; 4 bit without what it needs is one clear error."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from making import is_close
from peft.tuners.lora import LoraLayer

from medglip.grounding.bad_input import BadInput
from medglip.grounding.evidence.evidence import EvidenceSettings
from medglip.grounding.evidence.forms.tokens import TokenShape
from medglip.vqa.model.grounded_mllm import GroundedMLLM, load
from medglip.vqa.model.settings import LoraSettings, MllmSettings
from medglip.vqa.prompt.prompt import Example

NewExample = Callable[..., Example]
SHOW = EvidenceSettings()
KINDS: list[dict[str, Any]] = [{"dora": True}, {"rslora": True}, {"dora": True, "rslora": True}]


def loaded(base: Path, adapter: Path | None = None, **lora: Any) -> GroundedMLLM:
    settings = LoraSettings.model_validate({"r": 4, **lora})
    return load(MllmSettings(base=str(base), dtype="fp32", lora=settings), TokenShape(6), adapter)


def logits(mllm: GroundedMLLM, examples: list[Example]) -> torch.Tensor:
    with torch.inference_mode():
        return mllm(mllm.collate([mllm.render(example, SHOW) for example in examples]))


def randomise(mllm: GroundedMLLM) -> None:
    draws = torch.Generator().manual_seed(5)
    with torch.no_grad():
        for name, parameter in mllm.named_parameters():
            if "lora_B" in name:
                parameter.copy_(torch.randn(parameter.shape, generator=draws) * 0.3)
            if "magnitude" in name:
                parameter.mul_(1.1)


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_starts_as_the_base_and_reloads_to_the_same_logits(
    tiny_base: Path, new_example: NewExample, tmp_path: Path, kind: dict[str, Any]
) -> None:
    examples = [new_example(2), new_example(0)]
    plain, mllm = logits(loaded(tiny_base), examples), loaded(tiny_base, **kind)
    assert is_close(logits(mllm, examples), plain, 1e-5)
    randomise(mllm)
    learnt = logits(mllm, examples)
    assert (learnt - plain).abs().max() > 0.1
    mllm.save(tmp_path)
    assert torch.equal(logits(loaded(tiny_base, tmp_path, **kind), examples), learnt)
    with mllm.merge_lora():
        assert is_close(logits(mllm, examples), learnt, 1e-3)
    assert torch.equal(logits(mllm, examples), learnt)


def test_rslora_scales_by_the_root_of_the_rank(tiny_base: Path) -> None:
    scale = {kind: _scales(loaded(tiny_base, rslora=kind)) for kind in (False, True)}
    assert scale == {False: {32 / 4}, True: {32 / 4**0.5}}


def _scales(mllm: GroundedMLLM) -> set[float]:
    return {module.scaling["default"] for module in mllm.modules() if isinstance(module, LoraLayer)}


def test_four_bit_names_everything_that_is_missing(tiny_base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    with pytest.raises(BadInput, match=r"the package bitsandbytes and a GPU.*medglip\[gpu\].*four_bit: false"):
        loaded(tiny_base, four_bit=True)
