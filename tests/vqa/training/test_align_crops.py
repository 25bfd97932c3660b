"""Pictures and crops in alignment: they learn to spell, and the third stage draws them."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from medglip.grounding.bad_input import BadInput
from medglip.grounding.evidence.evidence import PLAIN
from medglip.grounding.evidence.forms.tokens import TokenShape
from medglip.grounding.training.settings import TrainSettings
from medglip.grounding.types import Region
from medglip.vqa.model.grounded_mllm import GroundedMLLM, load
from medglip.vqa.model.region_tokens import mean_norm
from medglip.vqa.model.settings import LoraSettings, MllmSettings
from medglip.vqa.prompt.prompt import Example
from medglip.vqa.training.align import CROPS, Lessons, align, align_adapter
from medglip.vqa.training.settings import AlignSettings, MllmTrainSettings
from medglip.vqa.training.spelling import Spelled, picture_projector, spell_pictures
from medglip.vqa.training.train import train

NewExample = Callable[..., Example]
SHAPE = TokenShape(6)
ONE = MllmTrainSettings(
    train=TrainSettings(steps=1, batch_size=2, learning_rate=1e-2, warmup_steps=1, checkpoint_every=1),
    group_by_length=True,
)
STAGES = AlignSettings(projector=ONE, together=ONE, regions=ONE, spell_steps=0, spell_picture_steps=2)


@pytest.fixture
def mllm(tiny_base: Path) -> GroundedMLLM:
    return load(MllmSettings(base=str(tiny_base), dtype="fp32", lora=LoraSettings(r=4)), SHAPE)


def shades(folder: Path) -> list[Spelled]:
    """Half dark, half bright pictures; each half, too, as a region cut out of one that has both."""
    dark, bright = (Image.new("RGB", (64, 64), (level,) * 3) for level in (20, 230))
    both = Image.new("RGB", (128, 64), (20, 20, 20))
    both.paste(bright, (64, 0))
    for name, picture in (("dark", dark), ("bright", bright), ("both", both)):
        picture.save(folder / f"{name}.png")
    halves = {"dark": [4, 16, 44, 48], "bright": [84, 16, 124, 48]}
    cut = {word: Region(phrase=word, box_xyxy_px=np.array(box, np.float32)) for word, box in halves.items()}
    return [
        *(Spelled(folder / f"{word}.png", None, (word, "whole")) for word in cut),
        *(Spelled(folder / "both.png", region, (word,)) for word, region in cut.items()),
    ]


def test_pictures_and_crops_learn_to_spell_what_they_are(mllm: GroundedMLLM, tmp_path: Path) -> None:
    frozen = {name: p.clone() for name, p in mllm.named_parameters() if "multi_modal_projector" not in name}
    assert spell_pictures(mllm, shades(tmp_path)[:2], steps=80) == 1
    assert all(torch.equal(p, frozen[name]) for name, p in mllm.named_parameters() if name in frozen)
    assert spell_pictures(mllm, shades(tmp_path)[2:], steps=80) == 1  # the same picture twice, two crops


def test_tokens_that_spell_are_about_as_long_as_embedded_words(mllm: GroundedMLLM, tmp_path: Path) -> None:
    given: list[torch.Tensor] = []

    def keep(_: torch.nn.Module, __: object, tokens: torch.Tensor) -> None:
        given.append(tokens)

    spell_pictures(mllm, shades(tmp_path), steps=200)
    picture_projector(mllm).register_forward_hook(keep)
    spell_pictures(mllm, shades(tmp_path), steps=1)
    embedding = mllm.model.get_input_embeddings()
    length = torch.stack([one.norm(dim=-1).mean() for one in given]).mean().item()
    assert 0.5 < length / mean_norm(embedding, embedding.weight.shape[0]) < 2


def test_a_projector_that_is_not_trained_cannot_learn_to_spell(tiny_base: Path, tmp_path: Path) -> None:
    fixed = MllmSettings(base=str(tiny_base), dtype="fp32", lora=LoraSettings(r=4, train_projector=False))
    with pytest.raises(BadInput, match="no picture projector of its own"):
        spell_pictures(load(fixed, SHAPE), shades(tmp_path), steps=1)


def test_what_was_spelled_is_not_spelled_again(
    mllm: GroundedMLLM, new_example: NewExample, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lessons = Lessons(pictures=[new_example(None)], regions=[new_example(1)], words=shades(tmp_path))
    align(mllm, lessons, STAGES, tmp_path / "work")
    asked: list[object] = []
    monkeypatch.setattr("medglip.vqa.training.align.spell_pictures", lambda *given: asked.append(given))
    align(mllm, lessons, STAGES, tmp_path / "work")
    assert not asked


def test_the_third_stage_draws_pictures_tokens_crops_and_details_in_equal_parts(
    tiny_base: Path, new_example: NewExample, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn: list[tuple[float, Example]] = []

    def keep(_: object, examples: Sequence[Example], *__: object, weights: Sequence[float] = ()) -> None:
        drawn[:] = list(zip(weights, examples, strict=bool(weights)))

    monkeypatch.setattr("medglip.vqa.training.align.train", keep)
    settings = MllmSettings(base=str(tiny_base), dtype="fp32", lora=LoraSettings(r=4))
    crops = [replace(new_example(1, seed=n), shown=CROPS) for n in range(5)]
    tokens = [new_example(1, seed=n) for n in range(3)]

    def make(crops: Sequence[Example]) -> None:
        lessons = Lessons(pictures=[new_example(None)], regions=tokens, crops=crops, details=crops[:1])
        align_adapter(settings, SHAPE, lessons, STAGES, out_dir=tmp_path / "a")

    make(crops)
    shares = [0.0, 0.0, 0.0]
    for weight, example in drawn:
        shares[2 if example.shown else 1 if example.evidence.regions else 0] += weight
    assert shares == pytest.approx([1, 1, 2])  # crops and their details
    with pytest.raises(BadInput, match="differs in crop_examples"):
        make(crops[1:])


def test_an_example_may_say_how_it_is_shown(
    mllm: GroundedMLLM, new_example: NewExample, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    render, shown = mllm.render, set[tuple[str, ...]]()
    monkeypatch.setattr(mllm, "render", lambda example, how: shown.add(how.forms) or render(example, how))
    train(mllm, [new_example(1), replace(new_example(1), shown=CROPS)], PLAIN, ONE, tmp_path)
    assert shown == {(), ("crops",)}
