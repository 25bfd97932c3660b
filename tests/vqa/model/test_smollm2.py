"""The assembled default is an ordinary LLaVA folder; the real conversion keeps every weight."""

from pathlib import Path
from typing import Any

import pytest
import torch

from medglip.grounding.model.config import MedGlipVisionConfig
from medglip.vqa.model import small_default as smollm2
from medglip.vqa.model.small_default import assemble, default_folder, text_folder


def test_the_same_seed_gives_the_same_projector_and_leaves_torch_s_own_alone(tiny_text: Path, tmp_path: Path) -> None:
    from safetensors.torch import load_file

    sizes = MedGlipVisionConfig(image_size=64, stage_widths=(4, 4, 4, 4), hidden_size=8, num_groups=2)
    state = torch.get_rng_state()
    one, two = (assemble(sizes, tmp_path / name, text=tiny_text) for name in "ab")
    assert torch.equal(state, torch.get_rng_state())
    first, second = (load_file(folder / "model.safetensors") for folder in (one, two))
    assert all(torch.equal(value, second[name]) for name, value in first.items())
    other = load_file(assemble(sizes, tmp_path / "c", text=tiny_text, seed=1) / "model.safetensors")
    name = next(name for name in first if "multi_modal_projector.linear_1.weight" in name)
    assert not torch.equal(first[name], other[name])


def test_a_kill_while_writing_leaves_no_folder(
    tiny_text: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(smollm2.transformers.LlavaProcessor, "save_pretrained", killed)
    with pytest.raises(KeyboardInterrupt):
        assemble(MedGlipVisionConfig(image_size=64), tmp_path / "out", text=tiny_text)
    assert not list(tmp_path.iterdir())


def test_another_core_is_another_folder_in_the_cache(
    tiny_text: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(smollm2, "text_folder", lambda *_: tiny_text)
    from medglip.grounding.model.image_tower import MedGlipVisionModel

    sizes = MedGlipVisionConfig(image_size=64, stage_widths=(4, 4, 4, 4), hidden_size=8, num_groups=2)
    folders = []
    for seed in (0, 1, 0):
        torch.manual_seed(seed)
        MedGlipVisionModel(sizes).save_pretrained(tmp_path / "core")
        folders.append(default_folder(tmp_path / "core", tmp_path / "cache"))
    assert folders[0] == folders[2] != folders[1]


@pytest.mark.parametrize(("core_px", "tokens"), [(64, 4), (320, 64)])
def test_a_picture_is_at_most_64_tokens_however_large_the_core_sees_it(
    core_px: int, tokens: int, tiny_text: Path, tmp_path: Path
) -> None:
    from medglip.grounding.model.image_tower import MedGlipTokensModel

    sizes = MedGlipVisionConfig(image_size=core_px, stage_widths=(4, 4, 4, 4), hidden_size=8, num_groups=2)
    folder = assemble(sizes, tmp_path / "llava", text=tiny_text)
    processor = smollm2.transformers.LlavaProcessor.from_pretrained(folder)
    vision: Any = smollm2.transformers.LlavaConfig.from_pretrained(folder).vision_config
    picture = torch.zeros(3, core_px, core_px, dtype=torch.uint8)
    pixels = processor.image_processor(picture, return_tensors="pt")["pixel_values"]
    assert MedGlipTokensModel(vision)(pixels).last_hidden_state.shape[1] == tokens


@pytest.mark.thorough
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # gguf
def test_the_real_text_model_speaks() -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    folder = text_folder()
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model: Any = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    ids = tokenizer("The capital of France is", return_tensors="pt")
    written = model.generate(**ids, max_new_tokens=3, do_sample=False)[0]
    assert "Paris" in tokenizer.decode(written)
