"""Florence-2 (https://arxiv.org/abs/2311.06242, MIT): a small model that writes boxes as tokens.

It gives no scores: that of a box is the geometric mean of the probabilities of its four tokens.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from transformers import AutoModelForImageTextToText

from . import Detected, Parts, corners_to_centre, padded

AUTO = AutoModelForImageTextToText
PACKAGES = ()
NUM_BINS = 1000
"""`<loc_0>` to `<loc_999>`: thousandths of the image's width or height."""
MAX_NEW_TOKENS = 256


def detect(model: Any, parts: Parts, pixels: dict[str, Tensor], phrases: Sequence[str]) -> Detected:
    """One phrase at a time: the padding of a batch could change what is written."""
    found = [_detect_one(model, parts, pixels, phrase) for phrase in phrases]
    return Detected(padded([boxes for boxes, _ in found]), padded([scores for _, scores in found]))


def _detect_one(model: Any, parts: Parts, pixels: dict[str, Tensor], phrase: str) -> tuple[Tensor, Tensor]:
    tokenizer, num_image_tokens = parts.tokenizer, parts.image_processor.image_seq_length
    image = tokenizer.convert_ids_to_tokens(model.config.image_token_id) * num_image_tokens
    # the words of the task <OPEN_VOCABULARY_DETECTION>
    prompt = f"{image}{tokenizer.bos_token}Locate {phrase} in the image.{tokenizer.eos_token}"
    text = tokenizer([prompt], add_special_tokens=False, return_tensors="pt")
    output = model.generate(
        pixel_values=pixels["pixel_values"],
        input_ids=text["input_ids"].to(model.device),
        attention_mask=text["attention_mask"].to(model.device),
        max_new_tokens=MAX_NEW_TOKENS,
        num_beams=1,
        do_sample=False,
        return_dict_in_generate=True,
        output_logits=True,
    )
    written = output.sequences[0, -len(output.logits) :]
    chances_T = torch.cat(output.logits).log_softmax(-1).gather(1, written[:, None])[:, 0]
    return read_boxes(written.tolist(), chances_T.float().cpu(), location_ids(tokenizer))


def location_ids(tokenizer: Any) -> dict[int, int]:
    """The id of each location token -> its bin."""
    return {tokenizer.convert_tokens_to_ids(f"<loc_{number}>"): number for number in range(NUM_BINS)}


def read_boxes(written: Sequence[int], log_chances_T: Tensor, bins: dict[int, int]) -> tuple[Tensor, Tensor]:
    """float[Q, 4] and float[Q]: boxes as `Detected` holds them and their scores; each is four locations in a row.

    A number that is left over, as of an answer that was cut, is no box.
    """
    boxes, scores, row = list[Tensor](), list[Tensor](), list[int]()
    for index, token in enumerate(written):
        row = [*row, index] if token in bins else []
        if len(row) == 4:
            corners = torch.tensor([bins[written[k]] for k in row], dtype=torch.float32)
            boxes.append(corners_to_centre((corners + 0.5) / NUM_BINS))
            scores.append(log_chances_T[row].mean().exp())
            row = []
    return torch.stack(boxes) if boxes else torch.zeros(0, 4), torch.stack(scores) if scores else torch.zeros(0)
