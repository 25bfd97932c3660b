"""Region tokens begin as words: before a language model reads them, the region projector learns to spell a region.

What a token should look like is known beforehand: the mean of the embedded words that say the same. So no language
model is run, and 1,000 steps take seconds; what the words mean to each other, the model knows already.

R regions, W features and K tokens of one, V words that are spelled, H width of the language model.
"""

import logging
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from ...grounding.evidence.forms.tokens import token_features
from ...grounding.geometry import where
from ...grounding.types import Region
from ..derived.claims import SIZE_EDGES, SIZES
from ..model.grounded_mllm import GroundedMLLM
from ..prompt.prompt import Example

logger = logging.getLogger("medglip")
BATCH_SIZE, LEARNING_RATE = 256, 2e-3


def spell(mllm: GroundedMLLM, examples: Sequence[Example], steps: int, seed: int = 0) -> float:
    """Teach the region projector in place; return the mean cosine of its tokens and their words in the end."""
    projector, num = mllm.region_projector, mllm.shape.tokens_per_region
    shown = list({id(one.evidence): one.evidence for one in examples if one.evidence.regions}.values())
    features_RW = torch.cat([torch.from_numpy(token_features(evidence, mllm.shape)) for evidence in shown])
    images = [image for evidence in shown for image in evidence.images]
    texts = [spelled(region, image.size_px)[:num] for image in images for region in image.regions]
    words = sorted({text for own in texts for text in own})
    words_VH = torch.stack([_embedded(f" {text}", mllm) for text in words])
    numbers = {text: number for number, text in enumerate(words)}
    numbers_RK = torch.tensor([[numbers[text] for text in own] for own in texts])
    optimizer = torch.optim.AdamW(projector.parameters(), lr=LEARNING_RATE, weight_decay=0.0)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, LEARNING_RATE, total_steps=steps, pct_start=0.1)
    draw = torch.Generator().manual_seed(seed)
    alike = torch.zeros(())
    for _ in range(steps):
        chosen = torch.randint(len(features_RW), (BATCH_SIZE,), generator=draw)
        tokens_NH = projector(features_RW[chosen].to(mllm.device))
        alike = nn.functional.cosine_similarity(tokens_NH, words_VH[numbers_RK[chosen].flatten()]).mean()
        optimizer.zero_grad()
        (1 - alike).backward()
        optimizer.step()
        schedule.step()
    logger.info("region tokens spell %d regions in %d words: cosine %.2f", len(texts), len(words), alike.item())
    return alike.item()


def spelled(region: Region, size_px: tuple[int, int]) -> tuple[str, ...]:
    """What the tokens of a region say, one each: its name, where it lies, in which half, how large it is, its name."""
    width, height = size_px
    x0, y0, x1, y1 = (float(value) for value in region.box_xyxy_px)
    part = (x1 - x0) * (y1 - y0) / (width * height)
    size, _ = SIZES[sum(part >= edge for edge in SIZE_EDGES)]
    half = "left" if x0 + x1 < width else "right"
    return region.phrase, where(region.box_xyxy_px, size_px), half, size, region.phrase


def _embedded(text: str, mllm: GroundedMLLM) -> Tensor:
    """float32[H]: the mean of its embedded tokens."""
    ids = mllm.processor.tokenizer(text, add_special_tokens=False, return_tensors="pt").input_ids[0]
    with torch.no_grad():
        return mllm.model.get_input_embeddings()(ids.to(mllm.device)).float().mean(0)
