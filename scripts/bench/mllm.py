"""Seconds a training step and prompts a second of the small default here: `python -m medglip.scripts.bench.mllm`.

Noise images, templated questions and reports; prompts of about 110 tokens, batches of 8 and 32. The text model is
fetched the first time. Compare settings on an idle machine only.
"""

import argparse
import tempfile
from pathlib import Path

import numpy as np

from ...grounding.evidence.evidence import EvidenceSettings
from ...grounding.evidence.forms.tokens import TokenShape
from ...grounding.geometry import where
from ...vqa.inference.generate import generate
from ...vqa.inference.settings import GenerateSettings
from ...vqa.model.grounded_mllm import load
from ...vqa.model.settings import LoraSettings, MllmSettings
from ...vqa.prompt.prompt import Example
from ...vqa.training.settings import MllmTrainSettings
from ...vqa.training.train import train
from .noise import DIM, SIDE_PX, WORDS, example_of, noise_image, noise_region
from .timing import time_work


def main() -> None:
    """Parse, measure, print one line a measurement."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=6)
    parser.add_argument("--dtype", choices=("fp32", "bf16"), default="bf16")
    parser.add_argument("--linears", nargs="+", default=list(LoraSettings().linears))
    parser.add_argument("--layers", type=int, default=None)
    given = parser.parse_args()
    lora = LoraSettings(linears=tuple(given.linears), layers=given.layers)
    mllm, evidence = load(MllmSettings(dtype=given.dtype, lora=lora), TokenShape(DIM)), EvidenceSettings()
    settings = MllmTrainSettings()
    settings = settings.model_copy(update={"train": settings.train.model_copy(update={"steps": given.steps})})
    with tempfile.TemporaryDirectory() as folder:
        image = Path(folder) / "noise.png"
        noise_image(image, np.random.default_rng(0))
        data = examples(image, 8 * given.steps)
        # the first steps, which are slower, count too
        seconds, _, log = time_work(lambda: train(mllm, data, evidence, settings, Path(folder) / "run"))
        print(f"training: {seconds / given.steps:.2f} s/step, last loss {log[-1]['loss']:.2f}")
        for part, num, max_new_tokens in (("short", 64, 8), ("report", 32, 48)):
            data, decoding = examples(image, num, part), GenerateSettings(max_new_tokens=max_new_tokens)
            seconds = time_work(lambda d=data, g=decoding: generate(mllm, d, evidence, g))[0]
            print(f"at most {max_new_tokens} new tokens: {num / seconds:.2f} prompts/s")


def examples(image: Path, num: int, part: str = "mixed") -> list[Example]:
    """Questions ("short"), reports ("report") or half and half ("mixed"), whose answers stand in the evidence."""
    rng, examples = np.random.default_rng(0), []
    for number in range(num):
        phrases = rng.choice(WORDS, 2, replace=False).tolist()
        regions = tuple(noise_region(phrase, rng) for phrase in phrases)
        places = [where(region.box_xyxy_px, (SIDE_PX, SIDE_PX)) for region in regions]
        if part == "report" or (part == "mixed" and number % 2 == 1):
            instruction = "Write the findings of this image as a short report."
            target = " ".join(f"There is a {p} in the {w} of the image." for p, w in zip(phrases, places, strict=True))
        else:
            instruction = f"Where is the {phrases[0]}?\nAnswer with a word or short phrase."
            target = places[0]
        examples.append(example_of(number, image, instruction, target, "oracle", regions))
    return examples


if __name__ == "__main__":
    main()
