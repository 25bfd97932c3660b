"""A tiny random LLaVA with our image tower and a byte-level BPE of a few hundred tokens, built once a session."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from medglip.grounding.evidence import Evidence
from medglip.grounding.types import Region
from medglip.vqa.mllm.prompt import Example

DIM = 6
SENTENCES = [
    "Where is the nodule? upper left of the image, a short phrase",
    "Is there a mass in the image? yes or no, not found",
    "Write the findings of this image as a short report. Evidence: 12 20 31 44",
]


@pytest.fixture(scope="session")
def tiny_text(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    special = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=320, special_tokens=special, initial_alphabet=alphabet)
    bpe.train_from_iterator(SENTENCES, trainer)
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=bpe, unk_token=special[0], bos_token=special[1], eos_token=special[2], pad_token=special[2]
    )
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=512,
        tie_word_embeddings=True,
        bos_token_id=1,
        eos_token_id=2,
        initializer_range=0.2,
    )
    folder = tmp_path_factory.mktemp("text")
    torch.manual_seed(0)
    LlamaForCausalLM(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def tiny_base(tiny_text: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A LLaVA folder as `assemble` writes it: 64 x 64 pixels, four image tokens."""
    from medglip.grounding.model.config import MedGlipVisionConfig
    from medglip.vqa.mllm.smollm2 import assemble

    sizes = MedGlipVisionConfig(
        image_size=64, stage_widths=(4, 4, 4, 4), hidden_size=8, depths=(1, 1, 1, 2), num_groups=2
    )
    return assemble(sizes, tmp_path_factory.mktemp("llava") / "tiny", text=tiny_text)


@pytest.fixture
def new_mllm(tiny_base: Path) -> Callable:
    """Makes a fp32 `GroundedMLLM` on the tiny base; the LoRA updates do something where `is_random`."""
    from medglip.vqa.mllm.lora import LoraSettings
    from medglip.vqa.mllm.model import GroundedMLLM, MllmSettings, load

    def make(is_random: bool = False, adapter: Path | None = None, dim: int = DIM) -> GroundedMLLM:
        settings = MllmSettings(base=str(tiny_base), dtype="fp32", lora=LoraSettings(r=4))
        mllm = load(settings, dim, adapter)
        if is_random:
            draws = torch.Generator().manual_seed(5)
            with torch.no_grad():
                for name, parameter in mllm.named_parameters():
                    if "lora_B" in name:
                        parameter.copy_(torch.randn(parameter.shape, generator=draws) * 0.3)
        return mllm

    return make


@pytest.fixture(scope="session")
def image_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("images") / "noise.png"
    pixels = np.random.default_rng(0).integers(0, 256, (50, 80, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path)
    return path


@pytest.fixture(scope="session")
def new_example(image_path: Path) -> Callable[..., Example]:
    """Makes an example with so many regions; `num_regions` None: without evidence."""

    def make(num_regions: int | None = 1, seed: int = 0, instruction: str = "Where is the nodule?") -> Example:
        rng = np.random.default_rng(seed)
        corners = rng.uniform(0, 30, (num_regions or 0, 2)).astype(np.float32)
        regions = tuple(
            Region(
                phrase="nodule",
                box_xyxy_px=np.concatenate([corner, corner + 15]),
                score=0.9,
                embedding=rng.standard_normal(DIM).astype(np.float32),
            )
            for corner in corners
        )
        found = Evidence(source="predicted", size_px=(80, 50), regions=regions, phrases=("nodule",))
        return Example(
            example_id=f"e{num_regions}-{seed}",
            image_path=image_path,
            instruction=instruction,
            target="upper left",
            evidence=Evidence.none((80, 50)) if num_regions is None else found,
        )

    return make
