"""A region's box in words and in numbers, as families of language models write it. Sizes and text only, no model.

Every processor shows its model one rectangle of the image's plane, the `Frame`; a notation counts steps across it.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..bad_input import BadInput

Size = tuple[int, int]
"""(width, height) in pixels."""
BoxText = Callable[[NDArray[np.float32], Size], str]
"""Box and size of the image, in pixels, to text."""


@dataclass(frozen=True)
class Frame:
    """What the model sees as 0..1 across and down, in pixels of the image; it may reach beyond the image.

    `sent_px`: size of the image that the model gets of it.

        +---------------+  padded to a square: left_px = 0, top_px < 0,
        |               |  width_px = height_px
        +~~~~~~~~~~~~~~~+
        |     image     |  resized or cut into tiles, without padding: the frame is the image itself
        +~~~~~~~~~~~~~~~+
        |               |
        +---------------+
    """

    left_px: float
    top_px: float
    width_px: float
    height_px: float
    sent_px: Size

    @classmethod
    def whole(cls, size_px: Size, sent_px: Size | None = None) -> "Frame":
        """The image itself, nothing added and nothing lost; `sent_px`: where it is resized."""
        return cls(0, 0, *size_px, sent_px or size_px)

    @property
    def corner(self) -> NDArray[np.float32]:
        """float32[4]: left, top, left, top."""
        return np.array([self.left_px, self.top_px] * 2, np.float32)

    @property
    def sides(self) -> NDArray[np.float32]:
        """float32[4]: width, height, width, height."""
        return np.array([self.width_px, self.height_px] * 2, np.float32)


@dataclass(frozen=True, kw_only=True)
class BoxCodec:
    """Box in pixels of the image <-> its text. One number is `unit` times a whole count of steps.

    `form`: the text with four `{}`; `number`: format of one; `marks`: written around it, not asked for in an answer,
    because a tokenizer that takes them for special tokens drops them. `steps`: across the frame, and as many down it;
    None: pixels of the image that is sent. `is_y_first`: y0, x0, y1, x1. `is_bin`: the number names one of `steps`
    cells (0 .. steps - 1), not a line between.
    """

    form: str = "{} {} {} {}"
    marks: tuple[str, str] = ("", "")
    number: str = ".0f"
    unit: float = 1.0
    steps: int | None = 100
    is_y_first: bool = False
    is_bin: bool = False

    def encode(self, box_xyxy_px: NDArray[np.float32], size_px: Size, frame: Frame | None = None) -> str:
        """The box of an image of this size as text; what lies outside the frame (left out: the image) is cut off."""
        frame = frame or Frame.whole(size_px)
        steps = self._steps(frame)
        counts = steps.astype(np.float32) * (np.asarray(box_xyxy_px, np.float32) - frame.corner) / frame.sides
        # lines are numbered 0 .. steps, cells 0 .. steps - 1
        counts = np.clip(np.floor(counts) if self.is_bin else np.rint(counts), 0, steps - self.is_bin)
        text = self.form.format(*(format(count * self.unit, self.number) for count in self._turn(counts)))
        return text.join(self.marks)

    def decode(self, text: str, size_px: Size, frame: Frame | None = None) -> NDArray[np.float32]:
        """float32[4] x0, y0, x1, y1 in pixels, cut to the image: the first box in the text.

        Within half a step of what was encoded (a step, where the numbers are cut). Raises `BadInput` for a text
        without a box in this notation, and for corners in the wrong order.
        """
        if not self.form or (match := re.search(self.pattern, text)) is None:
            raise BadInput(f"no box in {text[:80]!r}.", fix=f"write it as {self.form.format('x0', 'y0', 'x1', 'y1')}")
        # a cell stands for its middle
        counts = self._turn(np.array(match.groups(), np.float64) / self.unit) + 0.5 * self.is_bin
        if (counts[:2] > counts[2:]).any():
            raise BadInput(f"the corners of {match[0]!r} are in the wrong order.", fix="upper left, then lower right")
        frame = frame or Frame.whole(size_px)
        box = counts / self._steps(frame) * frame.sides + frame.corner
        return np.clip(box, 0, np.array(size_px * 2)).astype(np.float32)

    @property
    def pattern(self) -> str:
        """A regular expression of a box in this notation, its numbers as four groups."""
        # The form with any space between its parts: "{} {}" reads "12  20", "[{}, {}]" reads "[ 12,20 ]".
        parts = [re.escape(part).replace(r"\ ", r"\s*" if part.strip() else r"\s+") for part in self.form.split("{}")]
        return r"(\d+(?:\.\d+)?)".join(parts)

    def _steps(self, frame: Frame) -> NDArray[np.int64]:
        return np.array([self.steps] * 4 if self.steps else [*frame.sent_px, *frame.sent_px])

    def _turn(self, values: NDArray[Any]) -> NDArray[Any]:
        return values[[1, 0, 3, 2]] if self.is_y_first else values


NO_BOX = BoxCodec(form="")
"""No numbers at all: the words say where a region is."""
PERCENT = BoxCodec()
"""`12 20 31 44`: x0 y0 x1 y1 in whole percent of the image's width and height, for families without own notation."""
