"""Heat maps against true boxes or masks: pointing game, contrast-to-noise ratio, IoU over thresholds.

For maps that a model gives instead of boxes; records hold none.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ....grounding.bad_input import BadInput
from ...statistics.measure import Bools, Floats, Measures, mean

THRESHOLDS = np.array([0.1, 0.2, 0.3, 0.4, 0.5])
"""Heat at and above which a pixel counts as predicted, as in BioViL's phrase grounding."""


def hits_truth(map_HW: Floats, truth_HW: Bools) -> bool:
    """Pointing game: the hottest pixel lies in the union of the truth; of equals the first, row by row.

    Zhang et al. 2016, https://arxiv.org/abs/1608.00507, without a tolerance margin.
    """
    return bool(truth_HW.ravel()[int(np.argmax(map_HW))])


def contrast_to_noise(map_HW: Floats, truth_HW: Bools, *, signed: bool = False) -> float:
    """|mean inside - mean outside| / sqrt(variance inside + variance outside), variances over all pixels (ddof 0).

    BioViL: Boecking et al. 2022, https://arxiv.org/abs/2204.09817. `signed` keeps the sign, so that a map that is cold
    on the truth is below 0. nan for a truth that is the whole image or a map without any variance.
    """
    inside, outside = map_HW[truth_HW], map_HW[~truth_HW]
    if not len(outside):
        return float("nan")
    noise = float(np.sqrt(inside.var() + outside.var()))
    difference = float(inside.mean() - outside.mean())
    return (difference if signed else abs(difference)) / noise if noise else float("nan")


def threshold_iou(map_HW: Floats, truth_HW: Bools) -> float:
    """Mean over `THRESHOLDS` of the IoU of the pixels at least that hot with the union of the truth."""
    hot_THW = map_HW >= THRESHOLDS[:, None, None]  # one mask a threshold
    return float(((hot_THW & truth_HW).sum((1, 2)) / (hot_THW | truth_HW).sum((1, 2))).mean())


def heat_map_measures(
    maps: Sequence[NDArray[Any]], truths: Sequence[NDArray[np.bool_]], *, signed: bool = False
) -> Measures:
    """pointing_game, cnr and heat_miou (`threshold_iou`) over maps; cnr over those where it is defined.

    `maps`: float[H, W] each, of any range, for heat_miou in [0, 1]; `truths`: bool[H, W], the union of the true
    regions. Raises `BadInput` with the number of the map, from 1, for sizes that differ, NaN and an empty truth.
    """
    if len(maps) != len(truths) or not len(maps):
        raise BadInput(f"{len(maps)} heat maps for {len(truths)} truths.", fix="give one truth for each map")
    pairs = [(np.asarray(heat, np.float64), np.asarray(truth, bool)) for heat, truth in zip(maps, truths, strict=True)]
    for number, (heat, truth) in enumerate(pairs, 1):
        if heat.ndim != 2 or heat.shape != truth.shape:
            problem = f"heat of shape {heat.shape}, truth of {truth.shape}."
            raise BadInput(problem, row=number, fix="give both as [H, W]")
        if not np.isfinite(heat).all():
            raise BadInput("heat is not finite.", row=number, fix="give finite numbers")
        if not truth.any():
            raise BadInput("no true pixel.", row=number, fix="leave maps of absent phrases out")
    contrasts = np.array([contrast_to_noise(*pair, signed=signed) for pair in pairs])
    defined = np.flatnonzero(np.isfinite(contrasts))
    return {
        "pointing_game": mean([hits_truth(*pair) for pair in pairs]),
        "heat_miou": mean([threshold_iou(*pair) for pair in pairs]),
        **({"cnr": mean(contrasts[defined], defined)} if len(defined) else {}),
    }
