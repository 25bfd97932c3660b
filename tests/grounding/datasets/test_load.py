"""Sets become one Dataset: groups never straddle splits, Arrow gives back what went in, faults have names."""

import json
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from datasets import Dataset, load_dataset
from PIL import Image

from medglip.grounding import AnnotatedImage, BadInput
from medglip.grounding.bad_input import Skipped
from medglip.grounding.datasets.building.export import check, describe, export
from medglip.grounding.datasets.layouts import coco
from medglip.grounding.datasets.load import load_images
from medglip.grounding.datasets.phantoms import dataset as phantom
from medglip.grounding.datasets.schema import IMAGE_FEATURES, images, row_to_image, upgrade_data, upgrade_table
from medglip.grounding.datasets.settings import LAYOUTS, DataSettings, Layout
from medglip.grounding.geometry import mask_to_rle
from medglip.grounding.settings import validate

MASK = np.zeros((8, 12), bool)
MASK[2:5, 3:9] = True


def write_set(folder: Path, count: int = 12, groups: int = 4) -> DataSettings:
    """A COCO folder of `count` images of `groups` patients, a liver on each."""
    (folder / "images").mkdir(parents=True)
    images, annotations = [], []
    for k in range(count):
        Image.new("RGB", (12, 8), (k, 0, 0)).save(folder / "images" / f"{k}.png")
        images.append({"id": k, "file_name": f"{k}.png", "modality": "CT", "group": f"p{k % groups}"})
        box = {"bbox": [3, 2, 6, 3], "segmentation": mask_to_rle(MASK)}
        annotations.append({"id": k, "image_id": k, "category_id": 1, **box})
    content = {"images": images, "annotations": annotations, "categories": [{"id": 1, "name": "liver"}]}
    (folder / "annotations.json").write_text(json.dumps(content))
    return DataSettings(layout="coco", path=str(folder), val_fraction=0.3)


def by_group(data: Dataset) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for image in images(data):
        found.setdefault(image.group, set()).add(image.split)
    return found


@pytest.mark.parametrize("groups", [2, 3, 12])
def test_groups_are_whole_and_both_splits_are_there(tmp_path: Path, groups: int) -> None:
    data, skipped = load_images([write_set(tmp_path / "set", groups=groups)], 0)
    sides = by_group(data)
    assert all(len(side) == 1 for side in sides.values())
    assert {split for side in sides.values() for split in side} == {"train", "val"}
    assert not skipped.entries


def test_masks_and_boxes_come_back_from_arrow(tmp_path: Path) -> None:
    data, _ = load_images([write_set(tmp_path / "set")], 0)
    assert data.features == IMAGE_FEATURES
    for image in images(data):
        assert image.regions[0].box_xyxy_px.tolist() == [3, 2, 9, 5]
        assert np.array_equal(image.regions[0].mask, MASK)  # pyright: ignore[reportArgumentType]


def test_limit_takes_a_sample_and_splits_it(tmp_path: Path) -> None:
    settings = write_set(tmp_path / "set", groups=12).model_copy(update={"limit": 5})
    first, again = (load_images([settings], 3)[0] for _ in range(2))
    assert len(first) == 5
    assert first["image_id"][:] == again["image_id"][:]
    uncut = settings.model_copy(update={"limit": None})
    whole = {image.image_id: image.split for image in images(load_images([uncut], 3)[0])}
    assert all(whole[image.image_id] == image.split for image in images(first))  # a limit moves nobody


def test_sets_are_found_below_the_data_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_set(tmp_path / "deep" / "set")
    settings = DataSettings(layout="coco", path="deep/set")
    monkeypatch.delenv("MEDGLIP_DATA", raising=False)
    with pytest.raises(BadInput, match="set the environment variable MEDGLIP_DATA"):
        load_images([settings], 0)
    monkeypatch.setenv("MEDGLIP_DATA", str(tmp_path))
    assert len(load_images([settings], 0)[0]) == 12
    with pytest.raises(BadInput, match="nowhere"):
        load_images([DataSettings(layout="coco", path="nowhere")], 0)


def test_several_sets_keep_their_order_and_names(tmp_path: Path) -> None:
    one, two = write_set(tmp_path / "one", 3), write_set(tmp_path / "two", 4)
    data, _ = load_images([two, one], 0)
    assert data["dataset"][:] == ["two"] * 4 + ["one"] * 3
    with pytest.raises(BadInput, match="two data sets are named 'one'"):
        load_images([one, one], 0)


def test_what_a_set_never_shows_is_known_to_be_absent(tmp_path: Path) -> None:
    settings = write_set(tmp_path / "set", 3)
    plain, told = (
        list(images(load_images([s], 0)[0])) for s in (settings, settings.model_copy(update={"absent": ("Spleens",)}))
    )
    for one, other in zip(plain, told, strict=True):
        assert other.phrases == (*one.phrases, "spleen")  # in the words of the label tree
        assert [region.phrase for region in other.regions] == ["liver"]
    again = settings.model_copy(update={"absent": ("polyp", "polyp")})
    assert load_images([again], 0)[0]["phrases"][0] == ["liver", "polyp"]
    for there in ("liver", "abdomen"):  # itself, and what it lies in
        with pytest.raises(BadInput, match=f"'{there}' is said to be absent"):
            load_images([settings.model_copy(update={"absent": (there,)})], 0)


def test_masks_are_left_alone_where_only_boxes_count(tmp_path: Path) -> None:
    settings = write_set(tmp_path / "set", 2)
    for boxes_only in (False, True):
        data, _ = load_images([settings.model_copy(update={"boxes_only": boxes_only})], 0)
        for image in images(data):
            assert image.regions[0].box_xyxy_px.tolist() == [3, 2, 9, 5]
            assert (image.regions[0].mask is None) is boxes_only


def test_licences_choose_images_where_the_set_names_them(tmp_path: Path) -> None:
    folder = tmp_path / "films"
    (folder / "images").mkdir(parents=True)
    rows, boxes = ["patientid,modality,filename,license"], []
    for k, licence in enumerate(("CC BY", "CC BY-NC-SA", "CC0 ", "")):
        Image.new("RGB", (12, 8)).save(folder / "images" / f"{k}.png")
        rows.append(f"{k},X-ray,{k}.png,{licence}")
        boxes.append({"id": k, "image_id": k, "category_id": 1, "bbox": [1, 1, 4, 6]})
    (folder / "metadata.csv").write_text("\n".join(rows))
    images = [{"id": k, "file_name": f"{k}.png"} for k in range(4)]
    content = {"images": images, "annotations": boxes, "categories": [{"id": 1, "name": "Right Lung"}]}
    (folder / "lung_boxes.json").write_text(json.dumps(content))
    found = {
        licences: load_images([DataSettings(layout="covid_cxr", path=str(folder), licences=licences)], 0)[0]["group"]
        for licences in ((), ("CC BY", "CC0"), ("CC BY-ND",))
    }
    assert [sorted(groups) for groups in found.values()] == [["0", "1", "2", "3"], ["0", "2"], []]
    with pytest.raises(BadInput, match="licences"):
        validate(DataSettings, {"layout": "coco", "path": "a", "licences": ["CC BY"]})


def test_phantoms_load_like_any_set(tmp_path: Path) -> None:
    settings = phantom.PhantomSettings(num_train=2, num_val=1, num_test=1, size_px=96, seed=0)
    phantom.write(tmp_path / "drawn", settings)
    data, _ = load_images([DataSettings(layout="phantom", path=str(tmp_path / "drawn"))], 0)
    assert sorted(data["split"]) == ["test", "train", "train", "val"]
    assert set(data["body_part"]) <= {"chest", "abdomen", "brain"}
    assert not check(data).entries


@pytest.mark.parametrize(
    ("values", "problem"),
    [
        ({"layout": "coco"}, "path"),
        ({"layout": "mask_folder", "path": "a"}, "phrase"),
        ({"layout": "coco", "path": "a", "phrase": "polyp"}, "phrase"),
        ({"layout": "coco", "path": "a", "modality": "smell"}, "modality"),
        ({"layout": "coco", "path": "a", "limit": 0}, "limit"),
        ({"layout": "cocoa", "path": "a"}, "layout"),
        ({"layout": "coco", "path": "a", "val_fracton": 0.1}, "val_fraction"),
    ],
)
def test_wrong_settings_name_the_key(values: dict[str, Any], problem: str) -> None:
    with pytest.raises(BadInput, match=problem):
        validate(DataSettings, values)


def test_name_is_the_last_part_of_the_path() -> None:
    assert DataSettings(layout="coco", path="regions/ct_liver").name == "ct_liver"
    assert DataSettings(layout="phantom").name == "phantom"


def test_describe_counts(tmp_path: Path) -> None:
    data, _ = load_images([write_set(tmp_path / "set")], 0)
    rows = describe(data)
    assert [row["split"] for row in rows] == ["train", "val"]
    assert sum(row["images"] for row in rows) == sum(row["regions"] for row in rows) == 12
    assert {(row["dataset"], row["modality"], row["phrases"]) for row in rows} == {("set", "ct", 1)}
    part = data.filter(lambda row: row["split"] == "val")
    assert describe(part) == rows[1:]


def _change(data: Dataset, **changes: Any) -> Dataset:
    rows = data.to_list()
    rows[1] = {**rows[1], **changes}
    return Dataset.from_list(rows, features=IMAGE_FEATURES)


def _region(**changes: Any) -> dict[str, Any]:
    row = {"phrase": "liver", "box_xyxy_px": [3, 2, 9, 5], "score": 1.0, "path": [], "mask_rle": mask_to_rle(MASK)}
    return {**row, **changes}


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"image_path": "/nowhere/a.png"}, "no such image"),
        ({"size_px": [13, 8]}, "pixels, not"),
        ({"image_id": "set/0.png"}, "occurs again"),
        ({"modality": "smell"}, "unknown modality"),
        ({"regions": [_region(box_xyxy_px=[3, 2, 13, 5])]}, "leaves the image"),
        ({"regions": [_region(box_xyxy_px=[4, 2, 9, 5])]}, "leaves its box"),
        ({"regions": [_region(mask_rle=mask_to_rle(MASK.T))]}, "mask of 'liver'"),
        ({"regions": [_region(mask_rle={"size": [8, 12], "counts": [5]})]}, "RLE"),
    ],
)
def test_check_names_each_fault_and_only_faults(tmp_path: Path, changes: dict[str, Any], problem: str) -> None:
    data, _ = load_images([write_set(tmp_path / "set", 3)], 0)
    assert not check(data).entries
    faults = check(_change(data, **changes)).entries
    assert len(faults) == 1
    assert problem in faults[0]["why"]


def test_export_comes_back_whole(tmp_path: Path) -> None:
    data, _ = load_images([write_set(tmp_path / "set")], 0)
    shards = export(data, tmp_path / "out", rows_per_shard=5)
    assert len(shards) == 3
    back = Dataset.from_parquet([str(shard) for shard in shards], cache_dir=str(tmp_path / "cache"))
    assert isinstance(back, Dataset)
    assert back.features == IMAGE_FEATURES
    assert back.to_list() == data.to_list()
    counts = json.loads((tmp_path / "out" / "counts.json").read_text())
    assert counts == {"studies": 12, "shards": [shard.name for shard in shards], "sets": describe(data)}


def test_an_export_streams_by_plain_datasets(tmp_path: Path) -> None:
    data, _ = load_images([write_set(tmp_path / "set")], 0)
    files = [str(shard) for shard in export(data, tmp_path / "out", rows_per_shard=5)]
    assert list(load_dataset("parquet", data_files=files, split="train", streaming=True)) == data.to_list()
    pattern = str(tmp_path / "out" / "studies-*.parquet")
    assert len(list(load_dataset("parquet", data_files=pattern, split="train", streaming=True))) == 12


def test_a_second_export_replaces_the_first(tmp_path: Path) -> None:
    data, _ = load_images([write_set(tmp_path / "set")], 0)
    export(data, tmp_path / "out", rows_per_shard=2)
    shards = export(data, tmp_path / "out")
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["counts.json", *(s.name for s in shards)]
    with pytest.raises(BadInput, match="nothing to export"):
        export(data.select([]), tmp_path / "none")


def test_a_new_layout_is_a_file_and_a_row(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_set(tmp_path / "set", 2)

    def read(folder: Path, skipped: Skipped, *, phrase: str) -> Iterator[AnnotatedImage]:
        yield from (replace(image, phrases=(phrase,), regions=()) for image in coco.read(folder, skipped))

    module = ModuleType("toy_layout")
    monkeypatch.setattr(module, "read", read, raising=False)
    monkeypatch.setitem(sys.modules, "toy_layout", module)
    row = Layout(module="toy_layout", files="toy.csv", options=("phrase",), needs={"phrase": "what is looked for"})
    monkeypatch.setitem(LAYOUTS, "toy", row)
    values = {"layout": "toy", "path": str(tmp_path / "set")}
    with pytest.raises(BadInput, match="needs what is looked for"):
        validate(DataSettings, values)
    with pytest.raises(BadInput, match=r"'classes'.*has no use for it"):
        validate(DataSettings, {**values, "phrase": "polyp", "classes": {1: "liver"}})
    data, _ = load_images([validate(DataSettings, {**values, "phrase": "polyp"})], 0)
    assert data["phrases"][:] == [["polyp"], ["polyp"]]


def test_body_parts_are_as_the_file_tells_them_else_as_the_settings(tmp_path: Path) -> None:
    settings = write_set(tmp_path / "set", 2).model_copy(update={"body_part": "colon"})
    file = tmp_path / "set" / "annotations.json"
    content = json.loads(file.read_text())
    content["images"][0]["body_site"] = "Spinal cord (rat)"
    file.write_text(json.dumps(content))
    data, _ = load_images([settings], 0)
    assert data["body_part"][:] == ["spinal cord", "colon"]
    assert [image.body_part for image in images(data)] == ["spinal cord", "colon"]


def test_rows_written_before_there_were_body_parts_load(tmp_path: Path) -> None:
    data, _ = load_images([write_set(tmp_path / "set", 3)], 0)
    old = data.remove_columns("body_part")
    assert upgrade_data(old).features == IMAGE_FEATURES
    assert row_to_image(old[0]).body_part == ""
    assert upgrade_table(old.data.table).column_names == data.column_names
