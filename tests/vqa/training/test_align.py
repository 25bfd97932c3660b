"""Alignment: the stages train what they say, one content is trained once, and adapters start from the result."""

import json
from collections.abc import Callable
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
import torch

from medglip.grounding.bad_input import BadInput
from medglip.grounding.evidence.evidence import EvidenceSettings
from medglip.grounding.evidence.forms.tokens import TokenShape
from medglip.grounding.training.settings import TrainSettings
from medglip.vqa.model.grounded_mllm import GroundedMLLM, load
from medglip.vqa.model.identity import FILE
from medglip.vqa.model.settings import LoraSettings, MllmSettings
from medglip.vqa.prompt.prompt import Example
from medglip.vqa.training import align as align_module
from medglip.vqa.training.align import Lessons, align, align_adapter
from medglip.vqa.training.settings import AlignSettings, MllmTrainSettings

NewMllm = Callable[..., GroundedMLLM]
NewExample = Callable[..., Example]
DIM = 6
SHAPE = TokenShape(DIM)


@pytest.fixture
def settings(tiny_base: Path) -> MllmSettings:
    return MllmSettings(base=str(tiny_base), dtype="fp32", lora=LoraSettings(r=4))


@pytest.fixture
def examples(new_example: NewExample) -> list[Example]:
    return [new_example(None, seed=n) for n in range(4)]


def stages(steps: int = 2) -> AlignSettings:
    rates = TrainSettings(steps=steps, batch_size=2, learning_rate=1e-2, warmup_steps=1, checkpoint_every=1)
    one = MllmTrainSettings(train=rates, group_by_length=True)
    return AlignSettings(projector=one, together=one)


def weights(mllm: GroundedMLLM) -> dict[str, torch.Tensor]:
    return {name: p.detach().clone() for name, p in mllm.named_parameters()}


def test_the_projector_learns_alone_and_then_with_lora(
    new_mllm: NewMllm, examples: list[Example], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mllm, changed = new_mllm(), []
    train = align_module.train

    def watched(*given: Any) -> Any:
        before = weights(mllm)
        log = train(*given)
        changed.append({name for name, value in weights(mllm).items() if not torch.equal(value, before[name])})
        return log

    monkeypatch.setattr(align_module, "train", watched)
    trained = {name for name, p in mllm.named_parameters() if p.requires_grad}
    align(mllm, Lessons(pictures=examples), stages(), tmp_path)
    assert changed[0]
    assert all("multi_modal_projector" in name for name in changed[0])
    assert changed[0] < changed[1]
    assert all("multi_modal_projector" in name or "lora_" in name for name in changed[1])
    assert {name for name, p in mllm.named_parameters() if p.requires_grad} == trained


def test_one_content_is_trained_once_also_by_two_at_a_time(
    settings: MllmSettings, examples: list[Example], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MEDGLIP_CACHE", str(tmp_path))
    calls: list[Path] = []
    original = align_module.align
    monkeypatch.setattr(align_module, "align", lambda *given: calls.append(given[3]) or original(*given))
    found: list[Path] = []
    threads = [
        Thread(target=lambda: found.append(align_adapter(settings, SHAPE, Lessons(pictures=examples), stages())))
        for _ in range(2)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(calls) == 1
    assert found[0] == found[1]
    other = align_adapter(settings, SHAPE, Lessons(pictures=examples[:3]), stages())
    assert len(calls) == 2
    assert other != found[0]


def test_an_adapter_starts_from_the_aligned_one_but_for_the_region_projector(
    settings: MllmSettings, examples: list[Example], tmp_path: Path
) -> None:
    folder = align_adapter(settings, SHAPE, Lessons(pictures=examples), stages(), out_dir=tmp_path / "aligned")
    done = load(settings, SHAPE, folder)
    start = settings.model_copy(update={"aligned": str(folder), "seed": 3})
    mllm, fresh = load(start, SHAPE), load(settings.model_copy(update={"seed": 3}), SHAPE)
    for name, value in weights(mllm).items():
        source = fresh if name.startswith("region_projector") else done
        assert torch.equal(value, weights(source)[name]), name
    plain = EvidenceSettings(forms=())
    batch = mllm.collate([mllm.render(examples[0], plain)])
    with torch.inference_mode():
        assert torch.equal(mllm(batch), done(batch))
        assert not torch.equal(mllm(batch), fresh(batch))


def test_dropout_is_that_of_the_settings_not_of_the_start(
    settings: MllmSettings, examples: list[Example], tmp_path: Path
) -> None:
    folder = align_adapter(settings, SHAPE, Lessons(pictures=examples), stages(1), out_dir=tmp_path / "aligned")
    lora = settings.lora.model_copy(update={"dropout": 0.5})
    mllm = load(settings.model_copy(update={"aligned": str(folder), "lora": lora}), SHAPE)
    rates = {module.p for name, module in mllm.named_modules() if "lora_dropout" in name and hasattr(module, "p")}
    assert rates == {0.5}
    mllm.save(tmp_path / "adapter")
    assert json.loads((tmp_path / "adapter" / "adapter_config.json").read_text())["lora_dropout"] == 0.5


def test_another_base_or_another_lora_is_refused(
    settings: MllmSettings, examples: list[Example], tmp_path: Path
) -> None:
    folder = align_adapter(settings, SHAPE, Lessons(pictures=examples), stages(1), out_dir=tmp_path / "aligned")
    start = settings.model_copy(update={"aligned": str(folder)})
    with pytest.raises(BadInput, match=r"another mllm.lora \(differs in r\)"):
        load(start.model_copy(update={"lora": LoraSettings(r=2)}), SHAPE)
    facts = json.loads((folder / FILE).read_text())
    (folder / FILE).write_text(json.dumps(facts | {"base_sha256": "0"}))
    with pytest.raises(BadInput, match="another core's image tower"):
        load(start, SHAPE)
    with pytest.raises(BadInput, match="no aligned adapter"):
        load(settings.model_copy(update={"aligned": str(tmp_path)}), SHAPE)
    with pytest.raises(BadInput, match=r"holds another alignment \(differs in base_sha256, stages\."):
        align_adapter(settings, SHAPE, Lessons(pictures=examples), stages(2), out_dir=folder)


def test_a_folder_of_something_else_is_left_alone(
    settings: MllmSettings, examples: list[Example], tmp_path: Path
) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("precious")
    with pytest.raises(BadInput, match="holds something else"):
        align_adapter(settings, SHAPE, Lessons(pictures=examples), stages(), out_dir=tmp_path / "mine")
    assert (tmp_path / "mine" / "thesis.txt").read_text() == "precious"


def test_without_a_projector_there_is_nothing_to_align(
    settings: MllmSettings, examples: list[Example], tmp_path: Path
) -> None:
    frozen = settings.model_copy(update={"lora": LoraSettings(r=4, train_projector=False)})
    with pytest.raises(BadInput, match="no picture projector that is trained"):
        align_adapter(frozen, SHAPE, Lessons(pictures=examples), stages(), out_dir=tmp_path / "out")
