"""Seconds a training step and prompts a second of the small default here: `python -m medglip.scripts.bench.mllm`.

Noise pictures, templated questions and reports; prompts of about 110 tokens, batches of 8 and 32. The text model is
fetched the first time. Compare settings on an idle machine only.
"""

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np
from PIL import Image

from ...grounding.evidence.evidence import Evidence, EvidenceSettings
from ...grounding.geometry import where
from ...grounding.types import Region
from ...vqa.inference.generate import generate
from ...vqa.inference.settings import GenerateSettings
from ...vqa.model.grounded_mllm import GroundedMLLM, load
from ...vqa.model.settings import LoraSettings, MllmSettings
from ...vqa.prompt.prompt import Example
from ...vqa.training.settings import MllmTrainSettings
from ...vqa.training.train import train

DIM, SIDE = 96, 192
WORDS = ("nodule", "polyp", "mass", "cyst", "opacity", "fracture")


def main() -> None:
    """Parse, measure, print one line a measurement."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=6)
    parser.add_argument("--dtype", choices=("fp32", "bf16"), default="bf16")
    parser.add_argument("--linears", nargs="+", default=list(LoraSettings().linears))
    parser.add_argument("--layers", type=int, default=None)
    given = parser.parse_args()
    lora = LoraSettings(linears=tuple(given.linears), layers=given.layers)
    mllm = load(MllmSettings(dtype=given.dtype, lora=lora), DIM)
    with tempfile.TemporaryDirectory() as folder:
        image = Path(folder) / "noise.png"
        Image.fromarray(np.random.default_rng(0).integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8)).save(image)
        measure_training(mllm, examples(image, 8 * given.steps), given.steps, Path(folder))
        measure_generation(mllm, examples(image, 64, part="short"), 8)
        measure_generation(mllm, examples(image, 32, part="report"), 48)


def measure_training(mllm: GroundedMLLM, data: list[Example], steps: int, folder: Path) -> None:
    """Print seconds a step; the first steps, which are slower, count too."""
    settings = MllmTrainSettings()
    settings = settings.model_copy(update={"train": settings.train.model_copy(update={"steps": steps})})
    start = time.perf_counter()
    log = train(mllm, data, EvidenceSettings(), settings, folder / "run")
    print(f"training: {(time.perf_counter() - start) / steps:.2f} s/step, last loss {log[-1]['loss']:.2f}")


def measure_generation(mllm: GroundedMLLM, data: list[Example], max_new_tokens: int) -> None:
    """Print prompts a second."""
    start = time.perf_counter()
    generate(mllm, data, EvidenceSettings(), GenerateSettings(max_new_tokens=max_new_tokens))
    print(f"at most {max_new_tokens} new tokens: {len(data) / (time.perf_counter() - start):.2f} prompts/s")


def examples(image: Path, num: int, part: str = "mixed") -> list[Example]:
    """Questions and reports, half and half, whose answers stand in the evidence."""
    rng = np.random.default_rng(0)
    return [_example(image, i, part == "report" or (part == "mixed" and i % 2 == 1), rng) for i in range(num)]


def _example(image: Path, number: int, is_report: bool, rng: np.random.Generator) -> Example:
    phrases = rng.choice(WORDS, 2, replace=False).tolist()
    regions = tuple(_region(phrase, rng) for phrase in phrases)
    places = [where(region.box_xyxy_px, (SIDE, SIDE)) for region in regions]
    said = " ".join(f"There is a {p} in the {w} of the image." for p, w in zip(phrases, places, strict=True))
    question = f"Where is the {phrases[0]}?\nAnswer with a word or short phrase."
    return Example(
        example_id=str(number),
        image_path=image,
        instruction="Write the findings of this image as a short report." if is_report else question,
        target=said if is_report else places[0],
        evidence=Evidence.of_image("oracle", (SIDE, SIDE), regions, phrases),
    )


def _region(phrase: str, rng: np.random.Generator) -> Region:
    corner, sides = rng.uniform(0, 150, 2), rng.uniform(15, 40, 2)
    box = np.concatenate([corner, corner + sides]).astype(np.float32)
    embedding = rng.standard_normal(DIM) / 10
    return Region(phrase=phrase, box_xyxy_px=box, embedding=embedding.astype(np.float32))


if __name__ == "__main__":
    main()
