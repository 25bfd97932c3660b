"""The grounded MLLM adds regions and LoRA to a base, and nothing where there are none."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from making import is_close

from medglip.grounding.bad_input import BadInput
from medglip.grounding.evidence.evidence import EvidenceSettings
from medglip.grounding.evidence.forms.tokens import TokenShape
from medglip.grounding.geometry import Letterbox
from medglip.grounding.imaging.read import read_image
from medglip.grounding.model.config import MedGlipVisionConfig
from medglip.grounding.model.image_tower import MedGlipVisionModel
from medglip.vqa.model.grounded_mllm import GroundedMLLM, load
from medglip.vqa.model.settings import MllmSettings, dtype_here
from medglip.vqa.model.small_default import assemble, image_tower
from medglip.vqa.prompt.prompt import Example

NewMllm = Callable[..., GroundedMLLM]
NewExample = Callable[..., Example]
SHOW = EvidenceSettings()


def logits(mllm: GroundedMLLM, examples: list[Example], settings: EvidenceSettings = SHOW) -> torch.Tensor:
    with torch.inference_mode():
        return mllm(mllm.collate([mllm.render(example, settings) for example in examples]))


def test_zero_regions_and_fresh_lora_are_the_plain_model_bit_for_bit(
    new_mllm: NewMllm, new_example: NewExample, tiny_base: Path
) -> None:
    from transformers import AutoModelForImageTextToText

    mllm = new_mllm()
    plain = AutoModelForImageTextToText.from_pretrained(tiny_base, dtype=torch.float32).eval()
    plain.set_attn_implementation({"text_config": "medglip_grouped"})
    prompt = mllm.render(new_example(None), SHOW)
    batch = mllm.collate([prompt])
    num_labels = batch["labels"].shape[1]
    with torch.inference_mode():
        wanted = plain(**batch["inputs"]).logits[:, -num_labels - 1 : -1]
        assert torch.equal(mllm(batch), wanted)


def test_grouped_attention_is_the_library_s_attention(new_example: NewExample, new_mllm: NewMllm) -> None:
    mllm = new_mllm(is_random=True)
    examples = [new_example(0), new_example(3)]  # unequal lengths: padding is masked
    ours = logits(mllm, examples)
    mllm.model.get_base_model().set_attn_implementation({"text_config": "eager"})
    assert is_close(ours, logits(mllm, examples), 1e-5)


def test_a_saved_adapter_gives_the_same_logits(new_mllm: NewMllm, new_example: NewExample, tmp_path: Path) -> None:
    mllm, examples = new_mllm(is_random=True), [new_example(2), new_example(0)]
    mllm.save(tmp_path / "adapter")
    before = logits(mllm, examples)
    assert not torch.equal(before, logits(new_mllm(), examples))
    assert torch.equal(before, logits(new_mllm(adapter=tmp_path / "adapter"), examples))
    assert (tmp_path / "adapter" / "adapter_model.safetensors").stat().st_size < 100_000  # no embedding in it


@pytest.mark.parametrize(("key", "value"), [("hidden_size", 48), ("model_type", "qwen2_5_vl"), ("num_layers", 3)])
def test_an_adapter_of_another_architecture_is_refused(
    new_mllm: NewMllm, tmp_path: Path, key: str, value: object
) -> None:
    new_mllm().save(tmp_path)
    file = tmp_path / "medglip_mllm.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), key: value}))
    with pytest.raises(BadInput, match=f"another architecture: {key} {value!r}, here"):
        new_mllm(adapter=tmp_path)
    with pytest.raises(BadInput, match="embedding_dim"):
        new_mllm(adapter=tmp_path, shape=TokenShape(5))


def test_an_adapter_of_before_reads_one_token_of_eight_numbers(
    new_mllm: NewMllm, new_example: NewExample, tmp_path: Path
) -> None:
    mllm, examples = new_mllm(shape=TokenShape(6, (), 8)), [new_example(2)]
    mllm.save(tmp_path)
    file = tmp_path / "medglip_mllm.json"
    saved = json.loads(file.read_text())
    file.write_text(json.dumps({key: saved[key] for key in saved if key not in ("pooled_dims", "position_dim")}))
    again = new_mllm(adapter=tmp_path, shape=TokenShape(6, (2, 3)))  # with a core that has more to tell
    assert again.shape == mllm.shape
    assert torch.equal(logits(mllm, examples), logits(again, examples))


def test_an_adapter_keeps_its_tokens_and_refuses_a_core_without_their_features(
    new_mllm: NewMllm, new_example: NewExample, tmp_path: Path
) -> None:
    mllm, examples = new_mllm(shape=TokenShape(6, (2, 3))), [new_example(2), new_example(None)]
    mllm.save(tmp_path)
    assert torch.equal(logits(mllm, examples), logits(new_mllm(adapter=tmp_path, shape=mllm.shape), examples))
    with pytest.raises(BadInput, match="pooled_dims"):
        new_mllm(adapter=tmp_path)


def test_a_folder_that_is_no_model_or_no_adapter_is_refused(new_mllm: NewMllm, tmp_path: Path) -> None:
    for folder in (tmp_path, tmp_path / "missing"):
        with pytest.raises(BadInput, match="no processor"):
            load(MllmSettings(base=str(folder)), TokenShape(4))
    with pytest.raises(BadInput, match="no adapter of ours"):
        new_mllm(adapter=tmp_path)


def test_batched_is_single_with_left_padding(new_mllm: NewMllm, new_example: NewExample) -> None:
    mllm = new_mllm(is_random=True)
    examples = [new_example(None), new_example(4, seed=1), new_example(1, instruction="Is it?")]
    together = logits(mllm, examples)
    for row, example in enumerate(examples):
        assert is_close(together[row : row + 1], logits(mllm, [example]), 1e-3)


def test_merging_changes_nothing_and_gives_the_same_weights_back(new_mllm: NewMllm, new_example: NewExample) -> None:
    mllm, examples = new_mllm(is_random=True), [new_example(2)]
    before = logits(mllm, examples)
    with mllm.merge_lora():
        assert is_close(before, logits(mllm, examples), 1e-4)
    assert torch.equal(before, logits(mllm, examples))


@pytest.mark.parametrize(
    ("processor", "has_gpu", "expected"),
    [("AVX512", False, "bf16"), ("AVX2", False, "fp32"), ("DEFAULT", False, "fp32"), ("AVX2", True, "bf16")],
)
def test_bf16_is_for_machines_that_compute_in_it(
    monkeypatch: pytest.MonkeyPatch, processor: str, has_gpu: bool, expected: str
) -> None:
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: processor)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: has_gpu)
    assert dtype_here(MllmSettings()) == expected
    assert dtype_here(MllmSettings(dtype="bf16")) == "bf16"
    assert dtype_here(MllmSettings(dtype="fp32")) == "fp32"


def test_a_crop_is_a_second_image_that_matters(new_mllm: NewMllm, new_example: NewExample) -> None:
    mllm, example = new_mllm(), new_example(2)
    crops = EvidenceSettings(forms=("text", "crops"), max_crops=1)
    batch = mllm.collate([mllm.render(example, crops), mllm.render(new_example(None), crops)])
    assert (batch["inputs"]["input_ids"] == mllm.model.config.image_token_id).sum(1).tolist() == [8, 4]
    assert not torch.equal(logits(mllm, [example], crops), logits(mllm, [example], EvidenceSettings(forms=("text",))))


def test_pixels_are_what_the_core_was_trained_on(new_mllm: NewMllm, new_example: NewExample, image_path: Path) -> None:
    from medglip.grounding.model.processing import normalise

    mllm = new_mllm()
    image = read_image(image_path)
    square = np.array(Letterbox(image.size, 64).image(image))
    batch = mllm.collate([mllm.render(new_example(None), SHOW)])
    assert is_close(batch["inputs"]["pixel_values"], normalise(square[None]), 1e-5)


def test_the_image_tower_is_copied_out_of_a_trained_core(tiny_text: Path, tmp_path: Path) -> None:
    from transformers import AutoModelForImageTextToText

    tower = MedGlipVisionModel(
        MedGlipVisionConfig(image_size=64, stage_widths=(4, 4, 4, 4), hidden_size=8, num_groups=2)
    )
    first: Any = tower.get_input_embeddings()
    with torch.no_grad():
        first.weight.fill_(0.25)
    tower.save_pretrained(tmp_path / "core")
    folder = assemble(tmp_path / "core", tmp_path / "llava", text=tiny_text)
    again = AutoModelForImageTextToText.from_pretrained(folder, dtype=torch.float32)
    copied: Any = again.model.vision_tower.get_input_embeddings()
    assert torch.equal(copied.weight, first.weight)
    with pytest.raises(BadInput, match="has no image tower"):
        image_tower(tiny_text)
