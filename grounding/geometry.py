"""Boxes, masks, and the letterbox that carries its own inverse. Pure numpy; boxes are xyxy in pixels, half open."""

from collections.abc import Mapping
from dataclasses import dataclass
from operator import index
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from .bad_input import BadInput, explain

Boxes = NDArray[np.float32]
MAX_MASK_PX = 2**28
"""Pixels of the largest mask that is unpacked: files of a few bytes can say any size."""


def to_rgb(image: Image.Image) -> Image.Image:
    """The image as RGB: itself where it is, since of a large image a copy may not fit into memory."""
    return image if image.mode == "RGB" else image.convert("RGB")


def iou(a_A4: Boxes, b_B4: Boxes) -> NDArray[np.float32]:
    """float32[A, B] intersection over union of every pair of boxes; continuous, no +1."""
    a, b = np.asarray(a_A4, np.float64).reshape(-1, 1, 4), np.asarray(b_B4, np.float64).reshape(1, -1, 4)
    # A x 1 against 1 x B: numpy pairs each with each
    sides = np.minimum(a[..., 2:], b[..., 2:]) - np.maximum(a[..., :2], b[..., :2])
    inter = np.clip(sides, 0, None).prod(-1)
    union = area(a) + area(b) - inter
    return (inter / np.maximum(union, 1e-12)).astype(np.float32)


def area(box_xyxy: NDArray[Any]) -> NDArray[Any]:
    """Area in square pixels over the last axis, zero for inverted boxes."""
    return np.clip(box_xyxy[..., 2:] - box_xyxy[..., :2], 0, None).prod(-1)


def where(box_xyxy_px: NDArray[np.float32], size_px: tuple[int, int]) -> str:
    """The box's centre in words of a 3 x 3 grid of the IMAGE (not of the patient): `upper left` ... `centre`."""
    centre = (box_xyxy_px[:2] + box_xyxy_px[2:]) / 2 / np.array(size_px, np.float32)
    # thirds 0, 1, 2 across and down; a centre on the last edge is in the last third
    column, row = (min(2, max(0, int(3 * value))) for value in centre)
    words = [("upper", "", "lower")[row], ("left", "", "right")[column]]
    return " ".join(word for word in words if word) or "centre"


def mirror_boxes(boxes_xyxy_px: Boxes, width_px: int) -> Boxes:
    """The boxes, float32[..., 4], in an image of this width flipped left to right; its own inverse but for rounding."""
    x0, y0, x1, y1 = np.moveaxis(np.asarray(boxes_xyxy_px, np.float32), -1, 0)
    return np.stack([width_px - x1, y0, width_px - x0, y1], -1).astype(np.float32)


def xywh_to_xyxy(box_xywh: Any) -> Boxes:
    """COCO's x, y, width, height to x0, y0, x1, y1."""
    x, y, w, h = (float(v) for v in box_xywh)
    return np.array([x, y, x + w, y + h], np.float32)


def clip_box(box_xyxy_px: Boxes, size_px: tuple[int, int]) -> Boxes:
    """The part of the box inside an image of (width, height).

    Raises `BadInput` for NaN, and for a box with no area or wholly outside the image.
    """
    box = np.asarray(box_xyxy_px, np.float32)
    if not np.isfinite(box).all():
        raise BadInput(f"box {box.tolist()} is not finite.", fix="remove the row or repair its box")
    width, height = size_px
    clipped = np.clip(box, 0, np.array([width, height, width, height], np.float32))
    if not (clipped[0] < clipped[2] and clipped[1] < clipped[3]):
        problem = f"box {box.tolist()} has no area inside the {width} x {height} image."
        raise BadInput(problem, fix="boxes are x0, y0, x1, y1 in pixels of the image as stored")
    return clipped


def mask_to_box(mask_HW: NDArray[np.bool_]) -> Boxes:
    """The tight half-open box of a mask. Raises `BadInput` for an empty mask."""
    ys, xs = np.flatnonzero(mask_HW.any(1)), np.flatnonzero(mask_HW.any(0))
    if not len(xs):
        raise BadInput("mask is empty.", fix="leave the region out instead of giving an empty mask")
    return np.array([xs[0], ys[0], xs[-1] + 1, ys[-1] + 1], np.float32)


def cut_mask(mask_HW: NDArray[np.bool_], box_xyxy_px: Boxes) -> NDArray[np.bool_] | None:
    """A copy with the pixels that the box touches alone; None where none of them is set."""
    x0, y0, x1, y1 = *np.floor(box_xyxy_px[:2]).astype(int), *np.ceil(box_xyxy_px[2:]).astype(int)
    inside = np.zeros(mask_HW.shape, bool)  # not zeros_like, which writes: rows without the box take no memory
    inside[y0:y1, x0:x1] = mask_HW[y0:y1, x0:x1]
    return inside if inside.any() else None


def mask_to_rle(mask_HW: NDArray[np.bool_]) -> dict[str, Any]:
    """Uncompressed COCO RLE: column-major run lengths, the first run counts background."""
    flat = np.asarray(mask_HW, bool).flatten(order="F")
    edges = np.flatnonzero(np.diff(flat)) + 1  # flat 0 0 1 1 1 0 -> edges 2 5 -> runs 2 3 1
    runs = np.diff(np.concatenate([[0], edges, [flat.size]])).tolist()
    return {"size": list(mask_HW.shape), "counts": [0, *runs] if flat.size and flat[0] else runs}


def rle_to_mask(rle: Mapping[str, Any]) -> NDArray[np.bool_]:
    """bool[H, W] of COCO RLE, its run lengths as a list or compressed into a text. Raises `BadInput` as `rle_runs`."""
    runs, (height, width) = rle_runs(rle), rle["size"]
    values = np.arange(len(runs)) % 2 == 1  # runs take turns, background first
    return np.repeat(values, runs).reshape(height, width, order="F")


def rle_runs(rle: Mapping[str, Any]) -> NDArray[np.int64]:
    """int64[R]: the run lengths of COCO RLE, column by column, the first of background.

    Raises `BadInput` for what is no RLE, runs that do not fill the stated size, and a size beyond `MAX_MASK_PX`.
    """
    with explain("not an RLE", KeyError, TypeError, ValueError, OverflowError, fix="export the mask again"):
        height, width = map(index, rle["size"])
        packed = rle["counts"]
        runs = _unpack_counts(packed) if isinstance(packed, str | bytes) else np.asarray(packed, np.float64)
    if min(height, width) < 1 or height * width > MAX_MASK_PX:
        problem = f"RLE of size {height} x {width}."
        raise BadInput(problem, fix=f"give [height, width] of the image, {MAX_MASK_PX} pixels at most")
    # checked as floats, which hold whatever a file says: runs of 1e30, of NaN, of -3
    if not (runs.ndim == 1 and (runs >= 0).all() and runs.sum() == height * width and (runs % 1 == 0).all()):
        problem = f"RLE of {runs.sum():.0f} pixels for a {height} x {width} mask."
        raise BadInput(problem, fix="export the mask again")
    return runs.astype(np.int64)


def _unpack_counts(packed: str | bytes) -> NDArray[np.float64]:
    """Run lengths of COCO's compressed text: five bits a character, from the lowest; raises `ValueError`."""
    codes = np.frombuffer(packed.encode("ascii") if isinstance(packed, str) else packed, np.uint8).astype(np.int64) - 48
    if ((codes < 0) | (codes > 63)).any() or (len(codes) and codes[-1] & 32):
        raise ValueError("its counts are cut, or no compressed RLE")
    ends = np.flatnonzero(codes & 32 == 0)  # the other characters say that more follows
    starts = np.concatenate([[0], ends[:-1] + 1]).astype(np.int64)
    lengths = ends - starts + 1
    if not len(ends) or lengths.max() > 8:
        raise ValueError("a run of its counts is too long")
    shifts = 5 * (np.arange(len(codes)) - np.repeat(starts, lengths))
    runs = np.add.reduceat((codes & 31) << shifts, starts)
    runs -= np.where(codes[ends] & 16, 1 << 5 * lengths, 0)  # the last bit is the sign
    # from the fourth on, a run is written as the difference to the one before the last
    runs[1::2], runs[2::2] = np.cumsum(runs[1::2]), np.cumsum(runs[2::2])
    return runs.astype(np.float64)


def check_segmentation(segmentation: Any, size_px: tuple[int, int]) -> dict[str, Any] | list[list[float]]:
    """COCO's segmentation of an image of (width, height): an uncompressed RLE that fills it, or polygons.

    Raises `BadInput` for an RLE of another size, polygons of fewer than three corners, a corner far off the image, and
    what is neither.
    """
    if isinstance(segmentation, Mapping):
        size = [size_px[1], size_px[0]]
        if segmentation.get("size") not in (size, tuple(size)):
            problem = f"its size is {segmentation.get('size')!r}, the image's is {size}."
            raise BadInput(problem, fix="give RLE [height, width] of the image")
        return {"size": size, "counts": rle_runs(segmentation).tolist()}
    if not isinstance(segmentation, list):
        raise BadInput("a segmentation is a list of polygons or an RLE.", fix="export it again")
    if min(size_px) < 1 or size_px[0] * size_px[1] > MAX_MASK_PX:
        problem = f"polygons for an image {size_px[0]} wide and {size_px[1]} high."
        raise BadInput(problem, fix=f"outline images of {MAX_MASK_PX} pixels at most")
    outlines: list[list[float]] = []
    for polygon in segmentation:
        # the decoder takes four numbers for a box, and all memory for NaN or far corners
        with explain("a polygon is no list of numbers", TypeError, ValueError, OverflowError, fix="outline it again"):
            points = np.asarray(polygon, np.float64)
        if points.ndim != 1 or len(points) < 6 or len(points) % 2:
            fix = "remove it, or outline it again"
            raise BadInput("a polygon needs three corners or more, x, y, x, y ...", fix=fix)
        if not np.abs(points).max() <= 2 * max(size_px):
            fix = "polygons are in pixels of the image"
            raise BadInput("a polygon has a corner far off the image, or NaN.", fix=fix)
        outlines.append(points.tolist())
    return outlines


@dataclass(frozen=True)
class Letterbox:
    """Fit (width, height) into a square of `side_px`, keep the aspect ratio, pad right and bottom.

        +-------+---+      one scale for both axes and no offset, so a box goes
        | image |   |      over by one factor, and back by the same
        +-------+   |
        |  padding  |
        +-----------+

    `inverse(forward(box)) == box` up to float32 rounding; masks and images follow the same frame.
    """

    size_px: tuple[int, int]
    side_px: int

    @property
    def scale(self) -> float:
        """Letterboxed pixels a source pixel."""
        return self.side_px / max(self.size_px)

    @property
    def content_px(self) -> tuple[int, int]:
        """(width, height) of the image inside the square; the rest is padding."""
        width, height = self.size_px
        return max(1, round(width * self.scale)), max(1, round(height * self.scale))

    def forward(self, boxes_xyxy_px: Boxes) -> Boxes:
        """Boxes of the original image in the frame of the square."""
        return np.asarray(boxes_xyxy_px, np.float32) * np.float32(self.scale)

    def inverse(self, boxes_xyxy_px: Boxes) -> Boxes:
        """Boxes of the square in the frame of the original image."""
        return np.asarray(boxes_xyxy_px, np.float32) / np.float32(self.scale)

    def image(self, image: Image.Image) -> Image.Image:
        """The RGB image on a black square."""
        square = Image.new("RGB", (self.side_px, self.side_px))
        square.paste(to_rgb(image).resize(self.content_px, Image.Resampling.BILINEAR))
        return square

    def mask(self, mask_HW: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """bool[side, side] of a mask of the original image."""
        small = Image.fromarray(np.asarray(mask_HW, np.uint8) * 255).resize(self.content_px, Image.Resampling.BILINEAR)
        square = np.zeros((self.side_px, self.side_px), bool)
        square[: self.content_px[1], : self.content_px[0]] = np.asarray(small) > 127
        return square

    def inverse_map(self, probability_SS: NDArray[np.float32], rows: slice | None = None) -> NDArray[np.float32]:
        """float32[H, W] of the original image, or of these rows of it, from float32[s, s].

        s may be a fraction of `side_px`.
        """
        side = probability_SS.shape[0]
        width, height = (max(1, round(n * side / self.side_px)) for n in self.content_px)
        # the padding is cut off first: interpolation must not mix it in at the edge
        crop = Image.fromarray(np.ascontiguousarray(probability_SS[:height, :width], np.float32))
        if rows is None:
            return np.asarray(crop.resize(self.size_px, Image.Resampling.BILINEAR))
        top, bottom = (y * height / self.size_px[1] for y in (rows.start, rows.stop))
        size = (self.size_px[0], rows.stop - rows.start)
        return np.asarray(crop.resize(size, Image.Resampling.BILINEAR, (0, top, width, bottom)))
