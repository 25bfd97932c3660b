"""Another family than LLaVA, with a video processor that needs torchvision: loads, learns, generates, reloads."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from medglip.grounding.bad_input import BadInput
from medglip.grounding.evidence.evidence import EvidenceSettings
from medglip.grounding.evidence.forms.tokens import TokenShape
from medglip.vqa.inference.generate import generate
from medglip.vqa.inference.settings import GenerateSettings
from medglip.vqa.model.grounded_mllm import load
from medglip.vqa.model.processor import load_processor
from medglip.vqa.model.settings import ATTENTION, MLP, LoraSettings, MllmSettings
from medglip.vqa.prompt.prompt import Example
from medglip.vqa.training.train import answer_loss

NewExample = Callable[..., Example]
TEMPLATE = (
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{% for p in m['content'] %}{% if p['type'] == 'image' %}"
    "<|vision_start|><|image_pad|><|vision_end|>{% else %}{{ p['text'] }}{% endif %}{% endfor %}<|im_end|>\n"
    "{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


@pytest.fixture(scope="module")
def qwen(tiny_text: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny random Qwen2.5-VL as its real folders look: with the file of a video processor."""
    from transformers import AutoTokenizer, Qwen2_5_VLConfig, Qwen2_5_VLForConditionalGeneration, Qwen2VLImageProcessor

    names = ["<|vision_start|>", "<|vision_end|>", "<|image_pad|>", "<|video_pad|>"]
    tokenizer = AutoTokenizer.from_pretrained(tiny_text)
    tokenizer.add_tokens(names, special_tokens=True)
    start, end, image, video = tokenizer.convert_tokens_to_ids(names)
    config = Qwen2_5_VLConfig(
        text_config={
            "vocab_size": 384,
            "hidden_size": 32,
            "intermediate_size": 64,
            "num_hidden_layers": 2,
            "num_attention_heads": 4,
            "num_key_value_heads": 2,
            "rope_parameters": {"rope_type": "default", "mrope_section": [1, 1, 2], "rope_theta": 10000.0},
            "bos_token_id": 1,
            "eos_token_id": 2,
            "pad_token_id": 0,
        },
        vision_config={
            "depth": 2,
            "hidden_size": 32,
            "intermediate_size": 64,
            "num_heads": 4,
            "out_hidden_size": 32,
            "fullatt_block_indexes": [1],
        },
        image_token_id=image,
        video_token_id=video,
        vision_start_token_id=start,
        vision_end_token_id=end,
    )
    folder = tmp_path_factory.mktemp("qwen")
    torch.manual_seed(0)
    Qwen2_5_VLForConditionalGeneration(config).save_pretrained(folder)
    Qwen2VLImageProcessor(min_pixels=56 * 56, max_pixels=112 * 112).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    (folder / "video_preprocessor_config.json").write_text('{"video_processor_type": "Qwen2VLVideoProcessor"}')
    (folder / "processor_config.json").write_text('{"processor_class": "Qwen2_5_VLProcessor"}')
    (folder / "chat_template.jinja").write_text(TEMPLATE)
    return folder


def test_a_family_with_a_video_processor_goes_the_whole_way(
    qwen: Path, new_example: NewExample, tmp_path: Path
) -> None:
    settings = MllmSettings(base=str(qwen), dtype="fp32", lora=LoraSettings(r=4, linears=ATTENTION + MLP))
    mllm = load(settings, TokenShape(6))
    show = EvidenceSettings(forms=("text", "tokens", "crops"))
    examples = [new_example(2), new_example(None), new_example(1)]
    batch = mllm.collate([mllm.render(example, show) for example in examples])
    answer_loss(mllm, batch)["loss"].backward()
    adapted = [name for name, p in mllm.named_parameters() if p.grad is not None and "lora_B" in name]
    assert len(adapted) == 14
    assert not any("visual" in name for name in adapted)
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in mllm.region_projector.parameters())
    with torch.no_grad():
        for name, parameter in mllm.named_parameters():
            if "lora_B" in name:
                parameter.normal_(0, 0.3)
    mllm.save(tmp_path)
    again = load(settings, TokenShape(6), tmp_path)
    with torch.inference_mode():
        assert torch.equal(mllm(batch), again(batch))
    wanted = GenerateSettings(max_new_tokens=4, batch_size=1)
    alone = generate(mllm, examples, show, wanted)
    together = generate(mllm, examples, show, wanted.model_copy(update={"batch_size": 3, "num_beams": 1}))
    assert [g.text for g in together] == [g.text for g in alone]


def test_a_family_without_a_chat_template_is_refused(qwen: Path, tmp_path: Path) -> None:
    for file in qwen.iterdir():
        if file.name not in ("chat_template.jinja", "model.safetensors"):
            (tmp_path / file.name).write_bytes(file.read_bytes())
    with pytest.raises(BadInput, match=r"Qwen2_5_VLProcessor has no chat template.*instruction-tuned"):
        load_processor(str(tmp_path))


def test_a_processor_class_of_nobody_is_refused(qwen: Path, tmp_path: Path) -> None:
    for file in qwen.iterdir():
        if file.name != "model.safetensors":
            (tmp_path / file.name).write_bytes(file.read_bytes())
    (tmp_path / "processor_config.json").write_text(json.dumps({"processor_class": "NobodyProcessor"}))
    with pytest.raises(BadInput, match=r"NobodyProcessor|no processor"):
        load_processor(str(tmp_path))
