"""Readers of question sets and report sets."""

import io
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from PIL import Image

from medglip.report.datasets.generic import GenericSettings
from medglip.report.datasets.iu_xray import IuXraySettings
from medglip.report.datasets.load import load_reports, load_texts
from medglip.report.datasets.mimic_cxr import MimicCxrSettings
from medglip.scripts.inference.user_image import user_report
from medglip.vqa.datasets import derived
from medglip.vqa.datasets.load import load_questions

from .making_files import picture, put, put_mimic
from .pictures import each
from .region_sets import MADE, put_covid, put_padchest, put_phantoms, put_slake
from .trying import Reader

_MIMIC = "p10/p10000002/s50000002"


def _png() -> bytes:
    file = io.BytesIO()
    Image.new("L", (40, 24), 9).save(file, "PNG")
    return file.getvalue()


# ---- questions


def put_vqa_rad(folder: Path) -> None:
    picture(folder / "images/synpic1.jpg")
    row = {"qid": 1, "image_name": "synpic1.jpg", "image_organ": "CHEST", "answer": "Yes", "answer_type": "CLOSED"}
    row |= {"question_type": "PRES", "question": "Is there a mass?", "phrase_type": "freeform"}
    put(folder / "trainset.json", [row])
    put(folder / "testset.json", [{**row, "qid": 2, "question": "Is the heart large?"}])


def put_vqa_rad_public(folder: Path) -> None:
    picture(folder / "VQA_RAD Image Folder/synpic1.jpg")
    row = {"qid": "1", "phrase_type": "freeform", "image_name": "synpic1.jpg", "image_organ": "CHEST", "answer": "Yes"}
    row |= {
        "question": "Is there a mass?",
        "question_rephrase": "NULL",
        "question_frame": "NULL",
        "answer_type": "CLOSED",
    }
    rows = [{**row, "question_type": "PRES"}, {**row, "qid": "2", "question_type": "PRES", "phrase_type": "test_para"}]
    put(folder / "VQA_RAD Dataset Public.json", rows)


def put_pathvqa(folder: Path) -> None:
    picture(folder / "images/train/train_1.jpg")
    entry = {"img_id": "train_1", "sentf": {"pvqa": ["Is it so?", "What?"]}, "labelf": {"pvqa": [{"yes": 1}, {"a": 1}]}}
    put(folder / "pvqa_train.json", [entry])


def put_jsonl(folder: Path) -> None:
    for name in ("a.png", "b.png"):
        picture(folder / name)
    rows = [{"image": ["a.png", "b.png"], "question": "Which is larger?", "answer": "first", "group": "patient 7"}]
    rows += [
        {
            "image": "a.png",
            "question": "Is it?",
            "answer": "No",
            "split": "validation",
            "modality": "CT",
            "phrases": ["liver"],
        }
    ]
    put(folder / "questions.jsonl", rows)


def put_hub(folder: Path) -> None:
    row = {"image": {"bytes": _png(), "path": "a.png"}, "question": "Is there a mass?", "answer": "yes"}
    put(folder / "data/test-00000-of-00001.parquet", [row, {**row, "answer": "a mass"}])


def put_gemex(folder: Path) -> None:
    put_mimic(folder)
    row = {"q_id": 1, "image_path": f"{_MIMIC}/d2.jpg", "type": "abnormality", "question": "Is there pneumothorax?"}
    row |= {"answer": "No.", "reason": "clear", "ori_report": ".", "visual_regions": ["left lung"]}
    row |= {"visual_locations": [[168, 112, 252, 168]]}
    put(folder / "closed_ended_question.jsonl", [row])
    put(folder / "multi_choice_question.jsonl", [{**row, "answer": ["A", "B"], "choices": ["A: one", "B: two"]}])


def put_heal(folder: Path) -> None:
    row = {
        "image": {"bytes": _png(), "path": "a.png"},
        "image_id": "a",
        "anatomy": "left_lower_lung",
        "question_id": "1",
    }
    row |= {"mask_rle": [24, 6, 14, 6, 190], "mask_h": 12, "mask_w": 20, "answer": "Yes", "question_type": 1}
    put(folder / "test-00000-of-00001.parquet", [{**row, "question": "Does the patient have atelectasis?"}])


def put_qba(folder: Path) -> None:
    put_mimic(folder)
    places = {"d2": {"bboxes": [[60, 40, 150, 90]], "localization_reference_ids": ["left lung"]}}
    answer = {"answer_id": "A", "answer_type": "main_answer", "text": "There is consolidation.", "positiveness": "pos"}
    answer |= {"regions": ["left lung"], "obs_entities": ["consolidation"], "localization": places}
    row = {"question_id": "Q1", "question": "Is there?", "answers": [answer], "obs_ids": ["O1"], "question_type": "D02"}
    put(folder / f"qa/{_MIMIC}.qa.json", {"patient_id": "p10000002", "study_id": "s50000002", "questions": [row]})
    put(folder / f"scene_data/{_MIMIC}.scene_graph.json", {"observations": {"O1": answer}})


def put_derived(folder: Path) -> None:
    put(folder / "derived.jsonl", "\n".join((MADE / "derived.jsonl").read_text().splitlines()[:4]) + "\n")


def _questions(
    name: str, make: Callable[[Path], None], *damaged: str, scheme: str = "official", weight: float = 1
) -> Reader:
    def read() -> None:
        load_questions(name, Path("set"), scheme)

    return Reader(lambda folder: make(folder / "set"), read, damaged or ("set/**/*.json*", "set/*.gz"), weight)


# ---- reports


def put_table(name: str) -> Callable[[Path], None]:
    def make(folder: Path) -> None:
        for image in ("a.png", "b.png"):
            picture(folder / image)
        row = {
            "study_id": "7",
            "image": "a.png",
            "view": "PA",
            "report": "Findings: Nodule.\nImpression: Mass.",
            "patient": "17",
        }
        row |= {"split": "Validation", "date": "31.01.2024 08:05", "modality": "ct", "prior_image": "b.png"}
        put(folder / name, [{**row, "prior_report": "Findings: Clear.", "prior_date": "2023-12-01"}])

    return make


_XML = """<?xml version="1.0" encoding="utf-8"?>
<eCitation><uId id="CXR{0}"/><MedlineCitation Owner="Indiana University"><Article PubModel="Electronic"><Abstract>
<AbstractText Label="INDICATION">XXXX-year-old with &lt;cough&gt;.</AbstractText>
<AbstractText Label="FINDINGS">Nodule.</AbstractText><AbstractText Label="IMPRESSION">Mass.</AbstractText>
</Abstract></Article></MedlineCitation><MeSH><major>Opacity/lung/upper lobe/right</major></MeSH>
<parentImage id="CXR{0}_1_IM-0001-1001"/></eCitation>"""


def put_iu(folder: Path) -> None:
    put(folder / "ecgen-radiology/1.xml", _XML.format(1))
    picture(folder / "images/1_IM-0001-1001.dcm.png")
    put(
        folder / "indiana_projections.csv",
        [{"uid": "1", "filename": "1_IM-0001-1001.dcm.png", "projection": "Frontal"}],
    )


def put_iu_archive(folder: Path) -> None:
    folder.mkdir(parents=True)
    picture(folder / "images/CXR1_1_IM-0001-1001.png")
    with tarfile.open(folder / "NLMCXR_reports.tgz", "w:gz") as archive:
        info = tarfile.TarInfo("ecgen-radiology/1.xml")
        info.size = len(data := _XML.format(1).encode())
        archive.addfile(info, io.BytesIO(data))


def put_r2gen(folder: Path) -> None:
    row = {
        "id": "CXR1_IM-0001",
        "report": "Heart normal .",
        "image_path": ["CXR1/0.png", "CXR1/1.png"],
        "split": "train",
    }
    for name in row["image_path"]:
        picture(folder / "images" / name)
    put(
        folder / "annotation.json",
        {"train": [row], "val": [], "test": [{**row, "id": "CXR2_IM-0001", "split": "test"}]},
    )


def put_reports_of_mimic(folder: Path) -> None:
    put_mimic(folder)
    for number in (1, 2):
        text = " FINAL REPORT\n INDICATION: Cough, seen ___.\n \n FINDINGS: Nodule.\n IMPRESSION: Mass.\n"
        put(folder / f"files/p10/p1000000{number}/s5000000{number}.txt", text)
    labels = {"Edema": "1.0", "Pneumonia": "-1.0", "Fracture": ""}
    rows = [{"subject_id": f"1000000{number}", "study_id": f"5000000{number}", **labels} for number in (1, 2)]
    put(folder / "mimic-cxr-2.0.0-chexpert.csv.gz", rows)


def _reports(name: str, make: Callable[[Path], None], *damaged: str, file: str = "", settings: Any = None) -> Reader:
    root = Path("set") / file
    text = name in ("generic", "iu_xray", "mimic_cxr")
    reads = [lambda: load_reports(name, root, settings=settings)]
    reads += [lambda: load_texts(name, root, settings=settings)] if text else []
    return Reader(lambda folder: make(folder / "set"), each(*reads), damaged)


def _prior(folder: Path) -> None:
    picture(folder / "a.png")
    put(folder / "prior.txt", "Findings: Clear.\n")


READERS = {
    "questions vqa_rad": _questions("vqa_rad", put_vqa_rad),
    "questions vqa_rad grouped": _questions("vqa_rad", put_vqa_rad, scheme="image_grouped"),
    "questions vqa_rad public": _questions("vqa_rad", put_vqa_rad_public),
    "questions slake": _questions("slake", put_slake),
    "questions pathvqa": _questions("pathvqa", put_pathvqa),
    "questions jsonl": _questions("jsonl", put_jsonl),
    "questions hub": _questions("vqa_rad", put_hub, "set/data/*"),
    "questions gemex": _questions("gemex", put_gemex),
    "questions heal_medvqa": _questions("heal_medvqa", put_heal, "set/*.parquet"),
    "questions cxr_qba": _questions("cxr_qba", put_qba),
    "questions padchest_gr": _questions("padchest_gr", put_padchest, "set/*.json", "set/*.csv"),
    "questions phantom": _questions("phantom", put_phantoms, "set/*.jsonl", "set/*.json", "set/*.parquet", weight=0.5),
    "questions derived": Reader(put_derived, lambda: derived.read_file(Path("derived.jsonl"))),
    "reports csv": _reports(
        "generic", put_table("r.csv"), "set/r.*", file="r.csv", settings=GenericSettings(prior="both", max_views=2)
    ),
    "reports jsonl": _reports(
        "generic", put_table("r.jsonl"), "set/r.*", file="r.jsonl", settings=GenericSettings(prior="both")
    ),
    "reports iu_xray": _reports("iu_xray", put_iu, "set/**/*.xml", "set/*.csv", settings=IuXraySettings(max_views=2)),
    "reports iu_xray archive": _reports("iu_xray", put_iu_archive, "set/*.tgz"),
    "reports r2gen": _reports("iu_xray", put_r2gen, "set/*.json"),
    "reports mimic_cxr": _reports(
        "mimic_cxr", put_reports_of_mimic, "set/*.gz", "set/**/*.txt", settings=MimicCxrSettings(prior="both")
    ),
    "reports covid_notes": _reports("covid_notes", put_covid, "set/*.csv", "set/*.json"),
    "reports phantom": _reports("phantom", put_phantoms, "set/*.jsonl", "set/*.json"),
    "report before": Reader(
        _prior, lambda: user_report([Path("a.png")], None, prior_report=Path("prior.txt")), ("*.txt",)
    ),
}
