"""Details of phantoms: plain at full resolution, nothing of them in a small image, independent of all else."""

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from medglip.grounding.bad_input import BadInput
from medglip.grounding.datasets.phantoms import dataset as phantom
from medglip.grounding.datasets.phantoms.detail import PLAIN_PX, SIDE_PX, Detail, draw_details, refine
from medglip.grounding.datasets.phantoms.draw import FINDINGS, Scene, draw
from medglip.grounding.datasets.phantoms.words import questions, report
from medglip.grounding.datasets.settings import PhantomSettings, ScoredPhantoms
from medglip.grounding.files import sha256
from medglip.grounding.geometry import mask_to_box
from medglip.grounding.settings import validate
from medglip.grounding.types import AnnotatedImage
from medglip.grounding.vocabulary.labels import load_labels

PLAIN: dict[str, Any] = {"is_calcified": False, "margin": "smooth", "texture": "fine"}
CHANGES: tuple[dict[str, Any], ...] = ({"is_calcified": True}, {"margin": "spiculated"}, {"texture": "coarse"})
NONE_AND_CHANGES: tuple[dict[str, Any], ...] = ({}, *CHANGES)


@pytest.fixture(scope="module")
def scenes() -> list[Scene]:
    """One film with findings: first plain, then with each of the changes."""
    plain = draw("xray", np.random.default_rng([3, 8]), PLAIN_PX)
    findings = _findings(plain)
    details = [Detail(**(PLAIN | change)) for change in NONE_AND_CHANGES]
    return [refine(plain, dict.fromkeys(findings, one), SIDE_PX, np.random.default_rng(0)) for one in details]


def _findings(scene: Scene) -> list[int]:
    return [k for k, region in enumerate(scene.regions) if region.phrase in FINDINGS["xray"]]


def _reduced(scene: Scene, side: int, how: str) -> list[NDArray[np.float32]]:
    """Each finding and what is around it in the image at a small size."""
    small = np.asarray(Image.fromarray(scene.image).resize((side, side), Image.Resampling[how]), np.float32)
    boxes = [(scene.regions[k].box_xyxy_px * side / SIDE_PX).round().astype(int) for k in _findings(scene)]
    return [small[max(0, y0 - 4) : y1 + 4, max(0, x0 - 4) : x1 + 4] for x0, y0, x1, y1 in boxes]


@pytest.mark.parametrize(
    ("side", "how"), [*((256, how) for how in ("BOX", "BILINEAR", "BICUBIC", "LANCZOS")), (320, "BILINEAR")]
)
def test_a_small_image_holds_nothing_of_the_details(scenes: list[Scene], side: int, how: str) -> None:
    """Small images of all kinds differ by the rounding to whole grey levels: in mean, in spread, in every pixel."""
    first, *others = (_reduced(scene, side, how) for scene in scenes)
    for plain, other in ((a, b) for findings in others for a, b in zip(first, findings, strict=True)):
        assert abs((other - plain).mean()) < 0.1
        assert (other - plain).std() < 0.7
        assert abs(other.std() - plain.std()) < 0.1
        assert np.abs(other - plain).max() <= 6


def test_details_are_plain_at_full_resolution(scenes: list[Scene]) -> None:
    plain, *others = (scene.image.astype(float).mean(2) for scene in scenes)
    (index, *_) = _findings(scenes[0])
    x0, y0, x1, y1 = scenes[0].regions[index].box_xyxy_px.astype(int)
    assert all((other - plain)[y0 - 14 : y1 + 14, x0 - 14 : x1 + 14].std() > 6 for other in others)


def test_masks_and_boxes_fit_the_enlarged_image(scenes: list[Scene]) -> None:
    for scene in scenes:
        assert scene.image.shape == (SIDE_PX, SIDE_PX, 3)
        for region, first in zip(scene.regions, scenes[0].regions, strict=True):
            assert region.mask is not None
            assert np.array_equal(mask_to_box(region.mask), region.box_xyxy_px)
            assert np.array_equal(region.box_xyxy_px, first.box_xyxy_px)


def test_kinds_are_balanced_and_independent_of_each_other_and_of_the_modality() -> None:
    drawn = [draw_details([4], (0, 6, 2), number)[4] for number in range(56)]
    assert set(Counter((d.is_calcified, d.margin, d.texture) for d in drawn).values()) == {7}
    by_modality = [Counter(d.margin for d in drawn[start::7]) for start in range(7)]
    assert all(1 <= counts["smooth"] <= 7 for counts in by_modality)


def test_words_tell_the_details_of_single_findings(scenes: list[Scene]) -> None:
    scene, findings = scenes[2], _findings(scenes[2])
    image = AnnotatedImage(
        image_id="phantom-test-00000",
        image_path=Path("x.png"),
        modality="xray",
        group="g",
        dataset="phantom",
        split="test",
        size_px=(SIDE_PX, SIDE_PX),
        regions=scene.regions,
    )
    details = dict.fromkeys(findings, Detail(**(PLAIN | CHANGES[1])))
    plain, rows = (questions(image, np.random.default_rng(0), given) for given in ({}, details))
    assert rows[: len(plain)] == plain
    counts = Counter(region.phrase for region in scene.regions)
    single = [k for k in findings if counts[scene.regions[k].phrase] == 1]
    assert len(rows) == len(plain) + 3 * len(single)
    assert {row["content_type"] for row in rows[len(plain) :]} == {"detail"}
    assert [row["answer"] for row in rows[len(plain) :]] == ["no", "spiculated", "fine"] * len(single)
    assert all(load_labels().phrases_in(row["question"]) == tuple(row["phrases"]) for row in rows[len(plain) :])
    told = report(image, np.random.default_rng(0), details)
    sentences = [s for s in told["sentences"] if "margin" in s["text"]]
    assert len(sentences) == len({scene.regions[k].phrase for k in findings})
    assert all("uncalcified, with a spiculated margin and a fine texture." in s["text"] for s in sentences)
    assert report(image, np.random.default_rng(0))["sentences"] == [s for s in told["sentences"] if s not in sentences]


def test_settings_of_before_have_their_stamp() -> None:
    """Recorded in tests/made_before/run/phantoms/settings.json: images know their settings by it."""
    settings = PhantomSettings(num_train=2, num_val=0, num_test=2, size_px=96)
    stamp = sha256(f"{phantom.VERSION} {settings.model_dump_json()}")
    assert stamp == "c25e55b4b15eb5a981fb66681a942c64c1d8a154a5c8e4c63cfda447de1aa5f2"
    assert ScoredPhantoms(num_test=1, size_px=SIDE_PX, detail=True).model_dump()["detail"] is True


def test_details_need_their_size() -> None:
    with pytest.raises(BadInput, match="details do not show at 192 px, give 1024"):
        validate(PhantomSettings, {"detail": True})
