"""The text tower: each phrase encoded alone, behind a learned prompt of its modality. B batch, K phrases, L tokens."""

from inspect import signature
from typing import Any

import torch
from torch import Tensor, nn
from transformers import (
    MODEL_MAPPING,
    AutoConfig,
    AutoModel,
    AutoTokenizer,
    BertModel,
    PreTrainedConfig,
    PreTrainedTokenizerFast,
)
from transformers.models.bert.configuration_bert import BertConfig

from ..assets import SCRATCH, fetch
from ..bad_input import BadInput, explain
from .config import SMALL_BERT


class PhraseEncoder(nn.Module):
    """Token ids to one vector a phrase. The prompt is always attended to, so that an empty phrase stays defined."""

    def __init__(self, config: PreTrainedConfig, width: int, num_modalities: int):
        super().__init__()
        if isinstance(config, BertConfig):  # no pooler, which nothing here would train
            self.bert = BertModel(config, add_pooling_layer=False)
        else:
            self.bert = AutoModel.from_config(config, trust_remote_code=False)
            if getattr(self.bert, "pooler", None) is not None:
                self.bert.pooler = None
        self.prompts = nn.Embedding(num_modalities, config.hidden_size)
        self.project = nn.Linear(config.hidden_size, width)

    def forward(self, input_ids_BKL: Tensor, attention_mask_BKL: Tensor, modality_ids_B: Tensor) -> Tensor:
        """float[B, K, width]; the mean over a phrase's own tokens and its prompt."""
        batch, num_phrases, length = input_ids_BKL.shape
        if num_phrases == 0:
            return self.project.weight.new_zeros(batch, 0, self.project.out_features)
        words = self.bert.get_input_embeddings()(input_ids_BKL.reshape(-1, length))
        prompts = self.prompts(modality_ids_B.repeat_interleave(num_phrases))[:, None]
        mask = torch.cat([prompts.new_ones(len(prompts), 1), attention_mask_BKL.reshape(-1, length)], 1)
        embedded = torch.cat([prompts, words], 1)
        hidden = self.bert(inputs_embeds=embedded, attention_mask=mask).last_hidden_state
        # one prompt and three words: the mean of four; a padded phrase is the prompt alone
        mean = (hidden * mask[..., None]).sum(1) / mask.sum(1, keepdim=True)
        return self.project(mean).view(batch, num_phrases, -1)


MINILM = "minilm"
"""all-MiniLM-L6-v2: 6 layers of width 384, 22.7 million parameters, general English; comes from the package index."""

_NOT_SIZES = ("_name_or_path", "architectures", "dtype", "torch_dtype", "transformers_version")


def text_settings(start: str, max_phrase_tokens: int) -> dict[str, Any]:
    """What `MedGlipConfig.text_config` needs for this start; for `scratch` the rest may be chosen freely.

    Raises `BadInput` when there is no such encoder and when it has fewer places than a phrase has tokens.
    """
    places = max_phrase_tokens + 1  # one for the prompt
    if start == SCRATCH:
        return SMALL_BERT | {"max_position_embeddings": max(SMALL_BERT["max_position_embeddings"], places)}
    fix = f"use {SCRATCH}, {MINILM}, or a model folder or hub name"
    with explain(f"no text start {start!r}", OSError, ValueError, fix=fix):
        config = AutoConfig.from_pretrained(_folder(start), trust_remote_code=False)
    model: Any = MODEL_MAPPING.get(type(config), None)
    # a decoder's or a vision model's forward does not take embedded words
    is_encoder = isinstance(model, type) and "inputs_embeds" in signature(model.forward).parameters
    if not is_encoder or config.is_encoder_decoder:
        raise BadInput(f"text start {start!r} is a {config.model_type}, no encoder of text.", fix="use one like BERT")
    padding = config.pad_token_id or 0  # families that count places from behind the padding's id lose as many
    max_places = getattr(config, "max_position_embeddings", None)
    if max_places is not None and places + padding + 1 > max_places:
        problem = f"{max_phrase_tokens} tokens are too many for text start {start!r}: it has {max_places} places."
        raise BadInput(problem, fix="lower max_phrase_tokens")
    return {key: value for key, value in config.to_dict().items() if key not in _NOT_SIZES}


def text_tokenizer(start: str) -> PreTrainedTokenizerFast:
    """The tokenizer that belongs to a pretrained start. Raises `BadInput` when it cannot be had."""
    problem, fix = f"text start {start!r} has no tokenizer", "put tokenizer.json beside the weights"
    with explain(problem, OSError, ValueError, fix=fix):
        tokenizer = AutoTokenizer.from_pretrained(_folder(start), trust_remote_code=False)
    if not tokenizer.is_fast or tokenizer.pad_token is None:
        raise BadInput(f"the tokenizer of {start!r} is not a fast one that pads.", fix="use an encoder like BERT")
    return tokenizer


def load_text_start(encoder: PhraseEncoder, start: str) -> None:
    """Put the pretrained weights into an encoder built with `text_settings(start)`.

    Raises `BadInput` when the weights cannot be had, and `RuntimeError` when they are of another architecture.
    """
    if start == SCRATCH:
        return
    options: Any = {"dtype": torch.float32, "use_safetensors": True, "trust_remote_code": False}
    with explain(f"text start {start!r} has no weights", OSError, ValueError, fix="use safetensors weights"):
        source = AutoModel.from_pretrained(_folder(start), **options)
    state = {name: value for name, value in source.state_dict().items() if not name.startswith("pooler.")}
    encoder.bert.load_state_dict(state)


def _folder(start: str) -> str:
    return str(fetch(MINILM).parent) if start == MINILM else start
