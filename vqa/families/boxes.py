"""A region's box as a family of models writes it, through that family's resize, padding and tiling.

Every processor shows the model one rectangle of the image's plane, the `Frame`; a notation counts steps across it.
Resizing and tiling without padding leave the frame the image itself; centred padding makes it larger.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...grounding.bad_input import BadInput

Size = tuple[int, int]


@dataclass(frozen=True)
class Frame:
    """What the model sees as 0..1 across and down, in pixels of the image; it may reach beyond the image."""

    left_px: float
    top_px: float
    width_px: float
    height_px: float

    @property
    def corner(self) -> NDArray[np.float32]:
        """float32[4]: left, top, left, top."""
        return np.array([self.left_px, self.top_px] * 2, np.float32)

    @property
    def sides(self) -> NDArray[np.float32]:
        """float32[4]: width, height, width, height."""
        return np.array([self.width_px, self.height_px] * 2, np.float32)


def whole(size_px: Size, processor: Any) -> Frame:
    """The image itself: resized, stretched or cut into tiles, nothing added and nothing lost."""
    return Frame(0, 0, *size_px)


def hundred(size_px: Size, processor: Any) -> Size:
    """Percent."""
    return 100, 100


def thousand(size_px: Size, processor: Any) -> Size:
    """Thousandths."""
    return 1000, 1000


@dataclass(frozen=True, kw_only=True)
class BoxCodec:
    """Box in pixels of the image <-> its text. One number is `unit` times a whole count of steps.

    `form`: the text with four `{}`; `number`: format of one; `marks`: written around it, not asked for in an answer,
    because a tokenizer that takes them for special tokens drops them. `steps`: counts across and down the frame.
    `is_y_first`: y0, x0, y1, x1. `is_bin`: the number names one of `steps` cells (0 .. steps - 1), not a line between.
    """

    form: str = "{} {} {} {}"
    marks: tuple[str, str] = ("", "")
    number: str = ".0f"
    unit: float = 1.0
    steps: Callable[[Size, Any], Size] = hundred
    frame: Callable[[Size, Any], Frame] = whole
    is_y_first: bool = False
    is_bin: bool = False

    def encode(self, box_xyxy_px: NDArray[np.float32], size_px: Size, processor: Any) -> str:
        """The box of an image of (width, height) as text; what lies outside the frame is cut off."""
        frame, steps = self.frame(size_px, processor), np.array(self.steps(size_px, processor) * 2)
        counts = steps.astype(np.float32) * (np.asarray(box_xyxy_px, np.float32) - frame.corner) / frame.sides
        counts = np.clip(np.floor(counts) if self.is_bin else np.rint(counts), 0, steps - self.is_bin)
        text = self.form.format(*(format(count * self.unit, self.number) for count in self._turn(counts)))
        return text.join(self.marks)

    def decode(self, text: str, size_px: Size, processor: Any) -> NDArray[np.float32]:
        """float32[4] x0, y0, x1, y1 in pixels, cut to the image: the first box in the text.

        Within half a step of what was encoded (a step, where the numbers are cut). Raises `BadInput` for a text
        without a box in this notation, and for corners in the wrong order.
        """
        if (found := self._pattern.search(text)) is None:
            raise BadInput(f"no box in {text[:80]!r}.", fix=f"write it as {self.form.format('x0', 'y0', 'x1', 'y1')}")
        counts = self._turn(np.array(found.groups(), np.float64) / self.unit) + 0.5 * self.is_bin
        if (counts[:2] > counts[2:]).any():
            raise BadInput(f"the corners of {found[0]!r} are in the wrong order.", fix="upper left, then lower right")
        frame = self.frame(size_px, processor)
        box = counts / np.array(self.steps(size_px, processor) * 2) * frame.sides + frame.corner
        return np.clip(box, 0, np.array(size_px * 2)).astype(np.float32)

    @property
    def _pattern(self) -> re.Pattern[str]:
        """The form with any space between its parts."""
        parts = [re.escape(part).replace(r"\ ", r"\s*" if part.strip() else r"\s+") for part in self.form.split("{}")]
        return re.compile(r"(\d+(?:\.\d+)?)".join(parts))

    def _turn(self, values: NDArray[Any]) -> NDArray[Any]:
        return values[[1, 0, 3, 2]] if self.is_y_first else values


PERCENT = BoxCodec()
"""`12 20 31 44`: x0 y0 x1 y1 in whole percent of the image's width and height, for families without own notation."""
