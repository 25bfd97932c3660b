"""A tiny random LLaVA with our image tower and a byte-level BPE of a few hundred tokens, made once for all workers."""

import os
from pathlib import Path

import pytest

if "PYTEST_XDIST_WORKER" in os.environ:  # before torch is imported: workers that each take all cores slow each other
    os.environ.setdefault("OMP_NUM_THREADS", "1")

import torch
from making import make_once

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
        max_position_embeddings=2048,
        tie_word_embeddings=True,
        bos_token_id=1,
        eos_token_id=2,
        initializer_range=0.2,
    )

    def make(folder: Path) -> Path:
        torch.manual_seed(0)
        LlamaForCausalLM(config).save_pretrained(folder)
        tokenizer.save_pretrained(folder)
        return folder

    return make_once(tmp_path_factory, "text", make)


@pytest.fixture(scope="session")
def phantoms(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of 105 training phantoms, 96 pixels wide, fifteen of each modality."""
    from medglip.grounding.datasets.phantoms import dataset as phantom

    def make(folder: Path) -> Path:
        phantom.write(folder, phantom.PhantomSettings(num_train=105, num_val=0, num_test=0, size_px=96))
        return folder

    return make_once(tmp_path_factory, "phantoms", make)


@pytest.fixture(scope="session")
def tiny_base(tiny_text: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A LLaVA folder as `assemble` writes it: 64 x 64 pixels, four image tokens."""
    from medglip.grounding.model.config import MedGlipVisionConfig
    from medglip.vqa.model.small_default import assemble

    sizes = MedGlipVisionConfig(
        image_size=64, stage_widths=(4, 4, 4, 4), hidden_size=8, depths=(1, 1, 1, 2), num_groups=2
    )
    return make_once(tmp_path_factory, "llava", lambda folder: assemble(sizes, folder / "tiny", text=tiny_text))


@pytest.fixture(scope="session")
def tiny_core(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of an untrained grounding core of 64 x 64 pixels, which finds something everywhere."""
    from medglip.grounding.model.processing import MedGlipProcessor, train_tokenizer
    from medglip.grounding.training.core import build
    from medglip.grounding.training.settings import GroundingSettings, ModelSettings

    sizes = ModelSettings(
        image_size=64, width=16, stage_widths=(8, 8, 8, 8), hidden_size=8, depths=(1, 1, 1, 2), text_layers=1
    )
    processor = MedGlipProcessor(train_tokenizer(["left lung", "nodule", "heart"]), sizes.image_size)

    def make(folder: Path) -> Path:
        build(GroundingSettings(model=sizes), len(processor.tokenizer)).save_pretrained(folder / "model")
        processor.save_pretrained(folder / "model")
        (folder / "model" / "vocabulary.json").write_text('{"xray": ["left lung", "nodule"]}')
        return folder / "model"

    return make_once(tmp_path_factory, "core", make)


@pytest.fixture
def small_default(tiny_text: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`smollm2-135m` is a tiny text model here, and the cache and the package's adapters are empty folders."""
    from medglip.vqa.model import shipped
    from medglip.vqa.model import small_default as smollm2

    monkeypatch.setattr(smollm2, "text_folder", lambda *_: tiny_text)
    monkeypatch.setenv("MEDGLIP_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(shipped, "WEIGHTS", tmp_path / "weights")
