"""DICOM images with DICOM SEG objects, anywhere in a folder: segments are regions, their labels the phrases.

The layout of the Imaging Data Commons and The Cancer Imaging Archive (portal.imaging.datacommons.cancer.gov,
cancerimagingarchive.net; licence and citation by collection, mostly CC BY); Segmentation IOD: DICOM PS3.3 A.51, C.8.20.
A frame of a segmentation names its segment and the image it lies on (ReferencedSOPInstanceUID); the phrase is the
SegmentLabel, or laterality and SegmentedPropertyType where the label says nothing more.
Traps: frames without a pixel are usually left out, so every segment of a file is taken as annotated on each image that
the file refers to; several files may outline one image; images of several frames are not read.
Privacy: PatientID only joins the exams of a patient; groups and names in errors are hashes of UIDs or file names.
"""

import re
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from pydicom import Dataset
from pydicom.pixels import pixel_array

from ...bad_input import BadInput, Skipped
from ...files import sha256
from ...geometry import mask_to_rle, rle_to_mask
from ...imaging.dicom import hide_errors, parse_dicom
from ...imaging.read import begins_as_dicom, check_size, image_size
from ...modalities import parse_modality
from ...types import AnnotatedImage, Region
from ...vocabulary.labels import load_labels
from ..rows import annotate, skipping
from .mask_folder import mask_regions

_SEGMENTATIONS = ("1.2.840.10008.5.1.4.1.1.66.4", "1.2.840.10008.5.1.4.1.1.66.7")
"""SOP classes: Segmentation Storage and Label Map Segmentation Storage."""
_IMAGE_ELEMENTS = (
    *("SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "PatientID", "Modality", "Rows", "NumberOfFrames"),
    "ImageOrientationPatient",
)
_SEGMENTATION_ELEMENTS = (
    *("Rows", "NumberOfFrames", "SegmentSequence"),
    *("SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence", "ReferencedSeriesSequence"),
    *("Columns", "BitsAllocated", "BitsStored", "HighBit", "PixelRepresentation", "SamplesPerPixel", "PixelData"),
    *("PhotometricInterpretation", "SegmentationType", "MaximumFractionalValue"),
)
_NUMBER = re.compile(r"[\s_#-]*\d+$")
_NO_NAMES = ("", "segment", "label", "region", "roi")


@dataclass(kw_only=True)
class _Image:
    """One image: where it is, and what segmentations say of it. `outlines`: phrase and RLE of each frame on it."""

    path: Path
    modality: str
    group: str
    num_frames: int
    orientation: tuple[float, ...]
    outlines: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    phrases: set[str] = field(default_factory=set)
    lost: set[str] = field(default_factory=set)


def read(
    folder: Path,
    skipped: Skipped,
    *,
    components: bool = False,
    modality: str = "unknown",
    files: Sequence[Path] | None = None,
) -> Iterator[AnnotatedImage]:
    """Images that a segmentation refers to, one at a time. A segment is one region, or one a blob.

    `modality` counts where the image names none of ours. `files`: these, wherever they lie, in place of all of the
    folder. Files that cannot be used go to `skipped`. Raises `BadInput` if no segmentation is found.
    """
    paths = sorted(file for file in folder.rglob("*") if file.is_file()) if files is None else files
    images, segmentations = _scan(paths, skipped)
    if not segmentations:
        raise BadInput("holds no DICOM segmentation.", file=folder, fix="is `layout` right?")
    for path in segmentations:
        with skipping(skipped, path), hide_errors(path):
            _assign(path, images, skipped)
    for image in filter(lambda image: image.phrases, images.values()):
        with skipping(skipped, image.path):
            size = image_size(image.path)
            regions: list[Region] = []
            lost = set(image.lost)
            for phrase, outline in image.outlines:
                lost.add(phrase)
                with skipping(skipped, image.path, phrase):
                    regions += mask_regions(phrase, rle_to_mask(outline), size, components)
            name = image.path.name if files else image.path.relative_to(folder).as_posix()
            facts = {"modality": modality if image.modality == "unknown" else image.modality, "group": image.group}
            yield annotate(folder, name, image.path, regions, sorted(image.phrases), lost, size_px=size, **facts)


def phrases_of(segmentation: Path) -> list[str]:
    """What the segments of a file are called."""
    with hide_errors(segmentation):
        return [_phrase(item) for item in parse_dicom(segmentation, ("SegmentSequence",)).SegmentSequence]


def is_segmentation(path: Path) -> bool:
    """Whether a DICOM file is one, by its class."""
    with hide_errors(path):
        return parse_dicom(path, ("SOPClassUID",)).get("SOPClassUID") in _SEGMENTATIONS


def _scan(paths: Sequence[Path], skipped: Skipped) -> tuple[dict[str, _Image], list[Path]]:
    """Images by SOPInstanceUID, and segmentation files; other DICOM objects are passed over."""
    images: dict[str, _Image] = {}
    patients: dict[str, str] = {}  # PatientID stays in here
    segmentations: list[Path] = []
    for path in paths:
        if not begins_as_dicom(path):
            continue
        with skipping(skipped, path), hide_errors(path):
            header = parse_dicom(path, _IMAGE_ELEMENTS)
            if header.get("SOPClassUID") in _SEGMENTATIONS:
                segmentations.append(path)
            elif header.get("Rows"):
                exam = str(header.get("StudyInstanceUID") or header.SOPInstanceUID)
                first_exam = patients.setdefault(str(header.get("PatientID") or exam), exam)
                modality = "unknown"
                with suppress(BadInput):
                    modality = parse_modality(str(header.get("Modality", "")))
                images[str(header.SOPInstanceUID)] = _Image(
                    path=path,
                    modality=modality,
                    group=sha256(first_exam)[:16],
                    num_frames=int(header.get("NumberOfFrames") or 1),
                    orientation=_orientation(header),
                )
    return images, segmentations


def _orientation(item: Dataset) -> tuple[float, ...]:
    return tuple(float(value) for value in item.get("ImageOrientationPatient") or ())


def _first(item: Dataset, sequence: str) -> Dataset:
    """The first item of a sequence; an empty one where there is none."""
    return next(iter(item.get(sequence) or ()), Dataset())


def _assign(path: Path, images: dict[str, _Image], skipped: Skipped) -> None:
    """Give every image of a segmentation its frames, and the names of all its segments."""
    header = parse_dicom(path, _SEGMENTATION_ELEMENTS)
    check_size(int(header.Columns), int(header.Rows), path)
    phrases = {int(item.SegmentNumber): _phrase(item) for item in header.SegmentSequence}
    frames = list(header.get("PerFrameFunctionalGroupsSequence") or ())
    shared = _first(header, "SharedFunctionalGroupsSequence")
    # Frame 3 lies on image "1.2.7": its derivation names that as source. The header besides names every image that was
    # looked at, with pixels on it or without: on those the segments are known to be absent.
    derivations = [_one(frame, shared, "DerivationImageSequence") for frame in frames]
    sources = [str(_first(item, "SourceImageSequence").get("ReferencedSOPInstanceUID") or "") for item in derivations]
    series = header.get("ReferencedSeriesSequence") or ()
    items = [item for part in series for item in part.get("ReferencedInstanceSequence") or ()]
    referred = [str(item.ReferencedSOPInstanceUID) for item in items]
    targets = [images[uid] for uid in {*referred, *sources} if uid in images]
    if not targets:
        raise BadInput("refers to no image of this folder.", file=path, fix="add its images")
    for image in targets:
        image.phrases.update(phrases.values())
    for index, (frame, uid) in enumerate(zip(frames, sources, strict=True)):
        with skipping(skipped, path, f"frame {index + 1}"):
            if uid not in images:
                raise BadInput("its image is not in this folder, or not named.", fix="add it")
            if header.get("SegmentationType") == "LABELMAP":  # every segment may be on a frame of a label map
                segments = {number: phrase for number, phrase in phrases.items() if number}
            else:
                item = _one(frame, shared, "SegmentIdentificationSequence")
                segments = {int(item.ReferencedSegmentNumber): phrases[int(item.ReferencedSegmentNumber)]}
            try:
                _outline(images[uid], header, index, segments, _one(frame, shared, "PlaneOrientationSequence"))
            except Exception:
                images[uid].lost.update(segments.values())
                raise


def _phrase(item: Dataset) -> str:
    """SegmentLabel, without its number unless the label tree knows it so; or laterality and SegmentedPropertyType.

    The type speaks where the label says nothing ("Segment 1") or the same.
    """
    label = str(item.get("SegmentLabel") or "").replace("_", " ").strip()
    plain = _NUMBER.sub("", label)
    kind = _first(item, "SegmentedPropertyTypeCodeSequence")
    side = _first(kind, "SegmentedPropertyTypeModifierCodeSequence")
    name, where = str(kind.get("CodeMeaning") or ""), str(side.get("CodeMeaning") or "").lower()
    if plain.lower() in (*_NO_NAMES, name.lower()):
        plain = label = f"{where} {name}" if where in ("left", "right") else name
    if not plain:
        raise BadInput(f"segment {item.SegmentNumber} has no name.", fix="give it a SegmentLabel")
    return load_labels().label(label if load_labels().path(label) else plain)


def _one(frame: Dataset, shared: Dataset, sequence: str) -> Dataset:
    """The first item of a functional group, of the frame or of all frames."""
    return _first(frame if frame.get(sequence) else shared, sequence)


def _outline(image: _Image, header: Dataset, index: int, segments: dict[int, str], plane: Dataset) -> None:
    """Add the pixels of one frame to its image. Raises `BadInput` if they cannot lie on it."""
    if image.num_frames > 1:
        raise BadInput("lies on an image of several frames.", fix="export the frames one by one")
    # a frame holds pixels of its image only if rows and columns run the same way
    own = _orientation(plane)
    if own and image.orientation and not np.allclose(own, image.orientation, atol=1e-3):
        raise BadInput("lies across its image.", fix="resample the segmentation to the images")
    pixels = np.asarray(pixel_array(header, index=index))
    kind = header.get("SegmentationType", "BINARY")
    for number, phrase in segments.items():
        if kind == "LABELMAP":
            mask = pixels == number
        else:
            mask = pixels > (int(header.get("MaximumFractionalValue", 255)) / 2 if kind == "FRACTIONAL" else 0)
        if mask.any():
            image.outlines.append((phrase, mask_to_rle(mask)))
