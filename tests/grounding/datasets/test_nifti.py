"""NIfTI volumes: slices look radiological whatever the file's orientation, masks lie where the pixels do."""

import json
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
from PIL import Image

from medglip.grounding import AnnotatedImage, BadInput, Skipped
from medglip.grounding.datasets.layouts import nifti
from medglip.grounding.datasets.load import load_images
from medglip.grounding.datasets.settings import DataSettings, SliceSettings
from medglip.grounding.imaging import nifti as volumes
from medglip.grounding.imaging.nifti import plane, read_labels, read_volume, resize, square_size

SHAPE = (10, 8, 6)
BLOCK = np.zeros(SHAPE, np.int16)
BLOCK[7:9, 5:8, 3:5] = 1  # patient's right, front, towards the head
SPOT = np.zeros(SHAPE, np.int16)
SPOT[1, 1, 3] = 1


def write(path: Path, values: np.ndarray, spacing: tuple[float, ...] = (1, 1, 1), turn: str = "RAS") -> Path:
    """A volume given in RAS order, stored in another orientation."""
    path.parent.mkdir(parents=True, exist_ok=True)
    image: Any = nibabel.Nifti1Image(values, np.diag([*spacing, 1.0]))
    to = nibabel.orientations.axcodes2ornt(tuple(turn))
    nibabel.save(
        image.as_reoriented(nibabel.orientations.ornt_transform(nibabel.io_orientation(image.affine), to)), path
    )
    return path


def read(folder: Path, cache: Path, **options: Any) -> tuple[list[AnnotatedImage], str]:
    slices = SliceSettings(**{"step": 1, "min_area": 0, "folder": str(cache), **options.pop("slices", {})})
    skipped = Skipped()
    found = list(nifti.read(folder, skipped, slices=slices, **options))
    return found, "\n".join(entry["why"] for entry in skipped.entries)


def write_decathlon(folder: Path, turn: str = "RAS", spacing: tuple[float, ...] = (1, 1, 1)) -> Path:
    """CT of 100 HU in the block and -1000 elsewhere; its label map, liver 1 and spleen 2."""
    write(folder / "imagesTr" / "case_0000.nii.gz", np.where(BLOCK, 100, -1000).astype(np.int16), spacing, turn)
    write(folder / "labelsTr" / "case.nii.gz", (BLOCK + 2 * SPOT).astype(np.uint8), spacing, turn)
    labels = {"background": 0, "liver": 1, "spleen": 2, "kidney": 3}
    (folder / "dataset.json").write_text(json.dumps({"channel_names": {"0": "CT"}, "labels": labels}))
    for part in ("imagesTr", "labelsTr"):
        (folder / part / "._case.nii.gz").write_bytes(b"macOS")
    return folder


def write_total(folder: Path) -> Path:
    """TotalSegmentator: a subject of the training part with three classes, one of them absent."""
    write(folder / "s0001" / "ct.nii.gz", np.where(BLOCK, 100, -1000).astype(np.int16))
    for name, mask in (("kidney_right", BLOCK), ("spleen", SPOT), ("liver", BLOCK * 0)):
        write(folder / "s0001" / "segmentations" / f"{name}.nii.gz", mask.astype(np.uint8))
    (folder / "meta.csv").write_text("image_id;age;gender;split\ns0001;55;m;val\n")
    return folder


@pytest.mark.parametrize("turn", ["RAS", "LPS", "SAR", "IPL"])
def test_slices_do_not_depend_on_how_the_file_is_turned(tmp_path: Path, turn: str) -> None:
    volume = read_volume(write(tmp_path / "a.nii.gz", BLOCK, (1, 2, 3), turn))
    assert np.array_equal(volume.values, BLOCK)
    assert volume.spacing_mm == pytest.approx((1, 2, 3))
    assert np.argwhere(plane(volume.values, "axial", 3)).mean(0).tolist() == [1, 1.5]  # top left: front, right
    assert np.argwhere(plane(volume.values, "coronal", 6)).mean(0).tolist() == [1.5, 1.5]  # head up, right at the left
    assert np.argwhere(plane(volume.values, "sagittal", 8)).mean(0).tolist() == [1.5, 1]  # head up, front at the left


def test_square_pixels_have_the_finer_spacing() -> None:
    assert square_size((10, 6), (1, 3)) == (10, 18)
    assert square_size((10, 6), (1, 1.005)) == (10, 6)
    mask = np.eye(4, dtype=bool)
    assert resize(mask, (8, 8)).dtype == bool
    assert resize(mask, (8, 8)).sum() == 4 * mask.sum()


@pytest.mark.parametrize("turn", ["RAS", "LPI"])
@pytest.mark.parametrize("axis", ["axial", "coronal", "sagittal"])
def test_masks_lie_on_their_pixels(tmp_path: Path, axis: str, turn: str) -> None:
    folder = write_decathlon(tmp_path / "set", turn, (1, 1, 2))
    found, why = read(folder, tmp_path / "cache", slices={"axis": axis})
    assert why == ""
    assert found
    for image in found:
        assert (image.modality, image.group, image.phrases) == ("ct", "case", ("liver", "spleen", "kidney"))
        bright = np.asarray(Image.open(image.image_path)) > 100
        assert image.size_px == bright.shape[::-1]
        for region in image.regions:
            assert region.mask is not None
            if region.phrase == "liver":
                agree = (region.mask & bright).sum() / (region.mask | bright).sum()
                assert agree == 1 if axis == "axial" else agree > 0.6  # smoothed where it is stretched


def test_spacing_is_ignored_only_if_said(tmp_path: Path) -> None:
    folder = write_decathlon(tmp_path / "set", spacing=(1, 1, 2))
    (square, *_), _ = read(folder, tmp_path / "cache", slices={"axis": "coronal"})
    (raw, *_), _ = read(folder, tmp_path / "cache", slices={"axis": "coronal", "square_pixels": False})
    assert (square.size_px, raw.size_px) == ((10, 12), (10, 6))


def test_a_file_a_class_with_split_and_absent_classes(tmp_path: Path) -> None:
    found, why = read(write_total(tmp_path / "set"), tmp_path / "cache")
    assert [image.image_id for image in found] == ["set/s0001/axial-0003", "set/s0001/axial-0004"]
    assert [[region.phrase for region in image.regions] for image in found] == [
        ["right kidney", "spleen"],
        ["right kidney"],
    ]
    assert all(set(image.phrases) == {"right kidney", "spleen", "liver"} for image in found)
    assert [(image.split, image.modality) for image in found] == [("val", "ct")] * 2
    assert why == ""


@pytest.mark.parametrize(
    ("rows", "split", "said"),
    [
        ("s0001 ,Val\n", "val", ""),
        ("s0001,train\ns0001,test\n", "test", ""),  # what may be scored is not trained on
        ("s0001,training\nx,val\n", None, "names none of the subjects, such as s0001"),
        ("s0002,val\n", None, "names none of the subjects, such as s0001"),
    ],
)
def test_splits_meet_their_subjects_or_are_told(tmp_path: Path, rows: str, split: str | None, said: str) -> None:
    folder = write_total(tmp_path / "set")
    (folder / "meta.csv").write_text("image_id,split\n" + rows)
    try:
        found, why = read(folder, tmp_path / "cache")
    except BadInput as error:
        found, why = [], str(error)
    assert {image.split for image in found} <= {split}
    assert said in why


def test_files_of_one_phrase_are_one_class(tmp_path: Path) -> None:
    folder = write_total(tmp_path / "set")
    write(folder / "s0001" / "segmentations" / "right_kidney.nii.gz", SPOT.astype(np.uint8))
    (first, _), _ = read(folder, tmp_path / "cache")
    (kidney,) = (region for region in first.regions if region.phrase == "right kidney")
    assert kidney.mask is not None
    assert kidney.mask.sum() == 6 + 1


def test_small_classes_are_unknown_and_not_absent(tmp_path: Path) -> None:
    (first, second), _ = read(write_total(tmp_path / "set"), tmp_path / "cache", slices={"min_area": 0.02})
    assert set(first.phrases) == {"right kidney", "liver"}
    assert set(second.phrases) == {"right kidney", "liver", "spleen"}


def test_steps_and_empty_slices(tmp_path: Path) -> None:
    folder = write_total(tmp_path / "set")
    assert [len(read(folder, tmp_path / "c", slices={"step": step})[0]) for step in (1, 2, 6)] == [2, 1, 1]
    found, _ = read(folder, tmp_path / "c", slices={"keep_empty": True})
    assert len(found) == SHAPE[2]
    assert found[0].regions == ()
    assert len(found[0].phrases) == 3


def test_slices_are_written_once_and_again_when_they_should_look_otherwise(tmp_path: Path) -> None:
    folder, cache = write_total(tmp_path / "set"), tmp_path / "cache"
    first, _ = read(folder, cache)
    times = [image.image_path.stat().st_mtime_ns for image in first]
    first[1].image_path.unlink()
    again, _ = read(folder, cache)
    assert [image.image_path for image in again] == [image.image_path for image in first]
    assert again[0].image_path.stat().st_mtime_ns == times[0]
    assert again[1].image_path.is_file()
    other, _ = read(folder, cache, slices={"window": (-1350, 150)})
    assert other[0].image_path != first[0].image_path


def test_classes_of_the_settings_come_before_those_of_the_folder(tmp_path: Path) -> None:
    found, why = read(write_decathlon(tmp_path / "set"), tmp_path / "c", classes={1: "kidney_right"})
    assert {region.phrase for image in found for region in image.regions} == {"right kidney"}
    assert "value 2 has no name" in why


def test_channels_of_four_dimensions(tmp_path: Path) -> None:
    file = write(tmp_path / "a.nii.gz", np.stack([BLOCK, SPOT], -1))
    assert np.array_equal(read_volume(file, 1).values, SPOT)
    with pytest.raises(BadInput, match="has 2 channels"):
        read_volume(file, 2)


def write_scaled(path: Path, stored: np.ndarray, slope: float) -> Path:
    """Stored values that the header scales, as a few exporters write labels."""
    image: Any = nibabel.Nifti1Image(stored, np.eye(4))
    image.header.set_slope_inter(slope, 0)
    path.parent.mkdir(parents=True, exist_ok=True)
    nibabel.save(image, path)
    return path


@pytest.mark.parametrize("top", [255, 3, 7])
def test_labels_that_went_through_a_scale_are_whole(tmp_path: Path, top: int) -> None:
    folder = write_decathlon(tmp_path / "set")
    write_scaled(folder / "labelsTr" / "case.nii.gz", (BLOCK * top).astype(np.uint8), 1 / top)
    images, why = read(folder, tmp_path / "cache")
    assert [image.regions[0].phrase for image in images] == ["liver", "liver"]
    assert why == ""


def test_labels_in_floats_are_read_and_fractions_refused(tmp_path: Path) -> None:
    whole = write(tmp_path / "a.nii.gz", BLOCK.astype(np.float32))
    assert np.array_equal(read_labels(whole).values, read_volume(whole).values)
    with pytest.raises(BadInput, match=r"b\.nii\.gz: fractions hold no classes.*Fix:"):
        read_labels(write(tmp_path / "b.nii.gz", BLOCK.astype(np.float32) / 2))


def test_classes_are_unknown_on_slices_with_unnamed_values(tmp_path: Path) -> None:
    """Spleen and kidney are absent where every value has a name, and unknown where 9 might be either."""
    folder = write_decathlon(tmp_path / "set")
    write(folder / "labelsTr" / "case.nii.gz", (BLOCK + 9 * SPOT).astype(np.uint8))
    images, why = read(folder, tmp_path / "cache", slices={"keep_empty": True})
    phrases = {image.image_id[-4:]: set(image.phrases) for image in images}
    assert "value 9 has no name" in why
    assert (phrases["0003"], phrases["0004"]) == ({"liver"}, {"liver", "spleen", "kidney"})


def test_volumes_are_measured_before_they_are_unpacked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = write(tmp_path / "a.nii.gz", BLOCK)
    monkeypatch.setattr(volumes, "MAX_VOLUME_BYTES", BLOCK.nbytes - 1)
    with pytest.raises(BadInput, match=r"a\.nii\.gz: the volume is too large.*Fix:"):
        read_volume(file)


@pytest.mark.parametrize("shape", [(5,), (5, 4), (2, 2, 2, 2, 2)])
def test_other_numbers_of_axes_are_no_volume(tmp_path: Path, shape: tuple[int, ...]) -> None:
    nibabel.save(nibabel.Nifti1Image(np.zeros(shape, np.int16), np.eye(4)), tmp_path / "a.nii")
    with pytest.raises(BadInput, match="no volume of three axes"):
        read_volume(tmp_path / "a.nii")


def test_bad_volumes_are_listed_and_the_rest_goes_on(tmp_path: Path) -> None:
    folder = write_decathlon(tmp_path / "set")
    for name in ("cut", "text", "grid", "alone", "flip"):
        write(folder / "labelsTr" / f"{name}.nii.gz", BLOCK.astype(np.uint8))
    for name in ("cut", "text", "flip"):
        write(folder / "imagesTr" / f"{name}.nii.gz", BLOCK)
    data = (folder / "imagesTr" / "cut.nii.gz").read_bytes()
    (folder / "imagesTr" / "cut.nii.gz").write_bytes(data[: len(data) // 2])
    (folder / "imagesTr" / "flip.nii.gz").write_bytes(data[:40] + bytes(20) + data[60:])
    (folder / "imagesTr" / "text.nii.gz").write_text("no volume")
    write(folder / "imagesTr" / "grid.nii.gz", BLOCK, (2, 2, 2))
    found, why = read(folder, tmp_path / "cache")
    assert {image.group for image in found} == {"case"}
    for part in ("cut.nii.gz", "text.nii.gz", "flip.nii.gz", "other voxels", "alone.nii.gz: no such volume"):
        assert part in why
    assert len(why.splitlines()) == 5


def test_a_folder_needs_volumes_and_names(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="no volumes"):
        read(tmp_path, tmp_path)
    folder = write_decathlon(tmp_path / "set")
    (folder / "dataset.json").unlink()
    with pytest.raises(BadInput, match="classes"):
        read(folder, tmp_path)


def test_volumes_load_by_their_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MEDGLIP_CACHE", str(tmp_path / "cache"))
    slices = SliceSettings(step=1, min_area=0)
    settings = DataSettings(layout="nifti", path=str(write_total(tmp_path / "set")), slices=slices)
    data, _ = load_images([settings], 0)
    assert set(data["split"]) == {"val"}
    assert all(Path(path).is_relative_to(tmp_path / "cache") for path in data["image_path"])
