"""Many sets become one: our labels, tight boxes, no picture twice, whole groups, the same bytes after a kill."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from datasets import load_dataset
from PIL import Image

from medglip.grounding import BadInput
from medglip.grounding.bad_input import Skipped
from medglip.grounding.datasets.building import build as build_module
from medglip.grounding.datasets.building.build import build, build_shard
from medglip.grounding.datasets.building.built import BUILT_FEATURES, read, rows
from medglip.grounding.datasets.building.card import CardFacts
from medglip.grounding.datasets.building.harmonize import label_of, rle_to_box
from medglip.grounding.datasets.building.manifest import BuildSettings, SourceSettings
from medglip.grounding.datasets.load import load_images
from medglip.grounding.datasets.schema import AnnotatedImages, to_dataset
from medglip.grounding.datasets.settings import DataSettings
from medglip.grounding.geometry import mask_to_box, mask_to_rle
from medglip.grounding.imaging.read import read_image
from medglip.grounding.parts.work import Workers
from medglip.grounding.settings import validate

SIZE = (40, 30)
MASK = np.zeros(SIZE[::-1], bool)
MASK[5:12, 8:20] = True


def picture(seed: int) -> Image.Image:
    """Smooth noise: no two seeds look alike, and it survives JPEG."""
    pixels = np.random.default_rng(seed).integers(0, 256, (6, 8, 3), np.uint8)
    return Image.fromarray(pixels).resize(SIZE, Image.Resampling.BICUBIC)


def write_coco(folder: Path, pictures: list[Image.Image], names: tuple[str, ...] = ("liver",), groups: int = 5) -> None:
    """A COCO folder: on each picture a loose box with a mask for each name."""
    (folder / "images").mkdir(parents=True)
    images, annotations = [], []
    for k, image in enumerate(pictures):
        image.save(folder / "images" / f"{k}.png")
        images.append({"id": k, "file_name": f"{k}.png", "modality": "CT", "group": f"p{k % groups}"})
        for number in range(len(names)):
            row = {"bbox": [2, 2, 30, 20], "segmentation": mask_to_rle(MASK)}
            annotations.append({"id": len(annotations), "image_id": k, "category_id": number, **row})
    categories = [{"id": number, "name": name} for number, name in enumerate(names)]
    content = {"images": images, "annotations": annotations, "categories": categories}
    (folder / "annotations.json").write_text(json.dumps(content))


Make = Callable[..., BuildSettings]


@pytest.fixture
def two_sets(tmp_path: Path) -> Make:
    """Sets of 10 pictures; of the second one picture is the first's, one the first's as a smaller JPEG."""
    write_coco(tmp_path / "one", [picture(k) for k in range(10)])
    picture(4).save(tmp_path / "small.jpg", quality=60)
    again = Image.open(tmp_path / "small.jpg").convert("RGB")
    write_coco(tmp_path / "two", [picture(3), again, *(picture(k) for k in range(20, 28))], ("Liver", "gizmo", "tumor"))

    def make(
        out: str = "out", one: dict[str, Any] | None = None, two: dict[str, Any] | None = None, **values: Any
    ) -> BuildSettings:
        sources = [
            {"layout": "coco", "path": str(tmp_path / name), "licence": "CC0", "val_fraction": 0.3, **(more or {})}
            for name, more in (("one", one), ("two", two))
        ]
        return validate(
            BuildSettings, {"name": "t", "out_dir": tmp_path / out, "sources": sources, "shard_rows": 6, **values}
        )

    return make


def excluded(settings: BuildSettings) -> list[dict[str, str]]:
    return [json.loads(line) for line in (settings.out_dir / "excluded.jsonl").read_text().splitlines()]


def test_rows_carry_labels_tight_boxes_and_provenance(two_sets: Make) -> None:
    settings = two_sets()
    facts = build(settings)
    built = list(rows(settings.out_dir))
    assert facts.kept == len(built) == 18
    for row in built:
        assert set(row) == set(BUILT_FEATURES)
        assert row["phrases"] == ["liver"]
        assert [region["phrase"] for region in row["regions"]] == ["liver"]
        assert row["regions"][0]["box_xyxy_px"] == mask_to_box(MASK).tolist()
        assert row["regions"][0]["path"][-1] == "liver"
        assert (row["modality"], row["body_region"], row["licence"], row["original_size_px"]) == (
            "ct",
            "abdomen",
            "CC0",
            [40, 30],
        )
        assert row["provenance"]["row"] == row["image_id"]
        assert row["source"] == row["dataset"] == row["image_id"].split("/")[0]


def test_copies_and_near_copies_of_an_earlier_set_go(two_sets: Make) -> None:
    settings = two_sets()
    build(settings)
    found = [(row["row"], row["kind"], row["why"]) for row in excluded(settings)]
    assert found == [
        ("two/0.png", "copy", "equal pixels: one/3.png"),
        ("two/1.png", "near copy", "looks like one/4.png"),
    ]
    exact = two_sets("exact", near_duplicates=False)
    build(exact)
    assert [row["row"] for row in excluded(exact)] == ["two/0.png"]


def test_a_train_copy_of_a_held_out_row_goes(tmp_path: Path, two_sets: Make) -> None:
    write_coco(tmp_path / "twins", [picture(k // 2) for k in range(20)], groups=20)  # each twice, in other groups
    source = SourceSettings(layout="coco", path=str(tmp_path / "twins"), val_fraction=0.4)
    settings = two_sets().model_copy(update={"sources": (source,)})
    build(settings)
    sides: dict[int, set[str]] = {}
    for row in rows(settings.out_dir):
        sides.setdefault(row["pixel_hash"], set()).add(row["split"])
    assert all(len(side) == 1 for side in sides.values())
    assert {row["kind"] for row in excluded(settings)} == {"copy"}


def test_unknown_and_ambiguous_labels_are_listed_and_never_guessed(two_sets: Make) -> None:
    facts = build(two_sets())
    assert [(row["its label"], row["how"], row["here"]) for row in facts.labels_of("unknown", "ambiguous")] == [
        ("gizmo", "unknown", ""),
        ("tumor", "ambiguous", ""),
    ]
    kept = two_sets("kept", unknown_labels="keep")
    build(kept)
    assert {tuple(row["phrases"]) for row in rows(kept.out_dir)} == {("liver",), ("liver", "gizmo", "tumor")}
    assert "gizmo" in (kept.out_dir / "README.md").read_text()


def test_the_manifest_says_what_a_label_means(two_sets: Make) -> None:
    settings = two_sets(two={"labels": {"Tumour": "liver tumor", "liver": None}})
    facts = build(settings)
    assert {tuple(row["phrases"]) for row in rows(settings.out_dir) if row["source"] == "two"} == {("liver tumor",)}
    assert {(row["its label"], row["here"]) for row in facts.labels_of("mapped", "left out")} == {
        ("tumor", "liver tumor"),
        ("liver", ""),
    }


def test_a_body_region_settles_what_it_can() -> None:
    source = SourceSettings(layout="coco", path="x", body_region="eye")
    assert label_of("hemorrhage", source, "drop")[0] in (None, "hemorrhage")
    assert label_of("gizmo", source, "keep") == ("gizmo", "unknown")


@pytest.mark.parametrize("split", ["keep", "hash"])
def test_groups_are_whole_and_split_as_the_set_alone_would_be(two_sets: Make, split: str) -> None:
    settings = two_sets(one={"split": split}, two={"split": split})
    build(settings)
    alone, _ = load_images([DataSettings(layout="coco", path=settings.sources[0].path, val_fraction=0.3)], 0)
    wanted = dict(zip(alone["image_id"][:], alone["split"][:], strict=True))
    found = {row["image_id"]: row["split"] for row in rows(settings.out_dir) if row["source"] == "one"}
    assert found == wanted
    assert set(found.values()) == {"train", "val"}


def test_a_second_call_does_nothing_and_another_manifest_is_refused(
    two_sets: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    facts = build(two_sets())
    monkeypatch.setattr(build_module, "_portions", None)
    assert build(two_sets()) == facts
    assert CardFacts.from_json(json.loads(json.dumps(facts.to_json()))) == facts
    with pytest.raises(BadInput, match="another manifest"):
        build(two_sets(seed=1))


def contents(folder: Path) -> dict[str, bytes]:
    files = (path for path in sorted(folder.iterdir()) if path.is_file() and path.name != ".lock")
    return {path.name: path.read_bytes() for path in files}


@pytest.mark.parametrize("kill_at", [0, 1, 2, 3, 4, 5, 6])
def test_the_bytes_are_the_same_after_a_kill(two_sets: Make, monkeypatch: pytest.MonkeyPatch, kill_at: int) -> None:
    monkeypatch.setattr(build_module, "_PART_ROWS", 7)
    build(two_sets("whole"))
    calls = 0
    write = build_module._write_whole

    def killed(*values: Any) -> None:
        nonlocal calls
        calls += 1
        if calls > kill_at:
            raise KeyboardInterrupt
        write(*values)

    with monkeypatch.context() as patch:
        patch.setattr(build_module, "_write_whole", killed)
        with pytest.raises(KeyboardInterrupt):
            build(two_sets("torn"))
    build(two_sets("torn"))
    assert contents(two_sets("torn").out_dir) == contents(two_sets("whole").out_dir)


@pytest.mark.slow
def test_workers_do_not_change_the_bytes(two_sets: Make) -> None:
    build(two_sets("alone"))
    build(two_sets("many"), workers=2)
    assert contents(two_sets("many").out_dir) == contents(two_sets("alone").out_dir)


@pytest.mark.parametrize("order", [(0, 1, 2), (3, 1, 2)])
def test_shards_of_a_build_make_its_bytes_and_the_last_one_ends_it(
    two_sets: Make, monkeypatch: pytest.MonkeyPatch, order: tuple[int, ...]
) -> None:
    monkeypatch.setattr(build_module, "_PART_ROWS", 7)
    whole = build(two_sets("whole"))
    ended = [build_shard(two_sets("torn"), Workers(shard=(k, 3))) for k in order]
    assert ended == [None, None, whole]
    assert contents(two_sets("torn").out_dir) == contents(two_sets("whole").out_dir)
    assert build_shard(two_sets("torn"), Workers(shard=(0, 3))) == whole  # once more: there is nothing to do


@pytest.mark.thorough
def test_ray_does_not_change_the_bytes(two_sets: Make) -> None:
    pytest.importorskip("ray", reason="Ray is not installed: pip install 'medglip[ray]'")
    build(two_sets("alone"))
    build(two_sets("many"), Workers(engine="ray", number=2))
    assert contents(two_sets("many").out_dir) == contents(two_sets("alone").out_dir)


@pytest.mark.parametrize("images", ["bytes", "path"])
def test_it_loads_by_plain_datasets_and_as_a_layout(
    two_sets: Make, images: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MEDGLIP_CACHE", str(tmp_path / "cache"))
    settings = two_sets(images=images)
    build(settings)
    files = [str(path) for path in sorted(settings.out_dir.glob("data-*.parquet"))]
    assert [pq.read_metadata(file).num_rows for file in files] == [6, 6, 6]
    streamed = list(load_dataset("parquet", data_files=files, split="train", streaming=True))
    assert len(streamed) == 18
    assert all((row["image"] is not None) == (images == "bytes") for row in streamed)
    skipped = Skipped()
    annotated_images = list(read(settings.out_dir, skipped))
    assert not skipped.entries
    for image, row in zip(annotated_images, streamed, strict=True):
        assert image.split == row["split"]
        assert read_image(image.image_path).size == image.size_px
        assert np.array_equal(image.regions[0].mask, MASK)  # pyright: ignore[reportArgumentType]
    as_set = DataSettings(layout="built", path=str(settings.out_dir))
    data, _ = load_images([as_set], 0)
    assert data.to_list() == to_dataset(annotated_images).to_list()
    assert data.cache_files, "not memory-mapped"
    (copy,) = (tmp_path / "cache" / "built").iterdir()
    written = copy.stat().st_mtime_ns
    few, _ = load_images([as_set.model_copy(update={"limit": 5})], 0)
    assert len(few) == 5
    assert copy.stat().st_mtime_ns == written
    if images == "bytes":
        shutil.rmtree(settings.out_dir / "images")
        assert read_image(next(iter(AnnotatedImages(load_images([as_set], 0)[0]))).image_path)


def test_built_sets_are_sources_too(two_sets: Make) -> None:
    first = two_sets("first")
    build(first)
    source = SourceSettings(layout="built", path=str(first.out_dir))
    again = BuildSettings(name="again", out_dir=first.out_dir.parent / "again", sources=(source,))
    build(again)
    keep = [name for name in BUILT_FEATURES if name != "split"]
    assert [[row[k] for k in keep] for row in rows(again.out_dir)] == [
        [row[k] for k in keep] for row in rows(first.out_dir)
    ]


def test_licences_of_a_table_and_only_those_taken(tmp_path: Path, two_sets: Make) -> None:
    (tmp_path / "one" / "meta.csv").write_text("filename,license\n0.png,CC BY\n1.png,CC BY-NC\n")
    settings = two_sets(one={"licence_table": {"file": "meta.csv"}}, licences=["CC BY", "CC0"])
    build(settings)
    found = {row["image_id"]: row["licence"] for row in rows(settings.out_dir)}
    assert found["one/0.png"] == "CC BY"
    assert found["one/2.png"] == "CC0"
    assert ("one/1.png", "licence") in {(row["row"], row["kind"]) for row in excluded(settings)}


def test_broken_pictures_are_named_and_the_rest_goes_on(tmp_path: Path, two_sets: Make) -> None:
    file = tmp_path / "one" / "images" / "2.png"
    file.write_bytes(file.read_bytes()[:-30])
    (tmp_path / "one" / "images" / "5.png").unlink()
    settings = two_sets()
    assert build(settings).kept == 16
    assert {(row["source"], row["kind"]) for row in excluded(settings)} >= {("one", "unreadable")}
    assert sum("2.png" in row["why"] or "5.png" in row["why"] for row in excluded(settings)) == 2


def test_no_header_of_a_picture_goes_along(tmp_path: Path, two_sets: Make) -> None:
    exif = Image.Exif()
    exif[0x010E] = "Secret Person"
    image = tmp_path / "one" / "images" / "0.png"
    picture(0).save(image.with_suffix(".jpg"), exif=exif)
    image.with_suffix(".jpg").rename(image)
    settings = two_sets()
    build(settings)
    assert b"Secret" not in b"".join(contents(settings.out_dir).values())
    assert b"Secret" not in next(iter(rows(settings.out_dir)))["image"]["bytes"]


def test_the_tight_box_of_runs_is_that_of_the_mask() -> None:
    rng = np.random.default_rng(0)
    for _ in range(200):
        mask = rng.random(tuple(rng.integers(1, 9, 2))) < rng.choice([0.05, 0.3, 0.95])
        wanted = mask_to_box(mask).tolist() if mask.any() else None
        assert rle_to_box(mask_to_rle(mask)) == wanted


@pytest.mark.parametrize(
    ("values", "problem"),
    [
        ({"labels": {"x": "livre"}}, "did you mean 'liver'"),
        ({"limit": 3}, "limit"),
        ({"license": "CC0"}, "did you mean 'licence'"),
        ({"labels": {"Tumour": "liver tumor", "tumors": None}}, "another meaning"),
    ],
)
def test_wrong_manifests_name_the_key(two_sets: Make, values: dict[str, Any], problem: str) -> None:
    with pytest.raises(BadInput, match=problem):
        two_sets(one=values)


def test_two_sets_of_one_name_need_a_new_name(two_sets: Make) -> None:
    with pytest.raises(BadInput, match="rename"):
        two_sets(two={"rename": "one"})
    assert two_sets(two={"rename": "three"}).sources[1].set_name == "three"


def test_nothing_left_is_an_error(two_sets: Make) -> None:
    with pytest.raises(BadInput, match="no row is left"):
        build(two_sets(licences=["MIT"]))


@pytest.mark.parametrize("name", ["absolute", "../elsewhere/private.png"])
def test_a_row_of_foreign_shards_names_images_of_its_folder_alone(
    two_sets: Make, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MEDGLIP_CACHE", str(tmp_path / "cache"))
    settings = two_sets(images="path")
    build(settings)
    folder = settings.out_dir
    assert len(list(read(folder, Skipped()))) == 18, "what was built here names images of any place"
    shard = min(folder.glob("data-*.parquet"))
    table = pq.read_table(shard)
    outside = str(tmp_path / "private.png") if name == "absolute" else name
    column = pa.array([outside] * len(table))
    pq.write_table(table.set_column(table.column_names.index("image_path"), "image_path", column), shard)
    skipped = Skipped()
    assert not list(read(folder, skipped))
    assert len(skipped.entries) == 18
    assert all("leaves the folder" in entry["why"] and "Fix:" in entry["why"] for entry in skipped.entries)
    assert len(list(read(folder, Skipped(), allow_outside=True))) == 18
    data = DataSettings(layout="built", path=str(folder))
    with pytest.raises(BadInput, match="leaves the folder"):
        load_images([data], 0)
    assert len(load_images([data.model_copy(update={"allow_outside": True})], 0)[0]) == 18
    source = {"layout": "built", "path": str(folder)}
    with pytest.raises(BadInput, match="no row is left"):
        build(validate(BuildSettings, {"name": "t", "out_dir": folder / "again", "sources": [source]}))


def test_a_set_built_by_version_0_1_is_read_and_built_again(two_sets: Make) -> None:
    settings = two_sets()
    build(settings)
    folder = settings.out_dir
    images = list(read(folder, Skipped()))
    for shard in folder.glob("data-*.parquet"):
        table = pq.read_table(shard)
        pq.write_table(table.rename_columns(["study_id", *table.column_names[1:]]), shard)
    assert [image.image_id for image in read(folder, Skipped())] == [image.image_id for image in images]
    data = [DataSettings(layout="built", path=str(folder))]
    assert load_images(data, 0)[0]["image_id"][:] == [image.image_id for image in images]
    again = {"name": "t", "out_dir": folder / "again", "sources": [{"layout": "built", "path": str(folder)}]}
    build(validate(BuildSettings, again))
    assert [row["image_id"] for row in rows(folder / "again")] == [image.image_id for image in images]
