"""The model's probability of its answer: of the words it wrote, and of yes against no.

B batch, K tokens of the answer, V vocabulary.
"""

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from ...grounding.evidence.evidence import Evidence, EvidenceSettings
from ..model.grounded_mllm import GroundedMLLM
from ..prompt.prompt import Example
from ..training.train import token_losses
from .generate import generate_raw, generating
from .settings import GenerateSettings

YES, NO = ("yes", "Yes"), ("no", "No")
"""How the two are written in public sets and by tuned models."""


@dataclass(frozen=True, kw_only=True)
class ScoredAnswer:
    """An answer. `probability`: exp of the mean log-probability of its tokens, in [0, 1]; of the end where it is empty.

    `shown`: the evidence in its prompt. `yes`: P(yes) / (P(yes) + P(no)) of whole answers, None for an open question.
    """

    text: str
    probability: float
    shown: Evidence
    yes: float | None = None


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
    log_probs_K = torch.stack([logits_BV[0].float() for logits_BV in output.logits]).log_softmax(-1)
    log_probs_K = log_probs_K.gather(-1, ids_K[:, None].to(log_probs_K.device))[:, 0].cpu()
    tokenizer = mllm.processor.tokenizer
    # the end of the turn is a token like any other, but no word of the answer; of an empty answer it is all there is
    is_word_K = torch.tensor([token not in tokenizer.all_special_ids for token in ids_K.tolist()])
    words_K: Tensor = log_probs_K[is_word_K] if is_word_K.any() else log_probs_K[:1]
    return ScoredAnswer(
        text=tokenizer.decode(ids_K, skip_special_tokens=True).strip(),
        probability=float(words_K.mean().exp()),
        shown=prompt.shown,
        yes=yes,
    )


@torch.inference_mode()
def probability_of_yes(mllm: GroundedMLLM, example: Example, evidence: EvidenceSettings) -> float:
    """P(yes) / (P(yes) + P(no)), each of whole answers up to the end of the turn, in lower case or capitalised."""
    prompts = [mllm.render(replace(example, target=word), evidence) for word in (*YES, *NO)]
    batch = mllm.collate(prompts)
    log_probs_B = -token_losses(mllm(batch), batch["labels"]).sum(1)
    # rows yes, Yes, no, No: the probabilities of both spellings add up
    yes, no = log_probs_B.view(2, -1).logsumexp(1)
    return float(torch.sigmoid(yes - no))
