"""Reports of phantoms: two or three sentences on a synthetic picture, each with the regions it speaks of.

Source: written by `grounding.datasets.phantom.write`, nothing is downloaded. One structure and its place, the findings
with their number and place, then what is absent. Split: that of the picture; train, val and test share no draw.
"""

from pathlib import Path
from typing import Any

from datasets import Dataset

from ...grounding.bad_input import BadInput
from ...grounding.datasets.phantoms.dataset import read_rows
from ...grounding.types import AnnotatedImage
from ...grounding.vocabulary.sentences import Sentence
from ..task import Report

COLUMNS = ("report_id", "text", "sentences")


def read_reports(folder: Path, images: Dataset) -> list[Report]:
    """The reports of these studies (rows of `phantom.read`), in file order.

    Raises `BadInput` naming the file and the row for a missing column, or a sentence whose regions are not there.
    """
    file = folder / "reports.jsonl"
    return [_report(row, image, file, number) for number, row, image in read_rows(file, COLUMNS, images)]


def _report(row: dict[str, Any], image: AnnotatedImage, file: Path, number: int) -> Report:
    try:
        sentences = tuple(_sentence(sentence, image) for sentence in row["sentences"])
    except (KeyError, IndexError, TypeError) as error:
        fix = "a sentence has text, regions (places in the study's list) and is_negated"
        raise BadInput(f"malformed sentence: {error!r}.", file=file, row=number, fix=fix) from error
    return Report(report_id=str(row["report_id"]), image=image, text=str(row["text"]), sentences=sentences)


def _sentence(row: dict[str, Any], image: AnnotatedImage) -> Sentence:
    if any(k < 0 for k in row["regions"]):
        raise IndexError(f"region {min(row['regions'])}")
    regions = tuple(image.regions[k] for k in row["regions"])
    return Sentence(text=str(row["text"]), regions=regions, is_negated=bool(row["is_negated"]))
