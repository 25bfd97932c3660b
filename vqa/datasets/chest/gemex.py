"""GEMeX: four kinds of questions on frontal images of MIMIC-CXR, each with the places that its answer is seen in.

Layout: `{open_ended,closed_ended,single_choice,multi_choice}_question.jsonl` in the root, or in folders `train`, `val`,
`test`; each line {q_id, image_path, question, answer, reason, type, visual_regions, visual_locations, ori_report, and
choices where there are some}; MIMIC-CXR-JPG's `files` linked into the root, and where no folder names the split its
-split and -metadata csv.gz. `image_path` is `p10/p10046166/s50051329/<dicom_id>.jpg`.
Source: Liu et al. 2025, "GEMeX: A Large-Scale, Groundable, and Explainable Medical VQA Benchmark for Chest X-ray
Diagnosis" (ICCV), arXiv 2411.16778; med-vqa.com/GEMeX, huggingface.co/datasets/BoKelvin/GEMeX-VQA (a sample). Licence:
that of MIMIC-CXR (PhysioNet Credentialed Health Data License 1.5.0) for images and reports; the owners ask for
non-commercial use. Size: 1,605,575 questions on 151,025 images, written by a language model from Chest ImaGenome.
Regions: the named places; findings that a question names and its answer affirms or describes lie in the same boxes.
Trap: the set does not state the frame of its boxes. Corners, not sides, in 336 px: bilateral hila are [116, 112, 227,
182] in the prompt of GEMeX-ThinkVG (arXiv 2506.17939), centred on 168. Fitted and padded, as Chest ImaGenome's boxes in
224 px, whence they come, and as the model trained on it sees images. `frame_px` and `frame` are there to change: hold a
contact sheet of yours against it. Choices follow the question; their letters are the answer.
"""

from collections import defaultdict
from pathlib import Path
from typing import Any

from pydantic import Field

from ....grounding.bad_input import BadInput, Skipped
from ....grounding.datasets.corpus import data_folder
from ....grounding.datasets.mimic import film_file, read_films
from ....grounding.files import read_lines
from ...task import Question
from ..public import PublicSettings, read_public
from ..rows import SPLIT_NAMES, QuestionRow, build_rows, text_of
from ..sets import ReadContext
from .outlines import Frame, Outline, OutlinedImages, findings_in

KINDS = ("open_ended", "closed_ended", "single_choice", "multi_choice")
COLUMNS = ("q_id", "image_path", "question", "answer", "visual_regions", "visual_locations")


class GemexSettings(PublicSettings):
    """Where GEMeX lies, and the frame of its boxes."""

    path: Path = Path("gemex")
    """Folder of the jsonl files; relative to the environment's MEDGLIP_DATA."""
    frame_px: int = Field(default=336, ge=0)
    """Side of the square image that boxes are for; 0: the image as it lies on disk."""
    frame: Frame = "pad"
    """Whether that image was fitted into the square and padded, or stretched."""


def read(settings: GemexSettings, context: ReadContext, skipped: Skipped) -> list[Question]:
    """The questions whose image is there, with their true regions. Raises `BadInput` where none is."""
    outlines: dict[Path, list[Outline]] = defaultdict(list)
    rows = read_rows(settings, skipped, outlines)
    return read_public(settings, rows, context, skipped, lambda: OutlinedImages(outlines, skipped))


def read_rows(
    settings: GemexSettings, skipped: Skipped, outlines: dict[Path, list[Outline]] | None = None
) -> list[QuestionRow]:
    """The rows of every file that is there; `outlines`: filled with their boxes by image file.

    Raises `BadInput` for a folder without them, and for a missing csv file of MIMIC-CXR where it tells the splits.
    """
    folder = data_folder(settings.path)
    files = [(kind, file) for kind in KINDS for file in sorted(folder.rglob(f"{kind}_question*.jsonl"))]
    if not files:
        fix = "put GEMeX's jsonl files there"
        raise BadInput("none of the files *_question.jsonl is here.", file=folder, fix=fix)
    stated = {file: SPLIT_NAMES.get(file.parent.name.lower(), "") for _, file in files}
    films = {} if all(stated.values()) else read_films(folder)
    frame = (settings.frame_px, settings.frame_px) if settings.frame_px else None
    rows: list[QuestionRow] = []
    for kind, file in files:

        def build(row: dict[str, Any], number: int, kind: str = kind, file: Path = file) -> dict[str, Any]:
            name = text_of(row, "image_path").replace("\\", "/").lstrip("/")
            dicom_id = Path(name).stem
            image = film_file(folder, name, dicom_id)
            if not (split := stated[file] or (films[dicom_id].split if dicom_id in films else "")):
                raise BadInput(f"no split of image {dicom_id}.", fix="take the -split csv.gz of MIMIC-CXR-JPG")
            question, answer = text_of(row, "question"), row["answer"]
            answer = ", ".join(map(str, answer)) if isinstance(answer, list) else text_of(row, "answer")
            if outlines is not None:
                is_seen = kind == "open_ended" or (kind == "closed_ended" and answer.lower().startswith("yes"))
                places, boxes = _list(row["visual_regions"]), _list(row["visual_locations"])
                for k, box in enumerate(boxes):
                    place = places[min(k, len(places) - 1)] if places else ""
                    for phrase in filter(None, [place, *(findings_in(question) if is_seen else ())]):
                        outlines[image].append(
                            Outline(phrase=phrase, box_xyxy=box, frame_px=frame, frame=settings.frame)
                        )
            return {
                "question_id": f"gemex-{kind}-{split}-{row['q_id']}",
                "images": {dicom_id: image},
                "question": " ".join([question, *map(str, row.get("choices") or ())]),
                "answer": answer,
                "answer_type": "open" if kind == "open_ended" else "closed",
                "content_type": str(row.get("type") or "").lower(),
                "phrase_type": kind,
                "group": next((part for part in name.split("/") if len(part) == 9 and part[0] == "p"), dicom_id),
                "split": split,
            }

        rows += build_rows(file, read_lines(file), COLUMNS, build, skipped, dataset="gemex", modality="xray")
    return rows


def _list(value: Any) -> list[Any]:
    """A list of places or boxes; a single one stands for itself."""
    if isinstance(value, str):
        return [value]
    values = list(value or ())
    return [values] if values and isinstance(values[0], int | float) else values
