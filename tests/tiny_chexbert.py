"""Weights of CheXbert's shape, tiny and random, as its authors pack them."""

from pathlib import Path

import torch
from transformers import BertConfig

from medglip.scripts.scorers.chexbert import CheXbert


def write_chexbert(folder: Path) -> Path:
    """Weights of CheXbert's shape, tiny and random."""
    folder.mkdir()
    letters = [chr(code) for code in range(97, 123)]
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *letters, *(f"##{letter}" for letter in letters)]
    (folder / "vocab.txt").write_text("\n".join(words))
    config = BertConfig(
        vocab_size=len(words), hidden_size=8, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16
    )
    config.save_pretrained(folder)
    torch.manual_seed(3)
    weights = {f"module.{name}": value for name, value in CheXbert(config).state_dict().items()}
    torch.save({"epoch": 1, "model_state_dict": weights}, folder / "chexbert.pth")
    return folder
