"""Phantoms: the same from the same seed, truth that fits the pixels, a folder that is whole or continued."""

import hashlib
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from medglip.grounding.bad_input import BadInput
from medglip.grounding.datasets.phantoms import dataset as phantom
from medglip.grounding.datasets.phantoms.draw import FINDINGS, PHANTOM_MODALITIES, STRUCTURES, Scene, draw
from medglip.grounding.datasets.schema import images
from medglip.grounding.geometry import iou, mask_to_box
from medglip.grounding.settings import validate

SMALL = phantom.PhantomSettings(num_train=14, num_val=7, num_test=7, size_px=96)


def _scenes(modality: str, size_px: int = 192) -> list[Scene]:
    return [draw(modality, np.random.default_rng([7, k]), size_px) for k in range(8)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("phantoms")
    phantom.write(folder, SMALL)
    return folder


def _digest(folder: Path) -> dict[str, str]:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


@pytest.mark.parametrize("modality", PHANTOM_MODALITIES)
def test_same_seed_same_scene(modality: str) -> None:
    first, again, other = (draw(modality, np.random.default_rng(seed), 96) for seed in (3, 3, 4))
    assert np.array_equal(first.image, again.image)
    assert [r.box_xyxy_px.tolist() for r in first.regions] == [r.box_xyxy_px.tolist() for r in again.regions]
    assert not np.array_equal(first.image, other.image)


@pytest.mark.parametrize("modality", PHANTOM_MODALITIES)
def test_regions_are_inside_and_masks_tight(modality: str) -> None:
    for scene in _scenes(modality):
        assert scene.image.shape == (192, 192, 3)
        assert scene.image.dtype == np.uint8
        for region in scene.regions:
            assert region.mask is not None
            assert region.mask.shape == (192, 192)
            assert np.array_equal(mask_to_box(region.mask), region.box_xyxy_px)
            assert region.path[-1] == region.phrase


@pytest.mark.parametrize("modality", PHANTOM_MODALITIES)
def test_structures_always_findings_now_and_then_large_and_apart(modality: str) -> None:
    counts = set()
    for scene in _scenes(modality):
        found = [region for region in scene.regions if region.phrase in FINDINGS[modality]]
        named = {region.phrase for region in scene.regions}
        assert set(STRUCTURES[modality]) <= named <= {*STRUCTURES[modality], *FINDINGS[modality]}
        assert all((r.box_xyxy_px[2:] - r.box_xyxy_px[:2]).min() >= 13 for r in found)
        assert not any(iou(a.box_xyxy_px, b.box_xyxy_px)[0, 0] for a, b in combinations(found, 2))
        counts.add(len(found))
    assert counts <= {0, 1, 2, 3}
    assert len(counts) > 1


def test_right_lung_is_at_the_left_of_the_image() -> None:
    for scene in _scenes("xray"):
        boxes = {region.phrase: region.box_xyxy_px for region in scene.regions}
        assert boxes["right lung"][2] < boxes["left lung"][0]


@pytest.mark.parametrize("modality", PHANTOM_MODALITIES)
def test_findings_can_be_seen(modality: str) -> None:
    """The pixels of a finding differ from those just around its box."""
    for scene in _scenes(modality):
        grey = scene.image.astype(np.float32).mean(2)
        for region in (r for r in scene.regions if r.phrase in FINDINGS[modality]):
            x0, y0, x1, y1 = region.box_xyxy_px.astype(int)
            around = np.zeros_like(grey, bool)
            around[max(0, y0 - 4) : y1 + 4, max(0, x0 - 4) : x1 + 4] = True
            around[y0:y1, x0:x1] = False
            assert region.mask is not None
            assert np.abs(grey[region.mask] - np.median(grey[around])).mean() > 12, region.phrase


def test_bad_wishes_are_named() -> None:
    with pytest.raises(BadInput, match="did you mean 'ultrasound'"):
        draw("ultrasond", np.random.default_rng(0))
    with pytest.raises(BadInput, match="96"):
        draw("ct", np.random.default_rng(0), 32)
    with pytest.raises(BadInput, match="num_train"):
        validate(phantom.PhantomSettings, {"num_train": 0})
    with pytest.raises(BadInput, match="size_px"):
        validate(phantom.PhantomSettings, {"size_px": 10})


def test_read_is_balanced_absolute_and_exhaustive(folder: Path) -> None:
    rows = list(images(phantom.read(folder)))
    for split, number in (("train", 14), ("val", 7), ("test", 7)):
        part = [annotated for annotated in rows if annotated.split == split]
        assert len(part) == number
        assert sorted(annotated.modality for annotated in part) == sorted(PHANTOM_MODALITIES * (number // 7))
    for annotated in rows:
        assert annotated.image_path.is_absolute()
        assert annotated.group == annotated.image_id
        assert annotated.phrases == STRUCTURES[annotated.modality] + FINDINGS[annotated.modality]
        with Image.open(annotated.image_path) as image:
            assert image.size == annotated.size_px
            assert image.info["synthetic"] == "phantom"


def test_no_two_pictures_are_the_same(folder: Path) -> None:
    pixels = []
    for path in (folder / "images").glob("*.png"):
        with Image.open(path) as image:
            pixels.append(hashlib.sha256(image.tobytes()).hexdigest())
    assert len(set(pixels)) == len(pixels) == 28


def test_a_complete_folder_is_left_alone(folder: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*")}
    phantom.write(folder, SMALL)
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*")} == before


def test_a_kill_is_continued_to_the_same_bytes(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    names = sorted(path.name for path in (folder / "images").iterdir())
    for name in names[:9]:
        (tmp_path / "images" / name).write_bytes((folder / "images" / name).read_bytes())
    torn = tmp_path / "images" / names[9]
    torn.write_bytes((folder / "images" / names[9]).read_bytes()[:2000])
    kept = (tmp_path / "images" / names[0]).stat().st_mtime_ns
    with pytest.raises(BadInput, match="no complete set"):
        phantom.read(tmp_path)
    phantom.write(tmp_path, SMALL)
    assert _digest(tmp_path) == _digest(folder)
    assert (tmp_path / "images" / names[0]).stat().st_mtime_ns == kept


def test_other_settings_draw_other_pictures(folder: Path, tmp_path: Path) -> None:
    phantom.write(tmp_path, phantom.PhantomSettings(num_train=8, num_val=0, num_test=0, size_px=96))
    phantom.write(tmp_path, phantom.PhantomSettings(num_train=7, num_val=0, num_test=0, size_px=96, seed=1))
    assert len(list((tmp_path / "images").iterdir())) == len(phantom.read(tmp_path)) == 7
    assert not set(_digest(tmp_path).values()) & set(_digest(folder).values())
