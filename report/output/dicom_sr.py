"""A report as a DICOM structured report: TID 1500, one planar region (TID 1410) a box, the sentences as text.

    Imaging Measurement Report                                  TID 1500
    |- Imaging Measurements
    |  |- region 1: finding, outline of its box, score          TID 1410, one a region
    |  `- ... or "Number of regions: 0" about the whole image   TID 1501
    `- Comment, Finding, Comment ...                            text: software, sentences, what to check

Coordinates are DICOM's image-relative ones: (column, row) with sub-pixel resolution, (0, 0) the outer corner of the
first pixel. That is our box notation, so that corners are written as they are. The document is partial, preliminary
and unverified: nobody has read it. Needs highdicom.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from highdicom.sr import (
    AlgorithmIdentification,
    CodedConcept,
    ComprehensiveSR,
    DeviceObserverIdentifyingAttributes,
    FindingSite,
    ImageRegion,
    Measurement,
    MeasurementReport,
    MeasurementsAndQualitativeEvaluations,
    ObservationContext,
    ObserverContext,
    PlanarROIMeasurementsAndQualitativeEvaluations,
    RelationshipTypeValues,
    SourceImageForMeasurementGroup,
    SourceImageForRegion,
    TextContentItem,
    TrackingIdentifier,
)
from pydicom.sr.codedict import codes
from pydicom.uid import generate_uid

from ...grounding.types import Region
from .dicom_codes import SCHEME, concept, side
from .dicom_seg import SERIES_NUMBER
from .dicom_source import DicomSource, equipment, read_source, save, silence, software_facts, tracking_uid
from .grounded import GroundedReport


def write_sr(report: GroundedReport, source: Path, out: Path) -> Path:
    """Write the report about the DICOM file `source`; returns `out`. Raises `BadInput` for a source it cannot name."""
    about = read_source(source, report)
    with silence(source):
        document = ComprehensiveSR(
            evidence=[about.header],
            content=_make_content(report, about)[0],
            series_instance_uid=generate_uid(),
            series_number=SERIES_NUMBER + 1,
            sop_instance_uid=generate_uid(),
            instance_number=1,
            is_complete=False,
            is_final=False,
            is_verified=False,
            **equipment(report),
        )
        save(document, out)
    return out


def _make_content(report: GroundedReport, source: DicomSource) -> MeasurementReport:
    """TID 1500, which is extensible: the sentences follow as text items of its root."""
    device = DeviceObserverIdentifyingAttributes(
        uid=generate_uid(entropy_srcs=list(software_facts(report).values())),
        name="medglip",
        model_name=report.model or None,
    )
    observer = ObserverContext(observer_type=codes.DCM.Device, observer_identifying_attributes=device)
    regions = [_describe_region(report, source, number, region) for number, region in enumerate(report.all_regions, 1)]
    content = MeasurementReport(
        observation_context=ObservationContext(observer_device_context=observer),
        procedure_reported=CodedConcept("363679005", "SCT", "Imaging procedure"),
        imaging_measurements=regions or [_no_region(report, source)],
        title=codes.DCM.ImagingMeasurementReport,
    )
    for name, value in _texts(report):
        item = TextContentItem(
            name=getattr(codes.DCM, name), value=value, relationship_type=RelationshipTypeValues.CONTAINS
        )
        content[0].ContentSequence.append(item)
    return content


def _texts(report: GroundedReport) -> Iterator[tuple[str, str]]:
    """(name, text) of every text item: what made it, the sentences with their regions, what to check."""
    for name, value in software_facts(report).items():
        yield "Comment", f"{name}: {value}"
    for index, sentence in enumerate(report.sentences):
        regions = ", ".join(f"region {k + 1}" for k in report.region_indices(sentence))
        yield "Finding", sentence.text + (f" ({regions})" if regions else "")
        for flag in report.flags(index):
            yield "Comment", f"Sentence {index + 1} {flag.words}."
        if report.support(index) == "neither":
            yield "Comment", f"Sentence {index + 1} rests on no region, cited or found."


def _describe_region(
    report: GroundedReport, source: DicomSource, number: int, region: Region
) -> PlanarROIMeasurementsAndQualitativeEvaluations:
    laterality = side(region.phrase)
    frames = None if source.frame is None else [source.frame]
    image = SourceImageForRegion(source.header.SOPClassUID, source.header.SOPInstanceUID, frames)
    score = CodedConcept("score", SCHEME, "Score")
    return PlanarROIMeasurementsAndQualitativeEvaluations(
        tracking_identifier=TrackingIdentifier(tracking_uid(report, source, number), f"region {number}"),
        referenced_region=ImageRegion("POLYLINE", outline_of_box(region), image),
        finding_type=concept(region.phrase),
        finding_sites=[FindingSite(concept(region.phrase), laterality)] if laterality else None,
        algorithm_id=AlgorithmIdentification(
            name=report.grounder or "medglip", version=report.versions.get("medglip", "unknown")
        ),
        measurements=[Measurement(name=score, value=round(region.score, 4), unit=codes.UCUM.NoUnits)],
    )


def _no_region(report: GroundedReport, source: DicomSource) -> MeasurementsAndQualitativeEvaluations:
    """TID 1501 about the whole image, that no region was found: TID 1500 does not go without a group."""
    count = CodedConcept("num-regions", SCHEME, "Number of regions")
    return MeasurementsAndQualitativeEvaluations(
        tracking_identifier=TrackingIdentifier(tracking_uid(report, source, 0), "image"),
        source_images=[SourceImageForMeasurementGroup(source.header.SOPClassUID, source.header.SOPInstanceUID)],
        measurements=[Measurement(name=count, value=0, unit=codes.UCUM.NoUnits)],
    )


def outline_of_box(region: Region) -> np.ndarray:
    """float64[5, 2] (column, row) of the closed outline of the box."""
    x0, y0, x1, y1 = (float(value) for value in region.box_xyxy_px)
    return np.array([[x0, y0], [x1, y0], [x1, y1], [x0, y1], [x0, y0]])
