"""Generation in batches: greedy by default, beams or sampling on request; prompts of like length together.

B batch, T tokens of the longest prompt.
"""

import time
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor
from tqdm.auto import tqdm

from ...grounding.evidence.evidence import Evidence, EvidenceSettings
from ...grounding.files import sha256
from ..model.grounded_mllm import GroundedMLLM
from ..prompt.prompt import Example, Prompt
from .decoding import bounds
from .settings import GenerateSettings


@dataclass(frozen=True, kw_only=True)
class Generated:
    """One prompt's text, and the evidence in the prompt. `seconds`: its share of the batch's time."""

    text: str
    prompt_sha256: str
    seconds: float
    shown: Evidence


def generate(
    mllm: GroundedMLLM, examples: Sequence[Example], evidence_settings: EvidenceSettings, settings: GenerateSettings
) -> list[Generated]:
    """One text for each example, in their order. Raises `BadInput` for the first example that cannot be rendered."""
    prompts = [mllm.render(example, evidence_settings) for example in examples]
    texts: dict[int, Generated] = {}
    with tqdm(total=len(prompts), desc="generate", unit="prompt") as bar, generating(mllm, settings):
        for indices in by_length([prompt.text for prompt in prompts], settings.batch_size):
            texts |= zip(indices, write(mllm, [prompts[i] for i in indices], settings), strict=True)
            bar.update(len(indices))
    return [texts[i] for i in range(len(prompts))]


def by_length(texts: Sequence[str], batch_size: int) -> Iterator[list[int]]:
    """Indices of the texts in batches of like length, longest first: a batch too large for memory fails at once."""
    # ties in order of the index: batches, and so rounding, are the same at every call
    order = sorted(range(len(texts)), key=lambda i: (-len(texts[i]), i))
    return (order[start : start + batch_size] for start in range(0, len(order), batch_size))


def generating(mllm: GroundedMLLM, settings: GenerateSettings):  # noqa: ANN201 - either of two context managers
    """The state in which `write` is fast: evaluation mode, LoRA merged where the settings say so."""
    mllm.eval()
    # merged weights round otherwise than base plus LoRA: predictions of one run are all made in one state
    return mllm.merge_lora() if settings.merge else nullcontext()


@torch.inference_mode()
def write(mllm: GroundedMLLM, prompts: list[Prompt], settings: GenerateSettings) -> list[Generated]:
    """The text of each prompt of one batch."""
    start = time.perf_counter()
    ids_BT, _ = generate_raw(mllm, prompts, settings)
    texts = mllm.processor.tokenizer.batch_decode(ids_BT, skip_special_tokens=True)
    seconds = (time.perf_counter() - start) / len(prompts)
    return [
        Generated(text=text.strip(), prompt_sha256=prompt.sha256, seconds=round(seconds, 4), shown=prompt.shown)
        for text, prompt in zip(texts, prompts, strict=True)
    ]


def generate_raw(
    mllm: GroundedMLLM, prompts: list[Prompt], settings: GenerateSettings, **options: Any
) -> tuple[Tensor, Any]:
    """New tokens int64[B, new], without the prompt or a placeholder, and all that transformers' `generate` returned.

    `options`: further ones of `generate`; several return sequences come as that many rows of each prompt.
    """
    batch = mllm.collate([replace(prompt, completion="") for prompt in prompts])
    inputs = {key: value.to(mllm.device) for key, value in batch["inputs"].items()}
    length = inputs["input_ids"].shape[1]
    # of how a token is chosen a base's own generation settings are not followed
    how: dict[str, Any] = {"do_sample": False, "temperature": None, "top_p": None, "top_k": None}
    if settings.temperature:
        how = {"do_sample": True, "temperature": settings.temperature, "top_p": settings.top_p, "top_k": 0}
    # the state outside is as before sampling, so training and other batches draw the same
    with mllm.ready(batch["features"]), torch.random.fork_rng() if settings.temperature else nullcontext():
        if settings.temperature:  # draws depend on the seed and the prompts of the batch alone
            digest = sha256("".join(prompt.sha256 for prompt in prompts) + str(settings.seed))
            torch.manual_seed(int(digest[:12], 16))
        output = mllm.model.generate(
            **inputs,
            **how,
            max_new_tokens=settings.max_new_tokens,
            num_beams=settings.num_beams,
            suppress_tokens=[mllm.region_id],  # a placeholder that was written would ask for features
            logits_processor=bounds(
                mllm.processor.tokenizer,
                length,
                no_repeat=settings.no_repeat,
                repetition_penalty=settings.repetition_penalty,
                sections=settings.sections,
            ),
            **options,
        )
    ids_BT = output if isinstance(output, Tensor) else output.sequences
    return ids_BT[:, length:], output
