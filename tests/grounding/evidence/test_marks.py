"""Every mark tells where its region is: the place is read back from the pixels that it changed."""

from typing import get_args

import numpy as np
import pytest
from PIL import Image

from medglip.grounding.evidence.evidence import Evidence, EvidenceSettings
from medglip.grounding.evidence.forms.marks import MARKS
from medglip.grounding.evidence.render import to_images
from medglip.grounding.types import Region

BOX = np.array([100, 150, 180, 230], np.float32)
SIZE = (400, 400)


def changed(mark: str) -> np.ndarray:
    """bool[H, W]: the pixels that a mark changes."""
    copy = Image.new("RGB", SIZE, "white")
    MARKS[mark](copy, (100.0, 150.0, 179.0, 229.0), "#0072B2", 3)
    return (np.asarray(copy) != 255).any(-1)


@pytest.mark.parametrize("mark", ["ellipse", "alpha"])
def test_the_box_is_read_back(mark: str) -> None:
    ys, xs = changed(mark).nonzero()
    assert np.allclose([xs.min(), ys.min(), xs.max() + 1, ys.max() + 1], BOX, atol=2)


def test_an_arrow_ends_in_the_middle() -> None:
    ys, xs = changed("arrow").nonzero()
    assert np.hypot(xs - 140, ys - 190).min() < 3
    assert np.hypot(xs - 140, ys - 190).max() > 60
    assert xs.min() > 134  # towards the middle of the image, on one side of the tip
    assert ys.min() > 184


def test_each_mark_is_a_setting_of_the_overlay_and_the_box_is_the_usual_one() -> None:
    evidence = Evidence.of_image("predicted", SIZE, [Region(phrase="nodule", box_xyxy_px=BOX)])
    names = get_args(EvidenceSettings.model_fields["mark"].annotation)
    assert set(names) == {"box", *MARKS}
    white = Image.new("RGB", SIZE, "white")
    shown = {m: to_images([white], evidence, EvidenceSettings(forms=("overlay",), mark=m))[0].tobytes() for m in names}
    assert len(set(shown.values())) == len(names)
    assert to_images([white], evidence, EvidenceSettings(forms=("overlay",)))[0].tobytes() == shown["box"]
