"""CheXbert: BERT with a head for each of CheXpert's fourteen labels, from a folder of weights.

Smit et al. 2020 (EMNLP), github.com/stanfordmlgroup/CheXbert (MIT). The folder holds `chexbert.pth` (of the authors, or
of huggingface.co/StanfordAIMI/RRG_scorers) and `config.json` and `vocab.txt` of bert-base-uncased.
B batch, T tokens, D width.
"""

from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from transformers import BertConfig, BertModel
from transformers.models.bert.tokenization_bert import BertTokenizer

from ...eval.metrics.clinical.chexbert import CHEXPERT
from ...grounding.bad_input import BadInput, damaged

WEIGHTS = "chexbert.pth"
_MARKS = (0, 1, 0, -1)
"""What the classes of a head say: not mentioned, positive, negative, uncertain; of `No Finding`: no, yes."""
_MAX_TOKENS = 512


class CheXbert(nn.Module):
    """The network: the last hidden state of the first token through fourteen linear heads."""

    def __init__(self, config: BertConfig):
        super().__init__()
        self.bert = BertModel(config)
        width = config.hidden_size
        self.linear_heads = nn.ModuleList([*(nn.Linear(width, 4) for _ in CHEXPERT[:-1]), nn.Linear(width, 2)])

    def forward(self, ids_BT: Tensor, mask_BT: Tensor) -> tuple[Tensor, Tensor]:
        """Class int64[B, 14] of every head, and the vector float32[B, D] that they read."""
        vectors_BD = self.bert(input_ids=ids_BT, attention_mask=mask_BT).last_hidden_state[:, 0]
        return torch.stack([head(vectors_BD).argmax(-1) for head in self.linear_heads], 1), vectors_BD


@cache
def why_not(folder: Path) -> str:
    """What keeps this folder from being used, in one line; "" where it can be, which is tried once."""
    try:
        CheXbertLabeler(folder)
    except BadInput as error:
        return str(error)
    return ""


class CheXbertLabeler:
    """Reports -> labels and vectors. Raises `BadInput` for weights that are missing or of another network."""

    def __init__(self, folder: Path, batch_size: int = 32):
        self.batch_size = batch_size
        with damaged(folder / "config.json"):
            model = CheXbert(BertConfig.from_pretrained(folder))
        with damaged(folder / "vocab.txt"):
            self.tokenizer: Any = BertTokenizer(vocab=str(folder / "vocab.txt"), do_lower_case=True)
        file = folder / WEIGHTS
        with damaged(file):
            content = torch.load(file, map_location="cpu", weights_only=True)
            weights = content.get("model_state_dict", content)
        # saved from DataParallel; older versions of transformers kept the positions as a weight
        weights = {name.removeprefix("module."): value for name, value in weights.items()}
        weights.pop("bert.embeddings.position_ids", None)
        try:
            model.load_state_dict(weights)
        except RuntimeError as error:
            raise BadInput(
                "weights of another network.", file=file, fix="chexbert.pth and bert-base-uncased"
            ) from error
        self.device = "cuda" if torch.cuda.is_available() else "cpu"
        self.model = model.eval().to(self.device)

    def labels(self, reports: Sequence[str]) -> list[list[int]]:
        """Fourteen marks a report in CheXbert's order: 1, 0 (absent, or not mentioned) or -1 (uncertain)."""
        return [[_MARKS[kind] for kind in row] for kinds, _ in self._read(reports) for row in kinds.tolist()]

    def vectors(self, reports: Sequence[str]) -> Tensor:
        """float32[N, D]: what RadCliQ compares by their cosine."""
        return torch.cat([vectors_BD.float().cpu() for _, vectors_BD in self._read(reports)])

    @torch.inference_mode()
    def _read(self, reports: Sequence[str]) -> Iterator[tuple[Tensor, Tensor]]:
        texts = [" ".join(report.split()) for report in reports]
        for start in range(0, len(texts), self.batch_size):
            part = texts[start : start + self.batch_size]
            inputs = self.tokenizer(part, padding=True, truncation=True, max_length=_MAX_TOKENS, return_tensors="pt")
            yield self.model(inputs["input_ids"].to(self.device), inputs["attention_mask"].to(self.device))
