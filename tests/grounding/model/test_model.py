"""The core as a transformers model: independence of phrases and of the batch, saving, odd inputs."""

from pathlib import Path

import numpy as np
import pytest
import torch
from making import are_close, is_close
from transformers import AutoConfig, AutoModel, AutoProcessor

from medglip.grounding.grounders.medglip import MedGlipGrounder
from medglip.grounding.modalities import MODALITIES, Modality, parse_modality
from medglip.grounding.model.config import MedGlipConfig, MedGlipVisionConfig
from medglip.grounding.model.image_tower import MedGlipVisionModel
from medglip.grounding.model.medglip import MedGlipModel, MedGlipOutput
from medglip.grounding.model.processing import MedGlipProcessor, train_tokenizer
from medglip.grounding.training.core import build
from medglip.grounding.training.settings import GroundingSettings

PHRASES = ["bright square", "dark square", "left lung", "an unheard-of word"]


@pytest.fixture
def squares() -> list[np.ndarray]:
    return list(np.random.default_rng(0).integers(0, 255, (2, 64, 64, 3), np.uint8))


@torch.no_grad()
def run(grounder: MedGlipGrounder, squares: list[np.ndarray], phrases: list[list[str]]) -> MedGlipOutput:
    return grounder.model(**grounder.processor(squares, phrases, ["ct", "xray"][: len(squares)]))


def same(a: torch.Tensor, b: torch.Tensor) -> bool:
    return is_close(a, b, 1e-5)


def test_a_phrase_asked_alone_scores_as_among_many(tiny_grounder: MedGlipGrounder, squares: list[np.ndarray]) -> None:
    many = run(tiny_grounder, squares[:1], [PHRASES])
    for k, phrase in enumerate(PHRASES):
        alone = run(tiny_grounder, squares[:1], [[phrase]])
        assert same(alone.logits[0, :, 0], many.logits[0, :, k])
        assert same(alone.boxes, many.boxes)


def test_presence_that_looks_at_the_image_depends_on_its_own_phrase_alone(
    tiny_settings: GroundingSettings, tiny_grounder: MedGlipGrounder, squares: list[np.ndarray]
) -> None:
    sizes = tiny_settings.model.model_copy(update={"rich_presence": True})
    processor = tiny_grounder.processor
    model = build(tiny_settings.model_copy(update={"model": sizes}), len(processor.tokenizer))
    torch.nn.init.ones_(model.get_parameter("presence.look.decide.weight"))
    rich = MedGlipGrounder(model, processor)
    both = run(rich, squares, [PHRASES, PHRASES[:2]]).presence
    assert not same(both[0], run(rich, squares[1:], [PHRASES]).presence[0])
    for k, phrase in enumerate(PHRASES):
        assert same(run(rich, squares[:1], [[phrase]]).presence[0, 0], both[0, k])


def test_a_batch_is_its_single_images(tiny_grounder: MedGlipGrounder, squares: list[np.ndarray]) -> None:
    both = run(tiny_grounder, squares, [PHRASES, PHRASES[:2]])
    first = run(tiny_grounder, squares[:1], [PHRASES])
    assert same(both.logits[0], first.logits[0])
    assert same(both.prototypes[0], first.prototypes[0])
    assert same(both.embeddings[0], first.embeddings[0])


def test_no_phrases_give_boxes_and_embeddings_alone(tiny_grounder: MedGlipGrounder, squares: list[np.ndarray]) -> None:
    output = run(tiny_grounder, squares, [[], []])
    assert output.logits.shape == (2, 84, 0)
    assert same(output.embeddings.norm(dim=-1), torch.ones(2, 84))


@pytest.mark.parametrize("value", [0, 255])
def test_a_constant_image_gives_finite_output(tiny_grounder: MedGlipGrounder, value: int) -> None:
    output = run(tiny_grounder, [np.full((64, 64, 3), value, np.uint8)], [PHRASES])
    assert all(torch.isfinite(tensor).all() for tensor in output.values())


def test_modality_matters_only_where_it_was_learned(tiny_grounder: MedGlipGrounder, squares: list[np.ndarray]) -> None:
    pyramid = tiny_grounder.model.pyramid
    assert torch.count_nonzero(pyramid.modality.weight) == 0  # identity before training


def test_saved_and_loaded_through_the_auto_classes_it_answers_the_same(
    tiny_grounder: MedGlipGrounder, squares: list[np.ndarray], tmp_path: Path
) -> None:
    tiny_grounder.model.save_pretrained(tmp_path)
    tiny_grounder.processor.save_pretrained(tmp_path)
    model, processor = AutoModel.from_pretrained(tmp_path), AutoProcessor.from_pretrained(tmp_path)
    assert isinstance(model, MedGlipModel)
    assert isinstance(processor, MedGlipProcessor)
    again = run(MedGlipGrounder(model, processor), squares, [PHRASES, PHRASES])
    before = run(tiny_grounder, squares, [PHRASES, PHRASES])
    assert are_close(again, before, 1e-5)


def test_the_image_tower_stands_alone_as_a_vision_tower(tmp_path: Path) -> None:
    config = MedGlipVisionConfig(image_size=64, stage_widths=[8, 8, 8, 8], hidden_size=16, depths=[1, 1, 1, 2])
    MedGlipVisionModel(config).save_pretrained(tmp_path)
    tower = AutoModel.from_pretrained(tmp_path)
    output = tower(torch.zeros(2, 3, 64, 64), output_hidden_states=True)
    assert AutoConfig.from_pretrained(tmp_path).hidden_size == 16
    assert [tokens.shape for tokens in output.hidden_states] == [(2, 4, 16)] * 2
    assert torch.equal(output.hidden_states[-1], output.last_hidden_state)


def test_vision_tokens_lie_row_by_row() -> None:
    tower = MedGlipVisionModel(MedGlipVisionConfig(stage_widths=[8, 8, 8, 8], hidden_size=16)).eval()
    output = tower(torch.randn(1, 3, 64, 96))
    assert torch.equal(output.last_hidden_state[0, 1], output.feature_maps[-1][0, :, 0, 1])


@pytest.mark.parametrize("sizes", [{"image_size": 100}, {"hidden_size": 20}, {"depths": [1, 1, 1, 1]}])
def test_impossible_sizes_are_refused(sizes: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"image_size|stage widths|depths"):
        MedGlipVisionConfig(**sizes)  # pyright: ignore[reportArgumentType]


def test_configuration_survives_its_json() -> None:
    config = MedGlipConfig(vision_config={"image_size": 64}, width=32)
    again = MedGlipConfig.from_dict(config.to_dict())
    assert again.to_dict() == config.to_dict()


def test_the_tokenizer_knows_its_words_and_spells_others() -> None:
    tokenizer = train_tokenizer(["Left Lung"])
    assert tokenizer.tokenize("LEFT lungs") == ["left", "lung", "##s"]
    assert "[UNK]" not in tokenizer.tokenize("cardiomegaly")


def test_padded_and_empty_phrase_lists_tokenise() -> None:
    processor = MedGlipProcessor(train_tokenizer(["left lung"]), 64)
    ids, mask = processor.tokenize([["left lung", "lung"], [], ["left"]])
    assert ids.shape == mask.shape == (3, 2, 2)
    assert mask.sum(-1).tolist() == [[2, 1], [0, 0], [1, 0]]


def test_a_further_modality_is_trained_saved_and_unknown_to_cores_without_it(
    tiny_settings: GroundingSettings, tiny_grounder: MedGlipGrounder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(MODALITIES, "heat", Modality(image_words="thermogram", other_names=("thermography",)))
    assert parse_modality("Thermography") == "heat"
    processor = MedGlipProcessor(train_tokenizer(PHRASES), 64, modalities=tuple(MODALITIES))
    build(tiny_settings, len(processor.tokenizer)).save_pretrained(tmp_path)
    processor.save_pretrained(tmp_path)
    monkeypatch.undo()  # a core knows its modalities without the table
    core = MedGlipGrounder.from_pretrained(tmp_path, "cpu")
    assert core.model.phrase_encoder.prompts.num_embeddings == len(MODALITIES) + 1
    square = np.zeros((64, 64, 3), np.uint8)
    assert core.processor([square], [["lung"]], ["heat"])["modality_ids"].tolist() == [len(MODALITIES)]
    assert tiny_grounder.processor([square], [["lung"]], ["heat"])["modality_ids"].tolist() == [0]
    assert "heat" not in tiny_grounder.model.config.modalities


def test_modalities_without_unknown_are_refused() -> None:
    with pytest.raises(ValueError, match="unknown"):
        MedGlipConfig(modalities=["ct"])
