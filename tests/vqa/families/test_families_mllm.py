"""Every family, on a tiny random checkpoint, goes the whole way: build, save, load, LoRA step, generate, reload."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from making import are_close, is_close

from medglip.grounding.evidence.evidence import EvidenceSettings
from medglip.grounding.evidence.forms.tokens import TokenShape
from medglip.vqa.families import family_of
from medglip.vqa.inference.generate import generate
from medglip.vqa.inference.settings import GenerateSettings
from medglip.vqa.model.grounded_mllm import GroundedMLLM, load
from medglip.vqa.model.settings import ATTENTION, MLP, LoraSettings, MllmSettings
from medglip.vqa.model.speed import use_grouped_attention
from medglip.vqa.prompt.prompt import Example
from medglip.vqa.publish.export import EXACT, ExportForm, export
from medglip.vqa.training.train import answer_loss, token_losses

NewExample = Callable[..., Example]
DIM = 6
SHAPE = TokenShape(DIM)
SHOW = EvidenceSettings(forms=("text", "tokens", "crops"), max_crops=2)
CROPS = EvidenceSettings(forms=("crops",), max_crops=2)
SIDES = {"height": 56, "width": 56}
LAYERS = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4}
VISION = {**LAYERS, "image_size": 56, "patch_size": 14}
SIGLIP = {**VISION, "model_type": "siglip_vision_model", "vision_use_head": False}
TEXT = {
    **LAYERS,
    "vocab_size": 400,
    "num_key_value_heads": 2,
    "max_position_embeddings": 4096,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "pad_token_id": 0,
    "initializer_range": 0.2,
}
GEMMA = {**TEXT, "head_dim": 8, "query_pre_attn_scalar": 8, "sliding_window": 4096}
Parts = tuple[Any, Any, str, dict[str, Any]]
"""Config; image processor; processor class; its other entries."""


def template(image: str) -> str:
    return (
        "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{% for p in m['content'] %}{% if p['type'] == 'image' %}"
        + image
        + "{% else %}{{ p['text'] }}{% endif %}{% endfor %}<|im_end|>\n{% endfor %}"
        "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
    )


def llava(ids: dict[str, int]) -> Parts:
    config = transformers.LlavaConfig(
        vision_config={**VISION, "model_type": "clip_vision_model", "projection_dim": 32},
        text_config={**TEXT, "model_type": "llama"},
        image_token_index=ids["image_token"],
    )
    images = transformers.LlavaImageProcessor(size={"shortest_edge": 56}, crop_size=SIDES)
    more = {"patch_size": 14, "vision_feature_select_strategy": "default", "num_additional_image_tokens": 1}
    return config, images, "LlavaProcessor", more


def qwen(ids: dict[str, int], is_3: bool) -> Parts:
    rope = {"rope_type": "default", "mrope_section": [2, 1, 1], "rope_theta": 10000.0}
    vision: dict[str, Any] = {
        "depth": 2,
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_heads": 4,
        "out_hidden_size": 32,
    }
    tokens: dict[str, Any] = {f"{kind}_id": ids[kind] for kind in ("image_token", "video_token")}
    tokens |= {"vision_start_token_id": ids["vision_bos_token"], "vision_end_token_id": ids["vision_eos_token"]}
    text: dict[str, Any] = {**TEXT, "rope_parameters": rope, "head_dim": 8}
    if is_3:
        vision |= {"patch_size": 16, "deepstack_visual_indexes": [0], "num_position_embeddings": 16}
        config: Any = transformers.Qwen3VLConfig(text_config=text, vision_config=vision, **tokens)
        images = transformers.Qwen2VLImageProcessor(min_pixels=64 * 64, max_pixels=128 * 128, patch_size=16)
        return config, images, "Qwen3VLProcessor", {}
    del text["head_dim"]
    vision["fullatt_block_indexes"] = [1]
    config = transformers.Qwen2_5_VLConfig(text_config=text, vision_config=vision, **tokens)
    return config, transformers.Qwen2VLImageProcessor(min_pixels=3136, max_pixels=12544), "Qwen2_5_VLProcessor", {}


def qwen2_5_vl(ids: dict[str, int]) -> Parts:
    return qwen(ids, is_3=False)


def qwen3_vl(ids: dict[str, int]) -> Parts:
    return qwen(ids, is_3=True)


def qwen3_5(ids: dict[str, int]) -> Parts:
    config, images, processor, more = qwen3_vl(ids)
    values, vision = config.to_dict(), config.vision_config.to_dict()
    text = {**values["text_config"], "layer_types": ["linear_attention", "full_attention"]}
    # the recurrence in plain PyTorch rounds more than attention does: small heads keep it near
    text |= {
        "linear_key_head_dim": 8,
        "linear_value_head_dim": 8,
        "linear_num_key_heads": 2,
        "linear_num_value_heads": 4,
    }
    text |= {"rope_parameters": {**text["rope_parameters"], "partial_rotary_factor": 1.0}}
    tokens: dict[str, Any] = {
        key: value for key, value in values.items() if key.endswith("token_id") and isinstance(value, int)
    }
    for part in (text, vision):
        part.pop("model_type")
    return transformers.Qwen3_5Config(text_config=text, vision_config=vision, **tokens), images, processor, more


def glm4v(ids: dict[str, int]) -> Parts:
    rope = {"rope_type": "default", "mrope_section": [2, 1, 1], "rope_theta": 10000.0}
    vision = {**VISION, "depth": 2, "num_heads": 4, "out_hidden_size": 32}
    tokens: dict[str, Any] = {f"{kind}_id": ids[kind] for kind in ("image_token", "video_token")}
    tokens |= {"image_start_token_id": ids["boi_token"], "image_end_token_id": ids["eoi_token"]}
    tokens |= {"video_start_token_id": ids["bov_token"], "video_end_token_id": ids["eov_token"]}
    for name in ("num_hidden_layers", "num_attention_heads"):
        del vision[name]
    config = transformers.Glm4vConfig(text_config={**TEXT, "rope_parameters": rope}, vision_config=vision, **tokens)
    images = transformers.Glm4vImageProcessor(size={"shortest_edge": 3136, "longest_edge": 25088})
    return config, images, "Glm4vProcessor", {}


def idefics3(ids: dict[str, int], name: str = "Idefics3") -> Parts:
    config = getattr(transformers, f"{name}Config")(
        text_config={**TEXT, "model_type": "llama"},
        vision_config=VISION,
        image_token_id=ids["image_token"],
        scale_factor=2,
        pad_token_id=0,
    )
    kind = getattr(transformers, f"{name}ImageProcessor")
    images = kind(size={"longest_edge": 112}, max_image_size={"longest_edge": 56})
    return config, images, f"{name}Processor", {"image_seq_len": 4}


def smolvlm(ids: dict[str, int]) -> Parts:
    return idefics3(ids, "SmolVLM")


def paligemma(ids: dict[str, int]) -> Parts:
    config = transformers.PaliGemmaConfig(
        vision_config={**SIGLIP, "projection_dim": 32},
        text_config={**GEMMA, "model_type": "gemma2", "vocab_size": 1600},
        image_token_index=ids["image_token"],
        projection_dim=32,
        hidden_size=32,
    )
    return config, transformers.SiglipImageProcessor(size=SIDES, image_seq_length=16), "PaliGemmaProcessor", {}


def gemma3(ids: dict[str, int]) -> Parts:
    config = transformers.Gemma3Config(
        text_config={**GEMMA, "model_type": "gemma3_text"},
        vision_config=SIGLIP,
        mm_tokens_per_image=4,
        boi_token_index=ids["boi_token"],
        eoi_token_index=ids["eoi_token"],
        image_token_index=ids["image_token"],
    )
    return config, transformers.Gemma3ImageProcessor(size=SIDES), "Gemma3Processor", {"image_seq_length": 4}


def gemma4(ids: dict[str, int]) -> Parts:
    rope = {"rope_type": "default", "rope_theta": 10000.0}
    text = {**TEXT, "head_dim": 8, "global_head_dim": 8, "layer_types": ["sliding_attention", "full_attention"]}
    text |= {"rope_parameters": {"sliding_attention": rope, "full_attention": rope}, "sliding_window": 4096}
    # an embedding of every token in each layer, with no row for a token that is added
    text |= {"hidden_size_per_layer_input": 4, "vocab_size_per_layer_input": 400}
    tokens = ("image_token", "audio_token", "boi_token", "eoi_token", "boa_token")
    token_ids: dict[str, Any] = {f"{name}_id": ids[name] for name in tokens}
    config: Any = transformers.Gemma4Config(
        text_config=text,
        vision_config={**LAYERS, "num_key_value_heads": 4, "head_dim": 8, "patch_size": 14, "pooling_kernel_size": 2},
        **token_ids,
        eoa_token_index=ids["eoa_token"],
        video_token_id=399,
    )
    config.vision_config.rope_parameters = {"rope_type": "axial", "rope_theta": 100.0}
    images = transformers.Gemma4ImageProcessor(patch_size=14, max_soft_tokens=70, pooling_kernel_size=2)
    # as its real folders have them: the parts inside the processor's own file
    sound = {"feature_extractor_type": "Gemma4AudioFeatureExtractor"}
    return config, images, "Gemma4Processor", {"feature_extractor": sound}


def internvl(ids: dict[str, int]) -> Parts:
    config = transformers.InternVLConfig(
        vision_config={**VISION, "image_size": [56, 56], "patch_size": [14, 14]},
        text_config={**TEXT, "model_type": "qwen2"},
        image_token_id=ids["context_image_token"],
        downsample_ratio=0.5,
    )
    return config, transformers.GotOcr2ImageProcessor(size=SIDES), "InternVLProcessor", {"image_seq_length": 4}


def llava_onevision(ids: dict[str, int]) -> Parts:
    grid = [[56, 56], [56, 112], [112, 56], [112, 112]]
    config = transformers.LlavaOnevisionConfig(
        vision_config=SIGLIP,
        text_config={**TEXT, "model_type": "qwen2"},
        image_token_index=ids["image_token"],
        video_token_index=ids["video_token"],
        image_grid_pinpoints=grid,
    )
    images = transformers.LlavaOnevisionImageProcessor(size=SIDES, image_grid_pinpoints=grid)
    more = {"num_image_tokens": 16, "vision_feature_select_strategy": "full"}
    return config, images, "LlavaOnevisionProcessor", more


IMAGE = {"image_token": "<image>"}
QWEN = {"image_token": "<|image_pad|>", "video_token": "<|video_pad|>"}
QWEN |= {"vision_bos_token": "<|vision_start|>", "vision_eos_token": "<|vision_end|>"}
GLM = {"image_token": "<|image|>", "video_token": "<|video|>", "boi_token": "<|begin_of_image|>"}
GLM |= {"eoi_token": "<|end_of_image|>", "bov_token": "<|begin_of_video|>", "eov_token": "<|end_of_video|>"}
GEMMA4 = {"image_token": "<|image|>", "audio_token": "<|audio|>", "boi_token": "<|image>", "eoi_token": "<image|>"}
GEMMA4 |= {"boa_token": "<|audio>", "eoa_token": "<audio|>"}
SMOL = {**IMAGE, "fake_image_token": "<fake_token_around_image>", "global_image_token": "<global-img>"}
SMOL |= {"end_of_utterance_token": "<end_of_utterance>"}
INTERN = {"start_image_token": "<img>", "end_image_token": "</img>", "context_image_token": "<IMG_CONTEXT>"}
# how to build it; its special tokens; what the template writes for an image; LoRA modules of its vision side
BUILDS: dict[str, tuple[Callable[[dict[str, int]], Parts], dict[str, str], str, int]] = {
    "llava": (llava, IMAGE, "<image>", 12),
    "qwen2_5_vl": (qwen2_5_vl, QWEN, "<|vision_start|><|image_pad|><|vision_end|>", 10),
    "qwen3_vl": (qwen3_vl, QWEN, "<|vision_start|><|image_pad|><|vision_end|>", 8),
    "qwen3_5": (qwen3_5, QWEN, "<|vision_start|><|image_pad|><|vision_end|>", 8),
    "glm4v": (glm4v, GLM, "<|begin_of_image|><|image|><|end_of_image|>", 10),
    "gemma4": (gemma4, GEMMA4, "<|image|>", 14),
    "idefics3": (idefics3, SMOL, "<image>", 12),
    "smolvlm": (smolvlm, SMOL, "<image>", 12),
    "paligemma": (paligemma, IMAGE, "", 12),
    "gemma3": (gemma3, {**IMAGE, "image_token": "<soft>", "boi_token": "<start>", "eoi_token": "<end>"}, "<start>", 12),
    "internvl": (internvl, {**INTERN, "video_token": "<video>"}, "<IMG_CONTEXT>", 12),
    "llava_onevision": (llava_onevision, {**IMAGE, "video_token": "<video>"}, "<image>", 12),
}


@pytest.fixture(scope="module", params=BUILDS)
def base(request: pytest.FixtureRequest, tiny_text: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny random checkpoint as the family's real folders look: with the file of its video processor."""
    build, names, image, _ = BUILDS[request.param]
    folder = tmp_path_factory.mktemp(request.param)
    tokenizer = transformers.PreTrainedTokenizerFast.from_pretrained(tiny_text, extra_special_tokens=names)
    tokenizer.pad_token = tokenizer.unk_token
    config, images, processor, more = build({k: int(tokenizer.convert_tokens_to_ids(v)) for k, v in names.items()})
    torch.manual_seed(0)
    transformers.AutoModelForImageTextToText.from_config(config).save_pretrained(folder)
    images.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    (folder / "processor_config.json").write_text(json.dumps({"processor_class": processor, **more}))
    if image:
        (folder / "chat_template.jinja").write_text(template(image))
    if any("video" in name for name in names) or processor == "SmolVLMProcessor":
        kind = processor.replace("Qwen2_5_VL", "Qwen2VL").replace("Processor", "VideoProcessor")
        (folder / "video_preprocessor_config.json").write_text(json.dumps({"video_processor_type": kind}))
    return folder


@pytest.fixture
def mllm(base: Path) -> GroundedMLLM:
    return loaded(base)


def loaded(base: Path, adapter: Path | None = None, **lora: Any) -> GroundedMLLM:
    settings = LoraSettings(r=4, linears=ATTENTION + MLP, **lora)
    return load(MllmSettings(base=str(base), dtype="fp32", lora=settings), SHAPE, adapter)


def logits(mllm: GroundedMLLM, examples: list[Example], show: EvidenceSettings = SHOW) -> torch.Tensor:
    with torch.inference_mode():
        return mllm(mllm.collate([mllm.render(example, show) for example in examples]))


def randomise(mllm: GroundedMLLM) -> None:
    draws = torch.Generator().manual_seed(5)
    with torch.no_grad():
        for name, parameter in mllm.named_parameters():
            if "lora_B" in name:
                parameter.copy_(torch.randn(parameter.shape, generator=draws) * 0.3)


def test_without_regions_a_fresh_adapter_is_the_plain_model_bit_for_bit(
    base: Path, mllm: GroundedMLLM, new_example: NewExample
) -> None:
    plain = transformers.AutoModelForImageTextToText.from_pretrained(base, dtype=torch.float32).eval()
    use_grouped_attention(plain)
    # one image and three images: rows of unequal length, padded on the left
    prompts = [mllm.render(new_example(None), CROPS), mllm.render(new_example(2), CROPS)]
    assert [len(prompt.images) for prompt in prompts] == [1, 3]
    batch = mllm.collate(prompts)
    assert batch["inputs"]["attention_mask"].sum(1).diff() > 0
    assert (batch["inputs"]["attention_mask"][:, -1] == 1).all()
    num_labels = batch["labels"].shape[1]
    with torch.inference_mode():
        wanted = plain(**batch["inputs"], logits_to_keep=num_labels + 1).logits[:, :-1]
        assert torch.equal(mllm(batch), wanted)


def test_a_step_reaches_lora_and_regions_and_checkpointing_changes_no_gradient(
    base: Path, mllm: GroundedMLLM, new_example: NewExample
) -> None:
    family = family_of(mllm.model.config)
    batch = mllm.collate([mllm.render(example, SHOW) for example in (new_example(2), new_example(None))])
    answers = [mllm.processor.tokenizer.decode([i for i in row if i != -100]) for row in batch["labels"].tolist()]
    assert all(answer.startswith("upper left<|im_end|>") for answer in answers)

    def gradients() -> dict[str, torch.Tensor]:
        mllm.zero_grad()
        answer_loss(mllm.train(), batch)["loss"].backward()
        return {name: p.grad.clone() for name, p in mllm.named_parameters() if p.grad is not None}

    randomise(mllm)
    with torch.no_grad():  # logits of labels alone are those of all positions
        losses_BK = token_losses(mllm(batch), batch["labels"])
        means_B = losses_BK.sum(1) / (batch["labels"] != -100).sum(1)
        assert is_close(answer_loss(mllm, batch)["loss"], means_B.mean(), 1e-5)
    plain = gradients()
    adapted = [name for name, value in plain.items() if "lora_B" in name and value.abs().sum() > 0]
    # attention and MLP of two layers: 4 + 3 each, where a family joins none or has others
    assert len(adapted) == {"Qwen3.5": 3 + 3 + 7, "GLM-4V": 2 * (4 + 2)}.get(family.name, 14), family.name
    assert not any("vision" in name or "visual" in name for name in adapted)
    assert all(plain[f"region_projector.{n}"].abs().sum() > 0 for n, _ in mllm.region_projector.named_parameters())
    newer = getattr(mllm.model, "activation_checkpointing_enable", None)
    (newer or mllm.model.gradient_checkpointing_enable)({"use_reentrant": False})
    again = gradients()
    assert are_close(again, plain, 1e-5)


def test_batches_reloads_and_merges_change_nothing(
    base: Path, mllm: GroundedMLLM, new_example: NewExample, tmp_path: Path
) -> None:
    randomise(mllm)
    examples = [new_example(2), new_example(None), new_example(1, instruction="Is it?")]
    together = logits(mllm, examples)
    for row, example in enumerate(examples):
        assert is_close(together[row : row + 1], logits(mllm, [example]), 1e-3)
    wanted = GenerateSettings(max_new_tokens=4, batch_size=3)
    texts = [written.text for written in generate(mllm, examples, SHOW, wanted)]
    assert texts == [written.text for written in generate(mllm, examples, SHOW, GenerateSettings(**one(wanted)))]
    mllm.save(tmp_path / "adapter")
    assert torch.equal(together, logits(loaded(base, tmp_path / "adapter"), examples))
    mllm.model = mllm.model.merge_and_unload()
    assert is_close(together, logits(mllm, examples), 1e-3)


def one(settings: GenerateSettings) -> dict[str, Any]:
    return {**settings.model_dump(), "batch_size": 1}


def test_several_pictures_and_none_are_answered(mllm: GroundedMLLM, new_example: NewExample, image_path: Path) -> None:
    example = new_example(2)
    several = replace(example, other_paths=(image_path,))
    without = [replace(new_example(n), transform="text_only") for n in (None, 0)]
    settings, overlay = GenerateSettings(max_new_tokens=3), EvidenceSettings(forms=("text", "overlay"))
    assert len(mllm.render(several, overlay).images) == 3
    assert len(generate(mllm, [several, example], overlay, settings)) == 2
    shown = [mllm.render(one, overlay).images for one in without]
    assert [len(images) for images in shown] == [int(mllm.family.needs_image)] * 2
    assert len(generate(mllm, without, overlay, settings)) == 2


def test_the_vision_side_is_adapted_by_choice(base: Path, request: pytest.FixtureRequest) -> None:
    mllm = loaded(base, sides=("vision",))
    adapted = [name for name, _ in mllm.named_parameters() if "lora_B" in name]
    assert len(adapted) == BUILDS[request.node.callspec.params["base"]][3]
    assert all("vision" in name or "visual" in name for name in adapted)


@pytest.mark.filterwarnings("ignore:this processor's video part needs torchvision")
@pytest.mark.parametrize("kind", ["merged", "adapter"])
def test_others_read_the_exported_folder_as_we_do(
    base: Path, mllm: GroundedMLLM, new_example: NewExample, tmp_path: Path, kind: ExportForm
) -> None:
    randomise(mllm)
    prompts = [mllm.render(new_example(n), CROPS) for n in (None, 2)]  # one image and three
    done = export(mllm, str(base), tmp_path / "out", kind, prompts, CROPS)
    assert done.difference < EXACT
    assert any("vLLM" in notice for notice in done.notices) == (kind == "adapter")
