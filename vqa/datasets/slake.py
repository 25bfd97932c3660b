"""SLAKE: questions with answers from a knowledge graph and from segmentations, on 642 CT, MR and X-ray images.

Layout: `<root>/{train,validate,test}.json` (the hub's copy says `validation.json`), each a list of {img_id, img_name,
question, answer, q_lang, location, modality, answer_type, base_type, content_type, triple, qid}, and
`<root>/imgs/xmlabN/{source.jpg, detection.json}`. Regions of detection.json, where it is there, come with the image.
Source: Liu et al., SLAKE: a semantically-labeled knowledge-enhanced dataset for medical visual question answering,
ISBI 2021, arXiv 2102.09542 (med-vqa.com/slake, huggingface.co/datasets/BoKelvin/SLAKE). Licence: CC BY 4.0.
Size: English 4919 / 1053 / 1061 rows on 450 / 96 / 96 images; with Chinese 9835 / 2099 / 2094.
Labels: by physicians and from the graph (`base_type` kvqa, `content_type` kg). One English row of train has no answer
and is left out. Answers may be lists: "Liver, Heart".
Split: by image within a language; the two languages are split otherwise: of the English images 72 of 96 in test and 64
of 96 in val lie in Chinese train. So one language is read at a time. 8 English val images have all questions and
answers of some train image; `image_grouped` keeps them on one side.
"""

from pathlib import Path
from typing import Any

from ...grounding.bad_input import BadInput, Skipped
from ...grounding.datasets.corpus import data_folder, stay_inside
from ...grounding.modalities import parse_modality
from ...grounding.types import AnnotatedImage
from ..task import Question
from .public import PublicSettings, read_public
from .rows import SPLIT_NAMES, QuestionRow, answer_type_of, build_rows, json_list, text_of
from .sets import ReadContext

COLUMNS = ("img_name", "question", "answer", "q_lang", "modality", "answer_type", "content_type", "qid")
FILES = ("train.json", "validate.json", "validation.json", "val.json", "test.json")


class SlakeSettings(PublicSettings):
    """Where SLAKE lies and which language is read."""

    path: Path = Path("slake")
    """Its folder; relative to the environment's MEDGLIP_DATA."""
    language: str = "en"
    """en or zh: one of them, as their splits differ."""


def read(settings: SlakeSettings, context: ReadContext, skipped: Skipped) -> list[Question]:
    """The questions whose image is there, on images with their regions. Raises `BadInput` where none is."""
    rows = read_rows(settings, skipped)
    return read_public(settings, rows, context, skipped, lambda: _images(data_folder(settings.path), skipped))


def read_rows(settings: SlakeSettings, skipped: Skipped) -> list[QuestionRow]:
    """The rows of one language in every file that is there.

    Raises `BadInput` for a folder without these files, for both `validate.json` and `validation.json`, and for any
    language but `en` or `zh`: together they leak test images into train.
    """
    folder, language = data_folder(settings.path), settings.language
    if language not in ("en", "zh"):
        problem = f"language is {language!r}: English and Chinese have different splits and together leak test images."
        raise BadInput(problem, file=folder, fix="read one language at a time, en or zh")
    files = [folder / name for name in FILES if (folder / name).is_file()]
    if not files:
        raise BadInput(f"none of the files {', '.join(FILES)} is here.", file=folder, fix="unpack SLAKE in this folder")
    file_of: dict[str, Path] = {}
    for file in files:
        if (other := file_of.setdefault(split := SPLIT_NAMES[file.stem], file)) != file:
            problem = f"{other.name} and {file.name} are both the split {split}."
            raise BadInput(problem, file=folder, fix="remove one of the two files")

    def build(row: dict[str, Any], number: int) -> dict[str, Any] | None:
        if text_of(row, "q_lang").lower() != language:
            return None
        image = stay_inside(folder, f"imgs/{text_of(row, 'img_name')}", settings.allow_outside)
        return {
            "question_id": f"slake-{row['qid']}",
            "images": {image.parent.name: image},  # every file is called source.jpg, its folder is the name
            "answer_type": answer_type_of(row),
            "content_type": str(row["content_type"]).strip().lower(),
            "modality": parse_modality(text_of(row, "modality")),
        }

    rows: list[QuestionRow] = []
    for split, file in file_of.items():
        rows += build_rows(file, json_list(file), COLUMNS, build, skipped, dataset="slake", split=split)
    return rows


def _images(folder: Path, skipped: Skipped) -> dict[Path, AnnotatedImage]:
    """Images with the regions of detection.json, by image file; those of images without one are left out."""
    if not any((folder / "imgs").glob("*/detection.json")):  # the questions are of use without regions
        return {}
    from ...grounding.datasets.layouts import slake as slake_regions  # imports `datasets`

    notes = Skipped()
    images = {image.image_path: image for image in slake_regions.read(folder, notes)}
    # notes on images go on; that an image has no detection.json is no error of a question set
    for entry in notes.entries:
        file = Path(entry["item"].split(": row")[0])
        if file.parent.parent.name == "imgs" and file.is_file():
            skipped.entries.append(entry)
    return images
