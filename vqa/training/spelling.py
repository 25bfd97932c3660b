"""Tokens begin as words: before a language model reads them, projectors learn to spell what they show.

What a token should look like is known beforehand: the embedded words that say the same. So no language model is run,
and the steps take seconds; what the words mean to each other, the model knows already. Region tokens spell a word
each. Those of a picture, or of a crop, are no such list: together they come nearest to the words that are true of it.

R regions or pictures, W features and K tokens of one region, N tokens and C channels of a picture, V words that are
spelled, H width of the language model.
"""

import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor, nn
from tqdm import tqdm

from ...grounding.bad_input import BadInput
from ...grounding.evidence.evidence import EvidenceSettings
from ...grounding.evidence.forms.crops import crop
from ...grounding.evidence.forms.tokens import token_features
from ...grounding.geometry import Letterbox, where
from ...grounding.imaging.read import read_image
from ...grounding.types import Region
from ..derived.claims import SIZE_EDGES, SIZES
from ..model.grounded_mllm import GroundedMLLM
from ..model.region_tokens import mean_norm
from ..prompt.prompt import Example

logger = logging.getLogger("medglip")
REGION_BATCH, REGION_RATE = 256, 2e-3
PICTURE_BATCH, PICTURE_RATE = 64, 1e-3
SHARPNESS = 20.0
"""What cosines are multiplied by before the softmax over words."""
NORM_WEIGHT = 0.1
"""Of the loss that keeps tokens of pictures as long as embedded words; left alone they become thirty times longer."""


class Spelled(NamedTuple):
    """A picture, or the region cut out of it, and the words that are true of it, one or more."""

    image_path: Path
    region: Region | None
    words: tuple[str, ...]


def spell_regions(mllm: GroundedMLLM, examples: Sequence[Example], steps: int, seed: int = 0) -> float:
    """Teach the region projector in place; return the mean cosine of its tokens and their words in the end."""
    projector, num = mllm.region_projector, mllm.shape.tokens_per_region
    shown = list({id(one.evidence): one.evidence for one in examples if one.evidence.regions}.values())
    features_RW = torch.cat([torch.from_numpy(token_features(evidence, mllm.shape)) for evidence in shown])
    images = [image for evidence in shown for image in evidence.images]
    texts = [spelled(region, image.size_px)[:num] for image in images for region in image.regions]
    words = sorted({text for own in texts for text in own})
    words_VH, numbers = _embedded(words, mllm), {text: number for number, text in enumerate(words)}
    numbers_RK = torch.tensor([[numbers[text] for text in own] for own in texts])

    def loss(chosen: Tensor) -> Tensor:
        tokens_NH = projector(features_RW[chosen].to(mllm.device))
        return 1 - nn.functional.cosine_similarity(tokens_NH, words_VH[numbers_RK[chosen].flatten()]).mean()

    alike = 1 - _fit(projector, loss, torch.ones(len(features_RW)), steps, REGION_BATCH, REGION_RATE, seed)
    logger.info("region tokens spell %d regions in %d words: cosine %.2f", len(texts), len(words), alike)
    return alike


def spell_pictures(mllm: GroundedMLLM, shown: Sequence[Spelled], steps: int, seed: int = 0) -> float:
    """Teach the picture projector in place; return how many of the words are among as many nearest to their picture.

    Raises `BadInput` for a base that has no such projector.
    """
    projector, embedding = picture_projector(mllm), mllm.model.get_input_embeddings()
    tokens_RNC, norm = _picture_tokens(mllm, projector, shown), mean_norm(embedding, embedding.weight.shape[0])
    words = sorted({word for one in shown for word in one.words})
    words_VH = nn.functional.normalize(_embedded(words, mllm), dim=-1)
    true_RV = torch.tensor([[float(word in one.words) for word in words] for one in shown], device=mllm.device)

    def spell(chosen: Tensor) -> tuple[Tensor, Tensor]:
        """float[B, N, H] tokens, and float[B, V] how near those of a picture are to each word in the mean."""
        spelling_BNH = projector(tokens_RNC[chosen].float().to(mllm.device))
        return spelling_BNH, (nn.functional.normalize(spelling_BNH, dim=-1) @ words_VH.T).mean(1)

    def loss(chosen: Tensor) -> Tensor:
        spelling_BNH, near_BV = spell(chosen)
        wanted_BV = nn.functional.normalize(true_RV[chosen.to(mllm.device)], p=1, dim=1)
        length = (spelling_BNH.norm(dim=-1) / norm - 1).square().mean()
        return nn.functional.cross_entropy(SHARPNESS * near_BV, wanted_BV) + NORM_WEIGHT * length

    # a whole picture as often as a crop with its name alone and as one with details, of which there are few
    kinds = [0 if one.region is None else min(len(one.words), 2) for one in shown]
    chances_R = torch.tensor([1 / kinds.count(kind) for kind in kinds])
    _fit(projector, loss, chances_R, steps, PICTURE_BATCH, PICTURE_RATE, seed)
    with torch.no_grad():
        near_RV = torch.cat([spell(rows)[1] for rows in torch.arange(len(shown)).split(PICTURE_BATCH)])
    nearest = [near_V.topk(int(true_V.sum())).indices for near_V, true_V in zip(near_RV, true_RV, strict=True)]
    hits = sum(float(true_V[own].sum()) for true_V, own in zip(true_RV, nearest, strict=True))
    part = hits / float(true_RV.sum())
    logger.info("pictures spell %d pictures and crops in %d words: %.2f of theirs", len(shown), len(words), part)
    return part


def picture_projector(mllm: GroundedMLLM) -> nn.Module:
    """The copy of it that is trained, which peft keeps beside the base's own.

    Raises `BadInput` for a base that has none, or several.
    """
    copies = [module for name, module in mllm.model.named_modules() if name.endswith("modules_to_save.default")]
    if len(copies) != 1:
        problem = (
            f"{mllm.family.name} has no picture projector of its own that is trained, so it cannot learn to spell."
        )
        raise BadInput(problem, fix="align.spell_picture_steps: 0")
    return copies[0]


def spelled(region: Region, size_px: tuple[int, int]) -> tuple[str, ...]:
    """What the tokens of a region say, one each: its name, where it lies, in which half, how large it is, its name."""
    width, height = size_px
    x0, y0, x1, y1 = (float(value) for value in region.box_xyxy_px)
    part = (x1 - x0) * (y1 - y0) / (width * height)
    size, _ = SIZES[sum(part >= edge for edge in SIZE_EDGES)]
    half = "left" if x0 + x1 < width else "right"
    return region.phrase, where(region.box_xyxy_px, size_px), half, size, region.phrase


def _fit(
    projector: nn.Module,
    loss: Callable[[Tensor], Tensor],
    chances_R: Tensor,
    steps: int,
    batch_size: int,
    rate: float,
    seed: int,
) -> float:
    """Minimise the loss of rows drawn in proportion to their chances; return the last one."""
    optimizer = torch.optim.AdamW(projector.parameters(), lr=rate, weight_decay=0.0)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, rate, total_steps=steps, pct_start=0.1)
    draw, value = torch.Generator().manual_seed(seed), torch.zeros(())
    for _ in range(steps):
        value = loss(torch.multinomial(chances_R, batch_size, replacement=True, generator=draw))
        optimizer.zero_grad()
        value.backward()
        optimizer.step()
        schedule.step()
    return value.item()


def _embedded(texts: Sequence[str], mllm: GroundedMLLM) -> Tensor:
    """float32[V, H]: of each text the mean of its embedded tokens."""
    rows, embedding = [], mllm.model.get_input_embeddings()
    for text in texts:
        ids = mllm.processor.tokenizer(f" {text}", add_special_tokens=False, return_tensors="pt").input_ids[0]
        with torch.no_grad():
            rows.append(embedding(ids.to(mllm.device)).float().mean(0))
    return torch.stack(rows)


def _picture_tokens(mllm: GroundedMLLM, projector: nn.Module, shown: Sequence[Spelled]) -> Tensor:
    """float16[R, N, C]: what the projector is given of each picture or crop."""
    given: list[Tensor] = []
    hook = projector.register_forward_pre_hook(lambda _, inputs: given.append(inputs[0].detach().half().cpu()))
    base, processor = mllm.model.get_base_model(), mllm.processor.image_processor
    margin = EvidenceSettings().crop_margin
    try:
        for one in tqdm(shown, desc="pictures to spell", unit="picture", mininterval=1):
            image = read_image(one.image_path)
            image = image if one.region is None else crop(image, one.region, margin)[1]
            if mllm.letterbox_px is not None:
                image = Letterbox(image.size, mllm.letterbox_px).image(image)
            inputs = processor([image], return_tensors="pt").to(mllm.device)
            with torch.no_grad(), mllm.ready([]):
                base.get_image_features(**inputs)
    finally:
        hook.remove()
    return torch.cat(given)
