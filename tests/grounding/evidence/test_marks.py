"""Every form that marks an image tells where its region is: the place is read back from the pixels that it changed."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image, ImageDraw
from scipy.ndimage import distance_transform_edt

from medglip.grounding.evidence.controls import mirror_evidence, scatter, transplant
from medglip.grounding.evidence.evidence import Evidence, EvidenceSettings, gather, perturb, without_masks
from medglip.grounding.evidence.forms.marks import MARKS
from medglip.grounding.evidence.names import FORMS
from medglip.grounding.evidence.outlines import outlined
from medglip.grounding.evidence.render import to_images, to_text
from medglip.grounding.types import Region

BOX = np.array([100, 150, 180, 230], np.float32)
SIZE = (400, 400)
WHITE = Image.new("RGB", SIZE, "white")
BLUE = "#0072B2"


def ring() -> np.ndarray:
    """bool[H, W]: an ellipse with a hole that is not in its middle, as wide and high as BOX."""
    picture = Image.new("1", SIZE)
    pen = ImageDraw.Draw(picture)
    pen.ellipse((100, 150, 179, 229), fill=1)
    pen.rectangle((120, 180, 139, 209), fill=0)
    return np.array(picture)


RING = Region(phrase="nodule", box_xyxy_px=BOX, mask=ring())


def lines_of(region: Region) -> list[np.ndarray]:
    """The outlines in pixels, as a mark gets them."""
    corner, sides = BOX[:2], BOX[2:] - BOX[:2]
    return [corner + line * sides for line in outlined(region).outline or ()]


def changed(mark: str, region: Region = RING) -> np.ndarray:
    """bool[H, W]: the pixels that a mark changes."""
    copy = WHITE.copy()
    x0, y0, x1, y1 = map(float, region.box_xyxy_px)
    MARKS[mark](copy, (x0, y0, x1 - 1, y1 - 1), lines_of(region), BLUE, 3)
    return (np.asarray(copy) != 255).any(-1)


@pytest.mark.parametrize("mark", ["box", "ellipse", "alpha", "contour", "mask"])
@pytest.mark.parametrize("mask", [RING.mask, None], ids=["mask", "no mask"])
def test_the_box_is_read_back(mark: str, mask: np.ndarray | None) -> None:
    ys, xs = changed(mark, replace(RING, mask=mask)).nonzero()
    assert np.allclose([xs.min(), ys.min(), xs.max() + 1, ys.max() + 1], BOX, atol=3)


def test_a_mask_is_read_back_with_its_hole() -> None:
    assert (changed("mask") ^ ring()).sum() < 0.05 * ring().sum()  # less than a pixel along its edge
    assert np.array_equal(changed("mask", replace(RING, mask=None)), changed("alpha"))


def test_an_outline_runs_along_the_edge_of_its_mask_and_nowhere_else() -> None:
    # 1 at the edge, that of the hole too
    distance: Callable[[np.ndarray], np.ndarray] = distance_transform_edt  # pyright: ignore[reportAssignmentType]
    from_edge = distance(ring()) + distance(~ring())
    line = changed("contour")
    assert from_edge[line].max() < 4
    assert line[from_edge <= 1].all()


def test_an_arrow_ends_in_the_middle() -> None:
    ys, xs = changed("arrow").nonzero()
    assert np.hypot(xs - 140, ys - 190).min() < 3
    assert np.hypot(xs - 140, ys - 190).max() > 60
    assert xs.min() > 134  # towards the middle of the image, on one side of the tip
    assert ys.min() > 184


def test_an_outline_goes_where_a_control_or_noise_moves_its_box() -> None:
    settings = EvidenceSettings(forms=("mask",), dropout=0.0)
    shown = gather(Evidence.of_image("predicted", SIZE, [RING]).first, settings)
    rng = np.random.default_rng(0)
    half = replace(shown, size_px=(200, 100))
    evidence = Evidence(source="predicted", images=(shown,))
    moved = {
        "random": scatter(shown, rng),
        "shuffled": transplant(half, shown),
        "jitter": perturb(evidence, settings, rng).first,
        "flipped": mirror_evidence(mirror_evidence(without_masks(evidence))).first,
    }
    for name, image in moved.items():
        (region,) = image.regions
        assert region.mask is None
        (picture,) = to_images(
            [Image.new("RGB", image.size_px, "white")], Evidence(source="random", images=(image,)), settings
        )
        scale = picture.width / image.size_px[0]
        x0, y0, x1, y1 = (round(float(v) * scale) for v in region.box_xyxy_px)
        part = picture.crop((x0, y0, x1, y1)).resize((80, 80), Image.Resampling.BOX)
        is_marked = (np.asarray(part) < 250).any(-1)
        expected = ring()[150:230, 100:180]
        assert (is_marked == expected)[20:].mean() > 0.93, name  # the number lies on the upper rows


def test_the_context_holds_the_region_in_a_frame_and_as_much_around_it() -> None:
    ramp = Image.merge("RGB", [Image.linear_gradient("L").resize(SIZE)] * 3)
    settings, evidence = (
        EvidenceSettings(forms=("crops", "context"), max_crops=1),
        Evidence.of_image("predicted", SIZE, [RING]),
    )
    alone, around = to_images([ramp], evidence, settings)
    assert to_text(evidence, settings).splitlines() == [
        "Image 2 is a crop of image 1, centre, 25 38 45 58.",
        "Image 3 is a crop of image 1, centre, 25 38 45 58 with its surroundings.",
    ]
    plain = ramp.crop((20, 70, 261, 311)).resize(around.size, Image.Resampling.BICUBIC)
    is_drawn = (np.asarray(around) != np.asarray(plain)).any(-1)
    scale = around.width / 241
    ys, xs = is_drawn.nonzero()
    # the frame stands where the region lies in the crop; the number above it
    assert np.allclose([xs.min(), xs.max() + 1, ys.max() + 1], [80 * scale, 160 * scale, 160 * scale], atol=4)
    assert alone.size == (121, 121)  # a quarter of its size on each side


def test_each_mark_is_a_form_and_all_differ() -> None:
    evidence, names = Evidence.of_image("predicted", SIZE, [RING]), [name for name, row in FORMS.items() if row.mark]
    assert {FORMS[name].mark for name in names} == set(MARKS)
    shown = {name: to_images([WHITE], evidence, EvidenceSettings(forms=(name,)))[0].tobytes() for name in names}
    assert len(set(shown.values())) == len(names)
    every = to_images([WHITE], evidence, EvidenceSettings(forms=tuple(names)))
    assert [image.tobytes() for image in every] == list(shown.values())
