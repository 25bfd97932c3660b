"""Prompts that begin alike as one row: what questions about one image have in common is computed once.

    apart     [image evidence question 1 answer 1]  [image evidence question 2 answer 2]
    together  [image evidence | question 1 answer 1 | question 2 answer 2]

A question sees the beginning and itself, at the positions that it has by itself, so its logits are those of a row of
its own. B prompts, S rows of them, T tokens of the longest row, K labels.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from .batch import Batch
from .prompt import Prompt

_PADDING = {"ids": 0, "places": 0, "labels": -100, "answers": -1, "weights": 1, "parts": -1}
"""Columns of a row and what stands left of a shorter one: tokens, their places, labels, the prompt of each label, what
it weighs, and the part of each token. Part 0 is the beginning, part n the n-th prompt's own."""


def share_beginnings(batch: Batch, prompts: Sequence[Prompt], placeholders: Sequence[int]) -> Batch:
    """The batch of these prompts with one row for all that have images, regions and text up to there in common.

    `placeholders`: ids of the tokens where images and regions stand; a beginning holds all of them. For models whose
    inputs are `input_ids`, `attention_mask` (here bool[S, 1, T, T], whom a token sees) and `pixel_values`, an image
    each, with positions that count tokens.
    """
    inputs, labels_BK = batch["inputs"], batch["labels"]
    ids_of = [row[mask.bool()] for row, mask in zip(inputs["input_ids"], inputs["attention_mask"], strict=True)]
    together: dict[Any, list[int]] = {}
    for index, (ids, prompt) in enumerate(zip(ids_of, prompts, strict=True)):
        places = torch.isin(ids, torch.tensor(placeholders)).nonzero().flatten().tolist()
        beginning = tuple(ids[: places[-1] + 1 if places else 0].tolist())
        pixels = tuple((image.size, image.tobytes()) for image in prompt.images)
        together.setdefault((beginning, pixels, prompt.features.tobytes()), []).append(index)
    groups = list(together.values())
    weights_BK = batch.get("weights", torch.ones(labels_BK.shape))
    rows = [_join(group, ids_of, labels_BK, weights_BK) for group in groups]
    columns = {
        name: pad_sequence([row[name] for row in rows], batch_first=True, padding_value=value, padding_side="left")
        for name, value in _PADDING.items()
    }
    shared: dict[str, Tensor] = {
        "input_ids": columns["ids"],
        "position_ids": columns["places"],
        "attention_mask": _mask(columns["parts"]),
    }
    if "pixel_values" in inputs:
        parts = inputs["pixel_values"].split([len(prompt.images) for prompt in prompts])
        shared["pixel_values"] = torch.cat([parts[group[0]] for group in groups])
    # nothing predicts the first token of a row: labels begin with the second
    result: Batch = {
        "inputs": shared,
        "features": [batch["features"][group[0]] for group in groups],
        "labels": columns["labels"][:, 1:],
        "answers": columns["answers"][:, 1:],
    }
    if "weights" in batch:
        result["weights"] = columns["weights"][:, 1:]
    return result


def _join(group: Sequence[int], ids_of: Sequence[Tensor], labels_BK: Tensor, weights_BK: Tensor) -> dict[str, Tensor]:
    """The columns of these prompts as one row.

    The last token before an answer stays each prompt's own, because it predicts.
    """
    is_label_BK = labels_BK != -100
    num_shared = min(len(ids_of[index]) - int(is_label_BK[index].sum()) for index in group) - 1
    heads = torch.stack([ids_of[index][:num_shared] for index in group])
    num_shared = int((heads == heads[0]).all(0).long().cumprod(0).sum())
    # each column begins with the beginning, which has no label
    columns: dict[str, list[Tensor]] = {
        "ids": [heads[0, :num_shared]],
        "places": [torch.arange(num_shared)],
        "labels": [torch.full((num_shared,), -100)],
        "answers": [torch.full((num_shared,), -1)],
        "weights": [torch.ones(num_shared)],
        "parts": [torch.zeros(num_shared, dtype=torch.long)],
    }
    for part, index in enumerate(group, 1):
        ids, is_label = ids_of[index], is_label_BK[index]
        own = len(ids) - num_shared
        unlabelled = own - int(is_label.sum())
        columns["ids"].append(ids[num_shared:])
        columns["places"].append(torch.arange(num_shared, len(ids)))
        columns["labels"].append(torch.cat([torch.full((unlabelled,), -100), labels_BK[index][is_label]]))
        columns["answers"].append(torch.full((own,), index))
        columns["weights"].append(torch.cat([torch.ones(unlabelled), weights_BK[index][is_label]]))
        columns["parts"].append(torch.full((own,), part))
    return {name: torch.cat(column) for name, column in columns.items()}


def _mask(parts_ST: Tensor) -> Tensor:
    """bool[S, 1, T, T]: whether a token (third axis) sees another (fourth). Padding, -1, sees itself: a softmax over
    nothing would be no number.

                        sees  -1  0  0  1  1  2
        the second of part 1   .  x  x  x  x  .
                      part 2   .  x  x  .  .  x
    """
    length = parts_ST.shape[1]
    own, other = parts_ST[:, :, None], parts_ST[:, None, :]
    sees = ((other == own) | (other == 0)) & torch.ones(length, length, dtype=torch.bool).tril()
    return sees[:, None]
