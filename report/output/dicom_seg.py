"""Masks of a report as one DICOM Segmentation object (binary, one segment a region) about the DICOM file it read.

Our masks lie in the original image's own pixels, column by column and row by row, so that a segment covers exactly the
source's pixels. Needs highdicom.
"""

from collections.abc import Sequence
from copy import copy
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset
from pydicom.uid import generate_uid

from ...grounding.bad_input import BadInput
from ...grounding.files import sha256, write_atomic
from ...grounding.types import NOTICE, Region
from ...grounding.vocabulary.labels import load_labels
from .dicom_codes import SCHEME, concept, side, words
from .dicom_source import DicomSource, made_by, quiet, read_source
from .grounded import GroundedReport

if TYPE_CHECKING:
    from highdicom.seg import SegmentDescription

SERIES_NUMBER = 9001
"""Far from those of scanners."""


def write_seg(report: GroundedReport, source: Path, out: Path) -> Path:
    """Write the masks of the report about the DICOM file `source`; returns `out`.

    Regions without a mask are left to the structured report: a box is no segmentation. Raises `BadInput` where no
    region has a mask, and for a source that DICOM SEG cannot refer to.
    """
    about = read_source(source, report)
    numbered = [(number, r) for number, r in enumerate(report.all_regions, 1) if r.mask is not None]
    if not numbered:
        raise BadInput("no region has a mask.", file=source, fix="the structured report holds boxes")
    with quiet(source):
        save(_segmentation(report, about, numbered), out)
    return out


def save(dataset: Dataset, out: Path) -> None:
    """Write a DICOM object whole or not at all."""
    buffer = BytesIO()
    dataset.save_as(buffer, enforce_file_format=True)
    write_atomic(out, buffer.getvalue())


def equipment(report: GroundedReport) -> dict[str, Any]:
    """What made an object, and the notice, as arguments of highdicom's classes."""
    from highdicom.coding_schemes import CodingSchemeIdentificationItem

    return {
        "manufacturer": "medglip",
        "manufacturer_model_name": f"{report.model} {report.adapter}".strip()[:64] or "medglip",
        "software_versions": [f"{name} {version}"[:64] for name, version in report.versions.items()] or "medglip",
        "device_serial_number": sha256(f"{report.model} {report.adapter} {report.grounder}")[:16],
        "series_description": NOTICE,
        "specific_character_set": "ISO_IR 192",  # UTF-8: a report's words may be of any language
        "coding_schemes": [CodingSchemeIdentificationItem(designator=SCHEME, name="Labels of medglip")],
    }


def tracking_uid(report: GroundedReport, source: DicomSource, number: int) -> str:
    """The same for a region in every object about one report of one image: it ties segments and findings together."""
    return str(generate_uid(entropy_srcs=[str(source.header.SOPInstanceUID), report.report_id, str(number)]))


def _segmentation(report: GroundedReport, source: DicomSource, numbered: Sequence[tuple[int, Region]]) -> Dataset:
    from highdicom.seg import Segmentation

    image = _one_frame(source)
    written = Segmentation(
        source_images=[image],
        pixel_array=_frames([region for _, region in numbered], source, "NumberOfFrames" in image),
        segmentation_type="BINARY",
        segment_descriptions=[
            _segment(report, source, segment, number, region) for segment, (number, region) in enumerate(numbered, 1)
        ],
        series_instance_uid=generate_uid(),
        series_number=SERIES_NUMBER,
        sop_instance_uid=generate_uid(),
        instance_number=1,
        content_label="MEDGLIP",
        content_description=NOTICE,
        **equipment(report),
    )
    if "NumberOfFrames" not in image and source.frame is not None:
        _refer_to_frame(written, source.frame)
    _drop_half_measures(written)
    return written


def _one_frame(source: DicomSource) -> Dataset:
    """The header, of plain several frames (ultrasound, secondary capture) as if of one: those have no geometry."""
    if "PerFrameFunctionalGroupsSequence" in source.header:
        return source.header
    image = copy(source.header)
    image.pop("NumberOfFrames", None)
    image.pop("FrameIncrementPointer", None)
    return image


def _refer_to_frame(written: Dataset, frame: int) -> None:
    for group in written.PerFrameFunctionalGroupsSequence:
        for derivation in group.DerivationImageSequence:
            for image in derivation.SourceImageSequence:
                image.ReferencedFrameNumber = frame


def _drop_half_measures(written: Dataset) -> None:
    """A spacing without a slice thickness (secondary capture, radiographs) is left to the source image.

    highdicom writes it and then cannot read it; DICOM lets a segmentation that refers to its source go without.
    """
    shared = written.SharedFunctionalGroupsSequence[0]
    if any("SliceThickness" not in item for item in shared.get("PixelMeasuresSequence", ())):
        del shared.PixelMeasuresSequence


def _frames(regions: Sequence[Region], source: DicomSource, is_enhanced: bool) -> NDArray[np.uint8]:
    """uint8[frames, H, W, segments]: the frame that was read, in an enhanced object among its empty others."""
    masks_HWS = np.stack([np.asarray(region.mask, np.uint8) for region in regions], -1)
    if not is_enhanced or source.frame is None:
        return masks_HWS[None]
    frames = np.zeros((source.num_frames, *masks_HWS.shape), np.uint8)
    frames[source.frame - 1] = masks_HWS
    return frames


def _segment(
    report: GroundedReport, source: DicomSource, segment: int, number: int, region: Region
) -> "SegmentDescription":
    from highdicom import AlgorithmIdentificationSequence
    from highdicom.seg import SegmentDescription
    from pydicom.sr.codedict import codes

    is_finding = load_labels().level(region.phrase) in ("finding", "")
    made = made_by(report) | {"Score": f"{region.score:.4f}"}
    described = SegmentDescription(
        segment_number=segment,
        segment_label=f"{words(region.phrase)[:56]} {region.score:.2f}",
        segmented_property_category=(
            codes.SCT.MorphologicallyAbnormalStructure if is_finding else codes.SCT.AnatomicalStructure
        ),
        segmented_property_type=concept(region.phrase),
        algorithm_type="AUTOMATIC",
        algorithm_identification=AlgorithmIdentificationSequence(
            name=(report.grounder or "medglip")[:64],
            family=codes.DCM.ArtificialIntelligence,
            version=report.versions.get("medglip", "unknown"),
            parameters=made,
        ),
        tracking_uid=tracking_uid(report, source, number),
        tracking_id=f"region {number}",
    )
    if modifier := side(region.phrase):
        described.SegmentedPropertyTypeCodeSequence[0].SegmentedPropertyTypeModifierCodeSequence = [modifier]
    return described
