"""DICOM pictures as a viewer shows them, and nothing of the patient."""

import re
import traceback
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom import Dataset, dcmread, dcmwrite
from pydicom.dataset import FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEGLosslessSV1,
    RLELossless,
    SecondaryCaptureImageStorage,
    generate_uid,
)

from medglip.grounding import BadInput
from medglip.grounding.imaging import dicom
from medglip.grounding.imaging.dicom import read_dicom
from medglip.grounding.imaging.read import image_size, read_image

SECRETS = ("Doe", "4711", "19700102", "Secret Clinic")
RAMP = np.arange(48, dtype=np.int32).reshape(6, 8)


def write(path: Path, pixels: np.ndarray, photometric: str = "MONOCHROME2", **elements: Any) -> Path:
    """A small DICOM file of the pixels, with a patient in it."""
    syntax = elements.pop("syntax", ExplicitVRLittleEndian)
    header = Dataset()
    header.file_meta = FileMetaDataset()
    header.file_meta.TransferSyntaxUID = syntax
    header.file_meta.MediaStorageSOPClassUID = header.SOPClassUID = SecondaryCaptureImageStorage
    header.file_meta.MediaStorageSOPInstanceUID = header.SOPInstanceUID = generate_uid()
    header.PatientName, header.PatientID, header.PatientBirthDate = "Doe^Jane", "4711", "19700102"
    header.InstitutionName, header.Modality = "Secret Clinic", "CT"
    is_colour = photometric in ("RGB", "YBR_FULL")
    header.SamplesPerPixel, header.PhotometricInterpretation = 3 if is_colour else 1, photometric
    if is_colour:
        header.PlanarConfiguration = 0
    header.Rows, header.Columns = pixels.shape[-3:-1] if is_colour else pixels.shape[-2:]
    if pixels.ndim - is_colour == 3:
        header.NumberOfFrames = len(pixels)
    bits = 8 * pixels.dtype.itemsize
    header.BitsAllocated = header.BitsStored = bits
    header.HighBit, header.PixelRepresentation = bits - 1, int(pixels.dtype.kind == "i")
    data = pixels.tobytes()
    header.PixelData = encapsulate([data]) if syntax.is_encapsulated else data
    if syntax.is_encapsulated:
        header["PixelData"].VR = "OB"
    for name, value in elements.items():
        setattr(header, name, value)
    header.save_as(path, enforce_file_format=True)
    return path


def grey(path: Path) -> np.ndarray:
    pixels = np.asarray(read_dicom(path).image)
    assert (pixels[..., 0] == pixels[..., 2]).all()
    return pixels[..., 0].astype(int)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int16])
@pytest.mark.parametrize("window", [{}, {"WindowCenter": 24, "WindowWidth": 20}])
def test_monochrome1_is_the_inverse_of_monochrome2(tmp_path: Path, dtype: type, window: dict[str, Any]) -> None:
    two = grey(write(tmp_path / "two.dcm", RAMP.astype(dtype), **window))
    one = grey(write(tmp_path / "one.dcm", RAMP.astype(dtype), "MONOCHROME1", **window))
    assert np.abs(one + two - 255).max() <= 1
    assert (two.min(), two.max()) == (0, 255)
    assert (np.diff(two.ravel()) >= 0).all()


def test_signed_values_keep_their_order(tmp_path: Path) -> None:
    shown = grey(write(tmp_path / "a.dcm", (RAMP - 24).astype(np.int16) * 1000))
    assert shown[0, 0] == 0
    assert shown[-1, -1] == 255


def test_window_acts_on_rescaled_values(tmp_path: Path) -> None:
    """Hounsfield -160 and below is black, 240 and above is white."""
    stored = np.array([[0, 864, 1064, 1264, 3000]], np.uint16)
    file = write(tmp_path / "a.dcm", stored, RescaleSlope=1, RescaleIntercept=-1024, WindowCenter=40.5, WindowWidth=401)
    shown = grey(file)[0]
    assert shown.tolist() == [0, 0, 128, 255, 255]


def test_first_of_several_windows_counts(tmp_path: Path) -> None:
    one = write(tmp_path / "a.dcm", RAMP.astype(np.uint16), WindowCenter=10, WindowWidth=8)
    two = write(tmp_path / "b.dcm", RAMP.astype(np.uint16), WindowCenter=[10, 40], WindowWidth=[8, 4])
    assert np.array_equal(grey(one), grey(two))


@pytest.mark.parametrize("window", [{"WindowCenter": 5, "WindowWidth": 0}, {"WindowCenter": "", "WindowWidth": ""}])
def test_empty_window_falls_back_to_percentiles(tmp_path: Path, window: dict[str, Any]) -> None:
    plain = write(tmp_path / "a.dcm", RAMP.astype(np.uint16))
    assert np.array_equal(grey(plain), grey(write(tmp_path / "b.dcm", RAMP.astype(np.uint16), **window)))


@pytest.mark.parametrize("photometric", ["MONOCHROME1", "MONOCHROME2"])
def test_constant_image_is_legal(tmp_path: Path, photometric: str) -> None:
    assert len(np.unique(grey(write(tmp_path / "a.dcm", np.full((4, 4), 9, np.uint16), photometric)))) == 1


def test_rgb_comes_back_as_it_was(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (4, 6, 3), np.uint8)
    assert np.array_equal(np.asarray(read_dicom(write(tmp_path / "a.dcm", pixels, "RGB")).image), pixels)


def test_ybr_becomes_rgb(tmp_path: Path) -> None:
    red = np.full((4, 4, 3), (76, 85, 255), np.uint8)
    shown = np.asarray(read_dicom(write(tmp_path / "a.dcm", red, "YBR_FULL")).image)[0, 0]
    assert np.abs(shown.astype(int) - (254, 0, 0)).max() <= 2


@pytest.mark.parametrize("frames", [1, 2, 5])
def test_middle_frame_is_shown(tmp_path: Path, frames: int) -> None:
    pixels = np.stack([np.full((4, 4), 10 * k, np.uint8) for k in range(frames)])
    file = write(tmp_path / "a.dcm", pixels, WindowCenter=128, WindowWidth=256)
    assert np.abs(grey(file) - 10 * (frames // 2)).max() <= 1


def test_size_spacing_and_modality(tmp_path: Path) -> None:
    file = write(tmp_path / "a.dcm", RAMP.astype(np.uint16), PixelSpacing=[0.5, 0.25], Modality="MR")
    found = read_dicom(file)
    assert (found.modality, found.spacing_mm, found.image.size) == ("mr", (0.25, 0.5), (8, 6))
    assert image_size(file) == (8, 6)


@pytest.mark.parametrize(("tag", "ours"), [("DX", "xray"), ("US", "ultrasound"), ("ZZ", "unknown"), ("", "unknown")])
def test_modality_tag_is_ours_or_unknown(tmp_path: Path, tag: str, ours: str) -> None:
    assert read_dicom(write(tmp_path / "a.dcm", RAMP.astype(np.uint8), Modality=tag)).modality == ours


@pytest.mark.parametrize("spacing", [[0, 1], ""])
def test_senseless_spacing_is_none(tmp_path: Path, spacing: Any) -> None:
    assert read_dicom(write(tmp_path / "a.dcm", RAMP.astype(np.uint8), PixelSpacing=spacing)).spacing_mm is None


def test_dicom_is_told_by_its_mark(tmp_path: Path) -> None:
    file = write(tmp_path / "a.dcm", RAMP.astype(np.uint8)).rename(tmp_path / "no_suffix")
    assert read_image(file).size == (8, 6)


@pytest.mark.parametrize("spacing", [b"0.5     ", b"abc\\1   ", b"nan\\1   ", b"1\\1\\1   "])
def test_an_odd_element_costs_itself_alone(tmp_path: Path, spacing: bytes) -> None:
    file = write(tmp_path / "a.dcm", RAMP.astype(np.uint8), PixelSpacing=["0.25", "0.5"])
    plain = grey(file)
    file.write_bytes(file.read_bytes().replace(b"0.25\\0.5", spacing))
    assert read_dicom(file).spacing_mm is None
    assert np.array_equal(grey(file), plain)


def test_an_unreadable_number_of_frames_is_one(tmp_path: Path) -> None:
    file = write(tmp_path / "a.dcm", RAMP.astype(np.uint8)[None], **WINDOW)
    plain = grey(file)
    file.write_bytes(file.read_bytes().replace(b"\x28\0\x08\0IS\x02\0001 ", b"\x28\0\x08\0IS\x02\0xx"))
    assert np.array_equal(grey(file), plain)


FALLING = np.arange(256)[::-1]
WINDOW: dict[str, Any] = {"WindowCenter": 128, "WindowWidth": 256}


def table(first: int, bits: int, entries: np.ndarray, is_ow: bool = True, name: str = "VOILUTSequence") -> Any:
    """A sequence of one lookup table, its entries as bytes up to eight bits."""
    item = Dataset()
    item.add_new("LUTDescriptor", "SS" if first < 0 else "US", [len(entries) & 0xFFFF, first, bits])
    data = entries.astype(np.uint8 if bits <= 8 and is_ow else "<u2")
    item.add_new("LUTData", "OW" if is_ow else "US", data.tobytes() if is_ow else data.tolist())
    return {name: [item]}


@pytest.mark.parametrize("is_ow", [True, False])
@pytest.mark.parametrize(("name", "window"), [("VOILUTSequence", {}), ("ModalityLUTSequence", WINDOW)])
def test_tables_of_eight_bits_in_bytes_or_words(tmp_path: Path, name: str, window: dict[str, Any], is_ow: bool) -> None:
    file = write(tmp_path / "a.dcm", RAMP.astype(np.uint16), **table(0, 8, FALLING, is_ow, name), **window)
    assert np.array_equal(grey(file), 255 - RAMP)


@pytest.mark.parametrize("photometric", ["MONOCHROME2", "MONOCHROME1"])
@pytest.mark.parametrize("bits", [10, 12, 16])
def test_a_table_shows_its_own_range_and_not_that_of_the_pixels(tmp_path: Path, bits: int, photometric: str) -> None:
    same = table(0, bits, np.arange(2**bits))
    file = write(tmp_path / "a.dcm", (RAMP + 500).astype(np.uint16), photometric, **same)
    unit = (RAMP + 500) / (2**bits - 1)
    assert np.abs(grey(file) - 255 * (unit if photometric == "MONOCHROME2" else 1 - unit)).max() <= 0.51
    flat = grey(write(tmp_path / "b.dcm", np.full((4, 4), 600, np.uint16), **same))
    assert (flat == round(255 * 600 / (2**bits - 1))).all()


def test_first_input_of_a_table_may_be_below_zero(tmp_path: Path) -> None:
    pixels = (RAMP - 24).astype(np.int16)
    for first in (-24, 2**16 - 24):  # the same sixteen bits
        file = write(tmp_path / "a.dcm", pixels, **table(first, 8, np.arange(49)))
        assert np.array_equal(grey(file), RAMP)


def test_a_table_shorter_than_it_says_is_told(tmp_path: Path) -> None:
    short = table(0, 16, np.arange(300))
    short["VOILUTSequence"][0].LUTDescriptor = [4096, 0, 16]
    with pytest.raises(BadInput, match=r"a\.dcm: a lookup table of 4096 entries holds 300.*Fix:"):
        read_dicom(write(tmp_path / "a.dcm", RAMP.astype(np.uint16), **short))


@pytest.mark.parametrize(
    ("function", "shown"),
    [
        # PS3.3 C.11.2.1.2 and C.11.2.1.3 by hand: centre 20, width 10
        ("LINEAR", lambda x: (x - 19.5) / 9 + 0.5),
        ("", lambda x: (x - 19.5) / 9 + 0.5),
        ("NO SUCH", lambda x: (x - 19.5) / 9 + 0.5),
        ("LINEAR_EXACT", lambda x: (x - 20) / 10 + 0.5),
        ("SIGMOID", lambda x: 1 / (1 + np.exp(-4 * (x - 20) / 10))),
    ],
)
def test_windows_are_linear_exact_or_sigmoid(tmp_path: Path, function: str, shown: Any) -> None:
    pixels = np.array([[14, 16, 20, 26]], np.uint16)
    file = write(tmp_path / "a.dcm", pixels, WindowCenter=20, WindowWidth=10, VOILUTFunction=function)
    assert np.abs(grey(file) - 255 * np.clip(shown(pixels.astype(float)), 0, 1)).max() <= 0.51


@pytest.mark.parametrize("limit", [{}, {"PixelPaddingRangeLimit": -30000}])
@pytest.mark.parametrize("photometric", ["MONOCHROME2", "MONOCHROME1"])
@pytest.mark.parametrize("rescale", [{}, {"RescaleSlope": 2, "RescaleIntercept": -5}])
def test_padding_is_black_and_no_part_of_the_contrast(
    tmp_path: Path, limit: dict[str, Any], photometric: str, rescale: dict[str, Any]
) -> None:
    plain = grey(write(tmp_path / "a.dcm", RAMP.astype(np.int16), photometric, **rescale))
    pixels = np.vstack([RAMP, np.full((2, 8), -31000 if limit else -32768)]).astype(np.int16)
    padding: dict[str, Any] = {"PixelPaddingValue": -32768, **limit}
    padded = grey(write(tmp_path / "b.dcm", pixels, photometric, **padding, **rescale))
    assert np.array_equal(padded[:6], plain)
    assert not padded[6:].any()


def group(**sequences: dict[str, Any]) -> Dataset:
    """A functional group: each sequence with one item of these elements."""
    item = Dataset()
    for name, elements in sequences.items():
        inner = Dataset()
        for key, value in elements.items():
            setattr(inner, key, value)
        setattr(item, name, [inner])
    return item


def test_functional_groups_of_the_frame_come_before_those_of_all(tmp_path: Path) -> None:
    rescale: dict[str, Any] = {"RescaleSlope": 2, "RescaleIntercept": -10}
    window: dict[str, Any] = {"WindowCenter": 40, "WindowWidth": 60}
    plain = write(tmp_path / "a.dcm", RAMP.astype(np.uint16), **rescale, **window)
    shared = group(
        PixelValueTransformationSequence=rescale,
        FrameVOILUTSequence={"WindowCenter": 1, "WindowWidth": 2},
        PixelMeasuresSequence={"PixelSpacing": [0.7, 0.5]},
    )
    frames = [group(FrameVOILUTSequence={"WindowCenter": 5, "WindowWidth": 6}), group(FrameVOILUTSequence=window)]
    groups: dict[str, Any] = {"SharedFunctionalGroupsSequence": [shared], "PerFrameFunctionalGroupsSequence": frames}
    enhanced = write(tmp_path / "b.dcm", np.stack([RAMP, RAMP]).astype(np.uint16), **groups)
    assert np.array_equal(grey(enhanced), grey(plain))
    assert read_dicom(enhanced).spacing_mm == (0.5, 0.7)


@pytest.mark.parametrize(
    ("tag", "words"), [("CHEST", "chest"), ("CSPINE", "cervical spine"), ("", ""), ("DOE 4711", "")]
)
def test_body_part_is_plain_words_and_nothing_else(tmp_path: Path, tag: str, words: str) -> None:
    assert read_dicom(write(tmp_path / "a.dcm", RAMP.astype(np.uint8), BodyPartExamined=tag)).body_part == words


@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, DeflatedExplicitVRLittleEndian])
def test_size_is_checked_before_pixels_are_unpacked(
    tmp_path: Path, syntax: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dicom, "_MAX_INFLATED", 2**20)
    large = write(tmp_path / "a.dcm", np.zeros((1100, 1100), np.uint8), syntax=syntax)
    if syntax == ExplicitVRLittleEndian:
        header = dcmread(large)
        header.Rows = header.Columns = 30_000
        header.save_as(large)
    with pytest.raises(BadInput, match=r"a\.dcm: .*(too large|unpacks to more).*Fix:"):
        read_image(large)


def test_warnings_about_values_stay_inside(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """pydicom warns of a strange value and quotes it; here warnings are errors."""
    file = write(tmp_path / "a.dcm", np.stack([RAMP, RAMP]).astype(np.uint8), PixelSpacing=["0.25", "0.5"])
    file.write_bytes(file.read_bytes().replace(b"0.25\\0.5", b"Doe^Jane"))
    assert read_dicom(file).spacing_mm is None
    assert "Doe" not in caplog.text


def test_words_in_the_picture_are_told_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    told, silent = (write(tmp_path / f"{k}.dcm", RAMP.astype(np.uint8), BurnedInAnnotation=k) for k in ("YES", "NO"))
    for file in (told, told, silent):
        read_image(file)
    lines = [line for line in caplog.messages if "BurnedInAnnotation" in line]
    assert len(lines) == 1
    assert str(told) in lines[0]


@pytest.mark.parametrize("name", ["FloatPixelData", "DoubleFloatPixelData"])
def test_pixels_may_be_fractions(tmp_path: Path, name: str) -> None:
    file = write(tmp_path / "a.dcm", RAMP.astype(np.uint16), **WINDOW)
    header, dtype = dcmread(file), np.dtype("f4" if name.startswith("F") else "f8")
    for element in ("PixelData", "BitsStored", "HighBit", "PixelRepresentation"):
        del header[element]
    header.BitsAllocated = 8 * dtype.itemsize
    setattr(header, name, (RAMP + 0.25).astype(dtype).tobytes())
    header.save_as(file)
    assert np.abs(grey(file) - RAMP).max() <= 1


def test_bits_beside_those_stored_are_no_part_of_a_value(tmp_path: Path) -> None:
    stored: dict[str, Any] = {"BitsStored": 12, "HighBit": 11, **WINDOW}
    plain = grey(write(tmp_path / "a.dcm", RAMP.astype(np.uint16), **stored))
    overlay = (RAMP | 0x5000).astype(np.uint16)  # two overlays of old, in the upper bits
    assert np.array_equal(grey(write(tmp_path / "b.dcm", overlay, **stored)), plain)
    negative = ((RAMP - 24) & 0xFFF | 0x5000).astype(np.uint16)
    shown = grey(write(tmp_path / "c.dcm", negative, PixelRepresentation=1, RescaleIntercept=24, **stored))
    assert np.array_equal(shown, plain)


@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, RLELossless])
@pytest.mark.parametrize("low", [0, 7])
@pytest.mark.parametrize("high", [11, 13, 15])
def test_stored_bits_end_at_the_high_bit(tmp_path: Path, high: int, low: int, syntax: Any) -> None:
    """PS3.5 8.1.1: twelve bits from `high` down, in a word whose other bits are anything."""
    plain = grey(write(tmp_path / "a.dcm", RAMP.astype(np.uint16), **WINDOW))
    shift = high - 11
    for name, values, elements in (
        ("unsigned", RAMP, {}),
        ("signed", (RAMP - 24) & 0xFFF, {"PixelRepresentation": 1, "RescaleIntercept": 24}),
    ):
        words = (values << shift | low & (1 << shift) - 1 | (0x5000 if high == 11 and low else 0)).astype(np.uint16)
        file = write(tmp_path / f"{name}.dcm", words, **WINDOW)
        header = dcmread(file)
        if syntax == RLELossless:
            header.compress(RLELossless, words, generate_instance_uid=False)
        for element, value in {"BitsStored": 12, "HighBit": high, **elements}.items():
            setattr(header, element, value)
        header.save_as(file)
        assert np.array_equal(grey(file), plain)


@pytest.mark.parametrize("high", [None, 3, 16])
def test_a_high_bit_that_cannot_be_counts_as_missing(tmp_path: Path, high: Any) -> None:
    plain = grey(write(tmp_path / "a.dcm", RAMP.astype(np.uint16), **WINDOW))
    file = write(tmp_path / "b.dcm", RAMP.astype(np.uint16), BitsStored=12, HighBit=high, **WINDOW)
    assert np.array_equal(grey(file), plain)


def test_padding_may_lie_beyond_the_bits_stored(tmp_path: Path) -> None:
    """63536 is written in all sixteen bits of a picture of twelve; its lower twelve are a value of the picture."""
    plain = grey(write(tmp_path / "a.dcm", (RAMP + 2080).astype(np.uint16)))
    pixels = np.vstack([RAMP + 2080, np.full((2, 8), 63536)]).astype(np.uint16)
    padded = grey(write(tmp_path / "b.dcm", pixels, BitsStored=12, HighBit=11, PixelPaddingValue=63536))
    assert np.array_equal(padded[:6], plain)
    assert not padded[6:].any()


@pytest.mark.parametrize("name", ["a.dcm", "IM0001"])
@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, ImplicitVRLittleEndian, ExplicitVRBigEndian])
def test_files_without_preamble_or_header_are_read(tmp_path: Path, syntax: Any, name: str) -> None:
    pixels = RAMP.astype(np.uint16)
    file = write(tmp_path / "whole.dcm", pixels, **WINDOW)
    plain, header, bare = grey(file), dcmread(file), tmp_path / name
    header.PixelData = pixels.astype(">u2" if syntax == ExplicitVRBigEndian else "<u2").tobytes()
    header.file_meta.TransferSyntaxUID = syntax
    dcmwrite(
        bare, header, enforce_file_format=True, implicit_vr=syntax.is_implicit_VR, little_endian=syntax.is_little_endian
    )
    whole = bare.read_bytes()
    length = 132 + 12 + int.from_bytes(whole[140:144], "little")
    for content in (whole[132:], whole[length:]):
        bare.write_bytes(content)
        assert image_size(bare) == (8, 6)
        assert np.array_equal(grey(bare), plain)
        assert np.array_equal(np.asarray(read_image(bare))[..., 0], plain)


def test_compressed_pixels_without_a_header_are_told(tmp_path: Path) -> None:
    whole = write(tmp_path / "a.dcm", RAMP.astype(np.uint16), syntax=RLELossless).read_bytes()
    (tmp_path / "a.dcm").write_bytes(whole[132 + 12 + int.from_bytes(whole[140:144], "little") :])
    with pytest.raises(BadInput, match=r"a\.dcm: does not say how its pixels are stored.*Fix:"):
        read_image(tmp_path / "a.dcm")


def test_planes_one_after_the_other_and_half_colours_are_rgb(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (4, 6, 3), np.uint8)
    file = write(
        tmp_path / "a.dcm", pixels, "RGB", PlanarConfiguration=1, PixelData=pixels.transpose(2, 0, 1).tobytes()
    )
    assert np.array_equal(np.asarray(read_dicom(file).image), pixels)
    red = np.full((4, 4, 3), (76, 85, 255), np.uint8)
    half = bytes([76, 76, 85, 255]) * 8  # two of luminance to one of each colour
    elements: dict[str, Any] = {"PhotometricInterpretation": "YBR_FULL_422", "PixelData": half}
    shown = np.asarray(read_dicom(write(tmp_path / "b.dcm", red, "YBR_FULL", **elements)).image).astype(int)
    assert np.abs(shown - (254, 0, 0)).max() <= 2


@pytest.mark.parametrize("bits", [8, 16])
def test_a_palette_becomes_its_colours(tmp_path: Path, bits: int) -> None:
    elements: dict[str, Any] = {}
    for number, name in enumerate(("Red", "Green", "Blue"), 1):
        entries = np.arange(256) * number % 256
        elements[f"{name}PaletteColorLookupTableDescriptor"] = [256, 0, bits]
        data = entries.astype(np.uint8) if bits == 8 else (entries * 257).astype("<u2")
        elements[f"{name}PaletteColorLookupTableData"] = data.tobytes()
    shown = np.asarray(read_dicom(write(tmp_path / "a.dcm", RAMP.astype(np.uint8), "PALETTE COLOR", **elements)).image)
    assert np.array_equal(shown, np.stack([RAMP * number % 256 for number in (1, 2, 3)], -1))


def _bad_files(folder: Path) -> list[Path]:
    ramp = RAMP.astype(np.uint16)
    whole = write(folder / "whole.dcm", ramp).read_bytes()
    (folder / "truncated.dcm").write_bytes(whole[:-20])
    (folder / "header_only.dcm").write_bytes(whole[:200])
    (folder / "text.dcm").write_text("PatientName: Doe, born 19700102" * 9)
    (folder / "empty.dcm").touch()
    no_pixels = write(folder / "no_pixels.dcm", ramp)
    header = re.sub(rb"\xe0\x7f\x10\x00.*", b"", no_pixels.read_bytes(), flags=re.DOTALL)
    no_pixels.write_bytes(header)
    compressed = write(folder / "compressed.dcm", ramp, syntax=JPEGLosslessSV1)
    strange = write(folder / "strange.dcm", ramp, "HSV")
    names = ("truncated.dcm", "header_only.dcm", "text.dcm", "empty.dcm", "missing.dcm")
    return [*(folder / name for name in names), no_pixels, compressed, strange]


def test_bad_files_are_named_with_a_fix_and_without_the_patient(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for file in _bad_files(tmp_path):
        with pytest.raises(BadInput) as caught:
            read_image(file)
        shown = "".join(traceback.format_exception(caught.value)) + caplog.text
        assert file.name in str(caught.value)
        assert "Fix:" in str(caught.value)
        assert not [secret for secret in SECRETS if secret in shown]


def test_result_holds_no_patient_field(tmp_path: Path) -> None:
    found = read_dicom(write(tmp_path / "a.dcm", RAMP.astype(np.uint16)))
    shown = repr(found) + repr(found.image.info) + repr(vars(found))
    assert not [secret for secret in SECRETS if secret in shown]
