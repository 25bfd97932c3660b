"""What makes a training step fast: attention in bf16 on a CPU, and an output layer only where there is a label.

B batch, H query heads, G key heads, T queries, S keys, D head size; K answer tokens, N labels of all rows together.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from transformers import AttentionInterface
from transformers.masking_utils import AttentionMaskInterface, eager_mask

NAME = "medglip_grouped"


def use_grouped_attention(model: Any) -> None:
    """Let the language model of a Llama kind use it; other kinds have terms that are not computed here."""
    if model.config.get_text_config().model_type != "llama":
        return
    AttentionInterface.register(NAME, grouped_attention)
    AttentionMaskInterface.register(NAME, eager_mask)
    model.set_attn_implementation({"text_config": NAME})


def grouped_attention(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    scaling: float | None = None,
    dropout: float = 0.0,
    **_: Any,
) -> tuple[Tensor, None]:
    """`query` float[B, H, T, D], `key`, `value` float[B, G, S, D], mask [B, 1, T, S] -> float[B, T, H, D].

    The mask is added to the scores, or, of booleans, says which ones count.

    The queries that share a key head are one long matrix, so nothing is repeated.
    """
    # 4 query heads on 2 key heads:  q0 q1 | q2 q3  share  k0 | k1; a group's queries are stacked to one [2 * T, D]
    (b, h, t, d), (g, s) = query.shape, key.shape[1:3]
    scaled = (query * (d**-0.5 if scaling is None else scaling)).reshape(b, g, h // g * t, d)
    scores = (scaled @ key.transpose(-1, -2)).view(b, g, h // g, t, s)
    if attention_mask is not None:
        mask = attention_mask[:, :, None]
        is_added = mask.dtype != torch.bool
        scores = scores + mask if is_added else scores.masked_fill(~mask, torch.finfo(scores.dtype).min)
    weights = torch.softmax(scores, -1).to(value.dtype)
    weights = nn.functional.dropout(weights, dropout, module.training)
    values = weights.reshape(b, g, h // g * t, s) @ value
    return values.view(b, h, t, d).transpose(1, 2).contiguous(), None


class LabelledOnly:
    """Lets the output layer of any architecture read packed hidden states; those before a label alone, inside `at`.

    A slice of the hidden states makes torch copy the whole output matrix for every row; a packed one does not.
    """

    def __init__(self, output: nn.Module):
        self.is_label_BK: Tensor | None = None
        output.register_forward_pre_hook(self._hook)

    @contextmanager
    def at(self, labels_BK: Tensor) -> Iterator[None]:
        """Logits made inside are float[1, N, V], row by row; the K labels (-100: none) belong to the last positions."""
        self.is_label_BK = labels_BK != -100
        try:
            yield
        finally:
            self.is_label_BK = None

    def _hook(self, module: nn.Module, args: tuple[Any, ...]) -> tuple[Any, ...]:
        hidden_BTH = args[0]
        if self.is_label_BK is None:
            # with strides of a fresh tensor: a slice of one row and one position counts as contiguous, and is copied
            return (hidden_BTH.clone(memory_format=torch.contiguous_format), *args[1:])
        # position t predicts token t + 1:   hidden    ... h5 h6 h7 h8
        #                                    labels        y6 y7 y8       so h5 to h7 are read
        num_labels = self.is_label_BK.shape[1]
        before_BKH = hidden_BTH[:, -num_labels - 1 : -1]
        return (before_BKH[self.is_label_BK.to(hidden_BTH.device)][None], *args[1:])


def per_answer(
    losses_N: Tensor, labels_BK: Tensor, weights_BK: Tensor | None = None, answers_BK: Tensor | None = None
) -> Tensor:
    """float32[A]: mean of each answer's losses, which come row by row; zero for one without labels.

    `weights_BK`: what each label weighs in it; None: all the same. `answers_BK`: the answer, from 0 to A - 1, of each
    label; None: each row is one.
    """
    is_label_BK = (labels_BK != -100).to(losses_N.device)
    if answers_BK is None:
        answers_BK = torch.arange(len(labels_BK))[:, None].expand_as(labels_BK)
    answers_N = answers_BK.to(losses_N.device)[is_label_BK]
    num_answers = int(answers_BK.max()) + 1
    weights_N = torch.ones_like(losses_N) if weights_BK is None else weights_BK.to(losses_N)[is_label_BK]

    def sum_up(values_N: Tensor) -> Tensor:
        return torch.zeros(num_answers, device=values_N.device).index_add(0, answers_N, values_N)

    return sum_up(losses_N * weights_N) / sum_up(weights_N).clamp(min=1e-9)
