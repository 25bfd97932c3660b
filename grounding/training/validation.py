"""How a trained core does on its validation images, and the calibration that follows from it."""

from collections import Counter
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
    columns_P, columns_Q = zip(*rows_P, strict=True), zip(*rows_Q, strict=True)
    alike = {"weights_P": weights_P / weights_P.mean(), "weights_Q": weights_Q / weights_Q.mean()}
    return fit_calibration(*columns_P, num_truths, *columns_Q, **alike)  # pyright: ignore[reportCallIssue]


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
