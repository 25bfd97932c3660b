"""DICOM segmentations: frames find their images, bits their pixels, and nothing of the patient comes out."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom import Dataset
from pydicom.dataset import FileMetaDataset
from pydicom.pixels import pack_bits
from pydicom.uid import UID, CTImageStorage, ExplicitVRLittleEndian, SegmentationStorage, generate_uid

from medglip.grounding import AnnotatedImage, BadInput, Skipped
from medglip.grounding.datasets.layouts import dicom_seg
from medglip.grounding.datasets.load import load_images
from medglip.grounding.datasets.settings import DataSettings
from medglip.grounding.grounders.pretrained import load_grounder

SHAPE = (6, 7)  # 42 pixels: frames of bits do not begin at bytes
SECRETS = ("Doe", "4711", "19700102")
FIRST, SECOND = np.zeros(SHAPE, bool), np.zeros(SHAPE, bool)
FIRST[1:3, 2:5] = True
SECOND[4, 0] = SECOND[4, 6] = True
UIDS = [generate_uid(entropy_srcs=[str(k)]) for k in range(4)]
AXIAL = [1, 0, 0, 0, 1, 0]


def save(path: Path, header: Dataset, kind: UID, uid: UID, image: str = "1.2.3") -> Path:
    header.file_meta = FileMetaDataset()
    header.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    header.file_meta.MediaStorageSOPClassUID = header.SOPClassUID = kind
    header.file_meta.MediaStorageSOPInstanceUID = header.SOPInstanceUID = uid
    header.PatientName, header.PatientID, header.PatientBirthDate = "Doe^Jane", "4711", "19700102"
    header.StudyInstanceUID = image
    header.SamplesPerPixel, header.PhotometricInterpretation, header.PixelRepresentation = 1, "MONOCHROME2", 0
    header.Rows, header.Columns = SHAPE
    path.parent.mkdir(parents=True, exist_ok=True)
    header.save_as(path, enforce_file_format=True)
    return path


def write_image(path: Path, uid: UID, image: str = "1.2.3", orientation: list[float] | None = None) -> Path:
    header = Dataset()
    header.Modality, header.ImageOrientationPatient = "CT", orientation or AXIAL
    header.BitsAllocated = header.BitsStored = 16
    header.HighBit, header.PixelData = 15, np.arange(42, dtype=np.uint16).tobytes()
    return save(path, header, CTImageStorage, uid, image)


def item(**elements: Any) -> Dataset:
    found = Dataset()
    for name, value in elements.items():
        setattr(found, name, value)
    return found


def segment(number: int, label: str, kind: str = "", side: str = "") -> Dataset:
    sides = [item(CodeMeaning=side)] if side else []
    code = item(CodeMeaning=kind, SegmentedPropertyTypeModifierCodeSequence=sides)
    return item(SegmentNumber=number, SegmentLabel=label, SegmentedPropertyTypeCodeSequence=[code])


def frame(number: int, uid: str) -> Dataset:
    source = item(ReferencedSOPClassUID=CTImageStorage, ReferencedSOPInstanceUID=uid)
    return item(
        SegmentIdentificationSequence=[item(ReferencedSegmentNumber=number)],
        DerivationImageSequence=[item(SourceImageSequence=[source])] if uid else [],
    )


def write_seg(
    path: Path, segments: list[Dataset], frames: Sequence[tuple[int, str, np.ndarray]], **elements: Any
) -> Path:
    """A segmentation of the series of the first three images."""
    header = item(Modality="SEG", SegmentationType="BINARY", SegmentSequence=segments, NumberOfFrames=len(frames))
    series = [item(ReferencedSOPInstanceUID=uid) for uid in UIDS[:3]]
    header.ReferencedSeriesSequence = [item(SeriesInstanceUID="1.2.3.4", ReferencedInstanceSequence=series)]
    plane = item(PlaneOrientationSequence=[item(ImageOrientationPatient=elements.pop("orientation", AXIAL))])
    header.SharedFunctionalGroupsSequence = [plane]
    header.PerFrameFunctionalGroupsSequence = [frame(number, uid) for number, uid, _ in frames]
    pixels = np.stack([mask for *_, mask in frames])
    bits = elements.pop("bits", 1)
    header.BitsAllocated = header.BitsStored = bits
    header.HighBit = bits - 1
    header.PixelData = pack_bits(pixels.astype(np.uint8).ravel()) if bits == 1 else pixels.astype(np.uint8).tobytes()
    for name, value in elements.items():
        setattr(header, name, value)
    return save(path, header, SegmentationStorage, generate_uid())


def write_set(folder: Path, **elements: Any) -> Path:
    """Three images of one patient and one of nobody's segmentation; a liver on the first, two kidneys on the second."""
    for k, uid in enumerate(UIDS):
        write_image(folder / "ct" / f"{k}.dcm", uid, image=f"1.2.{k}")
    segments = [segment(1, "Liver"), segment(2, "Segment 2", "Kidney", "Left"), segment(3, "Spleen")]
    frames = [(1, UIDS[0], FIRST), (2, UIDS[1], SECOND), (1, UIDS[1], FIRST)]
    write_seg(folder / "seg" / "a.dcm", segments, frames, **elements)
    return folder


def read(folder: Path, **options: Any) -> tuple[list[AnnotatedImage], str]:
    skipped = Skipped()
    return list(dicom_seg.read(folder, skipped, **options)), "\n".join(entry["why"] for entry in skipped.entries)


def test_frames_find_their_images_and_images_without_frames_are_negatives(tmp_path: Path) -> None:
    found, why = read(write_set(tmp_path / "set"))
    assert [image.image_id for image in found] == [f"set/ct/{k}.dcm" for k in range(3)]  # the fourth is not referred to
    assert [[region.phrase for region in image.regions] for image in found] == [["liver"], ["left kidney", "liver"], []]
    assert np.array_equal(found[0].regions[0].mask, FIRST)  # pyright: ignore[reportArgumentType]
    assert np.array_equal(found[1].regions[0].mask, SECOND)  # pyright: ignore[reportArgumentType]
    assert found[1].regions[1].box_xyxy_px.tolist() == [2, 1, 5, 3]
    assert all(set(image.phrases) == {"liver", "left kidney", "spleen"} for image in found)
    assert ({image.modality for image in found}, why) == ({"ct"}, "")


def test_components_of_a_segment(tmp_path: Path) -> None:
    found, _ = read(write_set(tmp_path), components=True)
    assert [region.phrase for region in found[1].regions] == ["left kidney", "left kidney", "liver"]


def test_studies_of_a_patient_are_one_group_and_no_field_of_the_patient_comes_out(tmp_path: Path) -> None:
    folder = write_set(tmp_path / "set")
    write_seg(folder / "seg" / "bad.dcm", [segment(1, "")], [(1, UIDS[0], FIRST)])
    (folder / "seg" / "cut.dcm").write_bytes((folder / "seg" / "a.dcm").read_bytes()[:600])
    found, why = read(folder)
    assert len({image.group for image in found}) == 1
    text = f"{found} {why}"
    assert not [secret for secret in (*SECRETS, "1.2.0") if secret in text]


def test_fractions_and_label_maps(tmp_path: Path) -> None:
    segments = [segment(1, "Liver"), segment(2, "Spleen")]
    for folder in ("fraction", "map"):
        write_image(tmp_path / folder / "0.dcm", UIDS[0])
    fraction = FIRST * 200 + SECOND * 100
    write_seg(
        tmp_path / "fraction" / "s.dcm", segments, [(1, UIDS[0], fraction)], bits=8, SegmentationType="FRACTIONAL"
    )
    values = FIRST * 1 + SECOND * 2
    write_seg(tmp_path / "map" / "s.dcm", segments, [(1, UIDS[0], values)], bits=8, SegmentationType="LABELMAP")
    (one,), _ = read(tmp_path / "fraction")
    (two,), _ = read(tmp_path / "map")
    assert np.array_equal(one.regions[0].mask, FIRST)  # pyright: ignore[reportArgumentType]
    assert [region.phrase for region in two.regions] == ["liver", "spleen"]
    assert np.array_equal(two.regions[1].mask, SECOND)  # pyright: ignore[reportArgumentType]


def test_numbers_of_segments_are_no_part_of_a_phrase(tmp_path: Path) -> None:
    write_image(tmp_path / "0.dcm", UIDS[0])
    segments = [segment(1, "Odd thing 1", "Mass"), segment(2, "Odd_thing-2", "Mass"), segment(3, "ROI", "Strange mass")]
    segments.append(segment(4, "Kidney", "Kidney", "Right"))
    write_seg(tmp_path / "s.dcm", segments, [(k, UIDS[0], FIRST) for k in (1, 2, 3, 4)])
    (image,), _ = read(tmp_path)
    assert [region.phrase for region in image.regions] == ["odd thing", "odd thing", "strange mass", "right kidney"]


@pytest.mark.parametrize(
    ("frames", "elements", "reason"),
    [
        ([(1, "1.9.9", FIRST)], {}, "not in this folder"),
        ([(1, "", FIRST)], {}, "not in this folder"),
        ([(9, UIDS[0], FIRST)], {}, "has no 9"),
        ([(1, UIDS[0], FIRST)], {"orientation": [0, 1, 0, 0, 0, -1]}, "lies across"),
    ],
)
def test_bad_frames_are_listed_and_the_rest_goes_on(
    tmp_path: Path, frames: list[Any], elements: dict[str, Any], reason: str
) -> None:
    folder = write_set(tmp_path)
    write_seg(folder / "seg" / "b.dcm", [segment(1, "Pancreas")], frames, **elements)
    found, why = read(folder)
    assert [len(image.regions) for image in found] == [1, 2, 0]
    assert reason in why
    assert "b.dcm: row frame 1" in why
    assert "pancreas" in found[2].phrases


def test_a_lost_frame_makes_its_phrase_unknown(tmp_path: Path) -> None:
    folder = write_set(tmp_path)
    frames = [(1, UIDS[0], FIRST)]
    write_seg(folder / "seg" / "b.dcm", [segment(1, "Pancreas")], frames, orientation=[0, 1, 0, 0, 0, -1])
    found, _ = read(folder)
    assert ["pancreas" in image.phrases for image in found] == [False, True, True]


def test_segmentations_of_nothing_are_listed_and_a_folder_needs_one(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="no DICOM segmentation"):
        read(tmp_path)
    write_seg(tmp_path / "a.dcm", [segment(1, "Liver")], [(1, UIDS[0], FIRST)])
    found, why = read(tmp_path)
    assert found == []
    assert "refers to no image of this folder" in why


def test_segmentations_load_by_their_settings(tmp_path: Path) -> None:
    data, skipped = load_images([DataSettings(layout="dicom_seg", path=str(write_set(tmp_path / "set")))], 0)
    assert len(data) == 3
    assert not skipped.entries


def test_a_segmentation_finds_regions_on_its_images_wherever_they_lie(tmp_path: Path) -> None:
    folder = write_set(tmp_path / "set")
    grounder = load_grounder(str(folder / "seg" / "a.dcm"))
    images, _ = read(folder)
    found = grounder.ground(images, [["liver", "left kidney"]] * 3)
    assert [{region.phrase for region in row} for row in found] == [{"liver"}, {"left kidney", "liver"}, set()]
    assert np.array_equal(found[0][0].mask, FIRST)  # pyright: ignore[reportArgumentType]
    nobody = replace(images[0], image_path=folder / "ct" / "3.dcm")
    with pytest.raises(BadInput, match="has no picture"):
        grounder.ground([nobody], [["liver"]])
