"""Masks of a report as one DICOM Segmentation object (binary, one segment a region) about the DICOM file it read.

Our masks lie in the original image's own pixels, column by column and row by row, so that a segment covers exactly the
source's pixels. Needs highdicom.
"""

from copy import copy
from pathlib import Path

import numpy as np
from highdicom import AlgorithmIdentificationSequence
from highdicom.seg import Segmentation, SegmentDescription
from pydicom.sr.codedict import codes

from ...grounding.bad_input import BadInput
from ...grounding.types import NOTICE, Region
from ...grounding.vocabulary.labels import load_labels
from . import dicom
from .grounded import GroundedReport


def write_seg(report: GroundedReport, source: Path, out: Path, keep_descriptive: bool = False) -> Path:
    """Write the masks of the report about the DICOM file `source`; returns `out`. `keep_descriptive`: as `read_source`.

    Regions without a mask are left to the structured report: a box is no segmentation. Raises `BadInput` where no
    region has a mask, and for a source that DICOM SEG cannot refer to.
    """
    about = dicom.read_source(source, report, keep_descriptive)
    numbered = [(number, r) for number, r in enumerate(report.all_regions, 1) if r.mask is not None]
    if not numbered:
        raise BadInput("no region has a mask.", file=source, fix="the structured report holds boxes")
    image, is_enhanced = about.header, "PerFrameFunctionalGroupsSequence" in about.header
    if not is_enhanced:  # plain several frames (ultrasound, secondary capture) go as if one: they have no geometry
        image = copy(image)  # shallow: only elements are taken off, none is changed
        image.pop("NumberOfFrames", None)
        image.pop("FrameIncrementPointer", None)
    # F frames, S segments: the frame that was read, in an enhanced object among its empty others.
    masks_FHWS = np.stack([np.asarray(region.mask, np.uint8) for _, region in numbered], -1)[None]
    if is_enhanced and about.frame is not None:
        frame = masks_FHWS[0]
        masks_FHWS = np.zeros((about.num_frames, *frame.shape), np.uint8)
        masks_FHWS[about.frame - 1] = frame
    with dicom.silence(source):
        segmentation = Segmentation(
            source_images=[image],
            pixel_array=masks_FHWS,
            segmentation_type="BINARY",
            segment_descriptions=[
                _describe_segment(report, about, segment, number, region)
                for segment, (number, region) in enumerate(numbered, 1)
            ],
            content_label="MEDGLIP",
            content_description=NOTICE,
            **dicom.object_facts(report, dicom.SERIES_NUMBER),
        )
        if not is_enhanced and about.frame is not None:
            for group in segmentation.PerFrameFunctionalGroupsSequence:
                for derivation in group.DerivationImageSequence:
                    for reference in derivation.SourceImageSequence:
                        reference.ReferencedFrameNumber = about.frame
        # highdicom writes a spacing without a slice thickness (secondary capture, radiographs) and then cannot read
        # it; DICOM lets a segmentation that refers to its source go without.
        shared = segmentation.SharedFunctionalGroupsSequence[0]
        if any("SliceThickness" not in item for item in shared.get("PixelMeasuresSequence", ())):
            del shared.PixelMeasuresSequence
        # of type 2C where no plane says how the patient lies: empty, where the source does not say it either
        if "PlaneOrientationSequence" not in shared and "PatientOrientation" not in segmentation:
            segmentation.PatientOrientation = image.get("PatientOrientation") or None
        dicom.save(segmentation, about, out)
    return out


def _describe_segment(
    report: GroundedReport, source: dicom.DicomSource, segment: int, number: int, region: Region
) -> SegmentDescription:
    is_finding = load_labels().level(region.phrase) in ("finding", "")
    category = codes.SCT.MorphologicallyAbnormalStructure if is_finding else codes.SCT.AnatomicalStructure
    description = SegmentDescription(
        segment_number=segment,
        # 64 characters at most: the score must not be cut off
        segment_label=f"{dicom.shorten(region.phrase)[:56]} {region.score:.2f}",
        segmented_property_category=category,
        segmented_property_type=dicom.concept(region.phrase),
        algorithm_type="AUTOMATIC",
        algorithm_identification=AlgorithmIdentificationSequence(
            name=(report.grounder or "medglip")[:64],
            family=codes.DCM.ArtificialIntelligence,
            version=report.versions.get("medglip", "unknown"),
            parameters=dicom.software_facts(report) | {"Score": f"{region.score:.4f}"},
        ),
        tracking_uid=dicom.tracking_uid(report, source, number),
        tracking_id=f"region {number}",
    )
    if modifier := dicom.side(region.phrase):
        description.SegmentedPropertyTypeCodeSequence[0].SegmentedPropertyTypeModifierCodeSequence = [modifier]
    return description
