"""What a core keeps of its image tower: features pooled inside regions, and how familiar an image is."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from making import is_close
from PIL import Image

from medglip.grounding import AnnotatedImage, BadInput, Region
from medglip.grounding.geometry import Letterbox
from medglip.grounding.grounders.cache import regions_of
from medglip.grounding.grounders.medglip import GrounderSettings, MedGlipGrounder
from medglip.grounding.model.backbones import STRIDES
from medglip.grounding.model.pooling import MapScales, fit_scales, region_weights
from medglip.grounding.training.examples import load_example
from medglip.grounding.training.tower_features import learn_features

MakeStudies = Callable[[int], list[AnnotatedImage]]
ASKED = ["bright square", "dark square"]


@pytest.fixture
def core(tiny_grounder: MedGlipGrounder, make_studies: MakeStudies) -> MedGlipGrounder:
    """A tiny core with the features of twenty grey images, judged on ten others."""
    images = make_studies(30)
    examples = [load_example(image, 64) for image in images[:20]]
    features = learn_features(tiny_grounder, examples, ["tiny"] * 20, images[20:])
    return MedGlipGrounder(tiny_grounder.model, tiny_grounder.processor, tiny_grounder.settings, features)


def region(box: list[float], mask: np.ndarray | None = None) -> Region:
    return Region(phrase="cyst", box_xyxy_px=np.array(box, np.float32), mask=mask)


def test_a_region_covers_its_mask_or_else_its_box_in_part_cells() -> None:
    mask = np.zeros((32, 32), bool)
    mask[0:4, 4:6] = True
    found = region_weights([region([2, 4, 8, 8]), region([0, 0, 32, 32], mask)], Letterbox((32, 32), 32))
    assert found.shape == (2, 8, 8)
    assert found[0, 1, :3].tolist() == [0.5, 1, 0]
    assert found[0].sum() == 1.5
    assert found[1, 0, :3].tolist() == [0, 0.5, 0]
    assert found[1].sum() == 0.5


def test_pooled_features_are_standardised_means_of_every_stride() -> None:
    maps = [torch.randn(1, 3, 32 // stride, 32 // stride) * 5 + 2 for stride in STRIDES]
    scales = fit_scales([maps, maps])
    assert is_close(scales.means[0], maps[0].mean((0, 2, 3)), 1e-5)
    assert is_close(scales.stds[1], maps[1].std((0, 2, 3), correction=0), 1e-5)
    plain = MapScales(tuple(torch.zeros(3) for _ in STRIDES), tuple(torch.ones(3) for _ in STRIDES))
    pooled = plain.pool(
        [x[0] for x in maps], torch.from_numpy(region_weights([region([0, 0, 16, 8])], Letterbox((32, 32), 32)))
    )
    assert is_close(pooled[1][0], maps[1][0, :, :1, :2].mean((1, 2)), 1e-5)
    assert is_close(pooled[3][0], maps[3][0, :, 0, 0], 1e-5)


def test_found_regions_and_given_ones_carry_the_same_features(core: MedGlipGrounder, make_studies: MakeStudies) -> None:
    images = make_studies(3)
    found = core.ground(images, [ASKED] * 3)
    given = core.embed(images, [[replace(r, pooled=None) for r in row] for row in found])
    assert core.pooled_dims == (8, 16, 16, 16)
    for one, other in zip([r for row in found for r in row], [r for row in given for r in row], strict=True):
        assert one.pooled is not None
        assert other.pooled is not None
        assert [len(vector) for vector in one.pooled] == [8, 16, 16, 16]
        assert all(is_close(a, b, 1e-4) for a, b in zip(one.pooled, other.pooled, strict=True))


def test_the_cache_keeps_them_at_half_precision(
    core: MedGlipGrounder, make_studies: MakeStudies, tmp_path: Path
) -> None:
    images = make_studies(1)
    stored, _ = regions_of(core, images, [ASKED], tmp_path / "cache")
    for one, other in zip(stored[images[0].image_id], core.ground(images, [ASKED])[0], strict=True):
        assert all(is_close(a, b, 1e-3) for a, b in zip(one.pooled or (), other.pooled or (), strict=True))
        assert one.pooled


def test_noise_is_strange_and_images_like_those_learned_are_familiar(
    core: MedGlipGrounder, tmp_path: Path, make_studies: MakeStudies
) -> None:
    images = make_studies(33)
    noise = replace(images[0], image_path=tmp_path / "noise.png")
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8)).save(noise.image_path)
    values = core.familiarity([*images[30:], noise])
    assert values is not None
    *others, strange = values
    assert all(0 <= value <= 1 for value in others)
    assert strange < min(others)
    assert core.in_distribution([noise]) == [False]
    assert np.mean(core.in_distribution(images[20:30]) or ()) >= 0.8


@pytest.mark.parametrize(
    ("size_px", "darkest", "brightest"),
    [((64, 48), 0, 0), ((64, 48), 120, 126), ((400, 60), 0, 255), ((12, 15), 0, 255)],
    ids=["black", "grey", "strip", "few pixels"],
)
def test_what_shows_nothing_is_strange(
    core: MedGlipGrounder,
    make_studies: MakeStudies,
    tmp_path: Path,
    size_px: tuple[int, int],
    darkest: int,
    brightest: int,
) -> None:
    pixels = np.full(size_px[::-1], darkest, np.uint8)
    pixels[: size_px[1] // 2] = brightest
    empty = replace(make_studies(1)[0], image_path=tmp_path / "empty.png")
    Image.fromarray(pixels).save(empty.image_path)
    assert core.familiarity([empty]) == [0.0]


def test_all_regions_that_count_as_found_can_be_counted(
    core: MedGlipGrounder, tiny_grounder: MedGlipGrounder, make_studies: MakeStudies
) -> None:
    limits = GrounderSettings(min_score=0.0, nms_iou=1.0, mask_min_score=1.0)
    few = MedGlipGrounder(core.model, core.processor, limits)
    many = MedGlipGrounder(core.model, core.processor, limits, core.features)
    scores = [region.score for region in few.ground(make_studies(1), [ASKED[:1]])[0]]
    assert len(scores) == 20
    many.threshold = 2.0
    assert len(many.ground(make_studies(1), [ASKED[:1]])[0]) == 20
    many.threshold = 0.0
    assert len(many.ground(make_studies(1), [ASKED[:1]])[0]) > 20


def test_a_saved_core_keeps_its_features_and_misses_them(
    core: MedGlipGrounder, make_studies: MakeStudies, tmp_path: Path
) -> None:
    core.model.config.pooled_strides = STRIDES
    core.model.save_pretrained(tmp_path)
    core.processor.save_pretrained(tmp_path)
    with pytest.raises(BadInput, match="missing"):
        MedGlipGrounder.from_pretrained(tmp_path)
    assert core.features is not None
    core.features.save(tmp_path)
    again, images = MedGlipGrounder.from_pretrained(tmp_path, settings=core.settings), make_studies(2)
    assert again.fingerprint == core.fingerprint
    assert again.familiarity(images) == pytest.approx(core.familiarity(images))
    shares = again.likely_modalities(images)
    assert shares == core.likely_modalities(images)
    assert shares is not None
    assert [sum(row.values()) for row in shares] == pytest.approx([1, 1])
    assert set().union(*shares) <= {image.modality for image in make_studies(20)}


def test_cores_of_before_pool_nothing_and_cannot_tell(
    tiny_grounder: MedGlipGrounder, make_studies: MakeStudies
) -> None:
    images = make_studies(1)
    assert tiny_grounder.ground(images, [ASKED])[0][0].pooled is None
    assert tiny_grounder.pooled_dims == ()
    assert tiny_grounder.familiarity(images) is None
    assert tiny_grounder.in_distribution(images) is None
    assert tiny_grounder.likely_modalities(images) is None
