"""A report as a DICOM structured report: TID 1500, one planar region (TID 1410) a box, the sentences as text.

Coordinates are DICOM's image-relative ones: (column, row) with sub-pixel resolution, (0, 0) the outer corner of the
first pixel. That is our box notation, so that corners are written as they are. The document is partial, preliminary
and unverified: nobody has read it. Needs highdicom.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from pydicom import Dataset
from pydicom.uid import generate_uid

from ...grounding.types import Region
from .dicom_codes import SCHEME, concept, side
from .dicom_seg import SERIES_NUMBER, equipment, save, tracking_uid
from .dicom_source import DicomSource, made_by, quiet, read_source
from .grounded import GroundedReport

if TYPE_CHECKING:
    from highdicom.sr import (
        MeasurementReport,
        MeasurementsAndQualitativeEvaluations,
        PlanarROIMeasurementsAndQualitativeEvaluations,
    )


def write_sr(report: GroundedReport, source: Path, out: Path) -> Path:
    """Write the report about the DICOM file `source`; returns `out`. Raises `BadInput` for a source it cannot name."""
    about = read_source(source, report)
    with quiet(source):
        save(_document(report, about), out)
    return out


def _document(report: GroundedReport, source: DicomSource) -> Dataset:
    from highdicom.sr import ComprehensiveSR

    return ComprehensiveSR(
        evidence=[source.header],
        content=_content(report, source)[0],
        series_instance_uid=generate_uid(),
        series_number=SERIES_NUMBER + 1,
        sop_instance_uid=generate_uid(),
        instance_number=1,
        is_complete=False,
        is_final=False,
        is_verified=False,
        **equipment(report),
    )


def _content(report: GroundedReport, source: DicomSource) -> "MeasurementReport":
    """TID 1500, which is extensible: the sentences follow as text items of its root."""
    from highdicom.sr import (
        CodedConcept,
        DeviceObserverIdentifyingAttributes,
        MeasurementReport,
        ObservationContext,
        ObserverContext,
    )
    from pydicom.sr.codedict import codes

    made = made_by(report)
    device = DeviceObserverIdentifyingAttributes(
        uid=generate_uid(entropy_srcs=list(made.values())), name="medglip", model_name=report.model or None
    )
    observer = ObserverContext(observer_type=codes.DCM.Device, observer_identifying_attributes=device)
    content = MeasurementReport(
        observation_context=ObservationContext(observer_device_context=observer),
        procedure_reported=CodedConcept("363679005", "SCT", "Imaging procedure"),
        imaging_measurements=[
            _finding(report, source, number, region) for number, region in enumerate(report.all_regions, 1)
        ]
        or [_nothing_found(report, source)],
        title=codes.DCM.ImagingMeasurementReport,
    )
    for name, value in _texts(report):
        content[0].ContentSequence.append(_text(name, value))
    return content


def _texts(report: GroundedReport) -> Iterator[tuple[str, str]]:
    """(name, text) of everything that is said: what made it, the sentences with their regions, what to check."""
    for name, value in made_by(report).items():
        yield "Comment", f"{name}: {value}"
    for place, sentence in enumerate(report.sentences):
        regions = ", ".join(f"region {number + 1}" for number in report.places(sentence))
        yield "Finding", sentence.text + (f" ({regions})" if regions else "")
        for flag in report.flags(place):
            yield "Comment", f"Sentence {place + 1} {flag.words}."
        if report.support(place) == "neither":
            yield "Comment", f"Sentence {place + 1} rests on no region, cited or found."


def _text(name: str, value: str) -> Dataset:
    from highdicom.sr import RelationshipTypeValues, TextContentItem
    from pydicom.sr.codedict import codes

    return TextContentItem(
        name=getattr(codes.DCM, name), value=value, relationship_type=RelationshipTypeValues.CONTAINS
    )


def _finding(
    report: GroundedReport, source: DicomSource, number: int, region: Region
) -> "PlanarROIMeasurementsAndQualitativeEvaluations":
    from highdicom.sr import (
        AlgorithmIdentification,
        CodedConcept,
        FindingSite,
        ImageRegion,
        Measurement,
        PlanarROIMeasurementsAndQualitativeEvaluations,
        SourceImageForRegion,
        TrackingIdentifier,
    )
    from pydicom.sr.codedict import codes

    laterality = side(region.phrase)
    frames = None if source.frame is None else [source.frame]
    image = SourceImageForRegion(source.header.SOPClassUID, source.header.SOPInstanceUID, frames)
    algorithm = AlgorithmIdentification(
        name=report.grounder or "medglip", version=report.versions.get("medglip", "unknown")
    )
    return PlanarROIMeasurementsAndQualitativeEvaluations(
        tracking_identifier=TrackingIdentifier(tracking_uid(report, source, number), f"region {number}"),
        referenced_region=ImageRegion("POLYLINE", corners(region), image),
        finding_type=concept(region.phrase),
        finding_sites=[FindingSite(concept(region.phrase), laterality)] if laterality else None,
        algorithm_id=algorithm,
        measurements=[
            Measurement(
                name=CodedConcept("score", SCHEME, "Score"), value=round(region.score, 4), unit=codes.UCUM.NoUnits
            )
        ],
    )


def _nothing_found(report: GroundedReport, source: DicomSource) -> "MeasurementsAndQualitativeEvaluations":
    """TID 1501 about the whole image, that no region was found: TID 1500 does not go without a group."""
    from highdicom.sr import (
        CodedConcept,
        Measurement,
        MeasurementsAndQualitativeEvaluations,
        SourceImageForMeasurementGroup,
        TrackingIdentifier,
    )
    from pydicom.sr.codedict import codes

    count = CodedConcept("num-regions", SCHEME, "Number of regions")
    return MeasurementsAndQualitativeEvaluations(
        tracking_identifier=TrackingIdentifier(tracking_uid(report, source, 0), "image"),
        source_images=[SourceImageForMeasurementGroup(source.header.SOPClassUID, source.header.SOPInstanceUID)],
        measurements=[Measurement(name=count, value=0, unit=codes.UCUM.NoUnits)],
    )


def corners(region: Region) -> np.ndarray:
    """float64[5, 2] (column, row) of the closed outline of the box."""
    x0, y0, x1, y1 = (float(value) for value in region.box_xyxy_px)
    return np.array([[x0, y0], [x1, y0], [x1, y1], [x0, y1], [x0, y0]])
