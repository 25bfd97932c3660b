"""The text tower: each phrase encoded alone, behind a learned prompt of its modality. B batch, K phrases, L tokens."""

import torch
from torch import Tensor, nn
from transformers import AutoModel, BertModel, PreTrainedConfig, PreTrainedModel
from transformers.models.bert.configuration_bert import BertConfig


class PhraseEncoder(nn.Module):
    """Token ids to one vector a phrase. The prompt is always attended to, so that an empty phrase stays defined."""

    def __init__(self, config: PreTrainedConfig, width: int, num_modalities: int):
        super().__init__()
        self.bert = make_text_model(config)
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
        mean = (hidden * mask[..., None]).sum(1) / mask.sum(1, keepdim=True)
        return self.project(mean).view(batch, num_phrases, -1)


def make_text_model(config: PreTrainedConfig) -> PreTrainedModel:
    """The encoder without weights and without a pooler, which nothing here would train."""
    if isinstance(config, BertConfig):
        return BertModel(config, add_pooling_layer=False)
    model = AutoModel.from_config(config)
    if getattr(model, "pooler", None) is not None:
        model.pooler = None
    return model
