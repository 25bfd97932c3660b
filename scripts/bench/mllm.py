"""Seconds a training step and prompts a second of the small default here: `python -m medglip.scripts.bench.mllm`.

Noise pictures, templated questions and reports; prompts of about 110 tokens, batches of 8 and 32. The text model is
fetched the first time. Compare settings on an idle machine only.
"""

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np

from ...grounding.evidence.evidence import Evidence, EvidenceSettings
from ...grounding.geometry import where
from ...vqa.inference.generate import generate
from ...vqa.inference.settings import GenerateSettings
from ...vqa.model.grounded_mllm import GroundedMLLM, load
from ...vqa.model.settings import LoraSettings, MllmSettings
from ...vqa.prompt.prompt import Example
from ...vqa.training.settings import MllmTrainSettings
from ...vqa.training.train import train
from .timing import DIM, SIDE_PX, noise_image, noise_region

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
        noise_image(image, np.random.default_rng(0))
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
    rng, size_px, made = np.random.default_rng(0), (SIDE_PX, SIDE_PX), []
    for number in range(num):
        is_report = part == "report" or (part == "mixed" and number % 2 == 1)
        phrases = rng.choice(WORDS, 2, replace=False).tolist()
        regions = tuple(noise_region(phrase, rng) for phrase in phrases)
        places = [where(region.box_xyxy_px, size_px) for region in regions]
        text = " ".join(f"There is a {p} in the {w} of the image." for p, w in zip(phrases, places, strict=True))
        question = f"Where is the {phrases[0]}?\nAnswer with a word or short phrase."
        made.append(
            Example(
                example_id=str(number),
                image_path=image,
                instruction="Write the findings of this image as a short report." if is_report else question,
                target=text if is_report else places[0],
                evidence=Evidence.of_image("oracle", size_px, regions, phrases),
            )
        )
    return made


if __name__ == "__main__":
    main()
