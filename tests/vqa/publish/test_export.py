"""An exported folder is the tuned model to those who do not have medglip; what they would lose is said."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import transformers
from making import is_close
from peft import PeftModel

from medglip.grounding.bad_input import BadInput
from medglip.grounding.evidence.evidence import EvidenceSettings
from medglip.grounding.evidence.forms.tokens import TokenShape
from medglip.vqa.model.grounded_mllm import GroundedMLLM, load
from medglip.vqa.model.settings import LoraSettings, MllmSettings
from medglip.vqa.prompt.prompt import Example, Prompt
from medglip.vqa.publish import export as exports
from medglip.vqa.publish.export import export

NewExample = Callable[..., Example]
PLAIN, WORDS = EvidenceSettings(forms=()), EvidenceSettings(forms=("text",))
LAYERS = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4}


@pytest.fixture(scope="module")
def llava(tiny_text: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny random LLaVA with a CLIP tower, as its real folders look."""
    folder = tmp_path_factory.mktemp("llava")
    names = {"image_token": "<image>"}
    tokenizer = transformers.PreTrainedTokenizerFast.from_pretrained(tiny_text, extra_special_tokens=names)
    tokenizer.pad_token = tokenizer.unk_token
    config = transformers.LlavaConfig(
        vision_config={
            **LAYERS,
            "model_type": "clip_vision_model",
            "projection_dim": 32,
            "image_size": 56,
            "patch_size": 14,
        },
        text_config={**LAYERS, "model_type": "llama", "vocab_size": 400, "initializer_range": 0.2},
        image_token_index=tokenizer.convert_tokens_to_ids("<image>"),
    )
    torch.manual_seed(0)
    transformers.AutoModelForImageTextToText.from_config(config).save_pretrained(folder)
    images = transformers.LlavaImageProcessor(size={"shortest_edge": 56}, crop_size={"height": 56, "width": 56})
    images.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    parts = {"patch_size": 14, "vision_feature_select_strategy": "default", "num_additional_image_tokens": 1}
    (folder / "processor_config.json").write_text(json.dumps({"processor_class": "LlavaProcessor", **parts}))
    (folder / "chat_template.jinja").write_text(
        "{% for m in messages %}{{ m['role'] }}: {% for p in m['content'] %}{% if p['type'] == 'image' %}<image>"
        "{% else %}{{ p['text'] }}{% endif %}{% endfor %}\n{% endfor %}"
        "{% if add_generation_prompt %}assistant: {% endif %}"
    )
    return folder


def tuned(base: Path, **lora: object) -> GroundedMLLM:
    """With updates that do something."""
    settings = LoraSettings.model_validate({"r": 8, "train_projector": False, **lora})
    mllm = load(MllmSettings(base=str(base), dtype="fp32", lora=settings), TokenShape(6))
    draws = torch.Generator().manual_seed(5)
    with torch.no_grad():
        for name, parameter in mllm.named_parameters():
            if "lora_B" in name or "modules_to_save" in name:
                parameter.add_(torch.randn(parameter.shape, generator=draws) * 0.1)
    return mllm


def probes(mllm: GroundedMLLM, new_example: NewExample) -> list[Prompt]:
    return [mllm.render(new_example(None), PLAIN), mllm.render(new_example(None, instruction="Is it?"), PLAIN)]


def logits_of(mllm: GroundedMLLM, prompts: list[Prompt]) -> torch.Tensor:
    with torch.inference_mode():
        return mllm(mllm.collate(prompts))


def theirs(model: object, folder: Path, prompts: list[Prompt]) -> torch.Tensor:
    """Logits as one gets them with transformers alone."""
    processor = transformers.AutoProcessor.from_pretrained(folder)
    texts, images = [p.text + p.completion for p in prompts], [list(p.images) for p in prompts]
    inputs = processor(text=texts, images=images, padding=True, return_tensors="pt")
    with torch.inference_mode():
        return model.eval()(**inputs).logits  # pyright: ignore[reportAttributeAccessIssue]


def test_a_merged_folder_is_an_ordinary_model(llava: Path, new_example: NewExample, tmp_path: Path) -> None:
    mllm = tuned(llava)
    prompts = probes(mllm, new_example)
    wanted = logits_of(mllm, prompts)
    done = export(mllm, str(llava), tmp_path / "out", "merged", prompts, WORDS)
    assert 0 < done.difference < 1e-3
    assert done.notices == ()
    model = transformers.AutoModelForImageTextToText.from_pretrained(done.folder)
    found = theirs(model, done.folder, prompts)[:, -wanted.shape[1] - 1 : -1]
    assert is_close(found, wanted, 1e-3)
    assert not any("lora" in name for name, _ in model.named_parameters())
    assert [file.name for file in done.folder.glob("*.safetensors")] == ["model.safetensors"]


def test_an_exported_adapter_is_an_ordinary_adapter_and_still_ours(
    llava: Path, new_example: NewExample, tmp_path: Path
) -> None:
    mllm = tuned(llava)
    prompts = probes(mllm, new_example)
    wanted = logits_of(mllm, prompts)
    done = export(mllm, str(llava), tmp_path / "out", "adapter", prompts, WORDS)
    assert done.notices == ("vLLM serves it with --enable-lora --max-lora-rank 8",)
    base = transformers.AutoModelForImageTextToText.from_pretrained(llava)
    model = PeftModel.from_pretrained(base, str(done.folder))
    assert is_close(theirs(model, done.folder, prompts)[:, -wanted.shape[1] - 1 : -1], wanted, 1e-3)
    again = load(mllm.settings, TokenShape(6), done.folder)
    assert torch.equal(logits_of(again, prompts), wanted)


@pytest.mark.parametrize(
    ("lora", "said"),
    [
        ({"sides": ("language", "vision")}, "without a word and answers differently"),
        ({"train_projector": True}, "vLLM refuses it: modules_to_save"),
        ({"dora": True}, "vLLM refuses it: DoRA"),
        ({"r": 16}, "--max-lora-rank 16"),
    ],
)
def test_what_a_server_would_refuse_or_leave_out_is_said(
    llava: Path, new_example: NewExample, tmp_path: Path, lora: dict[str, object], said: str
) -> None:
    mllm = tuned(llava, **lora)
    done = export(mllm, str(llava), tmp_path / "out", "adapter", probes(mllm, new_example), WORDS)
    assert said in " ".join(done.notices)
    assert said in (done.folder / "README.md").read_text()


def test_a_card_says_what_needs_our_injector_and_our_image_tower(
    tiny_base: Path, new_example: NewExample, tmp_path: Path
) -> None:
    mllm = tuned(tiny_base, train_projector=True)
    done = export(mllm, str(tiny_base), tmp_path / "out", "merged", probes(mllm, new_example), EvidenceSettings())
    card = (done.folder / "README.md").read_text()
    for said in ("`<region>`, which need the injector", "medglip_tokens", "import medglip.vqa.model.grounded_mllm"):
        assert said in card
        assert said in " ".join(done.notices)
    assert "Research use, not for diagnosis." in card
    assert transformers.AutoConfig.from_pretrained(done.folder).dtype == torch.bfloat16  # as the base's files


def test_a_folder_that_differs_is_not_written(
    llava: Path, new_example: NewExample, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mllm = tuned(llava)
    prompts = probes(mllm, new_example)
    monkeypatch.setattr(exports.PeftModel, "from_pretrained", lambda model, _: model)  # the adapter is lost
    with pytest.raises(BadInput, match=r"logits differ by .*more than 0.001"):
        export(mllm, str(llava), tmp_path / "out", "adapter", prompts)
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "note.txt").write_text("mine")
    with pytest.raises(BadInput, match="not empty"):
        export(mllm, str(llava), tmp_path / "full", "adapter", prompts)
