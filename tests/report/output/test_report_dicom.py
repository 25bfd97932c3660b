"""DICOM objects about pydicom's own sample files: they open, refer to the right image, and lie at the right place."""

import logging
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from pydicom import Dataset, dcmread
from pydicom.data import get_testdata_file
from pydicom.sr.codedict import codes

from medglip.grounding.bad_input import BadInput
from medglip.grounding.geometry import Letterbox
from medglip.grounding.imaging.dicom import dicom_size
from medglip.grounding.types import NOTICE, Region
from medglip.grounding.vocabulary.contradictions import Contradiction
from medglip.grounding.vocabulary.sentences import Sentence
from medglip.report.output.grounded import GroundedReport
from medglip.report.output.write import write_dicom

highdicom = pytest.importorskip("highdicom")

from medglip.report.output.dicom import concept, side  # noqa: E402 - needs highdicom
from medglip.report.output.dicom_seg import write_seg  # noqa: E402
from medglip.report.output.dicom_sr import write_sr  # noqa: E402

SAMPLES = ["CT_small.dcm", "MR_small.dcm", "SC_rgb_small_odd.dcm", "SC_rgb_rle_2frame.dcm"]


def sample(name: str) -> Path:
    return Path(str(get_testdata_file(name)))


def make_report(path: Path) -> GroundedReport:
    """Two regions whose boxes and masks went through our resizing and back, as the core's do."""
    width, height = size = dicom_size(path)
    letterbox = Letterbox(size, 64)
    square = np.zeros((64, 64), np.float32)
    square[8:24, 12:40] = 1
    boxes = letterbox.inverse(np.array([[12, 8, 40, 24], [0, 0, 20, 20]], np.float32))
    edges = np.tile(np.array(size, np.float32), 2)
    mask = letterbox.inverse_map(square) > 0.5
    nodule = Region(phrase="nodule", box_xyxy_px=boxes[0].clip(0, edges), mask=mask, score=0.9)
    liver = Region(phrase="liver", box_xyxy_px=boxes[1].clip(0, edges), mask=np.ones((height, width), bool), score=0.4)
    bare = Region(phrase="mass", box_xyxy_px=boxes[1].clip(0, edges), score=0.3)
    return GroundedReport(
        report_id="r1",
        image=path.name,
        size_px=size,
        sentences=(Sentence(text="A nodule.", regions=(nodule,)), Sentence(text="No effusion.", is_negated=True)),
        regions=(nodule, bare, liver),
        model="tiny model",
        adapter="run/adapter",
        grounder="small",
        notes=("this image is unlike anything this core has learned",),
        contradictions=(Contradiction(sentence=0, phrase="nodule", said="present", chance=0.02),),
    )


@pytest.mark.parametrize("name", SAMPLES)
def test_segments_lie_where_the_masks_are_and_refer_to_the_image(name: str, tmp_path: Path) -> None:
    path = sample(name)
    report, source = make_report(path), dcmread(path, stop_before_pixels=True)
    out = write_seg(report, path, tmp_path / "a.dcm")
    seg = highdicom.seg.segread(out)
    assert [seg.get_segment_description(n).segment_label for n in (1, 2)] == ["nodule 0.90", "liver 0.40"]
    for number, region in ((1, report.regions[0]), (2, report.regions[2])):
        frames = [
            pixels
            for pixels, group in zip(
                np.atleast_3d(dcmread(out).pixel_array), seg.PerFrameFunctionalGroupsSequence, strict=False
            )
            if group.SegmentIdentificationSequence[0].ReferencedSegmentNumber == number
        ]
        assert region.mask is not None
        assert len(frames) == 1
        assert (frames[0].astype(bool) == region.mask).all()
    image = seg.PerFrameFunctionalGroupsSequence[0].DerivationImageSequence[0].SourceImageSequence[0]
    assert image.ReferencedSOPInstanceUID == source.SOPInstanceUID
    assert image.ReferencedSOPClassUID == source.SOPClassUID
    assert image.get("ReferencedFrameNumber") == (2 if "2frame" in name else None)
    assert seg.StudyInstanceUID == source.StudyInstanceUID
    assert seg.SOPInstanceUID != source.SOPInstanceUID
    # how the patient lies: by the plane, else by an element that may be empty (type 2C)
    assert "PlaneOrientationSequence" in seg.SharedFunctionalGroupsSequence[0] or "PatientOrientation" in seg
    written = str(dcmread(out))
    assert all(text in written for text in (NOTICE, "tiny model", "run/adapter", "medglip 0."))


@pytest.mark.parametrize("name", SAMPLES)
def test_structured_report_holds_boxes_sentences_and_flags(name: str, tmp_path: Path) -> None:
    path = sample(name)
    report, source = make_report(path), dcmread(path, stop_before_pixels=True)
    document = highdicom.sr.srread(write_sr(report, path, tmp_path / "a.dcm"))
    assert document.ContentTemplateSequence[0].TemplateIdentifier == "1500"
    groups = document.content.get_planar_roi_measurement_groups()
    assert [group.finding_type.meaning for group in groups] == ["Nodule", "Mass", "Liver"]
    for group, region in zip(groups, report.regions, strict=True):
        points = group.roi.value
        x0, y0, x1, y1 = region.box_xyxy_px
        assert np.allclose(points, [[x0, y0], [x1, y0], [x1, y1], [x0, y1], [x0, y0]])
        (image,) = group.roi.ContentSequence
        reference = image.ReferencedSOPSequence[0]
        assert reference.ReferencedSOPInstanceUID == source.SOPInstanceUID
        assert reference.get("ReferencedFrameNumber") == (2 if "2frame" in name else None)
        assert group.get_measurements()[0].value == pytest.approx(region.score, abs=1e-4)
    evidence = document.CurrentRequestedProcedureEvidenceSequence[0].ReferencedSeriesSequence[0]
    assert evidence.ReferencedSOPSequence[0].ReferencedSOPInstanceUID == source.SOPInstanceUID
    written = [item.TextValue for item in document.ContentSequence if "TextValue" in item]
    assert f"Notice: {NOTICE}" in written
    assert "A nodule. (region 1)" in written
    assert "No effusion." in written
    assert any("0.02" in text for text in written)
    assert "This image is unlike anything this core has learned." in written
    assert "Model: tiny model" in written
    assert any(text.startswith("Versions: medglip ") for text in written)
    assert (document.CompletionFlag, document.VerificationFlag) == ("PARTIAL", "UNVERIFIED")


def test_a_sided_organ_is_its_snomed_concept_and_a_side(tmp_path: Path) -> None:
    path = sample("CT_small.dcm")
    report = make_report(path)
    lung = replace(report.regions[0], phrase="left lung")
    report = replace(report, sentences=(), regions=(lung,), contradictions=())
    segment = highdicom.seg.segread(write_seg(report, path, tmp_path / "seg.dcm")).get_segment_description(1)
    (modifier,) = segment.SegmentedPropertyTypeCodeSequence[0].SegmentedPropertyTypeModifierCodeSequence
    document = highdicom.sr.srread(write_sr(report, path, tmp_path / "sr.dcm"))
    (group,) = document.content.get_planar_roi_measurement_groups()
    assert segment.segmented_property_type == group.finding_type == codes.SCT.Lung
    assert modifier.CodeValue == group.finding_sites[0].laterality.value == codes.SCT.Left.value
    assert segment.segment_label == "left lung 0.90"


@pytest.mark.parametrize(
    ("phrase", "value", "has_side"),
    [
        ("heart", "80891009", False),
        ("right kidney", "64033007", True),
        ("right breast", "73056007", False),  # a concept of its own
        ("Lungs", "39607008", False),  # plurals and synonyms are their label
        ("radius", "radius", False),  # the dictionary's is a length
        ("left frobnicum", "left-frobnicum", False),
    ],
)
def test_codes_of_phrases(phrase: str, value: str, has_side: bool) -> None:
    assert concept(phrase).value == value
    assert (side(phrase) is not None) is has_side


def test_segments_and_findings_of_a_region_share_a_tracking_uid(tmp_path: Path) -> None:
    path = sample("CT_small.dcm")
    report = make_report(path)
    seg = highdicom.seg.segread(write_seg(report, path, tmp_path / "seg.dcm"))
    document = highdicom.sr.srread(write_sr(report, path, tmp_path / "sr.dcm"))
    groups = document.content.get_planar_roi_measurement_groups()
    assert str(seg.get_segment_description(2).tracking_uid) == str(groups[2].tracking_uid)


@pytest.mark.parametrize("name", SAMPLES)
@pytest.mark.parametrize("write", [write_seg, write_sr])
def test_no_patient_or_study_field_beyond_the_source(name: str, write: Callable[..., Path], tmp_path: Path) -> None:
    """Every element of patient, visit and study is the source's own, or empty."""
    path = sample(name)
    source = dcmread(path, stop_before_pixels=True)
    written = dcmread(write(make_report(path), path, tmp_path / "a.dcm"))
    about_patient = [e for e in written if e.tag.group in (0x0010, 0x0032, 0x0038) and e.VR != "SQ"]
    about_study = [
        written[k]
        for k in ("StudyDate", "StudyTime", "AccessionNumber", "ReferringPhysicianName", "StudyID")
        if k in written
    ]
    for element in [*about_patient, *about_study]:
        if element.value not in ("", None):
            assert element.value == source.get(element.keyword)


def test_a_name_in_a_damaged_file_gets_into_no_message(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "a.dcm"
    source = dcmread(sample("CT_small.dcm"))
    source.PatientName, source.PatientID = "SECRET^NAME^^^^^TOO^MANY", "SECRETID"
    del source.ImagePositionPatient
    source.PatientSex = "SECRET"
    source.save_as(path)
    report = make_report(path)
    for write in (write_seg, write_sr):
        with caplog.at_level(logging.DEBUG), pytest.raises(BadInput) as caught:
            write(report, path, tmp_path / "out.dcm")
        assert "SECRET" not in str(caught.value)
        assert caught.value.__cause__ is None
        assert caught.value.__suppress_context__
    assert "SECRET" not in caplog.text
    assert not (tmp_path / "out.dcm").exists()


def test_missing_patient_elements_are_empty_not_invented(tmp_path: Path) -> None:
    path = tmp_path / "a.dcm"
    source = dcmread(sample("CT_small.dcm"))
    for name in ("PatientName", "PatientID", "PatientBirthDate", "PatientSex", "StudyID", "ReferringPhysicianName"):
        if name in source:
            del source[name]
    source.save_as(path)
    for file in write_dicom(make_report(path), path, tmp_path / "out"):
        written = dcmread(file)
        assert not written.PatientName
        assert not written.PatientID


def test_other_files_and_other_images_are_refused(tmp_path: Path) -> None:
    path = sample("CT_small.dcm")
    report = make_report(path)
    with pytest.raises(BadInput, match="pixels"):
        write_seg(report, sample("MR_small.dcm"), tmp_path / "a.dcm")
    picture = Path(shutil.copy(path.with_name("README.txt"), tmp_path / "a.png"))
    with pytest.raises(BadInput, match="DICOM"):
        write_dicom(report, picture, tmp_path)
    bare = GroundedReport(report_id="x", image="x.dcm", size_px=report.size_px, sentences=())
    with pytest.raises(BadInput, match="no region has a mask"):
        write_seg(bare, path, tmp_path / "a.dcm")
    assert len(write_dicom(bare, path, tmp_path / "bare")) == 1


@pytest.mark.parametrize("keep", [False, True])
def test_comments_institution_and_station_leave_only_where_asked_for(tmp_path: Path, keep: bool) -> None:
    source = dcmread(sample("CT_small.dcm"))
    who = {name: source.get(name) for name in ("PatientName", "PatientID", "StudyInstanceUID", "AccessionNumber")}
    names = ("PatientComments", "StudyDescription", "InstitutionName", "StationName", "Occupation")
    for name in (*names, "NameOfPhysiciansReadingStudy", "OtherPatientNames", "ReasonForVisit"):
        setattr(source, name, f"planted {name}"[:16])
    inner = Dataset()
    inner.CodeMeaning = inner.CodeValue = inner.CodingSchemeDesignator = "planted code"
    source.RequestingServiceCodeSequence = source.ReasonForPerformedProcedureCodeSequence = [inner]
    source.save_as(tmp_path / "a.dcm")
    for file in write_dicom(make_report(tmp_path / "a.dcm"), tmp_path / "a.dcm", tmp_path, keep):
        written = dcmread(file)
        assert {name: written.get(name) for name in who} == who
        assert b"planted code" not in file.read_bytes() or keep
        assert [name for name in names if written.get(name) == f"planted {name}"[:16]] == (list(names) if keep else [])
        assert (b"planted" in file.read_bytes()) is keep


@pytest.mark.skipif(not shutil.which("dciodvfy"), reason="dciodvfy (Debian's dicom3tools) is not installed")
@pytest.mark.parametrize("name", SAMPLES[:3])  # the last has two frames in a class of one: its frame number is an error
@pytest.mark.parametrize("write", [write_seg, write_sr])
def test_dciodvfy_has_no_error_to_tell(name: str, write: Callable[..., Path], tmp_path: Path) -> None:
    out = write(make_report(sample(name)), sample(name), tmp_path / "a.dcm")
    told = subprocess.run(["dciodvfy", str(out)], capture_output=True, text=True, check=False).stderr
    assert not [line for line in told.splitlines() if line.startswith("Error")]
