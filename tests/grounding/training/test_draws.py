"""What a draw may change and what stays true: flips, turns, sides in words, negatives of the batch, other words."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from medglip.grounding import AnnotatedImage, Region
from medglip.grounding.geometry import mask_to_box
from medglip.grounding.model.losses import Target
from medglip.grounding.model.processing import MedGlipProcessor, train_tokenizer
from medglip.grounding.training.augment import View, flip, turn
from medglip.grounding.training.examples import Draw, Example, collate, draw, load_example
from medglip.grounding.training.settings import DrawSettings
from medglip.grounding.vocabulary.labels import load_labels

SIDE = 32
QUIET = DrawSettings(augment=False, ancestor_share=0.0, unknown_modality=0.0)


def view_of(seed: int) -> View:
    """Two rectangles, each of its own grey, with their masks and boxes."""
    rng = np.random.default_rng(seed)
    square, masks = rng.integers(0, 50, (SIDE, SIDE, 3), np.uint8), np.zeros((2, SIDE, SIDE), bool)
    for mask, grey in zip(masks, (150, 250), strict=True):
        x, y, width, height = (int(n) for n in rng.integers(1, 15, 4))
        mask[y : y + height, x : x + width] = True
        square[mask] = grey
    return View(square, np.stack([mask_to_box(mask) for mask in masks]), masks)


def same(a: View, b: View) -> bool:
    return all(np.array_equal(x, y) for x, y in zip(vars(a).values(), vars(b).values(), strict=True))


@pytest.mark.parametrize("seed", range(5))
def test_flips_and_turns_come_back_and_boxes_frame_their_masks(seed: int) -> None:
    view = view_of(seed)
    assert same(flip(flip(view)), view)
    assert same(turn(view, 4), view)
    assert same(turn(turn(view, 1), 3), view)
    assert not same(turn(view, 2), view)
    for changed in (flip(view), *(turn(view, quarters) for quarters in range(4)), turn(flip(view), 1)):
        for box, mask in zip(changed.boxes_G4, changed.masks_Ghw, strict=True):
            assert np.array_equal(mask_to_box(mask), box)
        assert (changed.square[changed.masks_Ghw[1]] == 250).all()


def test_views_without_boxes_flip_and_turn() -> None:
    empty = View(np.zeros((8, 8, 3), np.uint8), np.zeros((0, 4), np.float32), np.zeros((0, 8, 8), bool))
    for changed in (flip(empty), turn(empty, 3)):
        assert changed.boxes_G4.shape == (0, 4)
        assert changed.masks_Ghw.shape == (0, 8, 8)


def write_study(
    folder: Path, modality: str = "xray", phrases: tuple[str, ...] = ("right lung", "left lung")
) -> AnnotatedImage:
    """A film whose right lung is dark grey at the image's left, its left lung bright at the image's right."""
    pixels, regions = np.zeros((SIDE, SIDE), np.uint8), []
    for phrase, x0, grey in ((phrases[0], 2, 100), (phrases[1], 18, 200)):
        mask = np.zeros((SIDE, SIDE), bool)
        mask[6:26, x0 : x0 + 12] = True
        pixels[mask] = grey
        path = load_labels().path(phrase)
        regions.append(Region(phrase=phrase, box_xyxy_px=mask_to_box(mask), mask=mask, path=path))
    file = folder / f"{modality}-{phrases[0]}.png"
    Image.fromarray(pixels).convert("RGB").save(file)
    return AnnotatedImage(
        image_id=file.stem, image_path=file, modality=modality, group="p", dataset="films", split="train",
        size_px=(SIDE, SIDE), regions=tuple(regions), phrases=phrases,
    )  # fmt: skip


def places(drawn: Draw) -> dict[str, tuple[float, float]]:
    """For each label with a box: the box's centre and the mean grey inside its middle."""
    found = {}
    for k, label in enumerate(drawn.labels):
        for box in drawn.target.boxes_G4[drawn.target.labels_GK[:, k]].numpy():
            x, y = int(box[[0, 2]].mean()), int(box[[1, 3]].mean())
            found[label] = (x, float(drawn.square[y - 1 : y + 2, x - 1 : x + 2].mean()))
    return found


def test_mirrored_pictures_have_mirrored_words(tmp_path: Path) -> None:
    example = load_example(write_study(tmp_path), SIDE)
    settings = DrawSettings(mirror=True, unknown_modality=0.0, zoom=1.0)
    is_flipped = []
    for seed in range(24):
        drawn = draw(example, np.random.default_rng(seed), settings)
        assert set(drawn.phrases) >= {"right lung", "left lung"}
        found = places(drawn)
        assert found["right lung"][0] < found["left lung"][0]  # the patient's right is at the image's left, flipped too
        is_flipped.append(found["right lung"][1] > found["left lung"][1])
        assert drawn.about >= {"right lung", "left lung", "lung"}
    assert 4 < sum(is_flipped) < 20
    for seed in range(8):  # films stay as they are unless told otherwise
        found = places(draw(example, np.random.default_rng(seed), settings.model_copy(update={"mirror": False})))
        assert found["right lung"][1] < found["left lung"][1]


def drawn_of(labels: list[str], about: set[str] = frozenset()) -> Draw:  # pyright: ignore[reportArgumentType]
    """A draw with one box, positive for the first label; all labels are known."""
    labels_GK = torch.zeros(1, len(labels), dtype=torch.bool)
    labels_GK[0, 0] = True
    target = Target(
        boxes_G4=torch.tensor([[2.0, 2, 20, 20]]),
        labels_GK=labels_GK,
        masks_Ghw=torch.zeros(1, SIDE // 4, SIDE // 4),
        has_mask_G=torch.zeros(1, dtype=torch.bool),
        known_K=torch.ones(len(labels), dtype=torch.bool),
        within_GK=torch.zeros_like(labels_GK),
        present_K=labels_GK.any(0),
    )
    words = [f"{label} in words" for label in labels]
    square = np.zeros((SIDE, SIDE, 3), np.uint8)
    return Draw(square, labels, words, "xray", target, frozenset({*labels, *about}))


def test_negatives_of_the_batch_are_never_what_may_be_true() -> None:
    tree = load_labels()
    assert "lung lesion" in tree.labels["pneumonia"].overlaps
    draws = [
        drawn_of(["pneumonia", "left lung"], {"chest", "lung"}),
        drawn_of(["lung", "lung lesion", "chest", "liver", "pneumonia", "polyp"]),
        drawn_of(["left lower lobe", "spleen"]),
    ]
    processor = MedGlipProcessor(train_tokenizer(["liver"]), SIDE)
    batch = collate(draws, processor, batch_negatives=3)
    first = batch["targets"][0]
    # lung and chest hold it, the lobe is a part of what is there, the lesion overlaps: liver, polyp, spleen are left
    assert first.labels_GK.tolist() == [[True, False, False, False, False]]
    assert first.known_K.tolist() == [True, True, False, False, False]
    assert torch.equal(first.boxes_G4, draws[0].target.boxes_G4)
    asked = [*draws[0].phrases, "liver in words", "polyp in words", "spleen in words"]
    single = processor.tokenize([asked])
    assert torch.equal(batch["attention_mask"][0].sum(-1)[:5], single[1][0].sum(-1))
    assert draws[0].phrases == ["pneumonia in words", "left lung in words"]  # the draws themselves stay
    assert [len(t.known_K) for t in collate(draws, processor)["targets"]] == [2, 6, 2]


def test_wording_is_a_matter_of_chance_and_positives_do_not_care(tmp_path: Path) -> None:
    example, tree = load_example(write_study(tmp_path), SIDE), load_labels()
    plain = draw(example, np.random.default_rng(0), QUIET)
    assert plain.phrases == plain.labels
    for seed in range(6):
        other = draw(example, np.random.default_rng(seed), QUIET.model_copy(update={"synonyms": 1.0}))
        for label, phrase in zip(other.labels, other.phrases, strict=True):
            assert phrase in tree.synonyms(label)
        told = draw(example, np.random.default_rng(seed), QUIET.model_copy(update={"descriptions": 1.0}))
        assert told.phrases == [f"{label}: {tree.description(label)}" for label in told.labels]
        assert places(told).keys() == places(other).keys() == places(plain).keys()


def labels_asked(example: Example, settings: DrawSettings) -> set[str]:
    return {label for seed in range(20) for label in draw(example, np.random.default_rng(seed), settings).labels}


def test_without_hierarchy_every_label_stands_for_itself(tmp_path: Path) -> None:
    example = load_example(write_study(tmp_path), SIDE)
    settings = QUIET.model_copy(update={"ancestor_share": 1.0, "siblings": 4})
    assert labels_asked(example, settings) >= {"right lung", "left lung", "lung"}
    flat = settings.model_copy(update={"hierarchy": "off"})
    assert labels_asked(example, flat) == {"right lung", "left lung"}
    assert draw(example, np.random.default_rng(0), flat).about >= {"lung"}  # still no negative of another image


def test_what_has_no_sides_is_turned_and_what_has_is_not(tmp_path: Path) -> None:
    image = write_study(tmp_path, "dermoscopy", ("nevus", "melanoma"))
    settings = DrawSettings(unknown_modality=0.0, zoom=1.0, ancestor_share=0.0)
    upright = []
    for one in (image, replace(image, phrases=(*image.phrases, "left arm"))):
        example = load_example(one, SIDE)
        draws = [draw(example, np.random.default_rng(seed), settings) for seed in range(24)]
        boxes = [drawn.target.boxes_G4 for drawn in draws]
        upright.append(sum(bool((b[:, 3] - b[:, 1] > b[:, 2] - b[:, 0]).all()) for b in boxes))
    assert upright[0] < 20
    assert upright[1] == 24


def test_an_organ_is_there_where_its_finding_is_and_its_box_is_another(tmp_path: Path) -> None:
    example = load_example(write_study(tmp_path, "ct", ("liver tumor", "spleen")), SIDE)
    tree = load_labels()
    assert "liver" in tree.ancestors("liver tumor")
    assert "liver" not in tree.kinds_of("liver tumor")
    asked = QUIET.model_copy(update={"ancestor_share": 1.0})
    seeds = (s for s in range(12) if "liver" in draw(example, np.random.default_rng(s), asked).labels)
    seed = next(seeds)
    index = draw(example, np.random.default_rng(seed), asked).labels.index("liver")
    old, new = (
        draw(example, np.random.default_rng(seed), asked.model_copy(update={"hierarchy": kind})).target
        for kind in ("all", "is_a")
    )
    assert old.labels_GK[:, index].any()
    assert not old.within_GK.any()
    assert not new.labels_GK[:, index].any()
    assert torch.equal(new.within_GK[:, index], old.labels_GK[:, index])
    assert torch.equal(new.present_K, old.present_K)


def test_old_words_for_the_hierarchy_keep_their_meaning() -> None:
    written = ((True, "all"), (False, "off"), ("is_a", "is_a"))
    assert [DrawSettings.model_validate({"hierarchy": old}).hierarchy for old, _ in written] == [
        new for _, new in written
    ]


def test_absent_labels_of_the_set_itself_are_asked_first(tmp_path: Path) -> None:
    image = write_study(tmp_path, "ct", ("liver", "spleen"))
    others = ("aorta", "stomach", "pancreas", "left kidney", "right kidney")
    example = load_example(replace(image, phrases=(*image.phrases, *others)), SIDE)
    settings = QUIET.model_copy(update={"phrases_per_image": 4})
    own = {image.dataset: frozenset({"liver", "spleen", "aorta", "pancreas"})}
    for seed in range(8):
        assert set(draw(example, np.random.default_rng(seed), settings, own).labels) == own[image.dataset]


@pytest.mark.parametrize("seed", range(6))
def test_a_piece_of_an_image_of_tiny_parts_keeps_what_it_shows(tmp_path: Path, seed: int) -> None:
    example = load_example(write_study(tmp_path, "microscopy", ("cell nucleus", "platelet")), SIDE)
    settings = QUIET.model_copy(update={"augment": True, "zoom_tiny": 4.0, "stretch": 1.25})
    target = draw(example, np.random.default_rng(seed), settings).target
    assert len(target.boxes_G4) == len(target.labels_GK) == len(target.masks_Ghw) == len(target.has_mask_G) <= 2
    assert torch.equal(target.present_K, target.labels_GK.any(0))  # what is cut away is absent
    assert ((target.boxes_G4 >= 0) & (target.boxes_G4 <= SIDE)).all()


def test_another_window_is_for_grey_values_that_have_one(tmp_path: Path) -> None:
    quiet = QUIET.model_copy(update={"augment": True, "zoom": 1.0})
    for modality, is_windowed in (("ct", True), ("ultrasound", False)):
        example = load_example(write_study(tmp_path, modality), SIDE)
        plain, other = (
            [draw(example, np.random.default_rng(seed), one).square.astype(int) for seed in range(8)]
            for one in (quiet, quiet.model_copy(update={"window": 1.0}))
        )
        assert any(np.abs(a - b).max() > 60 for a, b in zip(plain, other, strict=True)) is is_windowed
