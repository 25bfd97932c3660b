"""PadChest-GR's sentences as questions, each with the boxes of its readers.

Layout, source, licence, split: see `grounding.datasets.layouts.padchest_gr`. For each label of a sentence one closed
question, is it there, yes for positive and no for negative sentences; and for each label of a positive one an open
question, what is seen of it, whose answer is the sentence. Labels are published in English alone, so Spanish questions
name them in English. A label that one sentence affirms and another denies is not asked about by the denial.
Regions: one a box of a positive sentence, under each of its labels; readers kept apart.
"""

from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ....grounding.bad_input import Skipped
from ....grounding.datasets.corpus import data_folder
from ....grounding.datasets.layouts.padchest_gr import (
    Language,
    image_file,
    is_positive,
    labels_of,
    read_studies,
    read_table,
)
from ...task import Question
from ..public import PublicSettings, read_public
from ..rows import QuestionRow, build_rows
from ..sets import ReadContext
from .outlines import Outline, OutlinedImages

WORDS = {
    "en": ("Is there {label} on this image?", "What does this image show of {label}?", "yes", "no"),
    "es": ("¿Hay {label} en esta imagen?", "¿Qué se ve de {label} en esta imagen?", "sí", "no"),
}
COLUMNS = ("StudyID", "ImageID", "findings")


class PadChestGrSettings(PublicSettings):
    """Where PadChest-GR lies and which language is asked in."""

    path: Path = Path("padchest_gr")
    """Folder of grounded_reports_*.json; relative to the environment's MEDGLIP_DATA."""
    language: Language = "en"
    """en or es."""


def read(settings: PadChestGrSettings, context: ReadContext, skipped: Skipped) -> list[Question]:
    """The questions whose image is there, with their true regions. Raises `BadInput` where none is."""
    outlines: dict[Path, list[Outline]] = defaultdict(list)
    rows = read_rows(settings, skipped, outlines)
    return read_public(settings, rows, context, skipped, lambda: OutlinedImages(outlines, skipped))


def read_rows(
    settings: PadChestGrSettings, skipped: Skipped, outlines: dict[Path, list[Outline]] | None = None
) -> list[QuestionRow]:
    """The rows of every study; `outlines`: filled with their boxes by image file.

    Raises `BadInput` for a missing file or column.
    """
    folder = data_folder(settings.path)
    (file, studies), table = read_studies(folder), read_table(folder)
    rows: list[QuestionRow] = []
    for number, study in enumerate(studies, 1):

        def build(row: dict[str, Any], _: int, study: dict[str, Any] = study, number: int = number) -> dict[str, Any]:
            name = str(study["StudyID"])
            patient, split = table[name]
            image = image_file(folder, study["ImageID"])
            if outlines is not None:
                for box in row["boxes"]:
                    outlines[image].append(Outline(phrase=row["label"], box_xyxy=box, frame_px=(1, 1)))
            facts = {"split": split, "group": patient, "row": number}
            fields = {key: row[key] for key in ("question", "answer", "answer_type", "content_type")}
            return {"question_id": f"padchest_gr-{name}-{row['id']}", "images": {image.stem: image}, **fields, **facts}

        if missing := [name for name in COLUMNS if name not in study]:
            skipped.entries.append({"item": f"{file.name} row {number}", "why": f"no {', '.join(missing)}."})
        elif str(study["StudyID"]) not in table:
            skipped.entries.append({"item": f"{file.name} row {number}", "why": "no row in master_table.csv."})
        else:
            asked = list(_ask(study["findings"], settings.language))
            rows += build_rows(file, asked, (), build, skipped, dataset="padchest_gr", modality="xray")
    return rows


def _ask(findings: list[dict[str, Any]], language: Language) -> Iterator[dict[str, Any]]:
    """Questions on one image: {id, label, boxes, question, answer, answer_type, content_type}."""
    closed, open_ended, yes, no = WORDS[language]
    affirmed = {label for finding in findings if is_positive(finding) for label in labels_of(finding)}
    asked: set[str] = set()
    for number, finding in enumerate(findings, 1):
        positive = is_positive(finding)
        boxes = [*(finding.get("boxes") or ()), *(finding.get("extra_boxes") or ())] if positive else []
        for label in labels_of(finding):
            shared = {"label": label, "boxes": boxes}
            if label not in asked and (positive or label not in affirmed):
                asked.add(label)
                question = {"question": closed.format(label=label), "answer": yes if positive else no}
                kinds = {"answer_type": "closed", "content_type": "presence"}
                yield {"id": f"{number}-{label}-closed", **shared, **question, **kinds}
            if positive:
                question = {"question": open_ended.format(label=label), "answer": finding[f"sentence_{language}"]}
                kinds = {"answer_type": "open", "content_type": "sentence"}
                yield {"id": f"{number}-{label}-open", **shared, **question, **kinds}
