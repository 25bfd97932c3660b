"""Tokens of several strides: they see what the last stage is blind to, and come back from disk the same."""

from pathlib import Path

import pytest
import torch
from making import is_close
from transformers import AutoConfig, AutoModel

from medglip.grounding.model.config import MedGlipVisionConfig
from medglip.grounding.model.image_tower import MedGlipTokensConfig, MedGlipTokensModel, MedGlipVisionModel

SIZES = MedGlipVisionConfig(image_size=64, stage_widths=(8, 8, 16, 24), hidden_size=32, depths=(1, 1, 1, 2))


def tokens_model(**settings: object) -> MedGlipTokensModel:
    torch.manual_seed(0)
    tower = MedGlipVisionModel(SIZES)
    model = MedGlipTokensModel(MedGlipTokensConfig(tower=SIZES.to_dict(), **settings))  # pyright: ignore[reportArgumentType]
    model.load_state_dict(tower.state_dict())
    return model.eval()


def test_every_level_is_there_and_of_one_size() -> None:
    model, pixels = tokens_model(), torch.randn(2, 3, 64, 64)
    tokens = model(pixels).last_hidden_state
    assert tokens.shape == (2, 4, 16 * 16 + 24 * 4 + 32) == (2, 4, model.config.hidden_size)
    for level in tokens.split([16 * 16, 24 * 4, 32], dim=-1):
        assert torch.allclose(level.mean(-1), torch.zeros(2, 4), atol=1e-5)
        assert is_close(level.var(-1, unbiased=False), torch.ones(2, 4), 1e-2)


def test_a_token_holds_its_own_block_of_the_finer_maps() -> None:
    model = tokens_model(strides=[16])
    map_BCHW = model(torch.randn(1, 3, 64, 64)).feature_maps[2]
    block = map_BCHW[0, :, 2:4, 0:2].flatten()
    expected = torch.nn.functional.layer_norm(block, block.shape)
    assert is_close(model._level(map_BCHW, 16)[0, 2], expected, 1e-5)  # row 1, column 0 of two by two


def test_a_blind_last_stage_leaves_pictures_apart() -> None:
    model = tokens_model()
    last = model.backbone.get_submodule("stages")[-1]  # pyright: ignore[reportIndexIssue]
    with torch.no_grad():
        for parameter in last.parameters():
            parameter.zero_()
    one, two = model(torch.randn(2, 3, 64, 64)).last_hidden_state
    assert (one - two).norm() > 1


def test_a_saved_model_is_the_same_by_auto_classes(tmp_path: Path) -> None:
    model, pixels = tokens_model(strides=[8, 32]), torch.randn(1, 3, 64, 64)
    model.save_pretrained(tmp_path)
    again = AutoModel.from_pretrained(tmp_path).eval()
    assert torch.equal(again(pixels).last_hidden_state, model(pixels).last_hidden_state)
    assert AutoConfig.from_pretrained(tmp_path).hidden_size == 16 * 16 + 32


@pytest.mark.parametrize("strides", [[], [64], [2, 16]])
def test_strides_that_the_tower_does_not_have_are_refused(strides: list[int]) -> None:
    with pytest.raises(ValueError, match="strides"):
        MedGlipTokensConfig(tower=SIZES.to_dict(), strides=strides)
