"""Boxes of several readers on one image: kept apart, or joined where they mean one thing."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ..geometry import iou

Box = NDArray[np.float32]
MIN_IOU = 0.5
"""Two readers mean one thing where their boxes overlap so much."""


def join_readers(boxes: Sequence[tuple[str, Box]]) -> list[Box]:
    """The mean of each group of boxes of one phrase, (reader, box xyxy), in the order of their first ones.

    A box joins the first group that has none of its reader and whose mean it overlaps by `MIN_IOU`.
    """
    groups: list[dict[str, Box]] = []
    for reader, box in boxes:
        for group in groups:
            mean = np.stack([*group.values()]).mean(0)
            if reader not in group and np.asarray(iou(box[None], mean[None])).item() >= MIN_IOU:
                group[reader] = box
                break
        else:
            groups.append({reader: box})
    return [np.stack([*group.values()]).mean(0).astype(np.float32) for group in groups]
