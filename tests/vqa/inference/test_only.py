"""Answers chosen among given texts: the likeliest of them as a whole, whatever their length."""

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch

from medglip.grounding.bad_input import BadInput
from medglip.grounding.evidence.evidence import PLAIN
from medglip.grounding.settings import validate
from medglip.vqa.inference.generate import generate
from medglip.vqa.inference.settings import GenerateSettings
from medglip.vqa.model.grounded_mllm import GroundedMLLM
from medglip.vqa.prompt.prompt import Example
from medglip.vqa.training.train import token_losses

TEXTS = ("left lung", "left", "no", "right upper lobe", "a very long answer of many words")


def log_probability(mllm: GroundedMLLM, example: Example, text: str) -> float:
    with torch.inference_mode():
        batch = mllm.collate([mllm.render(replace(example, target=text), PLAIN)])
        return -float(token_losses(mllm(batch), batch["labels"]).sum())


@pytest.mark.parametrize("beams", [1, 8])
def test_beams_find_the_likeliest_of_the_texts_and_nothing_else_is_written(
    new_mllm: Callable, new_example: Callable[..., Example], beams: int
) -> None:
    mllm = new_mllm(is_random=True)
    mllm.eval()
    examples = [new_example(None, instruction=text) for text in ("Where is it?", "Is there a nodule?", "What is it?")]
    settings = GenerateSettings(only=TEXTS, num_beams=beams, max_new_tokens=1, merge=False)
    written = [one.text for one in generate(mllm, examples, PLAIN, settings)]
    assert set(written) <= set(TEXTS)
    if beams == 8:  # as many as there are texts and more: the search is complete
        best = [max(TEXTS, key=lambda text, one=one: log_probability(mllm, one, text)) for one in examples]
        assert written == best


def test_what_is_chosen_is_not_drawn() -> None:
    with pytest.raises(BadInput, match="only"):
        validate(GenerateSettings, {"only": ["yes", "no"], "temperature": 1.0})
