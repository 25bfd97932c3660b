"""`evidence.grounder`: adapters learn from the boxes of a file, here of MedVP's form, and are asked with them."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from medglip.grounding.bad_input import BadInput
from medglip.grounding.files import read_lines
from medglip.grounding.settings import read_settings
from medglip.grounding.training.provenance import write_learned
from medglip.scripts.inference.systems import load_system
from medglip.scripts.pipeline.pipeline import Pipeline
from medglip.scripts.pipeline.run import train_and_predict
from medglip.scripts.pipeline.training import examples_of_split
from medglip.scripts.recipe import Recipe

Make = Callable[..., Path]
PHANTOMS = {"num_train": 4, "num_val": 1, "num_test": 4, "size_px": 96}


@pytest.fixture
def make(write_recipe: Callable[[Path], Path], tiny_core: Path, tmp_path: Path) -> Make:
    """Writes a recipe of questions whose core is taken as it is, into a folder of its own."""
    shutil.copytree(tiny_core, tmp_path / "core")
    (tmp_path / "core" / "vocabulary.json").write_text(json.dumps({"ct": ["liver"]}))
    write_learned(tmp_path / "core", [])

    def write(name: str, **evidence: object) -> Path:
        (tmp_path / name).mkdir()
        recipe = write_recipe(tmp_path / name)
        values = yaml.safe_load(recipe.read_text())
        values |= {"report": None, "grounding": {"core": str(tmp_path / "core")}, "phantoms": PHANTOMS}
        values["vqa"]["max_test"], values["sources"] = 6, ["none", "predicted", "shuffled"]
        values["evidence"] |= {"forms": ["text"], "jitter": 0.0, **evidence}
        recipe.write_text(yaml.safe_dump(values))
        return recipe

    return write


def theirs_of(recipe: Path, path: Path) -> dict[str, set[tuple[float, ...]]]:
    """Write a file of MedVP's form with one box of their own a picture; return the boxes by picture."""
    pipeline = Pipeline(read_settings(Recipe, recipe))
    images = {image.image_path: image for item in pipeline.all_items for image in item.images}.values()
    rows: list[dict[str, Any]] = []
    for k, image in enumerate(images):
        name = f"{image.image_path.parent.name}/{image.image_path.name}"
        rows.append({"id": f"Slake-{k}", "image": name, "bboxes": [[k, 2 * k, 7, 9]], "entities": ["tumor"]})
    path.write_text(json.dumps(rows))
    return {Path(row["image"]).name: {(k, 2 * k, k + 7, 2 * k + 9)} for k, row in enumerate(rows)}


def test_adapters_learn_from_the_boxes_of_a_file_and_are_asked_with_them(make: Make, tmp_path: Path) -> None:
    file = tmp_path / "medvp.json"
    theirs = theirs_of(make("first"), file)
    recipe = make("second", grounder=str(file))
    pipeline = Pipeline(read_settings(Recipe, recipe))
    for example in examples_of_split(pipeline, "grounded", "train")["vqa"]:
        boxes = {tuple(region.box_xyxy_px.tolist()) for region in example.evidence.regions}
        assert boxes == theirs[example.image_path.name]
    train_and_predict(recipe, "vqa")
    for source in ("none", "predicted", "shuffled"):
        rows = list(read_lines(pipeline.folder.record_file("vqa", source, "")))
        assert {row.get("grounder") for row in rows} == {None if source == "none" else str(file)}
        own = [theirs[Path(row["meta"]["image_path"]).name] for row in rows]
        shown = [{tuple(region["box_xyxy_px"]) for region in row["regions"]} for row in rows]
        if source == "predicted":
            assert shown == own
        if source == "shuffled":
            assert all(a and a != b for a, b in zip(shown, own, strict=True))
    folder = pipeline.folder
    loose = tmp_path / "loose"
    shutil.copytree(folder.adapter_dir("grounded"), loose)
    for place in (folder.path, loose):  # each remembers whose regions it learned with
        assert load_system(place).finder_name == str(file)
        assert load_system(place, str(tmp_path / "core")).finder_name == str(tmp_path / "core")
    file.unlink()
    for place in (folder.path, loose):
        with pytest.raises(BadInput, match=r"learned with the regions of .*medvp\.json.*\n?.*--grounder"):
            load_system(place)


def test_a_file_of_other_pictures_is_refused_before_training(make: Make, tmp_path: Path) -> None:
    file = tmp_path / "other.json"
    file.write_text(json.dumps([{"image": "nobody.png", "bboxes": [[1, 1, 5, 5]], "entities": ["tumor"]}]))
    with pytest.raises(BadInput, match="has no regions of"):
        _ = Pipeline(read_settings(Recipe, make("third", grounder=str(file)))).caches
