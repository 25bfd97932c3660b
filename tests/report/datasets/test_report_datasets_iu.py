"""IU X-ray as XML and as R2Gen's file; both forms of R2Gen; text without images."""

import csv
import io
import json
import tarfile
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from medglip.grounding.bad_input import BadInput
from medglip.grounding.evidence.evidence import EvidenceSettings
from medglip.report.datasets.iu_xray import IuXraySettings
from medglip.report.datasets.load import load_reports, load_texts
from medglip.report.datasets.mimic_cxr import MimicCxrSettings
from medglip.report.datasets.reading import text_example
from medglip.vqa.prompt.prompt import instruction_text

XML = """<?xml version="1.0" encoding="utf-8"?>
<eCitation><uId id="CXR{number}"/><licenseURL>http://creativecommons.org/licenses/by-nc-nd/4.0/</licenseURL>
<MedlineCitation Owner="Indiana University"><Article PubModel="Electronic"><Abstract>
<AbstractText Label="COMPARISON">None.</AbstractText>
<AbstractText Label="INDICATION">XXXX-year-old with &lt;cough&gt;.</AbstractText>
<AbstractText Label="FINDINGS">{findings}</AbstractText>
<AbstractText Label="IMPRESSION">{impression}</AbstractText>
</Abstract></Article></MedlineCitation><MeSH><major>Opacity/lung/upper lobe/right</major></MeSH>{images}</eCitation>"""


def document(number: int, findings: str, impression: str, images: int = 2) -> str:
    parents = "".join(f'<parentImage id="CXR{number}_1_IM-0001-{k}001"/>' for k in range(images))
    return XML.format(number=number, findings=findings, impression=impression, images=parents)


def pictures(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("L", (8, 6)).save(folder / name)


def write_archive(folder: Path, documents: dict[int, str]) -> None:
    with tarfile.open(folder / "NLMCXR_reports.tgz", "w:gz") as archive:
        for number, text in documents.items():
            info = tarfile.TarInfo(f"ecgen-radiology/{number}.xml")
            info.size = len(data := text.encode())
            archive.addfile(info, io.BytesIO(data))


def test_the_archive_is_read_as_it_is_with_or_without_images(tmp_path: Path) -> None:
    documents = {10: document(10, "Nodule XXXX.", "XXXX."), 2: document(2, "", "Normal."), 3: document(3, "", "")}
    write_archive(tmp_path, documents | {4: "<eCitation>", 5: '<!DOCTYPE x [<!ENTITY a "b">]><eCitation/>'})
    texts, skipped = load_texts("iu_xray", tmp_path)
    assert [(text.row.report_id, text.text, text.section) for text in texts] == [
        ("CXR2", "Normal.", "impression"),
        ("CXR10", "Nodule.", "findings"),
    ]
    assert texts[1].indication == "year-old with <cough>."
    assert texts[1].row.meta["mesh"] == ["Opacity/lung/upper lobe/right"]
    assert {entry["item"].split(".")[0] for entry in skipped.entries} == {"3", "4", "5"}
    with pytest.raises(BadInput, match="no usable report"):
        load_reports("iu_xray", tmp_path)
    pictures(tmp_path / "images", "CXR10_1_IM-0001-0001.png", "CXR10_1_IM-0001-1001.png")
    reports, skipped = load_reports("iu_xray", tmp_path, settings=IuXraySettings(max_views=2))
    assert [report.report_id for report in reports] == ["CXR10"]
    assert [image.image_path.stem[-4:] for image in reports[0].images] == ["0001", "1001"]
    assert any(entry["item"].startswith("2.xml") for entry in skipped.entries)


def test_projections_say_which_view_is_frontal(tmp_path: Path) -> None:
    folder = tmp_path / "ecgen-radiology"
    folder.mkdir()
    for number in (1, 2):
        (folder / f"{number}.xml").write_text(document(number, "Clear.", "Normal."))
        pictures(tmp_path / "images", *(f"{number}_IM-0001-{k}001.dcm.png" for k in range(2)))
    with (tmp_path / "indiana_projections.csv").open("w", newline="") as file:
        rows = [("1", "1_IM-0001-0001.dcm.png", "Lateral"), ("1", "1_IM-0001-1001.dcm.png", "Frontal")]
        rows += [("2", f"2_IM-0001-{k}001.dcm.png", "Lateral") for k in range(2)]
        csv.writer(file).writerows([("uid", "filename", "projection"), *rows])
    reports, skipped = load_reports("iu_xray", tmp_path, settings=IuXraySettings(max_views=2))
    assert [report.views for report in reports] == [("frontal", "lateral")]
    assert "no frontal view" in skipped.entries[0]["why"]


def test_parts_are_drawn_by_report_and_stay_when_others_go(tmp_path: Path) -> None:
    write_archive(tmp_path, {k: document(k, f"Text {k}.", "") for k in range(60)})
    parts = {text.row.report_id: text.row.split for text in load_texts("iu_xray", tmp_path)[0]}
    assert set(parts.values()) == {"train", "val", "test"}
    write_archive(tmp_path, {k: document(k, f"Text {k}.", "") for k in range(0, 60, 2)})
    fewer = {text.row.report_id: text.row.split for text in load_texts("iu_xray", tmp_path)[0]}
    assert {name: parts[name] for name in fewer if fewer[name] == "test"} == dict.fromkeys(
        (name for name in fewer if parts[name] == "test"), "test"
    )


def annotation(folder: Path, **rows: list[dict[str, Any]]) -> None:
    (folder / "annotation.json").write_text(json.dumps({"train": [], "val": [], "test": []} | rows))


def test_both_forms_of_r2gens_file(tmp_path: Path) -> None:
    iu = {
        "id": "CXR2384_IM-0942",
        "report": "Heart  normal .",
        "image_path": ["CXR2384_IM-0942/0.png", "CXR2384_IM-0942/1.png"],
    }
    bad: list[Any] = [{"id": "x", "report": "No path."}, {"id": "y", "report": 3, "image_path": ["a"]}, 7]
    annotation(tmp_path, train=[iu | {"split": "train"}, *bad], test=[iu | {"id": "CXR1_IM-0001", "split": "test"}])
    pictures(tmp_path / "images", *iu["image_path"])
    reports, skipped = load_reports("iu_xray", tmp_path, settings=IuXraySettings(max_views=2))
    assert [(r.report_id, r.image.split, r.image.group) for r in reports] == [
        ("CXR2384_IM-0942", "train", "CXR2384"),
        ("CXR1_IM-0001", "test", "CXR1"),
    ]
    assert reports[0].findings == "Heart normal ."
    assert [image.image_path.name for image in reports[0].images] == ["0.png", "1.png"]
    assert [entry["item"] for entry in skipped.entries] == [f"annotation.json row train {k}" for k in (2, 3, 4)]

    name = "p10/p10000032/s50414267/02aa804e.jpg"
    row = {"id": "02aa804e", "study_id": 50414267, "subject_id": 10000032, "report": "Clear.", "image_path": [name]}
    annotation(tmp_path, val=[row, {**row, "id": "b", "subject_id": None}])
    pictures(tmp_path / "images", name)
    reports, _ = load_reports("mimic_cxr", settings=MimicCxrSettings(path=tmp_path))
    assert [(r.image.group, r.image.split, r.image.dataset) for r in reports] == [("p10000032", "val", "mimic_cxr")] * 2


def test_an_id_that_comes_twice_is_listed_and_never_scored_twice(tmp_path: Path) -> None:
    row = {"id": "CXR1_IM-0001", "report": "Clear.", "image_path": ["0.png"]}
    annotation(tmp_path, train=[row], test=[row])
    pictures(tmp_path / "images", "0.png")
    reports, skipped = load_reports("iu_xray", tmp_path)
    assert [report.image.split for report in reports] == ["train"]
    assert "stands in row train 1 already" in skipped.entries[0]["why"]


def test_a_file_of_another_form_is_one_clear_error(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"NLMCXR_reports\.tgz"):
        load_texts("iu_xray", tmp_path)
    (tmp_path / "NLMCXR_reports.tgz").write_bytes(b"torn")
    with pytest.raises(BadInput, match="download the archive again"):
        load_texts("iu_xray", tmp_path)
    (tmp_path / "annotation.json").write_text('{"images": []}')
    with pytest.raises(BadInput, match=r"annotation\.json: no list under train"):
        load_texts("iu_xray", tmp_path)


def test_text_alone_warms_up_a_language_model(tmp_path: Path) -> None:
    write_archive(tmp_path, {1: document(1, "Nodule.", "Mass."), 2: document(2, "", "Normal.")})
    both, alone = [text_example(text) for text in load_texts("iu_xray", tmp_path)[0]]
    assert both.transform == alone.transform == "text_only"
    lines = instruction_text(both, EvidenceSettings()).splitlines()
    assert lines[-2:] == ["Findings: Nodule.", "Write the impression of this study as a short report."]
    assert (both.target, alone.target) == ("Mass.", "Normal.")
    assert "Normal" not in instruction_text(alone, EvidenceSettings())
