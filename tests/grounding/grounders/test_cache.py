"""The cache of regions: equal to grounding anew, computed once, surviving kills and unreadable images."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from medglip.grounding import AnnotatedImage, BadInput, Region
from medglip.grounding.datasets.schema import to_dataset
from medglip.grounding.grounder import Grounder
from medglip.grounding.grounders.cache import regions_of
from medglip.grounding.grounders.oracle import TruthGrounder
from medglip.grounding.imaging.read import read_image

MakeStudies = Callable[[int], list[AnnotatedImage]]
ASKED = ("bright square", "dark square")


class Counting(Grounder):
    """A grounder that notes what it was asked, and can be killed after some images."""

    fingerprint = "0123456789abcdef-counting"
    embedding_dim = 2

    def __init__(self, killed_after: int = 1000):
        self.seen: list[str] = []
        self.killed_after = killed_after

    def ground(self, images: Sequence[AnnotatedImage], phrases: Sequence[Sequence[str]]) -> list[list[Region]]:
        if len(self.seen) >= self.killed_after:
            raise KeyboardInterrupt
        for image in images:
            read_image(image.image_path)
            self.seen.append(image.image_id)
        return [[self._region(s, p) for p in row] for s, row in zip(images, phrases, strict=True)]

    def _region(self, image: AnnotatedImage, phrase: str) -> Region:
        true = image.regions[0]
        score, embedding = np.random.default_rng(len(phrase)).random(), np.array([0.1, 1 / 3], np.float32)
        return replace(true, phrase=phrase, score=score, embedding=embedding)


def equal(a: Region, b: Region) -> bool:
    """Bit for bit."""
    same_mask = (a.mask is None) == (b.mask is None) and (a.mask is None or np.array_equal(a.mask, b.mask))  # pyright: ignore
    return (
        (a.phrase, a.score, a.path) == (b.phrase, b.score, b.path)
        and np.array_equal(a.box_xyxy_px, b.box_xyxy_px)
        and same_mask
        and np.array_equal(a.embedding, b.embedding)  # pyright: ignore[reportArgumentType]
    )


def test_what_comes_back_is_what_was_found_and_a_hit_asks_nobody(make_studies: MakeStudies, tmp_path: Path) -> None:
    images = make_studies(5)
    first, second = Counting(), Counting()
    found, skipped = regions_of(first, images, [ASKED] * 5, tmp_path / "cache", batch_size=2)
    again, _ = regions_of(second, images, [ASKED[::-1]] * 5, tmp_path / "cache")
    assert not skipped.entries
    assert len(first.seen) == 5
    assert second.seen == []
    for image, fresh in zip(images, Counting().ground(images, [ASKED] * 5), strict=True):
        assert all(equal(a, b) for a, b in zip(found[image.image_id], fresh, strict=True))
        assert all(equal(a, b) for a, b in zip(again[image.image_id], fresh, strict=True))


def test_other_phrases_modality_or_grounder_are_computed(make_studies: MakeStudies, tmp_path: Path) -> None:
    image = make_studies(1)[0]
    regions_of(Counting(), [image], [ASKED], tmp_path / "cache")
    other_phrases, other_modality, other_weights = Counting(), Counting(), Counting()
    other_weights.fingerprint = "0123456789abcdef-retrained"  # the folder's name is a prefix, the key is whole
    regions_of(other_phrases, [image], [ASKED[:1]], tmp_path / "cache")
    regions_of(other_modality, [replace(image, modality="mr")], [ASKED], tmp_path / "cache")
    regions_of(other_weights, [image], [ASKED], tmp_path / "cache")
    assert [len(g.seen) for g in (other_phrases, other_modality, other_weights)] == [1, 1, 1]


def test_a_kill_in_the_middle_loses_no_finished_batch(make_studies: MakeStudies, tmp_path: Path) -> None:
    images = make_studies(5)
    killed, rest = Counting(killed_after=4), Counting()
    with pytest.raises(KeyboardInterrupt):
        regions_of(killed, images, [ASKED] * 5, tmp_path / "cache", batch_size=2)
    found, _ = regions_of(rest, images, [ASKED] * 5, tmp_path / "cache", batch_size=2)
    assert rest.seen == [images[4].image_id]
    assert set(found) == {image.image_id for image in images}


def test_an_unreadable_image_is_listed_and_the_others_go_on(make_studies: MakeStudies, tmp_path: Path) -> None:
    images = make_studies(4)
    images[1].image_path.write_bytes(b"\x89PNG broken")
    images[2].image_path.unlink()
    found, skipped = regions_of(Counting(), images, [ASKED] * 4, tmp_path / "cache", batch_size=4)
    assert set(found) == {images[0].image_id, images[3].image_id}
    assert {entry["item"] for entry in skipped.entries} == {images[1].image_id, images[2].image_id}


def test_dataset_rows_are_studies_too(make_studies: MakeStudies, tmp_path: Path) -> None:
    images = make_studies(2)
    found, _ = regions_of(Counting(), to_dataset(images), [ASKED] * 2, tmp_path / "cache")
    assert [len(found[image.image_id]) for image in images] == [2, 2]


def test_the_oracle_is_asked_again_when_annotations_change(make_studies: MakeStudies, tmp_path: Path) -> None:
    image = make_studies(1)[0]
    regions_of(TruthGrounder(), [image], [ASKED], tmp_path / "cache")
    corrected = replace(image, regions=image.regions[:1])
    found, _ = regions_of(TruthGrounder(), [corrected], [ASKED], tmp_path / "cache")
    assert len(found[image.image_id]) == 1


def test_two_processes_may_share_the_folder(make_studies: MakeStudies, tmp_path: Path) -> None:
    images = make_studies(4)

    class Meeting(Counting):
        """While it grounds, another process grounds the same images into the same folder."""

        def ground(self, images: Sequence[AnnotatedImage], phrases: Sequence[Sequence[str]]) -> list[list[Region]]:
            regions_of(Counting(), images, phrases, tmp_path / "cache")
            return super().ground(images, phrases)

    found, _ = regions_of(Meeting(), images, [ASKED] * 4, tmp_path / "cache", batch_size=2)
    again, _ = regions_of(Counting(), images, [ASKED] * 4, tmp_path / "cache")
    assert set(found) == set(again) == {image.image_id for image in images}


def test_a_damaged_shard_is_named(make_studies: MakeStudies, tmp_path: Path) -> None:
    images = make_studies(1)
    regions_of(Counting(), images, [ASKED], tmp_path / "cache")
    shard = next((tmp_path / "cache").rglob("*.parquet"))
    shard.write_bytes(shard.read_bytes()[:20])
    with pytest.raises(BadInput, match=shard.name):
        regions_of(Counting(), images, [ASKED], tmp_path / "cache")


def test_as_many_phrase_lists_as_images(make_studies: MakeStudies, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="2 images"):
        regions_of(Counting(), make_studies(2), [ASKED], tmp_path / "cache")
