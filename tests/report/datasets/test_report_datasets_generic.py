"""A table of one's own: columns by many names, several images, priors, and one clear error for what is wrong."""

import csv
import json
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from medglip.grounding.bad_input import BadInput
from medglip.report.datasets.generic import GenericSettings, parse_date
from medglip.report.datasets.load import load_reports, load_texts

Rows = list[dict[str, Any]]


def write(folder: Path, rows: Rows, name: str = "reports.csv", delimiter: str = ",", encoding: str = "utf-8") -> Path:
    for image in ("a.png", "b.png", "c.png", "d.png"):
        Image.new("L", (8, 6)).save(folder / image)
    file = folder / name
    if file.suffix == ".jsonl":
        file.write_text("".join(json.dumps(row) + "\n" for row in rows))
        return file
    with file.open("w", newline="", encoding=encoding) as lines:
        writer = csv.DictWriter(lines, list(rows[0]), delimiter=delimiter)
        writer.writeheader()
        writer.writerows(rows)
    return file


def test_image_and_report_are_enough(tmp_path: Path) -> None:
    reports, skipped = load_reports("generic", write(tmp_path, [{"image": "a.png", "report": "Small nodule, left."}]))
    assert [(r.report_id, r.text, r.image.split, r.image.modality) for r in reports] == [
        ("reports-1", "Small nodule, left.", "train", "xray")
    ]
    assert not skipped.entries


@pytest.mark.parametrize("name", ["reports.csv", "reports.jsonl", "reports.tsv"])
def test_everything_a_row_may_hold(tmp_path: Path, name: str) -> None:
    several: Any = ["a.png", "b.png"] if name.endswith("jsonl") else "a.png|b.png"
    row = {
        "Study_ID": "7",
        "images": several,
        "view": ["Lateral", "PA"] if name.endswith("jsonl") else "Lateral|PA",
        "report": "History: Cough.\nFindings: Nodule.\nNo effusion.\nImpression: Mass.",
        "technique": "PA and lateral.",
        "patient": 17,
        "split": "Validation",
        "date": "31.01.2024 08:05",
        "modality": "ct",
        "prior_image": "c.png",
        "prior_report": "Findings: Clear.",
        "prior_date": "2023-12-01",
    }
    file = write(tmp_path, [row], name, "\t" if name.endswith("tsv") else ",")
    settings = GenericSettings(path=file, max_views=2, prior="both", target="both")
    (report,), skipped = load_reports("generic", settings=settings)
    assert report.text == "Findings: Nodule. No effusion. Impression: Mass."
    assert (report.section, report.indication, report.technique) == ("both", "Cough.", "PA and lateral.")
    assert [image.image_path.name for image in report.images] == ["b.png", "a.png", "c.png"]
    assert (report.views, report.prior_text, report.taken) == (("PA", "Lateral"), "Clear.", "202401310805")
    assert (report.report_id, report.image.group, report.image.split, report.image.modality) == ("7", "17", "val", "ct")
    assert not skipped.entries


def test_an_export_of_an_excel_in_german(tmp_path: Path) -> None:
    rows = [{"Pfad": "a.png", "Befund": "Befund: Kein Erguß.\nBeurteilung: Unauffällig.", "Pat": "1"}]
    file = write(tmp_path, rows, delimiter=";", encoding="cp1252")
    columns = {"image": "pfad", "report": "Befund", "patient": "Pat"}
    with pytest.raises(BadInput, match=r"reports\.csv: row 2: not utf-8.*cp1252"):
        load_reports("generic", settings=GenericSettings(path=file, columns=columns))
    settings = GenericSettings(path=file, columns=columns, encoding="cp1252")
    assert load_reports("generic", settings=settings)[0][0].text == "Kein Erguß."


def test_a_prior_newer_than_its_study_is_listed_and_the_study_goes_on(tmp_path: Path) -> None:
    row = {
        "image": "a.png",
        "report": "Clear.",
        "date": "2024-01-31",
        "prior_report": "Old.",
        "prior_date": "2024-02-01",
    }
    settings = GenericSettings(path=write(tmp_path, [row]), prior="both")
    (report,), skipped = load_reports("generic", settings=settings)
    assert (report.prior_text, report.text) == ("", "Clear.")
    (entry,) = skipped.entries
    assert entry["item"] == "prior of reports.csv row 1"
    assert "its prior is of 20240201, the study of 20240131" in entry["why"]


def test_without_columns_for_it_the_prior_is_the_patients_study_before(tmp_path: Path) -> None:
    rows = [
        {"image": "a.png", "report": "Second.", "patient": "1", "date": "20240102"},
        {"image": "b.png", "report": "First.", "patient": "1", "date": "20240101"},
        {"image": "c.png", "report": "Other.", "patient": "2", "date": "20230101"},
    ]
    reports, _ = load_reports("generic", settings=GenericSettings(path=write(tmp_path, rows), prior="both"))
    told = {
        report.text: (report.prior_text, [image.image_path.name for image in report.prior_images]) for report in reports
    }
    assert told == {"Second.": ("First.", ["b.png"]), "First.": ("", []), "Other.": ("", [])}
    assert reports[0].image.split == reports[1].image.split


def test_bad_rows_are_listed_and_the_rest_goes_on(tmp_path: Path) -> None:
    good = {"image": "a.png", "report": "Clear.", "split": "test", "date": "", "view": ""}
    bad = [
        {"image": "gone.png"},
        {"image": ""},
        {"image": "a.png|a.png"},
        {"split": "dev"},
        {"date": "last week"},
        {"view": "PA|LL"},
        {"report": "  "},
        {"report": "word " * 900},
    ]
    file = write(tmp_path, [good, *(good | wrong for wrong in bad)])
    reports, skipped = load_reports("generic", file)
    assert [report.report_id for report in reports] == ["reports-1"]
    assert sorted(entry["item"] for entry in skipped.entries) == [f"reports.csv row {k}" for k in range(2, 10)]
    why = [entry["why"] for entry in skipped.entries]
    assert all(f"{file}: row" in text and "Fix: " in text for text in why)
    torn = write(tmp_path, [good | {"image": "a.png"}, good | {"image": "b.png"}], "torn.jsonl")
    (tmp_path / "b.png").write_bytes((tmp_path / "a.png").read_bytes()[:40])
    reports, skipped = load_reports("generic", torn)
    assert len(reports) == 1
    assert [entry["item"] for entry in skipped.entries] == ["image b.png of torn.jsonl row 2", "torn.jsonl row 2"]


@pytest.mark.parametrize(
    ("row", "columns", "words"),
    [
        ({"image": "a.png", "txt": "Clear."}, {}, r"reports\.csv: row 1: no column report.*image, txt.*columns: "),
        ({"image": "a.png", "Befunde": "x"}, {"report": "Befund"}, r"row 1: no column 'Befund'.*mean 'Befunde'"),
        ({"image": "a.png", "report": "x"}, {"reprot": "report"}, r"no column 'reprot' of ours; did you mean 'report'"),
    ],
)
def test_a_wrong_column_is_one_clear_error(
    tmp_path: Path, row: dict[str, str], columns: dict[str, str], words: str
) -> None:
    with pytest.raises(BadInput, match=words):
        load_reports("generic", settings=GenericSettings(path=write(tmp_path, [row]), columns=columns))


def test_no_patient_in_two_parts_no_id_twice_no_table(tmp_path: Path) -> None:
    rows = [{"image": f"{name}.png", "report": "Clear.", "patient": "1", "split": "train"} for name in "ab"]
    with pytest.raises(BadInput, match=r"row 2: patient '1' is in test here and in train in row 1"):
        load_reports("generic", write(tmp_path, [rows[0], rows[1] | {"split": "test"}]))
    with pytest.raises(BadInput, match=r"row 2: id '3' stands in row 1 already"):
        load_reports("generic", write(tmp_path, [row | {"id": "3"} for row in rows]))
    with pytest.raises(BadInput, match=r"none\.csv: no such table\. Fix: set `path` .*MEDGLIP_DATA"):
        load_reports("generic", tmp_path / "none.csv")


def test_a_table_without_images_serves_as_text(tmp_path: Path) -> None:
    file = write(tmp_path, [{"findings": "Clear ___.", "impression": "Normal."}])
    (text,), _ = load_texts("generic", settings=GenericSettings(path=file, deidentified="same", target="impression"))
    assert (text.text, text.findings) == ("Normal.", "Clear ___.")
    with pytest.raises(BadInput, match="no image"):
        load_reports("generic", file)


def test_context_is_given_as_far_as_it_is_wanted_and_cut_at_a_sentence(tmp_path: Path) -> None:
    file = write(
        tmp_path, [{"image": "a.png", "report": "Clear.", "indication": "One two. Three four.", "technique": "PA."}]
    )
    settings = GenericSettings(path=file, context=("indication",), max_context_words=3)
    (report,), _ = load_reports("generic", settings=settings)
    assert (report.indication, report.technique) == ("One two.", "")
    assert report.meta["cut"] == ["indication"]


def test_images_of_one_name_in_two_folders_are_two(tmp_path: Path) -> None:
    for folder in ("front", "side"):
        (tmp_path / folder).mkdir()
        Image.new("L", (8, 6)).save(tmp_path / folder / "1.png")
    file = write(tmp_path, [{"image": "front/1.png|side/1.png", "report": "Clear."}])
    (report,), _ = load_reports("generic", settings=GenericSettings(path=file, max_views=2))
    assert len({image.image_id for image in report.images}) == 2


def test_a_line_without_a_column_of_the_others_is_listed(tmp_path: Path) -> None:
    good = {"image": "a.png", "report": "Clear.", "split": "train"}
    rows = [good, {"image": "b.png", "report": "No split."}, {"report": "No image.", "split": "test"}]
    reports, skipped = load_reports("generic", write(tmp_path, rows, "reports.jsonl"))
    assert [report.text for report in reports] == ["Clear."]
    assert [entry["item"] for entry in skipped.entries] == ["reports.jsonl row 2", "reports.jsonl row 3"]


def test_a_torn_csv_names_the_row(tmp_path: Path) -> None:
    file = write(tmp_path, [{"image": "a.png", "report": "Clear."}])
    file.write_text(file.read_text() + 'b.png,"no end')
    with pytest.raises(BadInput, match=r"reports\.csv: row 2: not a table.*quote"):
        load_reports("generic", file)


def test_sets_that_were_there_before_come_by_name_too(tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    write(tmp_path / "images", [{"report": ""}])
    rows = [{"patientid": k, "filename": f"{k}.png", "modality": "CT", "clinical_notes": f"Note {k}."} for k in "abcd"]
    write(tmp_path, rows, "metadata.csv")
    reports, _ = load_reports("covid_notes", tmp_path)
    assert [report.text for report in reports] == [f"Note {k}." for k in "abcd"]
    assert {report.image.split for report in load_reports("covid_notes", tmp_path, split="val")[0]} == {"val"}


def test_dates_sort_as_digits() -> None:
    assert parse_date("") == ""
    assert parse_date("2024-01-31") == parse_date("20240131") == parse_date("31.1.2024") == "20240131"
    assert parse_date("2024-01-31T08:05:06.5Z") == parse_date("31.01.2024 08:05:06") == "20240131080506"
    with pytest.raises(BadInput, match="date is '01/31/2024'"):
        parse_date("01/31/2024")


def test_an_empty_cell_of_pandas_is_no_text_and_a_json_list_is_read(tmp_path: Path) -> None:
    write(tmp_path, [{"image": "a.png", "report": "x"}])
    file = tmp_path / "rows.json"
    file.write_text('[{"image": "a.png", "report": NaN}, {"image": "b.png", "report": "Clear."}]')
    reports, skipped = load_reports("generic", file)
    assert [report.text for report in reports] == ["Clear."]
    assert "row 1" in skipped.summary()
