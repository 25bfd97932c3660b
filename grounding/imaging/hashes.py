"""The difference hash of an image: equal in copies that were scaled or compressed again, up to a bit or two."""

import numpy as np
from PIL import Image

NEAR_BITS = 2
"""Bits in which the difference hashes of two images that look alike differ at most."""


def difference_hash(image: Image.Image) -> np.uint64:
    """64 bits: in a 9 x 8 grey thumbnail, whether each pixel is darker than the next in its row."""
    grey = np.asarray(image.convert("L").resize((9, 8), Image.Resampling.BILINEAR))
    return np.packbits(grey[:, 1:] > grey[:, :-1]).view(np.uint64)[0]
