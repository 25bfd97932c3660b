"""What a core learned is written down, goes with it, and is never scored."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from medglip.grounding import AnnotatedImage, BadInput
from medglip.grounding.datasets.schema import to_dataset
from medglip.grounding.grounders.pretrained import checkpoint_folder
from medglip.grounding.settings import validate
from medglip.grounding.training.provenance import (
    FILE,
    cores_without,
    learned_among,
    place,
    refuse_learned,
    training_images,
    write_learned,
)
from medglip.grounding.training.recipe import CoreRecipe

MakeStudies = Callable[[int], list[AnnotatedImage]]


@pytest.fixture
def images(make_studies: MakeStudies) -> list[AnnotatedImage]:
    first, second, third = make_studies(3)
    return [replace(first, split="train"), replace(second, split="train"), replace(third, split="val")]


def core(folder: Path) -> Path:
    folder.mkdir(parents=True)
    (folder / "config.json").write_text("{}")
    return folder


def test_training_images_are_refused_and_others_are_not(images: list[AnnotatedImage], tmp_path: Path) -> None:
    folder = core(tmp_path / "core")
    write_learned(folder, training_images(to_dataset(images)))
    refuse_learned(folder, [images[2].image_path])
    with pytest.raises(BadInput, match="1 of 2 scored pictures"):
        refuse_learned(folder, [image.image_path for image in images[1:]])
    moved = tmp_path / "elsewhere.png"
    moved.write_bytes(Path(images[0].image_path).read_bytes())
    with pytest.raises(BadInput, match=r"elsewhere\.png"):
        refuse_learned(folder, [moved])
    assert str(tmp_path) not in (folder / FILE).read_text()


def test_a_core_that_goes_on_from_another_knows_its_pictures_too(images: list[AnnotatedImage], tmp_path: Path) -> None:
    old, new = core(tmp_path / "old"), core(tmp_path / "new")
    write_learned(old, [Path(images[0].image_path)])
    write_learned(new, [Path(images[1].image_path)], start=old)
    with pytest.raises(BadInput, match="2 of 2"):
        refuse_learned(new, [image.image_path for image in images[:2]])


def test_learned_pictures_are_known_among_others(images: list[AnnotatedImage], tmp_path: Path) -> None:
    paths = [Path(image.image_path) for image in images]
    write_learned(tmp_path, paths[:1])
    assert learned_among(tmp_path, paths) == {paths[0]}


def test_a_core_that_does_not_say_is_not_trusted(images: list[AnnotatedImage], tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="does not say"):
        refuse_learned(core(tmp_path / "core"), [images[0].image_path])


@pytest.mark.parametrize("name", ["small", "small-research"])
def test_shipped_cores_say_what_they_learned(name: str) -> None:
    lines = (checkpoint_folder(name) / FILE).read_text().split()
    assert len(set(lines)) == len(lines) > 500
    assert all(len(line) == 16 and int(line, 16) >= 0 for line in lines)


def test_a_placed_core_is_the_same_files(tmp_path: Path) -> None:
    source = checkpoint_folder("small")
    for _ in range(2):
        folder = place("small", tmp_path / "run" / "grounding" / "model")
        assert {f.name: f.read_bytes() for f in folder.iterdir()} == {f.name: f.read_bytes() for f in source.iterdir()}


@pytest.mark.parametrize(
    ("section", "words"),
    [({}, "nothing to train"), ({"core": "small", "settings": {"train": {"steps": 3}}}, "taken as it is")],
)
def test_a_recipe_trains_a_core_or_takes_one(section: dict[str, object], words: str, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=words):
        validate(CoreRecipe, {"name": "x", "out_dir": "runs/x", "grounding": section}, tmp_path / "recipe.yaml")


def test_a_recipe_with_a_taken_core_comes_back_from_json(tmp_path: Path) -> None:
    recipe = validate(CoreRecipe, {"name": "x", "out_dir": "x", "grounding": {"core": "small"}}, tmp_path / "x.yaml")
    assert CoreRecipe.model_validate_json(recipe.model_dump_json()) == recipe


def test_evidence_of_an_image_comes_from_the_core_that_did_not_learn_it(
    images: list[AnnotatedImage], tmp_path: Path
) -> None:
    one, two, new = (Path(image.image_path) for image in images)
    a, b = core(tmp_path / "a"), core(tmp_path / "b")
    write_learned(a, [one])
    write_learned(b, [two])
    assert cores_without([a, b], [one, two, new]) == {one: b, two: a, new: a}
    write_learned(b, [one, two])
    with pytest.raises(BadInput, match="taught every one of 2 cores"):
        cores_without([a, b], [one, two])
