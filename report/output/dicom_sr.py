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

from pathlib import Path

import numpy as np
from highdicom import sr
from pydicom.sr.codedict import codes
from pydicom.uid import generate_uid

from ...grounding.types import Region
from . import dicom
from .grounded import GroundedReport, score_in_words


def write_sr(report: GroundedReport, source: Path, out: Path, keep_descriptive: bool = False) -> Path:
    """Write the report about the DICOM file `source`; returns `out`. `keep_descriptive`: as `read_source`.

    Raises `BadInput` for a source it cannot name.
    """
    about = dicom.read_source(source, report, keep_descriptive)
    with dicom.silence(source):
        document = sr.ComprehensiveSR(
            evidence=[about.header],
            content=_make_content(report, about)[0],
            is_complete=False,
            is_final=False,
            is_verified=False,
            **dicom.object_facts(report, dicom.SERIES_NUMBER + 1),
        )
        dicom.save(document, about, out)
    return out


def _make_content(report: GroundedReport, source: dicom.DicomSource) -> sr.MeasurementReport:
    """TID 1500, which is extensible: the sentences follow as text items of its root."""
    device = sr.DeviceObserverIdentifyingAttributes(
        uid=generate_uid(entropy_srcs=list(dicom.software_facts(report).values())),
        name="medglip",
        model_name=report.model or None,
    )
    observer = sr.ObserverContext(observer_type=codes.DCM.Device, observer_identifying_attributes=device)
    regions = [_describe_region(report, source, number, region) for number, region in enumerate(report.all_regions, 1)]
    # TID 1500 does not go without a group: without regions it is TID 1501, that says so of the whole image.
    count = sr.CodedConcept("num-regions", dicom.SCHEME, "Number of regions")
    no_region = sr.MeasurementsAndQualitativeEvaluations(
        tracking_identifier=sr.TrackingIdentifier(dicom.tracking_uid(report, source, 0), "image"),
        source_images=[sr.SourceImageForMeasurementGroup(source.header.SOPClassUID, source.header.SOPInstanceUID)],
        measurements=[sr.Measurement(name=count, value=0, unit=codes.UCUM.NoUnits)],
    )
    content = sr.MeasurementReport(
        observation_context=sr.ObservationContext(observer_device_context=observer),
        procedure_reported=sr.CodedConcept("363679005", "SCT", "Imaging procedure"),
        imaging_measurements=regions or [no_region],
        title=codes.DCM.ImagingMeasurementReport,
    )
    # What made it, the sentences with their regions, each with what is to be checked in it.
    texts = [(codes.DCM.Comment, f"{name}: {value}") for name, value in dicom.software_facts(report).items()]
    texts += [(codes.DCM.Comment, f"{note[0].upper()}{note[1:]}.") for note in report.notes]
    for index, sentence in enumerate(report.sentences):
        listed = ", ".join(f"region {k + 1}" for k in report.region_indices(sentence))
        listed = listed or ", ".join(f"in {name}" for name in report.elsewhere.get(index, ()))
        texts.append((codes.DCM.Finding, sentence.text + (f" ({listed})" if listed else "")))
        texts += [(codes.DCM.Comment, check) for check in report.checks(index)]
    for name, value in texts:
        item = sr.TextContentItem(name=name, value=value, relationship_type=sr.RelationshipTypeValues.CONTAINS)
        content[0].ContentSequence.append(item)
    return content


def _describe_region(
    report: GroundedReport, source: dicom.DicomSource, number: int, region: Region
) -> sr.PlanarROIMeasurementsAndQualitativeEvaluations:
    laterality = dicom.side(region.phrase)
    frames = None if source.frame is None else [source.frame]
    image = sr.SourceImageForRegion(source.header.SOPClassUID, source.header.SOPInstanceUID, frames)
    score = sr.CodedConcept("score", dicom.SCHEME, "Score")
    scores = [sr.Measurement(name=score, value=round(region.score, 4), unit=codes.UCUM.NoUnits)]
    version = report.versions.get("medglip", "unknown")
    # (column, row) of the box's closed outline: its first corner comes again at the end
    x0, y0, x1, y1 = (float(value) for value in region.box_xyxy_px)
    outline_52 = np.array([[x0, y0], [x1, y0], [x1, y1], [x0, y1], [x0, y0]])
    return sr.PlanarROIMeasurementsAndQualitativeEvaluations(
        tracking_identifier=sr.TrackingIdentifier(dicom.tracking_uid(report, source, number), f"region {number}"),
        referenced_region=sr.ImageRegion("POLYLINE", outline_52, image),
        finding_type=dicom.concept(region.phrase),
        finding_sites=[sr.FindingSite(dicom.concept(region.phrase), laterality)] if laterality else None,
        algorithm_id=sr.AlgorithmIdentification(name=report.grounder or "medglip", version=version),
        measurements=scores if score_in_words(region) else None,
    )
