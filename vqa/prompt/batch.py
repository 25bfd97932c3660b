"""Prompts to one batch: padded on the left, every key of the family kept, labels where the answer stands.

B batch, T tokens of the longest row, K tokens of the longest answer, R regions of one row, W features of one.
"""

from collections.abc import Sequence
from typing import Any, NotRequired, TypedDict

import torch
from torch import Tensor

from ...grounding.bad_input import BadInput
from ..families import GENERIC, Family
from .prompt import Prompt


class Batch(TypedDict):
    """`inputs`: what the family's forward takes; `features`: float32[R_i, W] a row; `labels`: int64[B, K].

    A label of -100 is not learned. The K labels belong to the last K positions; K = 0 where nothing is to be learned.
    `weights`: float32[B, K], what a label weighs in the mean over its answer; left out where all weigh the same.
    `answers`: int64[B, K], which answer a label belongs to; left out where each row has one.
    """

    inputs: dict[str, Tensor]
    features: list[Tensor]
    labels: Tensor
    weights: NotRequired[Tensor]
    answers: NotRequired[Tensor]


def collate(
    prompts: Sequence[Prompt], processor: Any, max_tokens: int | None = None, family: Family = GENERIC
) -> Batch:
    """One batch; nothing is truncated. Raises `BadInput` for a row longer than `max_tokens`, with both lengths."""
    tokenizer = processor.tokenizer
    tokenizer.padding_side = "left"  # so that every answer ends its row: the labels and `generate.write` rely on it
    inputs = encode(prompts, processor, family)
    length = inputs["input_ids"].shape[1]
    if max_tokens is not None and length > max_tokens:
        fix = "fewer regions or crops (evidence.max_regions, evidence.max_crops), or a smaller image"
        raise BadInput(f"a prompt of {length} tokens, the model takes {max_tokens}.", fix=fix)
    ids_of = [tokenizer(p.completion, add_special_tokens=False).input_ids if p.completion else [] for p in prompts]
    labels_BK = torch.full((len(ids_of), max(map(len, ids_of), default=0)), -100)
    for row, ids in enumerate(ids_of):
        if not ids:
            continue
        # an answer of k tokens is the last k ids of its row; tokenized alone it may start otherwise than behind its
        # prompt, then its labels would be wrong
        if inputs["input_ids"][row, -len(ids) :].tolist() != ids:
            answer = prompts[row].completion
            raise ValueError(f"row {row} does not end in its answer {answer!r}: tokens merge at its border")
        labels_BK[row, -len(ids) :] = torch.tensor(ids)
    features = [torch.from_numpy(p.features) for p in prompts]
    batch: Batch = {"inputs": inputs, "features": features, "labels": labels_BK}
    if any(p.parts and p.completion for p in prompts):
        batch["weights"] = _weights(labels_BK, prompts, tokenizer)
    return batch


def encode(prompts: Sequence[Prompt], processor: Any, family: Family) -> dict[str, Tensor]:
    """What the family's forward takes of these prompts and their answers, padded to one length."""
    texts, completions = [p.text for p in prompts], [p.completion for p in prompts]
    encoded = family.encode(processor, texts, completions, [list(p.images) for p in prompts], **family.call)
    # some processors make labels of their own: ours stand for the last tokens alone
    return {key: value for key, value in encoded.items() if key != "labels"}


def _weights(labels_BK: Tensor, prompts: Sequence[Prompt], tokenizer: Any) -> Tensor:
    """float32[B, K]: the labels of a part together weigh what the part does; 1 in a row without parts.

    answer   Findings: clear lungs. Impression: normal.    parts ("Findings:", 3), ("Impression:", 1)
    labels   -100 -100 [ 5 tokens ] [   4 tokens  ]
    weights     1    1   3/5 each       1/4 each
    """
    weights_BK = torch.ones(labels_BK.shape)
    for row, prompt in enumerate(prompts):
        starts = [(prompt.completion.find(words), weight) for words, weight in prompt.parts]
        parts = sorted((start, weight) for start, weight in starts if start >= 0)
        texts = [prompt.completion[:start].rstrip() for start, _ in parts[1:]]
        # a part ends where the next begins: as many tokens in as the text before it has
        cuts = [len(tokenizer(text, add_special_tokens=False).input_ids) for text in texts]
        # an answer stands at the end of its row; before `first` are labels of longer rows
        first, last = labels_BK.shape[1] - int((labels_BK[row] != -100).sum()), labels_BK.shape[1]
        edges = [first, *(first + cut for cut in cuts), last]
        for (_, weight), start, end in zip(parts, edges, edges[1:], strict=False):
            weights_BK[row, start:end] = weight / max(end - start, 1)
    return weights_BK
