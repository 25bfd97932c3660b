"""Generation in batches: greedy, or beams or sampling on request; bounds on a text, the probability of an answer.

B batch (rows of all beams), T tokens of the longest prompt and those written, K tokens of the answer, V vocabulary.
"""

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence
from tqdm.auto import tqdm
from transformers import LogitsProcessor, LogitsProcessorList, StoppingCriteria, StoppingCriteriaList
from transformers import NoRepeatNGramLogitsProcessor as NoRepeat
from transformers import RepetitionPenaltyLogitsProcessor as RepetitionPenalty

from ...grounding.evidence.evidence import Evidence, EvidenceSettings
from ...grounding.files import sha256
from ...grounding.parts.giving_up import go_on
from ..model.grounded_mllm import GroundedMLLM
from ..prompt.prompt import Example, Prompt, close_answer
from ..training.train import token_losses
from .settings import GenerateSettings

YES, NO = ("yes", "Yes"), ("no", "No")
"""How the two are written in public sets and by tuned models."""


@dataclass(frozen=True, kw_only=True)
class Generated:
    """One prompt's text, and the evidence in the prompt. `seconds`: its share of the batch's time; `probability`: as of
    `ScoredAnswer`, None where it was not asked for.
    """

    text: str
    prompt_sha256: str
    seconds: float
    evidence: Evidence
    probability: float | None = None


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
def write(
    mllm: GroundedMLLM, prompts: list[Prompt], settings: GenerateSettings, *, is_scored: bool = False
) -> list[Generated]:
    """The text of each prompt of one batch; `is_scored`: with its probability, which keeps the logits of the batch.

    Beams have none: their probability is not that of the words by themselves.
    """
    start = time.perf_counter()
    is_scored &= settings.num_beams == 1
    kept: dict[str, Any] = {"return_dict_in_generate": True, "output_logits": True} if is_scored else {}
    ids_BT, output = generate_raw(mllm, prompts, settings, **kept)
    texts = mllm.processor.tokenizer.batch_decode(ids_BT, skip_special_tokens=True)
    chances = [None] * len(prompts)
    if is_scored:
        chances = [
            probability_of_words(mllm, ids_BT[row], [step[row] for step in output.logits])
            for row in range(len(prompts))
        ]
    seconds = (time.perf_counter() - start) / len(prompts)
    return [
        Generated(
            text=text.strip(),
            prompt_sha256=prompt.sha256,
            seconds=round(seconds, 4),
            evidence=prompt.evidence,
            probability=chance,
        )
        for text, prompt, chance in zip(texts, prompts, chances, strict=True)
    ]


def probability_of_words(mllm: GroundedMLLM, ids_K: Tensor, logits_KV: Sequence[Tensor]) -> float:
    """Exp of the mean log-probability of the tokens of a text up to its end; of the end where it is empty."""
    tokenizer = mllm.processor.tokenizer
    is_special_K = [token in tokenizer.all_special_ids for token in ids_K.tolist()]
    # shorter texts of a batch are padded; the end is a token like any other, but no word of the answer
    words = [k for k, is_special in enumerate(is_special_K) if not is_special and k < len(logits_KV)] or [0]
    log_probs = [logits_KV[k].float().log_softmax(-1)[int(ids_K[k])] for k in words]
    return float(torch.stack(log_probs).mean().exp())


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
    only = answer_ids(mllm, settings.only)
    if only:  # the probability of a text is not divided by its length
        options = {"length_penalty": 0.0} | options if settings.num_beams > 1 else options
    # the state outside is as before sampling, so training and other batches draw the same
    with mllm.ready(batch["features"]), torch.random.fork_rng() if settings.temperature else nullcontext():
        if settings.temperature:  # draws depend on the seed and the prompts of the batch alone
            digest = sha256("".join(prompt.sha256 for prompt in prompts) + str(settings.seed))
            torch.manual_seed(int(digest[:12], 16))
        output = mllm.model.generate(
            **inputs,
            **how,
            max_new_tokens=max(map(len, only), default=settings.max_new_tokens),
            num_beams=settings.num_beams,
            stopping_criteria=StoppingCriteriaList([GoOn()]),
            suppress_tokens=[mllm.region_id],  # a placeholder that was written would ask for features
            logits_processor=bounds(
                mllm.processor.tokenizer,
                length,
                no_repeat=settings.no_repeat,
                repetition_penalty=settings.repetition_penalty,
                sections=settings.sections,
                only=only,
            ),
            **options,
        )
    ids_BT = output if isinstance(output, Tensor) else output.sequences
    return ids_BT[:, length:], output


@dataclass(frozen=True, kw_only=True)
class ScoredAnswer:
    """An answer. `probability`: exp of the mean log-probability of its tokens, in [0, 1]; of the end where it is empty;
    None where no tokens were written.

    `evidence`: that of its prompt. `yes`: P(yes) / (P(yes) + P(no)) of whole answers, None for an open question.
    `by_rules`: why the regions alone answered; "" where the model did.
    """

    text: str
    probability: float | None
    evidence: Evidence
    yes: float | None = None
    by_rules: str = ""


def answer(
    mllm: GroundedMLLM, example: Example, evidence: EvidenceSettings, settings: GenerateSettings, *, is_closed: bool
) -> ScoredAnswer:
    """The greedy answer and its probability. Raises `BadInput` for an example that cannot be rendered."""
    greedy = settings.model_copy(update={"num_beams": 1, "temperature": 0.0})
    with generating(mllm, greedy), torch.inference_mode():
        prompt = mllm.render(example, evidence)
        ids_BK, output = generate_raw(mllm, [prompt], greedy, return_dict_in_generate=True, output_logits=True)
        yes = probability_of_yes(mllm, example, evidence) if is_closed else None
    ids_K = ids_BK[0]
    return ScoredAnswer(
        text=mllm.processor.tokenizer.decode(ids_K, skip_special_tokens=True).strip(),
        probability=probability_of_words(mllm, ids_K, [logits_BV[0] for logits_BV in output.logits]),
        evidence=prompt.evidence,
        yes=yes,
    )


@torch.inference_mode()
def probability_of_yes(mllm: GroundedMLLM, example: Example, evidence: EvidenceSettings) -> float:
    """P(yes) / (P(yes) + P(no)), each of whole answers up to the end of the turn, in lower case or capitalised."""
    if mllm.model.config.model_type == "llava":
        log_probs_A = _read_once(mllm, mllm.render(example, evidence), (*YES, *NO))
    else:
        batch = mllm.collate([mllm.render(replace(example, target=word), evidence) for word in (*YES, *NO)])
        log_probs_A = -token_losses(mllm(batch), batch["labels"]).sum(1)
    # rows yes, Yes, no, No: the probabilities of both spellings add up
    yes, no = log_probs_A.view(2, -1).logsumexp(1)
    return float(torch.sigmoid(yes - no))


def _read_once(mllm: GroundedMLLM, prompt: Prompt, answers: Sequence[str]) -> Tensor:
    """Log-probability float32[A] of each of A whole answers, the prompt being read once for all of them.

    Only where positions follow from the number of tokens alone, as LLaVA's do; there it is a fifth of the work.
    """
    batch = mllm.collate([replace(prompt, completion="")])
    inputs = {key: value.to(mllm.device) for key, value in batch["inputs"].items()}
    ids = answer_ids(mllm, answers)
    ids_AK = pad_sequence([torch.tensor(row) for row in ids], batch_first=True).to(mllm.device)
    with mllm.ready(batch["features"]):
        read = mllm.model(**inputs, use_cache=True, logits_to_keep=1)
        read.past_key_values.batch_repeat_interleave(len(ids))
        before = inputs["attention_mask"].new_ones(len(ids), inputs["input_ids"].shape[1] + ids_AK.shape[1] - 1)
        written = mllm.model(
            input_ids=ids_AK[:, :-1], attention_mask=before, past_key_values=read.past_key_values
        ).logits
    first_A1V = read.logits[:, -1:].float().expand(len(ids), -1, -1)
    log_probs_AK = torch.cat([first_A1V, written.float()], 1).log_softmax(-1).gather(2, ids_AK[..., None])[..., 0]
    return torch.stack([row_K[: len(own)].sum() for row_K, own in zip(log_probs_AK, ids, strict=True)])


class GoOn(StoppingCriteria):
    """Ends no text, but raises `GivenUp` between two tokens where nobody waits for it any more."""

    def __call__(self, input_ids: Tensor, scores: Any, **_: Any) -> Any:
        """int64[B, T] -> bool[B]."""
        go_on()
        return torch.zeros(len(input_ids), dtype=torch.bool, device=input_ids.device)


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


class OnlyThese(LogitsProcessor):
    """Nothing but one of the given texts can be written.

    `texts`: their tokens, the end among them. What may follow on what is written, for `left lung` and `left`:

        written   ()       (left)         (left, lung)
        next      left     lung, end      end
    """

    def __init__(self, texts: Sequence[Sequence[int]], prompt_length: int):
        self.start, self.last = prompt_length, texts[0][-1]
        self.next: dict[tuple[int, ...], set[int]] = {}
        for ids in texts:
            for k, token in enumerate(ids):
                self.next.setdefault(tuple(ids[:k]), set()).add(token)

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        """int64[B, T], float32[B, V] -> float32[B, V]."""
        masked = torch.full_like(scores, -torch.inf)
        for row, written in enumerate(input_ids[:, self.start :].tolist()):
            allowed = sorted(self.next.get(tuple(written), {self.last}))  # a finished text is only padded
            masked[row, allowed] = scores[row, allowed]
        return masked


def answer_ids(mllm: GroundedMLLM, answers: Sequence[str]) -> list[list[int]]:
    """The tokens of each answer as it would be written behind any prompt, to the end of the turn."""
    question = [{"role": "user", "content": [{"type": "text", "text": "?"}]}]
    text, tokenizer = mllm.family.write(mllm.processor, question, True), mllm.processor.tokenizer
    texts = [close_answer(answer, question, text, mllm.processor, mllm.family) for answer in answers]
    ends = mllm.model.generation_config.eos_token_id
    ends = {tokenizer.eos_token_id, *(ends if isinstance(ends, list) else [ends])}
    every: list[list[int]] = []
    for ids in tokenizer(texts, add_special_tokens=False).input_ids if texts else []:
        size = next((k for k, token in enumerate(ids) if token in ends), len(ids))
        every.append([*ids[:size], ids[size] if size < len(ids) else tokenizer.eos_token_id])
    return every


def bounds(
    tokenizer: Any,
    prompt_length: int,
    *,
    no_repeat: int,
    repetition_penalty: float,
    sections: Mapping[str, int],
    only: Sequence[Sequence[int]] = (),
) -> LogitsProcessorList:
    """The processors that the settings need, none for the defaults; see `GenerateSettings`."""
    processors = LogitsProcessorList()
    if repetition_penalty != 1:
        processors.append(AfterPrompt(RepetitionPenalty(repetition_penalty), prompt_length))
    if no_repeat:
        processors.append(AfterPrompt(NoRepeat(no_repeat), prompt_length))
    if sections:
        processors.append(Sections(sections, tokenizer, prompt_length))
    if only:
        processors.append(OnlyThese(only, prompt_length))
    return processors
