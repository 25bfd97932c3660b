"""How a trained core does on its validation images, and the calibration that follows from it."""

from collections.abc import Sequence

import numpy as np
from tqdm.auto import tqdm

from ..bad_input import BadInput
from ..geometry import iou
from ..grounder import true_regions
from ..grounders.medglip import MedGlipGrounder
from ..model.calibration import Calibration, fit_calibration
from ..types import AnnotatedImage

RIGHT_IOU = 0.5
"""A predicted region is right if it overlaps a true one so far."""
_LEAST_IMAGES = 8


def calibrate(grounder: MedGlipGrounder, images: Sequence[AnnotatedImage]) -> Calibration | None:
    """The calibration of an uncalibrated core on images it has not learned from; None for fewer than 8 that open.

    Every phrase that an image's set annotates is looked for in it, present or not.
    """
    rows_P, rows_Q = list[tuple[float, float, bool]](), list[tuple[float, bool]]()  # as `fit_calibration` takes them
    num_images = num_truths = 0
    for image in tqdm(images, desc="calibration", unit="image"):
        try:
            regions, logits = grounder.ground_with_logits(image, image.phrases)
        except BadInput:
            continue
        num_images += 1
        for phrase, logit in logits.items():
            truths = true_regions(image, [phrase])
            boxes_G4 = np.array([region.box_xyxy_px for region in truths], np.float32).reshape(-1, 4)
            num_truths += len(truths)
            rows_Q.append((logit, bool(truths)))
            own = (region for region in regions if region.phrase == phrase)
            rows_P += [(r.score, logit, bool((iou(r.box_xyxy_px, boxes_G4) >= RIGHT_IOU).any())) for r in own]
    if num_images < _LEAST_IMAGES or not rows_P:
        return None
    raw_P, logits_P, is_right_P = zip(*rows_P, strict=True)
    logits_Q, is_present_Q = zip(*rows_Q, strict=True)
    return fit_calibration(raw_P, logits_P, is_right_P, num_truths, logits_Q, is_present_Q)


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
