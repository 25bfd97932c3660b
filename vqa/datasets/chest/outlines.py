"""True regions that come with questions: kept as the file has them, made into regions when an image is opened."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from ....grounding.bad_input import Skipped
from ....grounding.datasets.rows import annotate, region, skipping
from ....grounding.imaging.read import image_size
from ....grounding.types import AnnotatedImage, Region
from ....grounding.vocabulary.labels import load_labels

Frame = Literal["stretch", "pad"]


@dataclass(frozen=True, kw_only=True)
class Outline:
    """A box xyxy of a phrase, for an image of `frame_px` (width, height); (1, 1): parts of the image; None: as on disk.

    `frame`: whether the image was stretched to that size, or fitted into it and padded on both sides.
    """

    phrase: str
    box_xyxy: Sequence[float]
    frame_px: tuple[float, float] | None = None
    frame: Frame = "stretch"

    def region(self, size_px: tuple[int, int]) -> Region:
        """In pixels of an image of this size. Raises `BadInput` for a box without area in it."""
        box, size = np.array(self.box_xyxy, np.float32), np.array(size_px, np.float32)
        if self.frame_px is not None:
            frame = np.array(self.frame_px, np.float32)
            scale, offset = size / frame, np.zeros(2, np.float32)
            if self.frame == "pad":
                scale = np.full(2, (size / frame).max())
                offset = (size - frame * scale) / 2
            box = box * np.tile(scale, 2) + np.tile(offset, 2)
        return region(load_labels().label(self.phrase), box.astype(np.float32), size_px)


class OutlinedImages(Mapping[Path, AnnotatedImage]):
    """Image file -> the image with the regions of all its questions, each once; bad boxes go to `skipped`."""

    def __init__(self, outlines: Mapping[Path, Sequence[Outline]], skipped: Skipped):
        self._outlines, self._skipped = outlines, skipped
        self._made: dict[Path, AnnotatedImage] = {}

    def __getitem__(self, file: Path) -> AnnotatedImage:
        if file not in self._made:
            size = image_size(file)
            regions: dict[tuple[str | float, ...], Region] = {}
            for outline in self._outlines[file]:
                with skipping(self._skipped, file):
                    made = outline.region(size)
                    regions.setdefault((made.phrase, *made.box_xyxy_px.tolist()), made)
            phrases = [made.phrase for made in regions.values()]
            self._made[file] = annotate(
                file.parent, file.stem, file, regions.values(), phrases, size_px=size, modality="xray"
            )
        return self._made[file]

    def __iter__(self) -> Iterator[Path]:
        return iter(self._outlines)

    def __len__(self) -> int:
        return len(self._outlines)


def findings_in(text: str) -> list[str]:
    """The findings that a question names: what is seen of them lies in the boxes of a positive answer."""
    tree = load_labels()
    return [phrase for phrase in tree.phrases_in(text) if tree.level(phrase) == "finding"]
