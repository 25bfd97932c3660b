"""Readers of pictures: every format, DICOM, NIfTI volumes, masks."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
from PIL import Image
from pydicom import Dataset
from pydicom.dataset import FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.pixels import pack_bits
from pydicom.uid import UID, CTImageStorage, ExplicitVRLittleEndian, JPEGBaseline8Bit, RLELossless, SegmentationStorage

from medglip.grounding.bad_input import BadInput
from medglip.grounding.imaging import nifti
from medglip.grounding.imaging.masks import read_mask
from medglip.grounding.imaging.read import image_size, read_image, read_stored
from medglip.scripts.inference.user_image import user_image

from .making_files import MASK, SIZE, picture, put
from .trying import Reader

UIDS = ("1.2.840.1", "1.2.840.2")
PIXELS = (np.arange(SIZE[0] * SIZE[1], dtype=np.uint16).reshape(SIZE[::-1]) * 7) % 4096


def each(*reads: Callable[[], Any]) -> Callable[[], None]:
    """All of them are tried, whatever the first says; the first that refuses is told."""

    def read() -> None:
        refused = None
        for one in reads:
            try:
                one()
            except BadInput as error:
                refused = refused or error
        if refused:
            raise refused

    return read


def _picture(name: str, mode: str = "RGB") -> Reader:
    file = Path(name)
    read = each(lambda: image_size(file), lambda: read_image(file), lambda: read_stored(file))
    return Reader(lambda folder: picture(folder / name, mode=mode), read)


# ---- DICOM


def item(**elements: Any) -> Dataset:
    """A dataset of these elements."""
    found = Dataset()
    for name, value in elements.items():
        setattr(found, name, value)
    return found


def put_dicom(
    file: Path, kind: UID = CTImageStorage, uid: str = UIDS[0], syntax: UID = ExplicitVRLittleEndian, **elements: Any
) -> Path:
    """A CT image of 12 bits; `elements` are over those it has."""
    header = item(
        Modality="CT", PatientName="Doe^Jane", PatientID="4711", StudyInstanceUID="1.2.3", SeriesInstanceUID="1.2.4"
    )
    header.file_meta = FileMetaDataset()
    header.file_meta.TransferSyntaxUID = syntax
    header.file_meta.MediaStorageSOPClassUID = header.SOPClassUID = kind
    header.file_meta.MediaStorageSOPInstanceUID = header.SOPInstanceUID = UID(uid)
    header.SamplesPerPixel, header.PhotometricInterpretation, header.PixelRepresentation = 1, "MONOCHROME2", 0
    header.Rows, header.Columns = SIZE[::-1]
    header.BitsAllocated, header.BitsStored, header.HighBit, header.PixelData = 16, 12, 11, PIXELS.tobytes()
    header.ImageOrientationPatient, header.BodyPartExamined = [1, 0, 0, 0, 1, 0], "CHEST"
    header.PixelSpacing, header.RescaleSlope, header.RescaleIntercept = [0.5, 0.5], 1, -1024
    for name, value in elements.items():
        setattr(header, name, value)
    if syntax.is_encapsulated:
        header["PixelData"].VR = "OB"
    file.parent.mkdir(parents=True, exist_ok=True)
    header.save_as(file, enforce_file_format=True)
    return file


def _table(first: int, bits: int) -> Dataset:
    return item(
        LUTDescriptor=[4096, first, bits], LUTData=np.arange(4096, dtype=np.uint16).tobytes(), LUTExplanation="a"
    )


def _enhanced() -> dict[str, Any]:
    window = item(WindowCenter=40, WindowWidth=400)
    rescale = item(RescaleSlope=1, RescaleIntercept=-1024, RescaleType="HU")
    groups = [item(FrameVOILUTSequence=[window], PixelValueTransformationSequence=[rescale]) for _ in range(2)]
    shared = item(PixelMeasuresSequence=[item(PixelSpacing=[0.5, 0.5])])
    pixels = np.stack([PIXELS, PIXELS]).tobytes()
    elements = {"NumberOfFrames": 2, "PixelData": pixels, "PerFrameFunctionalGroupsSequence": groups}
    return {**elements, "SharedFunctionalGroupsSequence": [shared]}


def _jpeg() -> dict[str, Any]:
    file = Path("pixels.jpg")
    data = picture(file, mode="L").read_bytes()
    file.unlink()
    return {"PixelData": encapsulate([data]), "BitsAllocated": 8, "BitsStored": 8, "HighBit": 7}


def _run_lengths() -> dict[str, Any]:
    """Two segments, the upper and the lower bytes, of rows of 30 equal ones."""
    segments = [b"".join(bytes([256 - 29, row % 16]) for row in range(SIZE[1])) for _ in range(2)]
    offsets = [64, 64 + len(segments[0])]
    head = np.array([2, *offsets, *[0] * 13], "<u4").tobytes()
    return {"PixelData": encapsulate([head + b"".join(segments)])}


def _palette() -> dict[str, Any]:
    colours = {
        f"{name}PaletteColorLookupTable{part}": value
        for name in ("Red", "Green", "Blue")
        for part, value in (("Descriptor", [256, 0, 16]), ("Data", np.arange(256, dtype=np.uint16).tobytes()))
    }
    pixels = (PIXELS % 256).astype(np.uint8).tobytes()
    return {
        **colours,
        "PhotometricInterpretation": "PALETTE COLOR",
        "PixelData": pixels,
        "BitsAllocated": 8,
        "BitsStored": 8,
        "HighBit": 7,
    }


def _dicom(elements: Callable[[], dict[str, Any]], syntax: UID = ExplicitVRLittleEndian) -> Reader:
    file = Path("a.dcm")
    read = each(lambda: image_size(file), lambda: read_image(file), lambda: user_image(file, None))
    return Reader(lambda folder: put_dicom(folder / file, syntax=syntax, **elements()), read)


def put_segmentations(folder: Path) -> None:
    """Two slices, and a segmentation of both: liver and left kidney."""
    for number, uid in enumerate(UIDS):
        put_dicom(folder / f"ct/{number}.dcm", uid=uid)
    sides = [item(CodeMeaning="Left")]
    kidney = item(CodeMeaning="Kidney", SegmentedPropertyTypeModifierCodeSequence=sides)
    segments = [
        item(SegmentNumber=1, SegmentLabel="Liver", SegmentedPropertyTypeCodeSequence=[item(CodeMeaning="Liver")])
    ]
    segments += [item(SegmentNumber=2, SegmentLabel="Segment 2", SegmentedPropertyTypeCodeSequence=[kidney])]
    frames = []
    for number, uid in ((1, UIDS[0]), (2, UIDS[1])):
        source = item(ReferencedSOPClassUID=CTImageStorage, ReferencedSOPInstanceUID=uid)
        identification = item(ReferencedSegmentNumber=number)
        frames += [
            item(
                SegmentIdentificationSequence=[identification],
                DerivationImageSequence=[item(SourceImageSequence=[source])],
            )
        ]
    series = item(
        SeriesInstanceUID="1.2.4", ReferencedInstanceSequence=[item(ReferencedSOPInstanceUID=uid) for uid in UIDS]
    )
    plane = item(PlaneOrientationSequence=[item(ImageOrientationPatient=[1, 0, 0, 0, 1, 0])])
    put_dicom(
        folder / "seg/a.dcm",
        SegmentationStorage,
        "1.2.840.9",
        **{"Modality": "SEG", "SegmentationType": "BINARY", "SegmentSequence": segments, "NumberOfFrames": 2},
        **{"BitsAllocated": 1, "BitsStored": 1, "HighBit": 0, "PixelData": pack_bits(np.stack([MASK, MASK]).ravel())},
        ReferencedSeriesSequence=[series],
        SharedFunctionalGroupsSequence=[plane],
        PerFrameFunctionalGroupsSequence=frames,
    )


# ---- volumes and masks


def put_volume(file: Path, values: Any, slope: float = 1) -> Path:
    """A NIfTI file of voxels of 1 mm."""
    file.parent.mkdir(parents=True, exist_ok=True)
    image: Any = nibabel.Nifti1Image(values, np.eye(4))
    image.header.set_slope_inter(slope, 0)
    nibabel.save(image, file)
    return file


def _volume(name: str, slope: float = 1) -> Reader:
    values = np.zeros((6, 7, 5), np.int16)
    values[2:4, 3:5, 1:3] = 3
    file = Path(name)
    read = each(lambda: nifti.read_volume(file), lambda: nifti.read_labels(file))
    return Reader(lambda folder: put_volume(folder / name, values, slope), read)


def _mask(name: str, values: Any) -> Reader:
    return Reader(lambda folder: put(folder / name, values), lambda: read_mask(Path(name), SIZE))


def _tiff(name: str, mode: str, **options: Any) -> Reader:
    def make(folder: Path) -> None:
        is_printed = mode == "CMYK"
        with Image.open(picture(folder / "a.png", mode="RGB" if is_printed else mode)) as image:
            (image.convert(mode) if is_printed else image).save(folder / name, **options)
        (folder / "a.png").unlink()

    return Reader(make, _picture(name).read)


READERS = {
    **{f"png {mode}": _picture("a.png", mode) for mode in ("RGB", "P", "LA", "RGBA", "1", "I;16")},
    **{name: _picture(name) for name in ("a.jpg", "a.gif", "a.webp", "a.bmp", "a.ppm", "a.jp2")},
    **{f"tiff {mode}": _tiff("a.tif", mode) for mode in ("L", "RGB", "I;16", "CMYK", "P")},
    **{f"tiff {how}": _tiff("a.tif", "RGB", compression=how) for how in ("tiff_lzw", "jpeg", "tiff_adobe_deflate")},
    "dicom window": _dicom(lambda: {"WindowCenter": [40, 300], "WindowWidth": [400, 1500], "PixelPaddingValue": 0}),
    "dicom table": _dicom(lambda: {"VOILUTSequence": [_table(0, 12)]}),
    "dicom modality table": _dicom(lambda: {"ModalityLUTSequence": [_table(0, 12)]}),
    "dicom enhanced": _dicom(_enhanced),
    "dicom palette": _dicom(_palette),
    "dicom jpeg": _dicom(_jpeg, JPEGBaseline8Bit),
    "dicom run lengths": _dicom(_run_lengths, RLELossless),
    "nifti": _volume("a.nii"),
    "nifti gz": _volume("a.nii.gz", slope=2),
    "mask grey": _mask("m.png", MASK * 255),
    "mask colour": _mask("m.png", np.repeat(MASK[..., None] * np.uint8(200), 3, 2)),
}
