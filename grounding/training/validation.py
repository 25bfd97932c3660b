"""How a trained core does on its validation images, and the calibration that follows from it."""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from tqdm.auto import tqdm

from ..bad_input import BadInput
from ..geometry import iou
from ..grounder import true_regions
from ..grounders.medglip import GrounderSettings, MedGlipGrounder, is_thin
from ..model.calibration import Calibration, Floats, fit_calibration
from ..types import AnnotatedImage

RIGHT_IOU = 0.5
"""A predicted region is right if it overlaps a true one so far."""
_LEAST_IMAGES = _LEAST_REGIONS = 8
MASK_THRESHOLDS = (0.2, 0.25, 0.3, 0.35, 0.4, 0.45, 0.5, 0.55, 0.6)
MASKED = GrounderSettings(calibrated=False, mask_min_score=0.0)
"""What masks are compared at: every region has one."""


def calibrate(grounder: MedGlipGrounder, images: Sequence[AnnotatedImage]) -> Calibration | None:
    """The calibration of an uncalibrated core on images it has not learned from; None for fewer than 8 that open.

    Every phrase that an image's set annotates is looked for in it, present or not. Sets count alike, whatever number of
    images they have, so that the largest does not decide for all.
    """
    rows_P, rows_Q = list[tuple[float, float, bool]](), list[tuple[float, bool]]()  # as `fit_calibration` takes them
    sets_P, sets_Q, sets_G, opened = list[str](), list[str](), list[str](), Counter[str]()  # the set of each row
    for image in tqdm(images, desc="calibration", unit="image"):
        try:
            regions, logits = grounder.ground_with_logits(image, image.phrases)
        except BadInput:
            continue
        opened[image.dataset] += 1
        for phrase, logit in logits.items():
            truths = true_regions(image, [phrase])
            boxes_G4 = np.array([region.box_xyxy_px for region in truths], np.float32).reshape(-1, 4)
            rows_Q.append((logit, bool(truths)))
            own = [region for region in regions if region.phrase == phrase]
            rows_P += [(r.score, logit, bool((iou(r.box_xyxy_px, boxes_G4) >= RIGHT_IOU).any())) for r in own]
            for sets, num in ((sets_P, len(own)), (sets_Q, 1), (sets_G, len(truths))):
                sets += [image.dataset] * num
    if opened.total() < _LEAST_IMAGES or not rows_P:
        return None
    # sets of 30 and 10 images: each image of the first weighs 2/3, of the second 2
    weight = {name: opened.total() / len(opened) / num for name, num in opened.items()}
    weights_P, weights_Q, weights_G = (np.array([weight[name] for name in sets]) for sets in (sets_P, sets_Q, sets_G))
    num_truths = float(weights_G.sum() / weights_P.mean())
    raw_P, logits_P, is_right_P = zip(*rows_P, strict=True)
    logits_Q, is_present_Q = zip(*rows_Q, strict=True)
    alike_P, alike_Q = weights_P / weights_P.mean(), weights_Q / weights_Q.mean()
    fitted = fit_calibration(raw_P, logits_P, is_right_P, num_truths, logits_Q, is_present_Q, alike_P, alike_Q)
    masked = MedGlipGrounder(grounder.model, grounder.processor, MASKED)
    return replace(fitted, mask_thresholds=fit_mask_thresholds(masked, images))


def fit_mask_thresholds(grounder: MedGlipGrounder, images: Sequence[AnnotatedImage]) -> tuple[float, float]:
    """`Calibration.mask_thresholds`: those of the best mean Dice, sets counting alike; 0.5 for fewer than 8 regions.

    Each true region is compared with the found one of its phrase that overlaps it most, by an IoU of at least 0.5.
    """
    dice: tuple[dict[str, list[Floats]], ...] = (defaultdict(list), defaultdict(list))  # of thin regions, of others
    for image in tqdm(images, desc="mask thresholds", unit="image"):
        truths = [region for region in image.regions if region.mask is not None]
        try:
            regions_T = grounder.ground_at_thresholds(image, [r.phrase for r in truths], MASK_THRESHOLDS)
        except BadInput:
            continue
        middle = regions_T[MASK_THRESHOLDS.index(0.5)]
        boxes = np.array([region.box_xyxy_px for region in middle], np.float32).reshape(-1, 4)
        for truth in truths:
            overlaps = iou(truth.box_xyxy_px, boxes)[0] * [region.phrase == truth.phrase for region in middle]
            if overlaps.max(initial=0) >= RIGHT_IOU:
                best = int(overlaps.argmax())
                values_T = np.array([_dice(regions[best].mask, truth.mask) for regions in regions_T])
                dice[0 if is_thin(middle[best].mask, middle[best].box_xyxy_px) else 1][image.dataset].append(values_T)
    return _best_of(dice[0]), _best_of(dice[1])


def _dice(ours: NDArray[np.bool_] | None, true: NDArray[np.bool_] | None) -> float:
    if ours is None or true is None:
        return 0.0
    return float(2 * (ours & true).sum() / (ours.sum() + true.sum()))


def _best_of(dice: Mapping[str, Sequence[Floats]]) -> float:
    if sum(map(len, dice.values())) < _LEAST_REGIONS:
        return 0.5
    return MASK_THRESHOLDS[int(np.mean([np.mean(rows_RT, 0) for rows_RT in dice.values()], 0).argmax())]


def mean_iou(grounder: MedGlipGrounder, images: Sequence[AnnotatedImage]) -> float:
    """How well the phrases that are there are found, in [0, 1]: what chooses the best checkpoint of a training.

    Of each true region the IoU with the nearest of the best-scored regions of its phrase, of which as many count as
    are true; the mean over all true regions. Images that cannot be read are passed over.
    """
    overlaps: list[float] = []
    for image in images:
        phrases = list(dict.fromkeys(region.phrase for region in image.regions))
        try:
            regions = grounder.ground([image], [phrases])[0]
        except BadInput:
            continue
        for phrase in phrases:
            true = [r.box_xyxy_px for r in image.regions if r.phrase == phrase]
            # regions come best first: with two true regions of a phrase the two best count, each true one sees both
            best = [r.box_xyxy_px for r in regions if r.phrase == phrase][: len(true)]
            overlaps += iou(np.array(true), np.array(best)).max(1, initial=0.0).tolist()
    return float(np.mean(overlaps)) if overlaps else 0.0
