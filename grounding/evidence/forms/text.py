"""A region in words: phrase, place, box, and on request how sure the grounder is."""

from ...geometry import where
from ...types import Region
from ...vocabulary.box_notation import BoxText
from ..evidence import EvidenceSettings, ImageEvidence
from . import EvidenceForm

NOTHING_FOUND = "no region found"
SURENESS = ((0.75, "likely"), (0.5, "possible"), (0.0, "unsure"))
"""A region's score in words: the first whose lowest score it reaches."""


def sureness(score: float) -> str:
    """A score in [0, 1] in a word: see `SURENESS`."""
    return next(word for lowest, word in SURENESS if score >= lowest)


class TextForm(EvidenceForm):
    """`1 nodule, upper left, 12 20 31 44`, or with scores `1 nodule, likely, upper left, 12 20 31 44`."""

    def describe(self, region: Region, size_px: tuple[int, int], settings: EvidenceSettings, box_text: BoxText) -> str:
        """Phrase, sureness, place and box."""
        sure = [sureness(region.score)] if settings.scores else []
        box = region.box_xyxy_px
        return ", ".join(filter(None, [region.phrase, *sure, where(box, size_px), box_text(box, size_px)]))

    def list_missing(self, image: ImageEvidence) -> list[str]:
        """`cyst: not found`, for each phrase asked for."""
        present = {region.phrase for region in image.regions}
        return [f"{phrase}: not found" for phrase in image.phrases if phrase not in present]

    def fill_silence(self, settings: EvidenceSettings) -> str:
        """`no region found`, where the settings want it."""
        return NOTHING_FOUND if settings.say_nothing_found else ""


FORM = TextForm()
