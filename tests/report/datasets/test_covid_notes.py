import csv
import json
from pathlib import Path

import pytest
from PIL import Image

from medglip.grounding.bad_input import BadInput, Skipped
from medglip.report.datasets import covid_notes
from medglip.report.datasets.covid_notes import COLUMNS, CovidNotesSettings
from medglip.report.datasets.sets import ReportContext
from medglip.report.task import Report

Rows = list[tuple[str, str, str, str]]


def write_set(folder: Path, rows: Rows, boxes: dict[str, list[float]] | None = None) -> CovidNotesSettings:
    """A tiny collection: rows of (patientid, filename, modality, note); boxes: right lung of an image."""
    (folder / "images").mkdir(parents=True, exist_ok=True)
    for name in {row[1] for row in rows if row[1]}:
        Image.new("L", (40, 30)).save(folder / "images" / name)
    with (folder / "metadata.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([COLUMNS, *rows])
    if boxes:
        images = [{"id": k, "file_name": name, "width": 40, "height": 30} for k, name in enumerate(boxes)]
        found = [{"id": k, "image_id": k, "category_id": 1, "bbox": box} for k, box in enumerate(boxes.values())]
        coco = {"images": images, "annotations": found, "categories": [{"id": 1, "name": "Right Lung"}]}
        (folder / "lung_boxes.json").write_text(json.dumps(coco))
    return CovidNotesSettings(path=folder)


def read(settings: CovidNotesSettings, seed: int) -> tuple[list[Report], Skipped]:
    skipped = Skipped()
    return covid_notes.read(settings, ReportContext(seed=seed), skipped), skipped


def test_notes_become_reports_with_the_lung_regions(tmp_path: Path) -> None:
    rows = [
        ("1", "a.png", "X-ray", "Opacity in the  right lung.\nNo effusion."),
        ("2", "b.JPG", "CT", "GGO 39\N{REPLACEMENT CHARACTER} C ? axial."),
    ]
    reports, skipped = read(write_set(tmp_path, rows, {"a.png": [2, 3, 10, 20]}), seed=0)
    assert [report.text for report in reports] == ["Opacity in the right lung. No effusion.", "GGO 39 C - axial."]
    assert [report.image.modality for report in reports] == ["xray", "ct"]
    assert [region.phrase for region in reports[0].image.regions] == ["right lung"]
    assert reports[0].sentences[0].regions == reports[0].image.regions
    assert reports[0].sentences[1].is_negated
    assert not reports[1].image.regions
    assert not skipped.entries


def test_notes_without_lung_boxes_are_left_out_where_that_is_asked_for(tmp_path: Path) -> None:
    rows = [("1", "a.png", "X-ray", "Opacity."), ("2", "b.png", "X-ray", "Clear.")]
    settings = write_set(tmp_path, rows, {"a.png": [2, 3, 10, 20]}).model_copy(update={"boxes_only": True})
    reports, skipped = read(settings, seed=0)
    assert [report.image.image_path.name for report in reports] == ["a.png"]
    assert not skipped.entries


def test_no_patient_is_in_both_splits_nor_are_patients_who_share_a_file_or_a_note(tmp_path: Path) -> None:
    rows = [(str(k), f"{k}.png", "X-ray", f"Note number {k}.") for k in range(20)]
    rows += [("3", "x.png", "CT", "Another."), ("30", "5.png", "X-ray", "Twice."), ("30", "y.png", "X-ray", "More.")]
    rows += [("40", "z.png", "X-ray", "note number 7")]
    settings = write_set(tmp_path, rows)

    def splits(seed: int) -> dict[str, str]:
        return {report.image.image_path.name: report.image.split for report in read(settings, seed)[0]}

    for seed in range(8):
        split = splits(seed)
        assert set(split.values()) == {"train", "val"}
        assert split["3.png"] == split["x.png"]
        assert split["5.png"] == split["y.png"]
        assert split["7.png"] == split["z.png"]
        assert splits(seed) == split


def test_bad_rows_are_listed_and_the_rest_goes_on(tmp_path: Path) -> None:
    rows = [
        ("1", "a.png", "X-ray", "Clear."),
        ("2", "b.png", "X-ray", "  "),
        ("1", "a.png", "X-ray", "Again."),
        ("3", "c.png", "hologram", "Odd."),
        ("4", "d.png", "X-ray", "Torn."),
        ("5", "", "X-ray", "No file."),
        ("6", "e.png", "X-ray", "Clear too."),
    ]
    settings = write_set(tmp_path, rows)
    (tmp_path / "images" / "d.png").write_bytes((tmp_path / "images" / "a.png").read_bytes()[:50])
    reports, skipped = read(settings, seed=0)
    assert [report.image.image_path.name for report in reports] == ["a.png", "e.png"]
    assert sorted(entry["item"] for entry in skipped.entries) == [f"metadata.csv row {n}" for n in range(2, 7)]


def test_only_the_first_sentences_are_kept(tmp_path: Path) -> None:
    settings = write_set(tmp_path, [("1", "a.png", "X-ray", "One. Two. Three. Four.")])
    short, _ = read(settings.model_copy(update={"max_sentences": 2}), seed=0)
    assert short[0].text == "One. Two."
    assert [sentence.text for sentence in short[0].sentences] == ["One.", "Two."]


def test_limit_takes_the_first_notes(tmp_path: Path) -> None:
    settings = write_set(tmp_path, [(str(k), f"{k}.png", "CT", f"Note {k}.") for k in range(6)])
    reports, _ = read(settings.model_copy(update={"limit": 3}), seed=0)
    assert [report.text for report in reports] == ["Note 0.", "Note 1.", "Note 2."]


def test_missing_folder_file_or_column_is_bad_input(tmp_path: Path) -> None:
    settings = CovidNotesSettings(path=tmp_path)
    with pytest.raises(BadInput, match=r"metadata\.csv"):
        read(settings, seed=0)
    (tmp_path / "metadata.csv").write_text("patientid,filename\n1,a.png\n")
    with pytest.raises(BadInput, match="clinical_notes"):
        read(settings, seed=0)
    with pytest.raises(BadInput, match="no such folder"):
        read(CovidNotesSettings(path=tmp_path / "nowhere"), seed=0)
