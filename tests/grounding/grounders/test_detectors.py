"""OmDet-Turbo and Florence-2 on tiny random checkpoints, SAM 3 where torchvision is; what is missing is one line."""

import json
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import (
    BartConfig,
    CLIPTextConfig,
    Florence2Config,
    Florence2ForConditionalGeneration,
    OmDetTurboConfig,
    OmDetTurboForObjectDetection,
    PreTrainedTokenizerFast,
    SwinConfig,
)
from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil
from transformers.models.detr.image_processing_pil_detr import DetrImageProcessorPil

from medglip.grounding import AnnotatedImage, BadInput, Region
from medglip.grounding.grounders.detectors import Parts
from medglip.grounding.grounders.detectors.florence import location_ids, read_boxes
from medglip.grounding.grounders.detectors.sam3 import detect as detect_sam3
from medglip.grounding.grounders.pretrained import load_grounder
from medglip.grounding.grounders.zero_shot import ZeroShotGrounder, ZeroShotSettings, mask_of

MakeStudies = Callable[[int], list[AnnotatedImage]]
ASKED = ["bright square", "nodule", "left lung"]
WORDS = ["Detect", "Locate", "in", "the", "image", "left", "lung", "bright", "square", "nodule", ".", ","]
SQUARE = {"height": 64, "width": 64}
ALL = ZeroShotSettings(min_score=0.0, max_per_phrase=5, batch_size=2)


def tokenizer(extra: tuple[str, ...] = ()) -> Any:
    names = ["<pad>", "<s>", "<unk>", *WORDS, *extra]
    words = Tokenizer(models.WordLevel({name: i for i, name in enumerate([*names, "</s>"])}, unk_token="<unk>"))
    words.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    ends = [("<s>", 1), ("</s>", len(names))]
    words.post_processor = processors.TemplateProcessing(single="<s> $A </s>", special_tokens=ends)
    special = {"pad_token": "<pad>", "unk_token": "<unk>", "bos_token": "<s>", "eos_token": "</s>"}
    return PreTrainedTokenizerFast(tokenizer_object=words, extra_special_tokens=list(extra), **special)


def omdet() -> tuple[Any, Parts]:
    words = tokenizer()
    text = CLIPTextConfig(
        vocab_size=len(words),
        hidden_size=24,
        intermediate_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        max_position_embeddings=77,
        projection_dim=16,
        pad_token_id=0,
        bos_token_id=1,
        eos_token_id=len(words) - 1,
    )
    swin: dict[str, Any] = {
        "image_size": 64, "patch_size": 4, "embed_dim": 8, "depths": [1, 1, 1, 1], "num_heads": [1, 1, 2, 2],
        "window_size": 2, "out_features": ["stage2", "stage3", "stage4"],
    }  # fmt: skip
    config = OmDetTurboConfig(
        text_config=text.to_dict(), backbone_config=SwinConfig(**swin).to_dict(), image_size=64,
        text_projection_in_dim=24, text_projection_out_dim=24, class_embed_dim=24, num_queries=12,
        task_encoder_hidden_dim=16,
        encoder_in_channels=[16, 32, 64], encoder_hidden_dim=16, encoder_dim_feedforward=16, encoder_attention_heads=2,
        vision_features_channels=[16, 16, 16], decoder_hidden_dim=16, decoder_num_heads=2, decoder_num_layers=2,
        decoder_dim_feedforward=16, apply_layernorm_after_vision_backbone=False,
    )  # fmt: skip
    return OmDetTurboForObjectDetection(config), Parts(DetrImageProcessorPil(size=SQUARE), words)


def florence() -> tuple[Any, Parts]:
    places = tuple(f"<loc_{k}>" for k in range(1000))
    words = tokenizer(("<image>", *places))
    image_id = words.convert_tokens_to_ids("<image>")
    text = BartConfig(
        vocab_size=len(words), d_model=16, encoder_layers=1, decoder_layers=1, encoder_attention_heads=2,
        decoder_attention_heads=2, encoder_ffn_dim=16, decoder_ffn_dim=16, max_position_embeddings=320, pad_token_id=0,
        bos_token_id=1, eos_token_id=len(words) - 1, decoder_start_token_id=len(words) - 1, forced_eos_token_id=None,
    )  # fmt: skip
    vision = {
        "embed_dim": [8, 8, 8, 8], "num_heads": [1, 1, 1, 1], "num_groups": [1, 1, 1, 1], "depths": [1, 1, 1, 1],
        "window_size": 2, "projection_dim": 16, "max_position_embeddings": 8,
    }  # fmt: skip
    config = Florence2Config(text_config=text.to_dict(), vision_config=vision, image_token_id=image_id)
    images = CLIPImageProcessorPil(size=SQUARE, do_center_crop=False, image_seq_length=5)
    return Florence2ForConditionalGeneration(config), Parts(images, words)


@pytest.fixture(scope="module", params=[omdet, florence])
def detector(request: pytest.FixtureRequest) -> ZeroShotGrounder:
    torch.manual_seed(0)
    model, parts = request.param()
    return ZeroShotGrounder(model, parts, ALL)


def rows_of(regions: list[Region]) -> list[tuple[Any, ...]]:
    return [(r.phrase, *r.box_xyxy_px.round(1).tolist(), round(r.score, 4)) for r in regions]


def test_a_phrase_is_found_alike_alone_and_among_many_and_after_saving(
    detector: ZeroShotGrounder, make_studies: MakeStudies, tmp_path: Path
) -> None:
    images = make_studies(2)
    together = detector.ground(images, [ASKED, ASKED[::-1]])
    alone = [r for phrase in ASKED for r in detector.ground([images[0]], [[phrase]])[0]]
    assert rows_of(together[0]) == rows_of(sorted(alone, key=lambda region: (-region.score, region.phrase)))
    for image, regions in zip(images, together, strict=True):
        assert all((r.box_xyxy_px >= 0).all() and (r.box_xyxy_px <= np.tile(image.size_px, 2)).all() for r in regions)
    detector.model.save_pretrained(tmp_path)
    detector.processor.save_pretrained(tmp_path)
    again = load_grounder(tmp_path, device="cpu", min_score=0.0, max_per_phrase=5, batch_size=2)
    assert again.fingerprint == detector.fingerprint
    assert rows_of(again.ground(images[:1], [ASKED])[0]) == rows_of(together[0])


def test_omdet_finds_something_of_every_phrase(make_studies: MakeStudies) -> None:
    torch.manual_seed(0)
    (regions,) = ZeroShotGrounder(*omdet(), ALL).ground(make_studies(1), [ASKED])
    assert {region.phrase for region in regions} == set(ASKED)


def test_locations_that_florence_writes_become_boxes_with_the_probability_of_their_tokens() -> None:
    words = tokenizer(("<image>", *(f"<loc_{k}>" for k in range(1000))))
    bins = location_ids(words)
    assert bins[words.convert_tokens_to_ids("<loc_999>")] == 999
    text = "nodule<loc_100><loc_200><loc_299><loc_399><loc_0><loc_0><loc_999><loc_999>lung<loc_5><loc_6>"
    written = words(text, add_special_tokens=False)["input_ids"]
    chances = torch.full((len(written),), 0.5).log()
    chances[1:5] = torch.tensor([0.9, 0.8, 0.9, 0.8]).log()
    boxes, scores = read_boxes(written, chances, bins)
    assert boxes.tolist() == [pytest.approx([0.2, 0.3, 0.199, 0.199]), pytest.approx([0.5, 0.5, 0.999, 0.999])]
    assert scores.tolist() == pytest.approx([(0.9 * 0.8) ** 0.5, 0.5])
    assert [len(part) for part in read_boxes([3, 4], chances, bins)] == [0, 0]


def test_sam3_gives_boxes_masks_and_the_score_of_the_concept_too() -> None:
    output = SimpleNamespace(
        pred_logits=torch.zeros(1, 1),
        presence_logits=torch.zeros(1, 1),
        pred_boxes=torch.tensor([[[0.25, 0.25, 0.75, 0.5]]]),
        pred_masks=torch.tensor([[[[-9.0, -9], [9, 9]]]]),
    )
    model: Any = type("Model", (), {"device": "cpu", "__call__": lambda self, **_: output})()
    found = detect_sam3(model, Parts(None, tokenizer()), {"pixel_values": torch.zeros(1, 3, 8, 8)}, ["nodule"])
    assert found.boxes_PQ4.tolist() == [[[0.5, 0.375, 0.5, 0.25]]]
    assert found.scores_PQ.tolist() == [[0.25]]
    assert found.masks_PQhw is not None
    mask = mask_of(found.masks_PQhw[0, 0], (8, 8), np.array([2, 2, 6, 8], np.float32))
    assert mask is not None
    assert mask[4:, 2:6].all()
    assert mask.sum() == 16


def test_a_package_that_is_missing_is_told_in_one_line(tmp_path: Path) -> None:
    backbone = {"model_type": "timm_backbone", "backbone": "swin_tiny_patch4_window7_224"}
    for config, package in (
        ({"model_type": "omdet-turbo", "backbone_config": backbone}, "timm"),
        ({"model_type": "sam3"}, "torchvision"),
    ):
        (tmp_path / "config.json").write_text(json.dumps(config))
        if find_spec(package) is None:
            with pytest.raises(BadInput, match=rf"needs {package} here.*\n?.*pip install {package}"):
                load_grounder(tmp_path)
