"""Examples on images of noise, and their batches: what the benchmarks of the language model work on."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image

from ...grounding.evidence.evidence import Evidence, EvidenceSettings
from ...grounding.evidence.names import Source
from ...grounding.types import Region
from ...vqa.model.grounded_mllm import GroundedMLLM
from ...vqa.prompt.batch import Batch
from ...vqa.prompt.prompt import Example, instruction_text

SIDE_PX, DIM = 192, 96  # of images of noise, and of the vectors of their regions
WORDS = ("nodule", "polyp", "mass", "cyst", "opacity", "fracture")


def noise_image(path: Path, rng: np.random.Generator) -> None:
    """Write an RGB image of noise."""
    Image.fromarray(rng.integers(0, 256, (SIDE_PX, SIDE_PX, 3), dtype=np.uint8)).save(path)


def noise_region(phrase: str, rng: np.random.Generator, score: float = 1.0) -> Region:
    """A region of a phrase at a drawn place, with a drawn vector."""
    corner, sides = rng.uniform(0, 150, 2), rng.uniform(15, 40, 2)
    box = np.concatenate([corner, corner + sides]).astype(np.float32)
    vector = (rng.standard_normal(DIM) / 10).astype(np.float32)
    return Region(phrase=phrase, box_xyxy_px=box, score=score, embedding=vector)


def example_of(
    number: int, image: Path, instruction: str, target: str, source: Source, regions: tuple[Region, ...]
) -> Example:
    """An example about an image of noise, with these regions as its evidence."""
    phrases = [region.phrase for region in regions]
    evidence = Evidence.of_image(source, (SIDE_PX, SIDE_PX), regions, phrases)
    return Example(example_id=str(number), image_path=image, instruction=instruction, target=target, evidence=evidence)


def in_words(example: Example, settings: EvidenceSettings) -> Example:
    """The same words for the model, the evidence as part of a plain question: equal tokens, none of our work."""
    return replace(example, context="", instruction=instruction_text(example, settings), evidence=Evidence.none())


def batch_of(mllm: GroundedMLLM, examples: Sequence[Example], settings: EvidenceSettings) -> Batch:
    """The prompts of the examples as one batch."""
    return mllm.collate([mllm.render(example, settings) for example in examples])


def num_tokens(batch: Batch) -> int:
    """Tokens of the longest prompt, with its answer where it has one."""
    return int(batch["inputs"]["input_ids"].shape[1])
