"""A box in a family's notation comes back, and its numbers are where that family's processor puts the pixels."""

import re
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from transformers import LlamaConfig

from medglip.grounding.bad_input import BadInput
from medglip.vqa.families import FAMILIES, GENERIC, SMALL_DEFAULT, Family, family_of

BY_NAME = {family.name: family for family in FAMILIES}
SQUARE = {"height": 56, "width": 56}
Seen = Callable[[Any], np.ndarray]


def _qwen(image_processor: Any) -> Any:
    def seen(out: Any) -> np.ndarray:
        _, rows, columns = np.array(out["image_grid_thw"])[0]
        patch = image_processor.patch_size
        parts = np.array(out["pixel_values"]).reshape(rows // 2, columns // 2, 2, 2, 3, 2, patch, patch)
        return parts[:, :, :, :, 0, 0].transpose(0, 2, 4, 1, 3, 5).reshape(rows * patch, columns * patch)

    return seen


def _patches(out: Any) -> np.ndarray:
    """Gemma 4: rows of patches with their places; those of padding have none."""
    places, pixels = np.array(out["image_position_ids"])[0], np.array(out["pixel_values"])[0]
    known = places[:, 0] >= 0
    columns, rows = places[known].max(0) + 1
    parts = pixels[known].reshape(rows, columns, 16, 16, 3)[..., 0]
    return parts.transpose(0, 2, 1, 3).reshape(rows * 16, columns * 16)


@pytest.fixture(scope="module")
def processors() -> dict[str, tuple[Any, Seen]]:
    """By family: a processor's image part with small sizes, and what it shows of one image as float[H, W]."""
    import transformers as t

    llava = t.LlavaImageProcessor(size={"shortest_edge": 56}, crop_size=SQUARE)
    qwen = t.Qwen2VLImageProcessor(min_pixels=56 * 56, max_pixels=112 * 112)
    qwen3 = t.Qwen2VLImageProcessor(min_pixels=64 * 64, max_pixels=128 * 128, patch_size=16)
    idefics = t.Idefics3ImageProcessor(size={"longest_edge": 112}, max_image_size={"longest_edge": 56})
    onevision = t.LlavaOnevisionImageProcessor(size=SQUARE, image_grid_pinpoints=[[56, 56], [56, 112], [112, 56]])
    siglip, gemma = t.SiglipImageProcessor(size=SQUARE), t.Gemma3ImageProcessor(size=SQUARE)
    glm = t.Glm4vImageProcessor(size={"shortest_edge": 56 * 56, "longest_edge": 2 * 112 * 112})
    gemma4 = t.Gemma4ImageProcessor(patch_size=16, max_soft_tokens=70, pooling_kernel_size=2)
    one = lambda out: np.array(out["pixel_values"])[0, 0]  # noqa: E731
    first = lambda out: np.array(out["pixel_values"])[0, 0, 0]  # noqa: E731
    last = lambda out: np.array(out["pixel_values"])[0, -1, 0]  # noqa: E731
    parts: dict[str, tuple[Any, Seen]] = {
        "LLaVA": (llava, one),
        "Qwen2-VL": (qwen, _qwen(qwen)),
        "Qwen2.5-VL": (qwen, _qwen(qwen)),
        "Qwen3-VL": (qwen3, _qwen(qwen3)),
        "Qwen3.5": (qwen3, _qwen(qwen3)),
        "GLM-4V": (glm, _qwen(glm)),
        "Gemma 4": (gemma4, _patches),
        "Idefics3 / SmolVLM": (idefics, last),
        "PaliGemma": (siglip, one),
        "Gemma 3 / MedGemma": (gemma, one),
        "InternVL": (t.GotOcr2ImageProcessor(size=SQUARE), one),
        "LLaVA-OneVision": (onevision, first),
    }
    made = {name: (SimpleNamespace(image_processor=part), seen) for name, (part, seen) in parts.items()}
    for name, (processor, _) in made.items():
        BY_NAME[name].prepare(processor)
    return made


@pytest.mark.parametrize("name", BY_NAME)
@settings(max_examples=60, deadline=None)
@given(
    width=st.integers(30, 3001),
    height=st.integers(30, 3001),
    corners=st.lists(st.floats(0, 1, width=32), min_size=4, max_size=4),
)
def test_a_box_comes_back_within_a_step(
    processors: dict[str, Any], name: str, width: int, height: int, corners: list[float]
) -> None:
    family, size = BY_NAME[name], (width, height)
    codec, frame = family.boxes, family.frame(size, processors[name][0])
    x, y = (
        np.sort(np.array(part, np.float32) * side) for part, side in ((corners[::2], width), (corners[1::2], height))
    )
    box = np.array([x[0], y[0], x[1], y[1]], np.float32)
    text = codec.encode(box, size, frame)
    back = codec.decode(f"It is here: {text}.", size, frame)
    step = frame.sides / np.array([codec.steps] * 4 if codec.steps else frame.sent_px * 2)
    assert (np.abs(back - box) <= step * 0.51 + 1e-2).all()
    assert codec.encode(back, size, frame) == text or not codec.is_bin


@pytest.mark.parametrize("name", BY_NAME)
@pytest.mark.parametrize("size", [(167, 93), (61, 135), (200, 200)])
def test_the_numbers_are_where_the_processor_puts_the_pixels(
    processors: dict[str, Any], name: str, size: tuple[int, int]
) -> None:
    width, height = size
    box = np.rint(np.array([0.2 * width, 0.1 * height, 0.7 * width, 0.45 * height])).astype(np.float32)
    pixels = np.zeros((height, width, 3), np.uint8)
    pixels[int(box[1]) : int(box[3]), int(box[0]) : int(box[2])] = 255
    family, (processor, seen) = BY_NAME[name], processors[name]
    shown = seen(processor.image_processor(Image.fromarray(pixels), return_tensors="np", **family.call))
    bright = shown > (shown.max() + shown.min()) / 2
    columns, rows = np.flatnonzero(bright.any(0)), np.flatnonzero(bright.any(1))
    wanted = np.array([columns[0], rows[0], columns[-1] + 1, rows[-1] + 1])
    numbers = np.array(re.findall(r"\d+(?:\.\d+)?", family.box_text(processor)(box, size)), float)
    if family.boxes.is_y_first:
        numbers = numbers[[1, 0, 3, 2]]
    if name == "PaliGemma":
        numbers = (numbers + 0.5) / 1024
    elif name == "Qwen2.5-VL":
        assert np.abs(numbers - wanted).max() <= 1.5
        return
    else:
        numbers /= {"LLaVA": 1, "LLaVA-OneVision": 1, "Idefics3 / SmolVLM": 100, "Gemma 3 / MedGemma": 100}.get(
            name, 1000
        )
    assert np.abs(numbers * np.array(shown.shape[::-1] * 2) - wanted).max() <= 1.5


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("LLaVA", "[0.10, 0.45, 0.50, 0.55]"),
        ("Qwen2-VL", "(100,400),(500,600)"),
        ("Qwen2.5-VL", "[14, 22, 70, 34]"),
        ("Qwen3-VL", "[100, 400, 500, 600]"),
        ("Qwen3.5", "[100, 400, 500, 600]"),
        ("GLM-4V", "[100, 400, 500, 600]"),
        ("Gemma 4", "[400, 100, 600, 500]"),
        ("Idefics3 / SmolVLM", "10 40 50 60"),
        ("PaliGemma", "<loc0409><loc0102><loc0614><loc0512>"),
        ("Gemma 3 / MedGemma", "10 40 50 60"),
        ("InternVL", "<box>[[100, 400, 500, 600]]</box>"),
        ("LLaVA-OneVision", "[0.10, 0.40, 0.50, 0.60]"),
    ],
)
def test_each_family_writes_its_own_notation(processors: dict[str, Any], name: str, text: str) -> None:
    box = np.array([20, 40, 100, 60], np.float32)
    assert BY_NAME[name].box_text(processors[name][0])(box, (200, 100)) == text


def test_a_model_finds_its_family() -> None:
    def of(kind: str, **more: Any) -> Family:
        return family_of(SimpleNamespace(model_type=kind, **more))

    assert of("qwen3_vl").name == "Qwen3-VL"
    assert of("llava", vision_config=SimpleNamespace(model_type="medglip_vision")) is SMALL_DEFAULT
    names = {kind: of(kind).name for kind in ("qwen3_5", "qwen3_5_moe", "gemma4", "glm4v", "glm46v", "glm4v_moe")}
    assert list(names.values()) == ["Qwen3.5", "Qwen3.5", "Gemma 4", "GLM-4V", "GLM-4V", "GLM-4V"]
    assert of("aya_vision") is GENERIC
    assert "not known" in GENERIC.warning
    with pytest.raises(BadInput, match=r"'llama' is no image-text architecture; did you mean 'llava'"):
        family_of(LlamaConfig())
