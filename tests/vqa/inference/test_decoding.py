"""How a text is written: bounds see new tokens alone, draws come of the seed alone, by default nothing changes."""

from collections.abc import Callable

import pytest
import torch

from medglip.grounding.bad_input import BadInput
from medglip.grounding.evidence.evidence import EvidenceSettings
from medglip.grounding.settings import validate
from medglip.vqa.inference.generate import Sections, bounds, generate, generate_raw
from medglip.vqa.inference.settings import GenerateSettings
from medglip.vqa.model.grounded_mllm import GroundedMLLM
from medglip.vqa.prompt.prompt import Example

NewMllm = Callable[..., GroundedMLLM]
NewExample = Callable[..., Example]
SHOW = EvidenceSettings()
LIMITS = {"Findings:": 4, "Impression:": 3}


@pytest.fixture
def mllm(new_mllm: NewMllm) -> GroundedMLLM:
    return new_mllm(is_random=True)


@pytest.fixture
def examples(new_example: NewExample) -> list[Example]:
    return [new_example(n, seed=seed) for seed, n in enumerate([2, 0, 1])]


def texts(mllm: GroundedMLLM, examples: list[Example], **settings: object) -> list[str]:
    chosen = GenerateSettings.model_validate({"max_new_tokens": 12, **settings})
    return [written.text for written in generate(mllm, examples, SHOW, chosen)]


def test_nothing_asked_for_is_nothing_done(mllm: GroundedMLLM) -> None:
    assert not bounds(mllm.processor.tokenizer, 5, no_repeat=0, repetition_penalty=1.0, sections={})


def test_no_run_comes_twice_in_what_is_written_but_the_prompt_may_be_repeated(mllm: GroundedMLLM) -> None:
    """Three tokens of prompt, `5 6 5` written: a second `5 6` is kept out, the prompt's `1 2` is not."""
    [no_repeat] = bounds(mllm.processor.tokenizer, 3, no_repeat=2, repetition_penalty=1.0, sections={})
    scores_BV = no_repeat(torch.tensor([[1, 2, 1, 5, 6, 5], [1, 2, 1, 7, 8, 1]]), torch.zeros(2, 10))
    assert torch.isinf(scores_BV).nonzero().tolist() == [[0, 6]]


def test_only_what_was_written_becomes_less_likely(mllm: GroundedMLLM) -> None:
    [penalty] = bounds(mllm.processor.tokenizer, 3, no_repeat=0, repetition_penalty=2.0, sections={})
    scores_BV = penalty(torch.tensor([[1, 2, 1, 5, 6]]), torch.ones(1, 8))
    assert scores_BV.tolist() == [[1, 1, 1, 1, 1, 0.5, 0.5, 1]]


def test_written_texts_repeat_nothing(mllm: GroundedMLLM, examples: list[Example]) -> None:
    prompts = [mllm.render(example, SHOW) for example in examples]
    ids_BT, _ = generate_raw(mllm, prompts, GenerateSettings(max_new_tokens=40, no_repeat=1))
    for ids in ids_BT.tolist():
        own = [token for token in ids if token not in mllm.processor.tokenizer.all_special_ids]
        assert len(set(own)) == len(own)


def test_draws_are_of_the_seed_and_leave_chance_elsewhere_alone(mllm: GroundedMLLM, examples: list[Example]) -> None:
    greedy = texts(mllm, examples)
    torch.manual_seed(3)
    expected = torch.rand(1)
    torch.manual_seed(3)
    drawn = [texts(mllm, examples, temperature=1.5, seed=seed) for seed in (0, 0, 1)]
    assert torch.equal(torch.rand(1), expected)
    assert drawn[0] == drawn[1]
    assert drawn[0] not in (drawn[2], greedy)
    assert texts(mllm, examples, temperature=1.5, top_p=1e-6) == greedy


def test_a_section_ends_with_the_next_heading_and_the_last_with_the_text(mllm: GroundedMLLM) -> None:
    """A model that would write one word for ever."""
    tokenizer = mllm.processor.tokenizer
    [word] = tokenizer("a", add_special_tokens=False).input_ids[:1]
    sections = Sections(LIMITS, tokenizer, prompt_length=2)
    ids = [7, 7, *tokenizer("Findings:", add_special_tokens=False).input_ids]
    for _ in range(60):
        scores_BV = torch.zeros(1, len(tokenizer))
        scores_BV[0, word] = 1.0
        ids.append(int(sections(torch.tensor([ids]), scores_BV).argmax()))
        if ids[-1] == tokenizer.eos_token_id:
            break
    text = tokenizer.decode(ids[2:-1])
    findings, impression = text.split(" Impression:")
    assert ids[-1] == tokenizer.eos_token_id
    counts = [len(tokenizer(part, add_special_tokens=False).input_ids) for part in (findings[9:], impression)]
    assert counts == [4, 3]


def test_a_text_without_headings_is_left_alone(mllm: GroundedMLLM, examples: list[Example]) -> None:
    assert texts(mllm, examples, sections=LIMITS) == texts(mllm, examples)


@pytest.mark.parametrize("wrong", [{"temperature": 0.5, "num_beams": 2}, {"sections": {"Findings:": 0}}, {"top_p": 0}])
def test_contradictions_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(BadInput, match=next(iter(wrong))):
        validate(GenerateSettings, wrong)
