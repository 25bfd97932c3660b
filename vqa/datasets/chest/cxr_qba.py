"""MIMIC-Ext-CXR-QBA: questions on studies of MIMIC-CXR, each answer with its boxes and tags.

Layout: `qa.zip` unpacked into `qa` or in place: `qa/p10/p10000032/s50414267.qa.json`, {patient_id, study_id, questions:
[{question_id, question_type, question, answers: [{answer_type, text, positiveness, regions, obs_entities, localization:
{<dicom_id>: {bboxes: [[x0, y0, x1, y1], ...], is_fallback}}, sub_answers}], obs_ids}]}; where answers carry no boxes
those of their observations (`obs_ids`) in `scene_data/p10/p10000032/s50414267.scene_graph.json`, where it is unpacked.
MIMIC-CXR-JPG's `files`, -split and -metadata csv.gz are linked into the root. Boxes are pixels of the original image.
Source: Mueller et al. 2025, physionet.org/content/mimic-ext-cxr-qba/1.0.0, doi 10.13026/8qmz-da41 (PhysioNet
Credentialed Health Data License 1.5.0: nothing of it may be passed on). Size: 42 M questions, so give a `limit`.
Split: MIMIC-CXR's, by patient. Image: the study's first frontal one, with boxes where one has some.
Answer: the texts of the main answers. Regions: an answer that affirms (`positiveness` pos) has its entities in its
boxes, or its regions where it names no entity; what an answer denies has none. Fallback boxes, which are of no finding
but of a template, are left out.
"""

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ....grounding.bad_input import ROW_ERRORS, BadInput, Skipped, explain_row
from ....grounding.datasets.corpus import data_folder
from ....grounding.datasets.mimic import Film, film_file, read_films
from ....grounding.foreign import read_json
from ...task import Question
from ..public import PublicSettings, read_public
from ..rows import QuestionRow, build_rows, text_of
from ..sets import ReadContext
from .outlines import Outline, OutlinedImages

COLUMNS = ("question_id", "question_type", "question", "answers")


class CxrQbaSettings(PublicSettings):
    """Where MIMIC-Ext-CXR-QBA lies."""

    path: Path = Path("cxr_qba")
    """Folder of qa/; relative to the environment's MEDGLIP_DATA."""


def read(settings: CxrQbaSettings, context: ReadContext, skipped: Skipped) -> list[Question]:
    """The questions whose image is there, with their true regions. Raises `BadInput` where none is."""
    outlines: dict[Path, list[Outline]] = defaultdict(list)
    rows = read_rows(settings, skipped, outlines, context.only_split)
    return read_public(settings, rows, context, skipped, lambda: OutlinedImages(outlines, skipped))


def read_rows(
    settings: CxrQbaSettings,
    skipped: Skipped,
    outlines: dict[Path, list[Outline]] | None = None,
    only_split: str | None = None,
) -> list[QuestionRow]:
    """The rows of every study that is there, in the order of MIMIC's split file, no more of a split than the limit.

    `outlines`: filled with their boxes by image file. Raises `BadInput` for a missing csv file and no `qa` folder.
    """
    folder = data_folder(settings.path)
    place = next((place for place in (folder / "qa", folder) if any(place.glob("p1?"))), None)
    if place is None:
        fix = "unzip -d qa qa.zip there" if (folder / "qa.zip").is_file() else "put MIMIC-Ext-CXR-QBA there"
        raise BadInput("no such folder.", file=folder / "qa", fix=fix)
    films = read_films(folder)
    counts, rows = Counter[str](), list[QuestionRow]()
    for split, file, names in _studies(place, films):
        is_full = settings.limit is not None and counts[split] >= settings.limit
        if is_full or only_split not in (None, split) or not file.is_file():
            continue
        try:
            rows += (found := _read_study(folder, file, names, films, skipped, outlines))
            counts[split] += len(found)
        except ROW_ERRORS as error:
            skipped.add(str(file), explain_row(error, file))
    return rows


def _studies(place: Path, films: Mapping[str, Film]) -> Iterator[tuple[str, Path, list[str]]]:
    """(split, file of questions below a place, DICOM ids with the frontal ones first) of each study."""
    studies: dict[str, list[str]] = defaultdict(list)
    for name, film in films.items():
        studies[film.study].append(name)
    for names in studies.values():
        film = films[names[0]]
        file = place / f"{film.folder.removeprefix('files/')}.qa.json"
        yield film.split, file, sorted(names, key=lambda name: not films[name].is_frontal)


def _read_study(
    folder: Path,
    file: Path,
    names: list[str],
    films: Mapping[str, Film],
    skipped: Skipped,
    outlines: dict[Path, list[Outline]] | None,
) -> list[QuestionRow]:
    content = read_json(file)
    name = f"{films[names[0]].folder.removeprefix('files/')}.scene_graph.json"
    scenes = (folder / place / name for place in ("scene_data", "scene_graph", "."))
    scene = next((scene for scene in scenes if scene.is_file()), None)
    observations = read_json(scene)["observations"] if scene else {}

    def build(row: dict[str, Any], number: int) -> dict[str, Any]:
        answers = list(_all_answers(row["answers"]))
        boxed = [*answers, *(observations[name] for name in row.get("obs_ids") or () if name in observations)]
        with_boxes = [name for name in names if any(_boxes(answer, name) for answer in boxed)]
        name = (with_boxes or names)[0]
        film = films[name]
        image = film_file(folder, f"{film.folder}/{name}", name)
        if outlines is not None:
            for answer in boxed:
                phrases = answer.get("obs_entities") or [_region_name(region) for region in answer.get("regions") or ()]
                for box in _boxes(answer, name) if answer.get("positiveness") == "pos" else ():
                    outlines[image] += [Outline(phrase=p, box_xyxy=box, frame_px=film.size_px) for p in phrases]
        main = [a for a in row["answers"] if a.get("answer_type", "main_answer") == "main_answer"] or row["answers"]
        return {
            "question_id": f"cxr_qba-s{film.study}-{row['question_id']}",
            "images": {name: image},
            "answer": " ".join(text_of(answer, "text") for answer in main),
            "content_type": text_of(row, "question_type").lower(),
            "modality": "xray",
            "group": f"p{film.subject}",
        }

    split = films[names[0]].split
    return build_rows(file, content["questions"], COLUMNS, build, skipped, dataset="cxr_qba", split=split)


def _all_answers(answers: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    for answer in answers:
        yield answer
        yield from _all_answers(answer.get("sub_answers") or [])


def _boxes(answer: Mapping[str, Any], name: str) -> list[list[float]]:
    found = (answer.get("localization") or {}).get(name) or {}
    return [] if found.get("is_fallback") else found.get("bboxes") or []


def _region_name(region: Any) -> str:
    return region["region"] if isinstance(region, dict) else str(region)
