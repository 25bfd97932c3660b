"""HEAL-MedVQA: is a disease at a place of the chest? Questions with the place's mask, a benchmark of hallucination.

Layout: that of the hub, Parquet shards `train-*.parquet` and `test-*.parquet` with columns image {bytes, path},
image_id, question_id, question, answer, anatomy, question_type (closed_no, closed_yes, open_abnormal, open_normal, or
their number), mask_rle, mask_h, mask_w. Images are copied to the cache folder (MEDGLIP_CACHE), each once.
Source: Nguyen et al. 2025, "Localizing Before Answering: A Hallucination Evaluation Benchmark for Grounded Medical
Multimodal LLMs" (IJCAI), arXiv 2505.00744; huggingface.co/datasets/MM-Hallu/HEAL-MedVQA (licence MIT as stated there;
its images are of VinDr-CXR and MIMIC-CXR, whose own terms go on). Size: 67 K questions.
Regions: the box of the place's mask; for closed_yes also of the findings that the question names. Masks are not kept.
Trap: mask_rle is not described; public readers take it as pairs of start (from 0) and length, one of them by rows,
another by columns. So a mask is read in the order in which neighbouring lines differ least, as a place of the chest
does; runs that fill the mask are lengths in turn from background on. No patient is recorded, an image is its own group.
"""

from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ....grounding.bad_input import BadInput, Skipped
from ....grounding.datasets.corpus import data_folder
from ....grounding.geometry import mask_to_box
from ...task import Question
from ..hub import COLUMNS as HUB_COLUMNS
from ..hub import files_of, image_fields, table_rows
from ..public import PublicSettings, read_public
from ..rows import QuestionRow, build_rows, text_of
from ..sets import ReadContext
from .outlines import Outline, OutlinedImages, findings_in

COLUMNS = (*HUB_COLUMNS, "image_id", "question_id", "anatomy", "question_type", "mask_rle", "mask_h", "mask_w")
TYPES = ("closed_no", "closed_yes", "open_abnormal", "open_normal")


class HealMedVqaSettings(PublicSettings):
    """Where HEAL-MedVQA lies."""

    path: Path = Path("heal_medvqa")
    """Folder of the Parquet shards; relative to the environment's MEDGLIP_DATA."""


def read(settings: HealMedVqaSettings, context: ReadContext, skipped: Skipped) -> list[Question]:
    """The questions with their true regions. Raises `BadInput` where none is."""
    outlines: dict[Path, list[Outline]] = defaultdict(list)
    rows = read_rows(settings, skipped, outlines)
    return read_public(settings, rows, context, skipped, lambda: OutlinedImages(outlines, skipped))


def read_rows(
    settings: HealMedVqaSettings, skipped: Skipped, outlines: dict[Path, list[Outline]] | None = None
) -> list[QuestionRow]:
    """The rows of every shard; `outlines`: filled with their boxes by image file. Raises `BadInput` for none."""
    folder = data_folder(settings.path)
    # the release has whole shards on top and an older pair of them in data/
    shards = {split: [f for f in files if f.parent == folder] or files for split, files in files_of(folder).items()}
    if not shards:
        fix = "download huggingface.co/datasets/MM-Hallu/HEAL-MedVQA"
        raise BadInput("no train-*.parquet or test-*.parquet is here.", file=folder, fix=fix)

    def build(row: dict[str, Any], number: int) -> dict[str, Any]:
        fields = image_fields(row, number, "heal_medvqa", 0)
        kind = TYPES[row["question_type"]] if isinstance(row["question_type"], int) else str(row["question_type"])
        if kind not in TYPES:
            raise BadInput(f"question_type is {kind!r}.", fix=", ".join(TYPES))
        image = next(iter(fields["images"].values()))
        if outlines is not None:
            height, width = int(row["mask_h"]), int(row["mask_w"])
            box = _mask_box(row["mask_rle"] or [], height, width)
            place = text_of(row, "anatomy").replace("_", " ")
            asked = findings_in(text_of(row, "question")) if kind == "closed_yes" else []
            for phrase in [place, *asked] if box else ():
                outlines[image].append(Outline(phrase=phrase, box_xyxy=box, frame_px=(width, height)))
        return {
            "question_id": f"heal_medvqa-{row['question_id']}",
            "images": {str(row["image_id"]): image},
            "answer_type": "closed" if kind.startswith("closed") else "open",
            "content_type": kind,
            "modality": "xray",
        }

    rows: list[QuestionRow] = []
    for split, files in shards.items():
        for file in files:
            table = table_rows(file)
            rows += build_rows(file, table, COLUMNS, build, skipped, dataset="heal_medvqa", split=split)
    return rows


def _mask_box(runs: list[int], height: int, width: int) -> list[float]:
    """Box xyxy of a run-length mask; [] for an empty one. Raises `BadInput` for runs that leave it."""
    flat, values = np.zeros(height * width, bool), np.asarray(runs, np.int64)
    ends = np.cumsum(values)
    if len(values) and ends[-1] == flat.size:
        pairs = list(zip(ends[0::2], ends[1::2], strict=False))
    else:
        pairs = [(start, start + length) for start, length in zip(values[0::2], values[1::2], strict=False)]
    for start, end in pairs:
        if not 0 <= start <= end <= flat.size:
            raise BadInput(f"mask_rle leaves the mask of {height} x {width} px.", fix="download the file again")
        flat[start:end] = True
    by_rows, by_columns = flat.reshape(height, width), flat.reshape(width, height)
    mask = by_columns.T if _num_changes(by_columns) < _num_changes(by_rows) else by_rows
    return mask_to_box(mask).tolist() if flat.any() else []


def _num_changes(lines: NDArray[np.bool_]) -> int:
    return int(np.count_nonzero(lines[1:] != lines[:-1]))
