"""How evidence is shown to a language model. Every form is a module here, which holds `FORM`, and a row in `names`."""

from collections.abc import Sequence
from importlib import import_module
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ...types import Region
from ...vocabulary.box_notation import BoxText
from ..evidence import Evidence, EvidenceSettings, ImageEvidence
from ..names import FORMS

if TYPE_CHECKING:
    from .tokens import TokenShape

Images = Sequence[Image.Image]


class EvidenceForm:
    """One form; a part that it does not override shows nothing.

    `shows_regions_alone`: its images hold what is in the regions and nothing else of a picture, so that they stay
    where a probe greys that.
    """

    shows_regions_alone = False

    def describe(self, region: Region, size_px: tuple[int, int], settings: EvidenceSettings, box_text: BoxText) -> str:
        """What stands behind the number in a region's line; "": the form has no part in it."""
        return ""

    def list_missing(self, image: ImageEvidence) -> list[str]:
        """Further lines of an image: phrases without a region."""
        return []

    def fill_silence(self, settings: EvidenceSettings) -> str:
        """What is written where no form has a line; "" is nothing."""
        return ""

    def make_images(self, images: Images, evidence: Evidence, settings: EvidenceSettings) -> list[Image.Image]:
        """Further images of the prompt; `images`: its own, those of the evidence first."""
        return []

    def caption_images(self, evidence: Evidence, settings: EvidenceSettings, box_text: BoxText) -> list[str]:
        """Of each further image what the text says of it, behind "Image 2 is"; "" is nothing."""
        return []

    def make_features(self, evidence: Evidence, shape: "TokenShape") -> list[NDArray[np.float32]]:
        """A row of features for every placeholder of the form in the text, in their order."""
        return []


def load_forms(names: Sequence[str]) -> list[EvidenceForm]:
    """The forms of these names, in the order in which a prompt holds them."""
    rows = [FORMS[name] for name in sorted(set(names), key=lambda name: FORMS[name].order)]
    modules = [import_module(f".{row.module}", __name__) for row in rows]
    return [module.of_mark(row.mark) if row.mark else module.FORM for row, module in zip(rows, modules, strict=True)]
