"""MIMIC-CXR in its true layout: views, priors, sections and every kind of bad study."""

import csv
import gzip
import re
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from medglip.grounding.bad_input import BadInput
from medglip.report.datasets.load import load_reports, load_texts
from medglip.report.datasets.mimic_cxr import MimicCxrSettings, join_time

META = ("dicom_id", "subject_id", "study_id", "ViewPosition", "Rows", "Columns", "StudyDate", "StudyTime")
TEXT = " FINAL REPORT\n INDICATION: Cough, seen ___.\n \n FINDINGS: {0}\n IMPRESSION: {1}\n"
Shots = list[tuple[str, str]]


class Mimic:
    """Writes studies: folder, text (None: no file) and one 8 x 6 image a (dicom_id, ViewPosition)."""

    def __init__(self, root: Path):
        self.root = root
        self.split: list[tuple[str, ...]] = []
        self.meta: list[tuple[str, ...]] = []
        self.labels: list[tuple[str, ...]] = []

    def add(
        self, subject: str, image: str, shots: Shots, text: str | None, *, when: str = "", part: str = "train"
    ) -> None:
        folder = self.root / "files" / f"p{subject[:2]}" / f"p{subject}" / f"s{image}"
        folder.mkdir(parents=True)
        if text is not None:
            folder.with_suffix(".txt").write_text(text)
        date, _, time = when.partition(" ")
        for dicom, view in shots:
            Image.new("L", (8, 6)).save(folder / f"{dicom}.jpg")
            self.split.append((dicom, image, subject, part))
            self.meta.append((dicom, subject, image, view, "6", "8", date, time))
        self.labels.append((subject, image, "1.0", "-1.0", ""))

    def write(self, **kwargs: Any) -> MimicCxrSettings:
        self._csv("split", ("dicom_id", "study_id", "subject_id", "split"), self.split)
        self._csv("metadata", META, self.meta)
        self._csv("chexpert", ("subject_id", "study_id", "Edema", "Pneumonia", "Fracture"), self.labels)
        return MimicCxrSettings(path=self.root, **kwargs)

    def _csv(self, kind: str, head: tuple[str, ...], rows: list[tuple[str, ...]]) -> None:
        with gzip.open(self.root / f"mimic-cxr-2.0.0-{kind}.csv.gz", "wt", newline="") as file:
            csv.writer(file).writerows([head, *rows])


@pytest.fixture
def mimic(tmp_path: Path) -> Mimic:
    return Mimic(tmp_path)


def test_studies_become_reports_frontal_view_first(mimic: Mimic) -> None:
    mimic.add("10000032", "50414267", [("d1", "LATERAL"), ("d2", "PA")], TEXT.format("Clear lungs.", "Normal."))
    mimic.add("10000764", "57375967", [("d3", "AP")], TEXT.format("Edema ___.", "Edema."), part="test")
    mimic.add("10000898", "50771383", [("d4", "AP")], TEXT.format("No effusion.", ""), part="validate")
    reports, skipped = load_reports("mimic_cxr", settings=mimic.write(max_views=2))
    first = reports[0]
    assert [report.image.split for report in reports] == ["train", "test", "val"]
    assert [image.image_path.name for image in first.images] == ["d2.jpg", "d1.jpg"]
    assert first.views == ("PA", "LATERAL")
    assert (first.text, first.findings, first.impression) == ("Clear lungs.", "Clear lungs.", "Normal.")
    assert first.indication == "Cough, seen."
    assert (first.image.group, first.image.size_px, first.image.modality) == ("p10000032", (8, 6), "xray")
    assert first.meta["chexpert"] == {"Edema": 1, "Pneumonia": -1}
    assert reports[1].meta["deidentified"] == {"policy": "remove", "marks": 1}
    assert reports[1].text == "Edema."
    assert not skipped.entries
    only, _ = load_reports("mimic_cxr", settings=mimic.write(), split="test")
    assert [report.report_id for report in only] == ["s57375967"]


def test_the_prior_is_the_patients_latest_earlier_study_and_never_a_later_one(mimic: Mimic) -> None:
    for subject, image, when in [
        ("1", "12", "21800506 80556.875"),
        ("1", "13", "21800506 213014.531"),
        ("1", "11", "21791231 235959"),
        ("1", "14", "21800506 213014.531"),
        ("2", "21", "21790101 0"),
        ("1", "15", ""),
    ]:
        mimic.add(f"{subject:0>8}", image, [(f"d{image}", "PA")], TEXT.format(f"Report {image}.", ""), when=when)
    settings = mimic.write(prior="both")
    reports = {report.report_id: report for report in load_reports("mimic_cxr", settings=settings)[0]}
    told = {name: report.prior_text for name, report in reports.items()}
    assert told == {
        "s11": "",
        "s12": "Report 11.",
        "s13": "Report 12.",
        "s14": "Report 12.",
        "s21": "",
        "s15": "",
    }
    for report in reports.values():
        assert [image.image_path.stem for image in report.prior_images] == [
            f"d{t}" for t in re.findall(r"\d+", report.prior_text)
        ]
        assert all(image.group == report.image.group for image in report.prior_images)
    assert all(not report.images[1:] for report in load_reports("mimic_cxr", settings=mimic.write())[0])


def test_times_sort_though_their_leading_zeros_are_lost() -> None:
    assert join_time("21800506", "80556.875") == "21800506080556875" < join_time("21800506", "213014.531")
    assert join_time("21800506", "") < join_time("21800506", "5.5") < join_time("21800506", "100.0")


def test_every_bad_study_is_listed_and_the_rest_goes_on(mimic: Mimic) -> None:
    shot = [("x", "PA")]
    mimic.add("10000001", "1", [("a", "LATERAL"), ("b", "LL")], TEXT.format("Clear.", ""))
    mimic.add("10000001", "2", shot, TEXT.format("", ""))
    mimic.add("10000001", "3", shot, None)
    mimic.add("10000001", "4", shot, TEXT.format("Word. " * 1500, "Long."))
    mimic.add("10000001", "5", shot, TEXT.format("___.", "___"))
    mimic.add("10000001", "6", shot, "")
    mimic.add("10000001", "7", shot, TEXT.format("No effusion. No pneumothorax.", ""))
    mimic.add("10000001", "8", [("gone", "PA"), ("kept", "AP")], TEXT.format("", "Impression alone."))
    mimic.add("10000001", "9", shot, " INDICATION: Cough.\n \n Last paragraph.\n")
    (mimic.root / "files/p10/p10000001/s8/gone.jpg").unlink()
    (mimic.root / "files/p10/p10000001/s9/x.jpg").write_bytes(b"\xff\xd8\xff torn")
    settings = mimic.write()
    reports, skipped = load_reports("mimic_cxr", settings=settings)
    assert [report.report_id for report in reports] == ["s7", "s8"]
    why = " ".join(entry["why"] for entry in skipped.entries)
    for words in (
        "no frontal view (LATERAL, LL)",
        "no findings",
        "no report of this study",
        "1500 words",
        "no word left",
    ):
        assert words in why
    assert "an empty report" in why
    assert "no image of the study" in why
    assert len(skipped.entries) == 9  # eight things of seven studies, and one view of a study that is kept
    assert [sentence.is_negated for sentence in reports[0].sentences] == [True, True]
    assert not any(sentence.regions for sentence in reports[0].sentences)
    assert (reports[1].section, reports[1].image.image_path.stem) == ("impression", "kept")
    texts, _ = load_texts("mimic_cxr", settings=settings)
    assert {text.row.report_id: text.meta["section"] for text in texts}["s9"] == "last_paragraph"
    lateral, _ = load_reports("mimic_cxr", settings=mimic.write(needs_frontal=False))
    assert lateral[0].report_id == "s1"


def test_limit_takes_the_first_of_each_part(mimic: Mimic) -> None:
    for k in range(12):
        part = "test" if k % 3 == 0 else "train"
        mimic.add(
            "10000001" if part == "test" else "10000002", str(k), [(f"d{k}", "PA")], TEXT.format(k, ""), part=part
        )
    reports, _ = load_reports("mimic_cxr", settings=mimic.write(limit=2))
    assert [report.text for report in reports] == ["0", "1", "2", "3"]


@pytest.mark.parametrize("place", ["texts", "mimic-cxr-reports"])
def test_reports_may_lie_in_a_folder_of_their_own(mimic: Mimic, tmp_path: Path, place: str) -> None:
    mimic.add("10000001", "1", [("a", "PA")], None)
    folder = (mimic.root if place == "mimic-cxr-reports" else tmp_path) / place  # the first as some unpack it
    file = folder / "files" / "p10" / "p10000001" / "s1.txt"
    file.parent.mkdir(parents=True)
    file.write_text(TEXT.format("Elsewhere.", ""))
    given = {"reports": folder} if place == "texts" else {}
    assert load_reports("mimic_cxr", settings=mimic.write(**given))[0][0].text == "Elsewhere."


def test_missing_tables_columns_and_words_are_one_clear_error(mimic: Mimic, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"mimic-cxr-2\.0\.0-metadata\.csv\.gz: no such file.*MIMIC-CXR-JPG"):
        load_reports("mimic_cxr", tmp_path)
    mimic.add("10000001", "1", [("a", "PA")], TEXT.format("Clear.", ""), part="train")
    settings = mimic.write()
    mimic._csv("split", ("dicom_id", "study_id", "subject_id", "spilt"), mimic.split)
    with pytest.raises(BadInput, match=r"split\.csv\.gz: has no column split.*'spilt'"):
        load_reports("mimic_cxr", settings=settings)
    mimic._csv("split", ("dicom_id", "study_id", "subject_id", "split"), [("a", "1", "10000001", "dev")])
    with pytest.raises(BadInput, match="row 1: split is 'dev'"):
        load_reports("mimic_cxr", settings=settings)
    with pytest.raises(BadInput, match="unknown report set 'mimic'"):
        load_reports("mimic")
    with pytest.raises(BadInput, match="no settings of iu_xray"):
        load_reports("iu_xray", settings=settings)
    with pytest.raises(BadInput, match="splits with reports: train"):
        load_texts("mimic_cxr", settings=mimic.write(), split="test")


def test_what_a_copy_lacks_is_a_line_each_and_the_rest_is_used(mimic: Mimic, caplog: pytest.LogCaptureFixture) -> None:
    for k in range(1, 5):
        mimic.add("10000001", str(k), [(f"d{k}", "PA")], TEXT.format("Clear.", "") if k != 2 else None)
    (mimic.root / "files/p10/p10000001/s3/d3.jpg").unlink()
    del mimic.meta[3]
    settings = mimic.write()
    next(mimic.root.glob("*-chexpert.csv.gz")).unlink()
    reports, _ = load_reports("mimic_cxr", settings=settings)
    assert [report.report_id for report in reports] == ["s1", "s4"]
    notes = [record.getMessage() for record in caplog.records if record.getMessage().startswith("note:")]
    assert len(notes) == 4
    for words in (
        "no -chexpert.csv.gz",
        "lacks 1 of the 4 images of mimic-cxr-2.0.0-split.csv.gz: take both of one version",
        "1 of 4 studies lack a report that can be read, first s2",
        "1 of 4 studies lack a picture, first s3",
    ):
        assert any(words in note for note in notes), words
    for file in mimic.root.rglob("*.jpg"):
        file.unlink()
    with pytest.raises(BadInput, match="no usable report of any split"):
        load_reports("mimic_cxr", settings=settings)


@pytest.mark.parametrize("named", ["folder", "file"])
def test_boxes_of_ms_cxr_are_true_regions_by_their_category(mimic: Mimic, tmp_path: Path, named: str) -> None:
    mimic.add("10000001", "1", [("d1", "PA"), ("d2", "LATERAL")], TEXT.format("Left effusion.", ""))
    mimic.add("10000002", "2", [("d3", "AP")], TEXT.format("Clear.", ""))
    file = tmp_path / "ms" / "MS_CXR_Local_Alignment_v1.1.0.csv"
    file.parent.mkdir()
    head = "category_name,label_text,path,x,y,w,h,image_width,image_height,dicom_id,split"
    rows = ['Pleural Effusion,"large, left effusion",files/p10/p10000001/s1/d1.jpg,10,10,40,30,80,60,d1,train']
    rows.append("Pneumonia,of another shape,files/p10/p10000002/s2/d3.jpg,1,1,4,3,80,80,d3,train")
    file.write_text("\n".join([head, *rows]) + "\n")
    settings = mimic.write(ms_cxr=file if named == "file" else file.parent, max_views=2)
    (first, second), skipped = load_reports("mimic_cxr", settings=settings)
    assert [(r.phrase, r.box_xyxy_px.tolist()) for r in first.image.regions] == [("pleural effusion", [1, 1, 5, 4])]
    assert [image.is_lateral for image in first.images] == [False, True]
    assert (first.image.phrases, second.image.regions) == ((), ())
    assert "another shape" in skipped.entries[0]["why"]
    assert [region.phrase for region in first.sentences[0].regions] == ["pleural effusion"]
