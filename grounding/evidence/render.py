"""Evidence becomes what a model reads: lines of text, crops, and one row of features a region."""

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ..geometry import where as where
from ..types import Region
from .evidence import Evidence, EvidenceSettings, Form

REGION_TOKEN = "<region>"

NOTHING_FOUND = "no region found"

POSITION_DIM = 8

SURENESS = ((0.75, "likely"), (0.5, "possible"), (0.0, "unsure"))
"""A region's score in words: the first whose lowest score it reaches."""


def box_to_percent(box_xyxy_px: NDArray[np.float32], size_px: tuple[int, int]) -> list[int]:
    """x0, y0, x1, y1 as whole percent of the image's width and height: the small default's box notation."""
    return np.rint(100 * box_xyxy_px / np.tile(np.array(size_px, np.float32), 2)).astype(int).clip(0, 100).tolist()


BoxText = Callable[[NDArray[np.float32], tuple[int, int]], str]
"""Box and (width, height) of the image, in pixels, to text."""


def percent_text(box_xyxy_px: NDArray[np.float32], size_px: tuple[int, int]) -> str:
    """`12 20 31 44`: whole percent."""
    return " ".join(str(value) for value in box_to_percent(box_xyxy_px, size_px))


def sureness(score: float) -> str:
    """A score in [0, 1] in a word: see `SURENESS`."""
    return next(word for lowest, word in SURENESS if score >= lowest)


def to_text(
    evidence: Evidence,
    forms: Sequence[Form],
    box_text: BoxText = percent_text,
    *,
    has_scores: bool = False,
    says_nothing_found: bool = False,
) -> str:
    """One line a region with its number, then the asked phrases that were not found; empty for no evidence.

    With `text`: `1 nodule, upper left, 12 20 31 44`, or `1 nodule, likely, upper left, 12 20 31 44` where
    `has_scores`; with `tokens` a `<region>` placeholder follows the number. `box_text`: how the language model writes
    a box. `says_nothing_found`: "no region found" where there is no other line. Of several images each has its lines
    below its name, `Image 2:`, where it has any.
    """
    has_text, has_tokens = "text" in forms, "tokens" in forms
    if evidence.source == "none" or not (has_text or has_tokens):
        return ""
    tokens = f" {REGION_TOKEN}" if has_tokens else ""
    lines, number = [], 0
    for place, part in enumerate(evidence.images, 1):
        own = [
            f"{number + k}{tokens}" + (f" {_words(region, part.size_px, box_text, has_scores)}" if has_text else "")
            for k, region in enumerate(part.regions, 1)
        ]
        number += len(own)
        own += _not_found(part) if has_text else []
        lines += [f"Image {place}:", *own] if own and evidence.others else own
    if has_text and says_nothing_found and not lines:
        lines = [NOTHING_FOUND]
    return "\n".join(lines)


def _not_found(evidence: Evidence) -> list[str]:
    found = {region.phrase for region in evidence.regions}
    return [f"{phrase}: not found" for phrase in evidence.phrases if phrase not in found]


def _words(region: Region, size_px: tuple[int, int], box_text: BoxText, has_scores: bool) -> str:
    sure = [sureness(region.score)] if has_scores else []
    place, box = where(region.box_xyxy_px, size_px), box_text(region.box_xyxy_px, size_px)
    return ", ".join([region.phrase, *sure, place, box])


def to_crops(image: Image.Image, evidence: Evidence, settings: EvidenceSettings) -> list[Image.Image]:
    """Padded crops of the first regions, at most `max_crops`, when the forms ask for them. See `overlay.to_overlay`."""
    if "crops" not in settings.forms:
        return []
    return [_crop(image, region, settings.crop_margin) for region in evidence.regions[: settings.max_crops]]


def _crop(image: Image.Image, region: Region, margin: float) -> Image.Image:
    x0, y0, x1, y1 = (float(value) for value in region.box_xyxy_px)
    dx, dy = margin * (x1 - x0), margin * (y1 - y0)
    left, top = max(0, int(x0 - dx)), max(0, int(y0 - dy))
    return image.crop((left, top, min(image.width, int(x1 + dx) + 1), min(image.height, int(y1 + dy) + 1)))


def token_features(evidence: Evidence, embedding_dim: int) -> NDArray[np.float32]:
    """float32[R, embedding_dim + 8]: the region's embedding (zeros where there is none), then its place and score.

    Regions of all images, as they are numbered, each with its place in its own.
    """
    rows = [_features(region, part.size_px, embedding_dim) for part in evidence.images for region in part.regions]
    return np.stack(rows) if rows else np.zeros((0, embedding_dim + POSITION_DIM), np.float32)


def _features(region: Region, size_px: tuple[int, int], embedding_dim: int) -> NDArray[np.float32]:
    box = region.box_xyxy_px / np.tile(np.array(size_px, np.float32), 2)
    centre, sides = (box[:2] + box[2:]) / 2, box[2:] - box[:2]
    embedding = np.zeros(embedding_dim, np.float32) if region.embedding is None else region.embedding
    return np.concatenate([embedding, box, centre, [sides.prod(), region.score]]).astype(np.float32)
