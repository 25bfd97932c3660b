"""Set-of-mark: numbered boxes on a copy; the picture itself never changes."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageColor

from medglip.grounding.evidence.controls import mirror_evidence
from medglip.grounding.evidence.evidence import Evidence, EvidenceSettings
from medglip.grounding.evidence.forms.overlay import MIN_SIDE_PX, PALETTE, draw_marks
from medglip.grounding.evidence.forms.text import sureness
from medglip.grounding.evidence.render import to_images, to_text
from medglip.grounding.types import Region

MARKS = EvidenceSettings(forms=("text", "overlay"))
sides = st.integers(1, 700)


@st.composite
def found(draw: st.DrawFn) -> Evidence:
    """Evidence of an image of any size; boxes may reach a little over its edges."""
    size = draw(sides), draw(sides)
    part, length = st.integers(-5, 60), st.integers(1, 600)
    regions = []
    for _ in range(draw(st.integers(0, 12))):
        x, y = draw(part) * size[0] / 60, draw(part) * size[1] / 60
        box = np.array([x, y, x + draw(length) / 2, y + draw(length) / 2], np.float32)
        mask = np.zeros((size[1], size[0]), bool)
        mask[0, 0] = True
        name = draw(st.sampled_from(["nodule", "left lung", "right lower lobe", "left ventricle"]))
        regions.append(Region(phrase=name, box_xyxy_px=box, mask=draw(st.sampled_from([None, mask]))))
    return Evidence.of_image("predicted", size, regions, ("left lung", "LLL nodule"))


@settings(max_examples=40, deadline=None)
@given(found())
def test_marks_never_change_the_picture_and_keep_its_shape(evidence: Evidence) -> None:
    image = Image.new("RGB", evidence.first.size_px, "navy")
    before = image.tobytes()
    marked = to_images([image], evidence, MARKS)
    assert image.tobytes() == before
    assert len(marked) == bool(evidence.regions)
    for picture in marked:
        scale = picture.width // image.width
        assert picture.size == (image.width * scale, image.height * scale)
        assert max(picture.size) >= MIN_SIDE_PX
        assert (max(image.size) < MIN_SIDE_PX) or scale == 1
    assert to_images([image], evidence, EvidenceSettings(forms=("text",))) == []


@settings(max_examples=40, deadline=None)
@given(found())
def test_evidence_mirrored_twice_is_unchanged(evidence: Evidence) -> None:
    once, twice = mirror_evidence(evidence), mirror_evidence(mirror_evidence(evidence))
    assert twice.first.phrases == evidence.first.phrases
    assert once.first.phrases == ("right lung", "RLL nodule")
    for before, flipped, after in zip(evidence.regions, once.regions, twice.regions, strict=True):
        assert after.phrase == before.phrase
        assert (flipped.phrase == before.phrase) == (before.phrase in ("nodule", "left ventricle"))
        assert np.allclose(after.box_xyxy_px, before.box_xyxy_px, atol=1e-3)
        assert (flipped.mask is None) == (before.mask is None)
        if flipped.mask is not None and after.mask is not None and before.mask is not None:
            assert flipped.mask[0, -1]
            assert np.array_equal(after.mask, before.mask)


def test_each_number_has_its_colour_and_a_plate_of_its_own() -> None:
    boxes = [(100, 100, 200, 200), (100, 100, 200, 200), (300, 40, 390, 90)]
    regions = [Region(phrase="cyst", box_xyxy_px=np.array(box, np.float32)) for box in boxes]
    picture = draw_marks(Image.new("RGB", (400, 300), "white"), regions)
    colours = {colour: count for count, colour in picture.getcolors(1 << 20) or []}
    plates = [colours.get(ImageColor.getrgb(name), 0) for name in PALETTE[:3]]
    assert min(plates) > 150  # the first box lies wholly under the second; its number does not
    assert PALETTE[3] not in colours


@pytest.mark.parametrize(("score", "word"), [(0.0, "unsure"), (0.5, "possible"), (0.7499, "possible"), (1, "likely")])
def test_scores_are_words_where_asked_for(score: float, word: str) -> None:
    region = Region(phrase="cyst", box_xyxy_px=np.array([10, 10, 30, 30], np.float32), score=score)
    evidence = Evidence.of_image("predicted", (100, 50), (region,))
    assert sureness(score) == word
    assert to_text(evidence, EvidenceSettings(forms=("text",), scores=True)) == f"1 cyst, {word}, left, 10 20 30 60"
    assert to_text(evidence, EvidenceSettings(forms=("text", "tokens"))) == "1 <region> cyst, left, 10 20 30 60"
    assert to_text(evidence, EvidenceSettings(forms=("tokens",), scores=True)) == "1 <region>"
