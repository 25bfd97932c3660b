"""The outline of a region's mask, in parts of its box: noise and controls that move or scale the box take it along."""

from dataclasses import replace

import numpy as np

from ..geometry import clip_box
from ..imaging.drawing import outlines
from ..types import Region

MAX_SIDE_PX = 512
"""An outline is as fine as this many pixels along the box show, so that those of a whole data set fit into memory."""


def outlined(region: Region) -> Region:
    """The region with the outline of its mask; as it is where it has no mask, or an outline already."""
    if region.mask is None or region.outline is not None:
        return region
    height, width = region.mask.shape
    x0, y0, x1, y1 = clip_box(region.box_xyxy_px, (width, height))
    left, top = int(x0), int(y0)  # a mask is zero outside its box
    inside = region.mask[top : int(np.ceil(y1)), left : int(np.ceil(x1))]
    box, origin = region.box_xyxy_px.astype(float), np.array((left, top), float)
    lines = tuple((line_P2 + origin - box[:2]) / (box[2:] - box[:2]) for line_P2 in outlines(inside, MAX_SIDE_PX))
    return replace(region, outline=lines or None)
