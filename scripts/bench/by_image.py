"""What questions about one image save in training by sharing its tokens: `python -m medglip.scripts.bench.by_image`.

Steps of the small default, forward and backward, on four images of noise with four regions and four questions each; the
same sixteen prompts in rows of their own, and by image. The text model is fetched the first time.
"""

import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
import typer

from ...grounding.evidence.evidence import EvidenceSettings
from ...grounding.evidence.forms.tokens import TokenShape
from ...grounding.evidence.names import Form
from ...vqa.model.grounded_mllm import load
from ...vqa.model.settings import MllmSettings
from ...vqa.prompt.prompt import Example
from ...vqa.training.train import answer_loss
from .noise import DIM, WORDS, example_of, noise_image, noise_region
from .timing import Json, Threads, compare_pairs, write_figures

SHOWN: tuple[tuple[Form, ...], ...] = ((), ("text",), ("tokens",), ("crops",), ("text", "tokens", "crops"))
QUESTIONS = ("Where is it?", "Is there a polyp in the image?", "How many are there?", "Which finding is shown?")


def main(threads: Threads = 1, pairs: int = 3, out: Json = None) -> None:
    """Measure each set of forms and print a line."""
    torch.set_num_threads(threads)
    mllm, figures = load(MllmSettings(), TokenShape(DIM)).train(), {}
    with tempfile.TemporaryDirectory() as folder:
        asked = examples(Path(folder))
        for forms in SHOWN:
            name = "+".join(forms) or "none"
            settings = EvidenceSettings(forms=forms, max_regions=4, max_crops=4)
            prompts = [mllm.render(one, settings) for one in asked]
            apart, shared = (mllm.collate(prompts, by_image) for by_image in (False, True))
            ratio, _, seconds, seconds_shared = compare_pairs(
                lambda batch=apart: answer_loss(mllm, batch)["loss"].backward(),
                lambda batch=shared: answer_loss(mllm, batch)["loss"].backward(),
                pairs,
            )
            figures[name] = {"apart": seconds, "by_image": seconds_shared, "ratio": ratio}
            print(f"{name}: {seconds:.1f} s apart, {seconds_shared:.1f} s by image, {ratio:.2f} x")
    write_figures(out, figures)


def examples(folder: Path) -> list[Example]:
    """Four questions to each of four images, whose regions all of them are shown."""
    rng, found = np.random.default_rng(0), []
    for number in range(4):
        image = folder / f"{number}.png"
        noise_image(image, rng)
        regions = tuple(noise_region(phrase, rng, 1 - 0.1 * k) for k, phrase in enumerate(WORDS[:4]))
        one = example_of(number, image, "", "upper left", "predicted", regions)
        found += [replace(one, instruction=question) for question in QUESTIONS]
    return found


if __name__ == "__main__":
    typer.run(main)
