"""How sure an answer is: a probability of what was really written, and of yes against no."""

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch

from medglip.grounding.evidence.evidence import EvidenceSettings
from medglip.vqa.answer import asks_yes_or_no
from medglip.vqa.inference.generate import answer, generate, probability_of_yes
from medglip.vqa.inference.settings import GenerateSettings
from medglip.vqa.model.grounded_mllm import GroundedMLLM
from medglip.vqa.prompt.prompt import Example

NewMllm = Callable[..., GroundedMLLM]
NewExample = Callable[..., Example]
SHOW = EvidenceSettings()


def test_the_probability_is_that_of_the_greedy_answer(new_mllm: NewMllm, new_example: NewExample) -> None:
    mllm, example = new_mllm(is_random=True), new_example(2)
    settings = GenerateSettings(max_new_tokens=3, merge=False)
    sure = answer(mllm, example, SHOW, settings, is_closed=False)
    assert sure.text == generate(mllm, [example], SHOW, settings)[0].text
    assert sure.yes is None
    # one token: the largest of the distribution that forward gives
    one = answer(mllm, example, SHOW, settings.model_copy(update={"max_new_tokens": 1}), is_closed=False)
    with torch.inference_mode():
        logits = mllm(mllm.collate([mllm.render(replace(example, target=None), SHOW)]))[0, 0]
    chances = logits.softmax(-1).tolist()
    chances[mllm.region_id] = 0  # never written
    assert one.probability == pytest.approx(max(chances), rel=1e-3)
    assert sure.probability is not None
    assert 0 < sure.probability <= 1


def test_yes_against_no_follows_what_was_learnt(new_mllm: NewMllm, new_example: NewExample) -> None:
    from medglip.vqa.training.train import answer_loss

    mllm, asked = new_mllm(), new_example(1, instruction="Is it?")
    optimizer = torch.optim.Adam([p for p in mllm.parameters() if p.requires_grad], 3e-3)
    before = probability_of_yes(mllm, asked, SHOW)
    for _ in range(10):
        optimizer.zero_grad()
        answer_loss(mllm, mllm.collate([mllm.render(replace(asked, target="no"), SHOW)]))["loss"].backward()
        optimizer.step()
    assert 0 <= probability_of_yes(mllm, asked, SHOW) < min(before, 0.5)


def test_a_prompt_read_once_gives_the_same_as_one_read_for_each_answer(
    new_mllm: NewMllm, new_example: NewExample, monkeypatch: pytest.MonkeyPatch
) -> None:
    mllm, asked = new_mllm(is_random=True), new_example(2, instruction="Is it?")
    assert mllm.model.config.model_type == "llava"
    mllm.eval()
    once = probability_of_yes(mllm, asked, SHOW)
    monkeypatch.setattr(mllm.model.config, "model_type", "other")
    assert probability_of_yes(mllm, asked, SHOW) == pytest.approx(once, rel=1e-3)


@pytest.mark.parametrize(
    ("question", "wanted"),
    [
        ("Is there a nodule?", True),
        (" does the image show a mass?", True),
        ("Is it left or right?", False),
        ("Where is the nodule?", False),
        ("Island of tissue?", False),
        ("Isn’t there an effusion?", True),
        ("Can't you see a nodule?", True),
        ("Canvas of what?", False),
    ],
)
def test_a_question_for_yes_or_no_is_known_by_its_words(question: str, wanted: bool) -> None:
    assert asks_yes_or_no(question) is wanted
