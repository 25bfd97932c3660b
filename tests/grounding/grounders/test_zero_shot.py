"""Zero-shot detectors as grounders, on tiny random checkpoints: order, batch, frames, prompts, wrong folders."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from making import make_image
from PIL import Image
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import (
    Owlv2Config,
    Owlv2ForObjectDetection,
    Owlv2Processor,
    OwlViTConfig,
    OwlViTForObjectDetection,
    OwlViTProcessor,
    PreTrainedTokenizerFast,
)
from transformers.models.grounding_dino.image_processing_pil_grounding_dino import GroundingDinoImageProcessorPil
from transformers.models.owlv2.image_processing_pil_owlv2 import Owlv2ImageProcessorPil
from transformers.models.owlvit.image_processing_pil_owlvit import OwlViTImageProcessorPil

from medglip.grounding import AnnotatedImage, BadInput, Region
from medglip.grounding.grounders.detectors import Detected
from medglip.grounding.grounders.medglip import MedGlipGrounder
from medglip.grounding.grounders.pretrained import checkpoint_folder, load_grounder
from medglip.grounding.grounders.zero_shot import ZeroShotGrounder, ZeroShotSettings, dino_prompt
from medglip.scripts.bench.untrained_dino import DinoSizes, build_dino, word_tokenizer

MakeStudies = Callable[[int], list[AnnotatedImage]]
WORDS = ["left", "lung", "bright", "dark", "square", "nodule", "of", "the"]
ASKED = ["bright square", "nodule", "left lung of the dark lung"]
FAMILIES = ("grounding-dino", "mm-grounding-dino", "owlv2", "owlvit")
ALL = ZeroShotSettings(min_score=0.0, max_per_phrase=5, batch_size=2)


def clip_tokenizer() -> PreTrainedTokenizerFast:
    """The end token has the highest id, which is where OWL reads the phrase."""
    names = ["[PAD]", "<start>", "[UNK]", *WORDS, "<end>"]
    tokenizer = Tokenizer(models.WordLevel({name: i for i, name in enumerate(names)}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    ends = [("<start>", 1), ("<end>", len(names) - 1)]
    tokenizer.post_processor = processors.TemplateProcessing(single="<start> $A <end>", special_tokens=ends)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="[PAD]", unk_token="[UNK]", bos_token="<start>", eos_token="<end>"
    )


def tiny_dino(kind: Any, seed: int) -> ZeroShotGrounder:
    """With the processor of real checkpoints: sizes differ from picture to picture."""
    sizes = DinoSizes(
        kind=kind,
        backbone="swin",
        image_size=64,
        stage_widths=(16, 32, 64, 128),
        d_model=32,
        layers=2,
        num_queries=10,
        ffn_dim=32,
        text_width=32,
        text_layers=1,
        max_text_len=24,
    )
    grounder = build_dino(WORDS, sizes, seed, ALL)
    del grounder.model.config.letterbox_px
    size = {"shortest_edge": 96, "longest_edge": 128}
    grounder.processor.image_processor = GroundingDinoImageProcessorPil(size=size)
    return ZeroShotGrounder(grounder.model, grounder.processor, ALL)


def tiny_owl(kind: str, seed: int) -> ZeroShotGrounder:
    tokenizer = clip_tokenizer()
    text = {
        "vocab_size": len(tokenizer),
        "hidden_size": 16,
        "intermediate_size": 16,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "max_position_embeddings": 8,
        "pad_token_id": 0,
        "bos_token_id": 1,
        "eos_token_id": len(tokenizer) - 1,
    }
    vision = {
        "hidden_size": 16,
        "intermediate_size": 16,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "image_size": 64,
        "patch_size": 16,
    }
    options = {"text_config": text, "vision_config": vision, "projection_dim": 16}
    torch.manual_seed(seed)
    square = {"height": 64, "width": 64}
    if kind == "owlv2":
        model, images = Owlv2ForObjectDetection(Owlv2Config(**options)), Owlv2ImageProcessorPil(size=square)
        return ZeroShotGrounder(model, Owlv2Processor(images, tokenizer), ALL)
    model, images = OwlViTForObjectDetection(OwlViTConfig(**options)), OwlViTImageProcessorPil(size=square)
    return ZeroShotGrounder(model, OwlViTProcessor(images, tokenizer), ALL)


def tiny(kind: str, seed: int = 0) -> ZeroShotGrounder:
    return tiny_dino(kind, seed) if "dino" in kind else tiny_owl(kind, seed)


@pytest.fixture(scope="module", params=FAMILIES)
def detector(request: pytest.FixtureRequest) -> ZeroShotGrounder:
    return tiny(request.param)


def close(a: list[Region], b: list[Region]) -> bool:
    """Same phrases and, within float rounding, the same boxes, scores and embeddings."""
    return len(a) == len(b) and all(
        x.phrase == y.phrase
        and np.allclose(x.box_xyxy_px, y.box_xyxy_px, atol=2e-2)
        and abs(x.score - y.score) < 1e-4
        and np.allclose(np.asarray(x.embedding), np.asarray(y.embedding), atol=1e-3)
        for x, y in zip(a, b, strict=True)
    )


def test_a_phrase_is_found_alike_alone_and_among_many(detector: ZeroShotGrounder, make_studies: MakeStudies) -> None:
    images = make_studies(3)
    together = detector.ground(images, [ASKED] * 3)
    turned = detector.ground(images, [ASKED[::-1]] * 3)
    for image, found, other in zip(images, together, turned, strict=True):
        assert close(found, other)
        alone = [r for phrase in ASKED for r in detector.ground([image], [[phrase]])[0]]
        assert close(found, sorted(alone, key=lambda region: (-region.score, region.phrase)))


def test_many_phrases_are_found_in_chunks_as_at_once(detector: ZeroShotGrounder, make_studies: MakeStudies) -> None:
    image, phrases = make_studies(1)[0], [f"{a} {b}" for a in WORDS[:4] for b in WORDS[4:]]
    at_once = ZeroShotGrounder(detector.model, detector.processor, ALL.model_copy(update={"batch_size": 99}))
    assert close(detector.ground([image], [phrases])[0], at_once.ground([image], [phrases])[0])
    assert at_once.fingerprint == detector.fingerprint


def test_regions_lie_in_the_picture_with_scores_and_embeddings(
    detector: ZeroShotGrounder, make_studies: MakeStudies
) -> None:
    for image, regions in zip(make_studies(3), detector.ground(make_studies(3), [ASKED] * 3), strict=True):
        assert {region.phrase for region in regions} == set(ASKED)
        for region in regions:
            assert region.embedding is not None
            assert region.embedding.shape == (detector.embedding_dim,)
            assert (region.box_xyxy_px >= 0).all()
            assert (region.box_xyxy_px <= np.tile(image.size_px, 2)).all()
        assert [r.score for r in regions] == sorted((r.score for r in regions), reverse=True)


def test_nothing_asked_nothing_found_and_an_empty_phrase_is_refused(
    detector: ZeroShotGrounder, make_studies: MakeStudies
) -> None:
    images = make_studies(2)
    assert detector.ground([], []) == []
    assert [len(row) > 0 for row in detector.ground(images, [[], ["nodule"]])] == [False, True]
    with pytest.raises(BadInput, match="empty phrase"):
        detector.ground(images, [["nodule"], [" "]])


def test_saved_and_loaded_it_is_the_same_and_other_weights_are_another(
    detector: ZeroShotGrounder, make_studies: MakeStudies, tmp_path: Path
) -> None:
    detector.model.save_pretrained(tmp_path)
    detector.processor.save_pretrained(tmp_path)
    again = load_grounder(tmp_path, device="cpu", min_score=0.0, max_per_phrase=5, batch_size=2)
    assert isinstance(again, ZeroShotGrounder)
    assert again.fingerprint == detector.fingerprint
    image = make_studies(1)[0]
    assert close(again.ground([image], [ASKED])[0], detector.ground([image], [ASKED])[0])
    assert tiny(detector.model.config.model_type, seed=1).fingerprint != detector.fingerprint
    few = ZeroShotGrounder(detector.model, detector.processor, ALL.model_copy(update={"max_per_phrase": 1}))
    assert few.fingerprint != detector.fingerprint


@pytest.mark.parametrize(
    ("kind", "letterbox_px", "expected"),
    [
        ("mm-grounding-dino", None, [20, 30, 60, 70]),  # parts of the picture, 80 x 100
        ("mm-grounding-dino", 64, [25, 30, 75, 70]),  # parts of a square of the longer side
        ("owlvit", None, [20, 30, 60, 70]),
        ("owlv2", None, [25, 30, 75, 70]),
    ],
)
def test_boxes_come_back_into_the_picture(
    kind: str, letterbox_px: int | None, expected: list[float], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    path = tmp_path / "tall.png"
    Image.new("RGB", (80, 100)).save(path)
    grounder = tiny(kind)
    if letterbox_px:
        grounder.model.config.letterbox_px = letterbox_px
    box = torch.tensor([[[0.5, 0.5, 0.5, 0.4]]])
    found = Detected(box, torch.tensor([[0.9]]), torch.zeros(1, 1, 4))
    monkeypatch.setattr(grounder, "_detect", lambda _pixels, _phrases: found)
    image = make_image("a", image_path=path, dataset="d", size_px=(80, 100))
    [[region]] = grounder.ground([image], [["nodule"]])
    np.testing.assert_allclose(region.box_xyxy_px, expected, atol=1e-4)


@pytest.mark.parametrize("kind", ["owlv2", "owlvit", "mm-grounding-dino"])
def test_boxes_are_those_of_the_processors_own_rule(kind: str, make_studies: MakeStudies) -> None:
    """The same raw output through transformers' own post-processing gives the same boxes."""
    grounder, annotated = tiny(kind), make_studies(2)[1]
    settings = ALL.model_copy(update={"nms_iou": 1.0, "max_per_phrase": 99})
    grounder = ZeroShotGrounder(grounder.model, grounder.processor, settings)
    with Image.open(annotated.image_path) as image:
        picture = image.convert("RGB")
    text: Any = [["nodule"]] if "owl" in kind else "nodule."
    extra = {"max_length": 8} if "owl" in kind else {}
    inputs = grounder.processor(images=[picture], text=text, return_tensors="pt", **extra)
    with torch.no_grad():
        output = grounder.model(**inputs)
    rule = grounder.processor.post_process_grounded_object_detection
    boxes = rule(output, threshold=0.0, target_sizes=[annotated.size_px[::-1]])[0]["boxes"].numpy()
    edges = np.tile(annotated.size_px, 2)
    boxes = np.clip(boxes, 0, edges)
    boxes = boxes[(boxes[:, 2:] > boxes[:, :2]).all(1)]
    found = np.array([region.box_xyxy_px for region in grounder.ground([annotated], [["nodule"]])[0]])
    assert len(found) == len(boxes)
    np.testing.assert_allclose(found[np.lexsort(found.T)], boxes[np.lexsort(boxes.T)], atol=2e-2)


def test_a_dino_score_is_the_mean_over_the_tokens_of_its_own_phrase(make_studies: MakeStudies) -> None:
    grounder, phrase = tiny("mm-grounding-dino"), "left lung"
    [regions] = grounder.ground(make_studies(1), [[phrase]])
    inputs = grounder._pixels(Image.open(make_studies(1)[0].image_path))
    tokens = grounder.processor.tokenizer(phrase + ".", return_tensors="pt")
    with torch.no_grad():
        chances = grounder.model(**inputs, **tokens).logits[0].sigmoid()
    assert regions[0].score == pytest.approx(float(chances[:, 1:3].mean(-1).max()), abs=1e-5)


def test_prompts_keep_every_phrase_apart() -> None:
    tokenizer = word_tokenizer(WORDS)
    prompt = dino_prompt(tokenizer, ["Left lung.", "nodule of the lung"], 24)
    joined = tokenizer("left lung. nodule of the lung.")["input_ids"]
    assert prompt.ids == joined
    assert prompt.spans == [(1, 3), (4, 8)]
    assert prompt.positive_KT(10).sum(1).tolist() == [2, 4]
    short = dino_prompt(tokenizer, ["left lung " * 30, "nodule"], 12)
    assert len(short.ids) <= 12
    assert short.spans[1][1] - short.spans[1][0] == 1
    for phrases in (["?."], ["nodule"] * 12):
        with pytest.raises(BadInput):
            dino_prompt(tokenizer, phrases, 12)


def test_a_long_phrase_is_cut_not_refused(detector: ZeroShotGrounder, make_studies: MakeStudies) -> None:
    assert detector.ground(make_studies(1), [["left lung of the dark square " * 20]])[0]


def test_wrong_checkpoints_are_one_clear_error(
    tmp_path: Path, tiny_grounder: MedGlipGrounder, make_studies: MakeStudies
) -> None:
    with pytest.raises(BadInput, match="no such checkpoint"):
        checkpoint_folder(tmp_path / "nowhere")
    with pytest.raises(BadInput, match=r"no config\.json"):
        checkpoint_folder(tmp_path)
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "bert"}))
    with pytest.raises(BadInput, match="no zero-shot detector"):
        load_grounder(tmp_path)
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(BadInput, match=r"config\.json: missing or damaged"):
        load_grounder(tmp_path)
    with pytest.raises(BadInput, match="no zero-shot detector"):
        load_grounder("nobody/has-this-detector")
    core = tmp_path / "core"
    tiny_grounder.model.save_pretrained(core)
    tiny_grounder.processor.save_pretrained(core)
    loaded = load_grounder(core, device="cpu", min_score=0.0)
    assert isinstance(loaded, MedGlipGrounder)
    assert len(loaded.ground(make_studies(1), [["bright square"]])[0])


def test_a_checkpoint_with_missing_weights_is_refused(tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    grounder = tiny("mm-grounding-dino")
    grounder.model.save_pretrained(tmp_path)
    grounder.processor.save_pretrained(tmp_path)
    weights = load_file(tmp_path / "model.safetensors")
    weights.pop(next(name for name in weights if "text_projection.weight" in name))
    save_file(weights, tmp_path / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(BadInput, match="not in the file"):
        ZeroShotGrounder.from_pretrained(tmp_path)


def test_an_unreadable_picture_is_bad_input(detector: ZeroShotGrounder, make_studies: MakeStudies) -> None:
    image = make_studies(1)[0]
    image.image_path.write_bytes(b"nothing")
    with pytest.raises(BadInput):
        detector.ground([replace(image)], [["nodule"]])
