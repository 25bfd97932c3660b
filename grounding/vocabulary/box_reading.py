"""Boxes in what a language model wrote, back in pixels: in its own notation, or in JSON as tuned models give it.

```json
[{"bbox_2d": [120, 200, 310, 440], "label": "nodule"}]      x first, in the steps of the notation
[{"box_2d": [200, 120, 440, 310], "label": "nodule"}]       y first, in thousandths (Gemini, Gemma)
nodule <box>[[120, 200, 310, 440]]</box>                    the notation itself, the words before it
"""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ..bad_input import BadInput
from .box_notation import BoxCodec, Frame, Size

_OBJECT = re.compile(r"\{[^{}]*\}")
_CORNERS = BoxCodec(form="[{}, {}, {}, {}]")
_KEYS = ("bbox_2d", "box_2d", "bbox", "box", "box_xyxy")
_NAMES = ("label", "phrase", "name", "text", "category")
_WORDS = re.compile(r"[A-Za-z][\w /-]*")


@dataclass(frozen=True, kw_only=True, eq=False)
class WrittenBox:
    """float32[4] x0, y0, x1, y1 in pixels of the image, cut to it; `label`: what it was called, "" for nothing."""

    label: str
    box_xyxy_px: NDArray[np.float32]


def read_boxes(text: str, codec: BoxCodec, size_px: Size, frame: Frame | None = None) -> list[WrittenBox]:
    """Every box in the text, in its order; those that make no sense (corners in the wrong order) are left out.

    `codec`: the notation that was asked for; `size_px`: (width, height) of the image; `frame`: what the model sees.
    """
    found = list(_in_json(text, codec, size_px, frame))
    return found or list(_in_notation(text, codec, size_px, frame))


def _in_json(text: str, codec: BoxCodec, size_px: Size, frame: Frame | None) -> Iterator[WrittenBox]:
    for match in _OBJECT.finditer(text):  # object by object: a list that was cut keeps those before the cut
        try:
            row = json.loads(match[0])
        except ValueError:
            continue
        key = next((key for key in _KEYS if key in row), "")
        values = row.get(key)
        if not isinstance(values, list) or len(values) != 4 or not all(_is_number(value) for value in values):
            continue
        # the four numbers alone, in the steps of the notation, whatever its marks are
        kind = replace(codec, form=_CORNERS.form, marks=("", ""), is_y_first=False, is_bin=False)
        if key == "box_2d":
            kind = BoxCodec(form=_CORNERS.form, steps=1000, is_y_first=True)
        label = next((str(row[name]) for name in _NAMES if row.get(name)), "")
        yield from _decode(str(values), label, kind, size_px, frame)


def _in_notation(text: str, codec: BoxCodec, size_px: Size, frame: Frame | None) -> Iterator[WrittenBox]:
    end = 0
    for match in re.finditer(codec.pattern, text):
        words = _WORDS.findall(re.sub(r"<[^<>]*>", " ", text[end : match.start()]))
        yield from _decode(match[0], words[-1].strip() if words else "", codec, size_px, frame)
        end = match.end()


def _decode(text: str, label: str, codec: BoxCodec, size_px: Size, frame: Frame | None) -> Iterator[WrittenBox]:
    try:
        box = codec.decode(text, size_px, frame)
    except BadInput:
        return
    if (box[2:] > box[:2]).all():
        yield WrittenBox(label=label, box_xyxy_px=box)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and value >= 0
