"""How boxes are written to a served model, and its pictures sent: by `--boxes`, else by what its name tells.

name of a model       -> family of the table        `Qwen/Qwen2.5-VL-7B-Instruct` -> Qwen2.5-VL
folder of a model     -> its config and processor   exactly what `medglip` itself would show it
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...grounding.bad_input import BadInput, nearest
from ...grounding.geometry import Letterbox
from ...grounding.vocabulary.box_notation import NO_BOX, PERCENT, BoxCodec, Frame, Size
from ..families import FAMILIES, GENERIC, OUR_TOWERS, Family, family_of
from ..families.llava import LLAVA
from ..families.paligemma import PALIGEMMA
from ..families.qwen import PIXELS, THOUSANDTHS

FORMATS: dict[str, BoxCodec] = {
    "percent": PERCENT,
    "pixels": PIXELS,
    "unit": LLAVA.boxes,
    "0-1000": THOUSANDTHS,
    "loc": PALIGEMMA.boxes,
    "none": NO_BOX,
}
"""Notations by themselves; pixels are those of the picture that is sent."""
GEMINI = replace(GENERIC, name="Gemini", boxes=BoxCodec(form="[{}, {}, {}, {}]", steps=1000, is_y_first=True))
"""`[200, 120, 440, 310]`: y0, x0, y1, x1 in thousandths, as its documentation asks for boxes (`box_2d`)."""
ONLY_SERVED = (GEMINI,)
"""Families that nobody can load."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Notation:
    """What a prompt for a served model depends on beside its evidence.

    `processor`: of a model whose folder is at hand, None else; `letterbox_px`: side of the square that pictures are
    padded to, where its image tower is one of ours.
    """

    family: Family = GENERIC
    processor: Any = None
    letterbox_px: int | None = None

    def frame(self, size_px: Size) -> Frame:
        """What the model sees of an image of (width, height)."""
        if self.letterbox_px and self.family.boxes.steps is None:  # pixels of the padded square
            side = self.letterbox_px / Letterbox(size_px, self.letterbox_px).scale
            return Frame(0, 0, side, side, sent_px=(self.letterbox_px, self.letterbox_px))
        # how a server prepares a picture is not known: numbers count across the picture as it is sent
        return self.family.frame(size_px, self.processor) if self.processor else Frame.whole(size_px)

    def box_text(self, box_xyxy_px: NDArray[np.float32], size_px: Size) -> str:
        """A box in pixels of an image of this size, as the model writes one."""
        return self.family.boxes.encode(box_xyxy_px, size_px, self.frame(size_px))


def notation_of(model: str, boxes: str | None = None, base: str | None = None) -> Notation:
    """The notation of a served model. `boxes`: a key of `FORMATS`, or a family's name; None: by the model's own.

    `base`: folder or name of the model that is served, where its name there is another. Raises `BadInput` for an
    unknown notation.
    """
    folder = next((Path(place) for place in (base, model) if place and (Path(place) / "config.json").is_file()), None)
    known = _of_folder(folder) if folder else Notation(family=_named(model) or _named(base or "") or GENERIC)
    if boxes is None:
        return known
    if (codec := FORMATS.get(boxes.lower())) is not None:
        return replace(known, family=replace(known.family, boxes=codec, frame=GENERIC.frame))
    if (family := _named(boxes)) is None:
        names = [*FORMATS, *(family.name for family in _families())]
        raise BadInput(f"unknown notation of boxes {boxes!r}.", fix=nearest(boxes, names))
    return replace(known, family=replace(known.family, boxes=family.boxes, frame=GENERIC.frame))


def _of_folder(folder: Path) -> Notation:
    from transformers import AutoConfig

    from ..model.processor import load_processor, safe_options

    processor = load_processor(str(folder))  # registers the class of our tower, so before the config
    config = AutoConfig.from_pretrained(folder, **safe_options())
    vision: Any = getattr(config, "vision_config", None)
    is_ours = getattr(vision, "model_type", None) in OUR_TOWERS
    return Notation(family=family_of(config), processor=processor, letterbox_px=vision.image_size if is_ours else None)


def _named(text: str) -> Family | None:
    """The family whose name stands in the text, whatever its marks and case; the longest of several."""
    words = _plain(text)
    found = [(len(name), family) for family in _families() for name in _names(family) if name in words]
    return max(found, key=lambda row: row[0])[1] if found else None


def _names(family: Family) -> Iterable[str]:
    """`qwen25vl` of "Qwen2.5-VL" and `qwen2_5_vl`; `gemma3` and `medgemma` of "Gemma 3 / MedGemma"."""
    return {_plain(name) for name in (*family.name.split("/"), *family.model_types)}


def _families() -> tuple[Family, ...]:
    return (*FAMILIES, *ONLY_SERVED)


def _plain(text: str) -> str:
    return re.sub(r"[^a-z0-9]", "", text.lower())
