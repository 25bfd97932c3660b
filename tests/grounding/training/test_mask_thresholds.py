"""From which chance on a pixel belongs to a mask: chosen on validation images, apart for thin masks."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from making import make_image

from medglip.grounding import AnnotatedImage, Region
from medglip.grounding.grounders.medglip import MedGlipGrounder, cut_at
from medglip.grounding.model.calibration import Calibration
from medglip.grounding.training.validation import fit_mask_thresholds

BOX = np.array([0, 0, 20, 20], np.float32)
LINE, BLOCK = np.zeros((20, 20), np.float32), np.full((20, 20), 0.9, np.float32)
LINE[9:12] = [[0.32], [0.8], [0.32]]  # a vessel whose edges are faint
BLOCK[:, 15:] = 0.52  # an organ and what only seems to belong to it


class Found:
    """A line and a block in every image, as chances of pixels."""

    def ground_at_thresholds(
        self, image: AnnotatedImage, phrases: Sequence[str], thresholds: Sequence[float]
    ) -> list[list[Region]]:
        return [
            [
                Region(phrase=name, box_xyxy_px=BOX, mask=cut_at(chance, BOX, (value, value)))
                for name, chance in (("vessel", LINE), ("organ", BLOCK))
            ]
            for value in thresholds
        ]


def annotated(index: int) -> AnnotatedImage:
    masks = {"vessel": LINE > 0.3, "organ": BLOCK > 0.55}
    regions = tuple(Region(phrase=name, box_xyxy_px=BOX, mask=mask) for name, mask in masks.items())
    return make_image(f"image-{index}", size_px=(20, 20), regions=regions, phrases=tuple(masks))


def test_thin_masks_and_others_have_the_threshold_that_fits_them() -> None:
    finder: Any = Found()
    thin, other = fit_mask_thresholds(finder, [annotated(index) for index in range(8)])
    assert thin <= 0.3
    assert other == 0.55
    assert fit_mask_thresholds(finder, [annotated(index) for index in range(7)]) == (0.5, 0.5)


@pytest.mark.parametrize(("chance", "rows", "columns"), [(LINE, 3, 20), (BLOCK, 20, 15)])
def test_masks_are_cut_at_the_threshold_of_their_kind(chance: np.ndarray, rows: int, columns: int) -> None:
    mask = cut_at(chance, BOX, (0.3, 0.55))
    assert mask is not None
    assert mask.sum() == rows * columns


def test_a_calibrated_core_cuts_its_masks_at_its_thresholds(tiny_grounder: MedGlipGrounder, make_studies: Any) -> None:
    images = make_studies(1)
    before = tiny_grounder.ground(images, [["bright square"]])[0]
    tiny_grounder.calibration = replace(Calibration(), mask_thresholds=(0.01, 0.01))
    after = tiny_grounder.ground(images, [["bright square"]])[0]
    sizes = [[0 if r.mask is None else r.mask.sum() for r in regions] for regions in (before, after)]
    assert all(more >= less for less, more in zip(*sizes, strict=True))
    assert sum(sizes[1]) > sum(sizes[0])
