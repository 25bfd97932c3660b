"""An adapter for the package: small, without paths, the same logits, found by name, bound to its base and its core."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from medglip.grounding.bad_input import BadInput
from medglip.grounding.evidence.evidence import PLAIN, EvidenceSettings
from medglip.grounding.evidence.forms.tokens import TokenShape
from medglip.grounding.grounders.pretrained import checkpoint_folder
from medglip.grounding.training.settings import TrainSettings
from medglip.vqa.inference.confidence import read_confidence
from medglip.vqa.model.grounded_mllm import GroundedMLLM, load, resolve
from medglip.vqa.model.identity import base_fingerprint, core_of, core_sha256
from medglip.vqa.model.settings import LoraSettings, MllmSettings
from medglip.vqa.model.shipped import NAMES, ShippedKind, is_shipped, shipped_folder
from medglip.vqa.prompt.prompt import Example
from medglip.vqa.publish import half_precision as packing
from medglip.vqa.publish.adapter_card import LearnedSet, adapter_card
from medglip.vqa.publish.half_precision import halve, pack
from medglip.vqa.training.align import Lessons, align_adapter
from medglip.vqa.training.settings import AlignSettings, MllmTrainSettings

NewExample = Callable[..., Example]
DIM = 6
SHAPE = TokenShape(DIM)
SETTINGS = MllmSettings(dtype="fp32", lora=LoraSettings(r=4))
SHIPPED = [(kind, name) for kind, names in NAMES.items() for name in names if is_shipped(kind, name)]


@pytest.fixture
def trained(small_default: None, tiny_core: Path, tmp_path: Path) -> Path:
    """The folder of an adapter whose every weight does something."""
    mllm = load(SETTINGS, SHAPE, vision=tiny_core)
    draws = torch.Generator().manual_seed(5)
    with torch.no_grad():
        for parameter in mllm.parameters():
            if parameter.requires_grad:
                parameter.copy_(torch.randn(parameter.shape, generator=draws) * 0.2)
    mllm.save(tmp_path / "trained", EvidenceSettings())
    return tmp_path / "trained"


def aligned_folder(example: Example, core: Path, out: Path) -> Path:
    rates = TrainSettings(steps=1, batch_size=1, learning_rate=1e-2, warmup_steps=1, checkpoint_every=1)
    one = MllmTrainSettings(train=rates)
    stages = AlignSettings(projector=one, together=one)
    return align_adapter(SETTINGS, SHAPE, Lessons(pictures=[example]), stages, vision=core, out_dir=out)


@torch.inference_mode()
def logits(mllm: GroundedMLLM, examples: list[Example], shown: EvidenceSettings) -> torch.Tensor:
    return mllm(mllm.collate([mllm.render(example, shown) for example in examples]))


def test_packed_it_says_the_same_in_half_the_bytes(
    trained: Path, tiny_core: Path, tmp_path: Path, new_example: NewExample
) -> None:
    packed = tmp_path / "packed"
    pack(trained, packed, tiny_core)
    names = {"adapter_model.safetensors", "adapter_config.json", "medglip_mllm.json", "region_projector.safetensors"}
    assert {file.name for file in packed.iterdir()} == names
    for file in packed.glob("*.safetensors"):
        assert {value.dtype for value in load_file(file).values()} == {torch.float16}
        assert file.stat().st_size < (trained / file.name).stat().st_size
    mllms = [load(SETTINGS, SHAPE, folder, vision=tiny_core) for folder in (trained, packed)]
    assert {p.dtype for p in mllms[1].parameters() if p.requires_grad} == {torch.float32}
    examples = [new_example(number) for number in (None, 1, 3)]
    before, after = (logits(mllm, examples, EvidenceSettings()) for mllm in mllms)
    assert not torch.equal(before, after)
    torch.testing.assert_close(before, after, rtol=0, atol=5e-2)


def test_what_validation_said_of_it_goes_with_it(trained: Path, tiny_core: Path, tmp_path: Path) -> None:
    own = Path(shutil.copytree(trained, tmp_path / "own"))
    (own / "confidence.json").write_text('{"threshold": 0.4, "num": 30}')
    pack(own, tmp_path / "packed", tiny_core)
    assert read_confidence(tmp_path / "packed").threshold == 0.4


def test_no_path_of_this_machine_is_shipped(trained: Path, tiny_core: Path, tmp_path: Path) -> None:
    pack(trained, tmp_path / "packed", tiny_core)
    said = "".join(file.read_text() for file in (tmp_path / "packed").glob("*.json"))
    assert str(tmp_path) in (trained / "adapter_config.json").read_text()
    assert str(tmp_path) not in said
    assert str(Path.home()) not in said
    ours = json.loads((trained / "medglip_mllm.json").read_text())
    ours["evidence"]["forms"] = ["/home/somebody/x"]
    (trained / "medglip_mllm.json").write_text(json.dumps(ours))
    with pytest.raises(BadInput, match="names a path of this machine"):
        pack(trained, tmp_path / "again", tiny_core)
    ours["settings"]["base"] = str(tmp_path)
    (trained / "medglip_mllm.json").write_text(json.dumps(ours))
    with pytest.raises(BadInput, match="its base is a folder of this machine"):
        pack(trained, tmp_path / "again", tiny_core)


def test_one_too_large_or_too_loud_is_refused(
    trained: Path, tiny_core: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(packing, "MAX_BYTES", 1000)
    with pytest.raises(BadInput, match="MiB, more than"):
        pack(trained, tmp_path / "packed", tiny_core)
    save_file({"a": torch.tensor([1e5])}, tmp_path / "loud.safetensors")
    with pytest.raises(BadInput, match="does not fit half precision"):
        halve(tmp_path / "loud.safetensors", tmp_path / "half.safetensors")


def test_names_resolve_and_absent_ones_are_said(
    trained: Path, tiny_core: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert not is_shipped("adapter", "small")
    with pytest.raises(BadInput, match="adapter 'small' does not come with this version"):
        shipped_folder("adapter", "small")
    with pytest.raises(BadInput, match="aligned adapter 'small' does not come"):
        load(SETTINGS.model_copy(update={"aligned": "small"}), SHAPE, vision=tiny_core)
    with pytest.raises(BadInput, match="no such adapter"):
        shipped_folder("adapter", tmp_path / "nowhere")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "small").mkdir()
    assert shipped_folder("adapter", Path("small")) == Path("small")
    pack(trained, tmp_path / "weights" / "adapter" / "small", tiny_core)
    assert shipped_folder("adapter", Path("small")) == tmp_path / "weights" / "adapter" / "small"


def test_a_recipe_starts_from_the_aligned_one_by_name(
    small_default: None, tiny_core: Path, tmp_path: Path, new_example: NewExample
) -> None:
    folder = aligned_folder(new_example(None), tiny_core, tmp_path / "aligned")
    packed = tmp_path / "weights" / "aligned" / "small"
    pack(folder, packed, tiny_core)
    assert not (packed / "region_projector.safetensors").exists()
    named = load(SETTINGS.model_copy(update={"aligned": "small"}), SHAPE, vision=tiny_core)
    placed = load(SETTINGS.model_copy(update={"aligned": str(folder)}), SHAPE, vision=tiny_core)
    itself = load(SETTINGS, SHAPE, packed, vision=tiny_core)
    said = [logits(mllm, [new_example(None)], PLAIN) for mllm in (named, placed, itself)]
    torch.testing.assert_close(said[0], said[1], rtol=0, atol=1e-2)
    assert torch.equal(said[0], said[2])
    other = tmp_path / "other"
    shutil.copytree(tiny_core, other)
    weights = load_file(other / "model.safetensors")
    save_file({name: value * 1.5 for name, value in weights.items()}, other / "model.safetensors", {"format": "pt"})
    with pytest.raises(BadInput, match="another core's image tower"):
        load(SETTINGS.model_copy(update={"aligned": "small"}), SHAPE, vision=other)


def test_the_base_is_known_by_what_it_was_put_together_from(small_default: None, tiny_core: Path) -> None:
    folder = Path(resolve("smollm2-135m", tiny_core))
    weights, found = load_file(folder / "model.safetensors"), base_fingerprint(str(folder))

    def changed(part: str, row: int | None = None) -> str:
        new = {f"renamed.{name}": value.clone() for name, value in weights.items()}
        for name in new:
            if part in name:
                new[name][row if row is not None else slice(None)] += 1
        save_file(new, folder / "model.safetensors", {"format": "pt"})
        return base_fingerprint(str(folder))

    assert changed("multi_modal_projector") == found
    assert changed("embed_tokens", -1) == found
    assert changed("embed_tokens", 0) != found
    assert changed("vision_tower") != found
    assert changed("q_proj") != found


def test_an_adapter_says_which_core_it_belongs_to(trained: Path, tiny_core: Path, tmp_path: Path) -> None:
    saved = json.loads((trained / "medglip_mllm.json").read_text())
    assert saved["core"] == core_of(tiny_core) == {"sha256": core_sha256(tiny_core)}
    weights = load_file(tiny_core / "model.safetensors")
    for name, dtype in (("half", torch.float16), ("double", torch.float64)):
        shutil.copytree(tiny_core, tmp_path / name)
        save_file({k: v.half().to(dtype) for k, v in weights.items()}, tmp_path / name / "model.safetensors")
    assert core_sha256(tmp_path / "half") == core_sha256(tmp_path / "double") != core_sha256(tiny_core)
    assert core_of(None) == core_of(trained) == {}
    assert core_of(checkpoint_folder("small"))["name"] == "small"


@pytest.mark.parametrize(
    ("licence", "is_free"),
    [
        ("CC0 1.0", True),
        ("per image: CC BY, CC BY-SA; boxes CC BY 4.0", True),
        ("MIT", True),
        ("drawn by this package", True),
        ("CC BY-NC-SA 4.0", False),
        ("CC BY-ND 4.0", False),
        ("", False),
        ("PhysioNet Credentialed", False),
    ],
)
def test_licences_that_anybody_may_use(licence: str, is_free: bool) -> None:
    assert LearnedSet(name="x", licence=licence, what="questions", items=1, images=1).is_free == is_free


@pytest.mark.parametrize(("kind", "name"), SHIPPED)
def test_what_is_shipped_is_small_described_and_of_the_shipped_core(kind: ShippedKind, name: str) -> None:
    folder = shipped_folder(kind, name)
    packing.check(folder)
    card, ours = (folder / "README.md").read_text(), json.loads((folder / "medglip_mllm.json").read_text())
    assert "license: " in card
    assert "not for diagnosis" in card
    assert ours["core"] == core_of(checkpoint_folder("small"))
    facts = [LearnedSet(**row) for row in json.loads((folder / "facts.json").read_text())]
    assert facts
    assert all(one.is_free for one in facts)


def test_a_card_says_what_the_adapter_is_for() -> None:
    lora = {"r": 4, "alpha": 8, "linears": ["q_proj"]}
    identity = {"base": "smollm2-135m", "core": {"name": "small"}, "settings": {"lora": lora}}
    for what, words in (
        ("questions derived from regions", "medglip vqa ask"),
        ("reports derived from regions", "medglip report write"),
    ):
        sets = [LearnedSet(name="bccd", licence="MIT", what=what, items=2, images=2)]
        card = adapter_card("adapter", "tiny", identity, sets, {}, licence="apache-2.0")
        assert f"{words} image.png" in card
        assert ("nothing follows from what it leaves out" in card) == (words == "medglip report write")
