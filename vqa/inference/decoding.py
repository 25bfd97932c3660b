"""Bounds on a written text. They see new tokens alone: the prompt, with its regions, may be repeated freely.

B batch (rows of all beams), T tokens of the prompt and those written, V vocabulary.
"""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor
from transformers import LogitsProcessor, LogitsProcessorList
from transformers import NoRepeatNGramLogitsProcessor as NoRepeat
from transformers import RepetitionPenaltyLogitsProcessor as RepetitionPenalty


class AfterPrompt(LogitsProcessor):
    """A processor of transformers' that sees only the tokens behind the prompt."""

    def __init__(self, inner: LogitsProcessor, prompt_length: int):
        self.inner, self.start = inner, prompt_length

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        """int64[B, T], float32[B, V] -> float32[B, V]."""
        return self.inner(input_ids[:, self.start :], scores)  # pyright: ignore[reportArgumentType]


class Sections(LogitsProcessor):
    """Ends a section that has all the tokens it may have: with the next heading, the last one with the text's end.

    `limits`: heading -> tokens behind it, in the order of the headings. A text without a heading is left alone.
    """

    def __init__(self, limits: Mapping[str, int], tokenizer: Any, prompt_length: int):
        self.limits, self.tokenizer, self.start = dict(limits), tokenizer, prompt_length
        self.headings = list(self.limits)
        self.ids = [tokenizer(f" {name}", add_special_tokens=False).input_ids for name in self.headings]

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        """int64[B, T], float32[B, V] -> float32[B, V]."""
        written = input_ids[:, self.start :].tolist()
        if not written[0] or len(written[0]) < min(self.limits.values()):
            return scores
        for row, ids in enumerate(written):
            text = self.tokenizer.decode(ids)
            start, k = max((text.rfind(name), k) for k, name in enumerate(self.headings))
            if start < 0:
                continue
            # ... Findings: clear lungs|      the section of the last heading, here k = 0, counts its tokens
            name = self.headings[k]
            behind = self.tokenizer(text[start + len(name) :], add_special_tokens=False).input_ids
            if len(behind) < self.limits[name]:
                continue
            token = int(self.tokenizer.eos_token_id)
            if k + 1 < len(self.headings):
                # the next heading, of which the first `begun` tokens may be written already
                heading = self.ids[k + 1]
                begun = next((n for n in range(len(heading) - 1, 0, -1) if ids[-n:] == heading[:n]), 0)
                token = heading[begun]
            scores[row] = -torch.inf
            scores[row, token] = 0.0
        return scores


def bounds(
    tokenizer: Any, prompt_length: int, *, no_repeat: int, repetition_penalty: float, sections: Mapping[str, int]
) -> LogitsProcessorList:
    """The processors that the settings need, none for the defaults; see `GenerateSettings`."""
    processors = LogitsProcessorList()
    if repetition_penalty != 1:
        processors.append(AfterPrompt(RepetitionPenalty(repetition_penalty), prompt_length))
    if no_repeat:
        processors.append(AfterPrompt(NoRepeat(no_repeat), prompt_length))
    if sections:
        processors.append(Sections(sections, tokenizer, prompt_length))
    return processors
