"""What the benchmarks of trained cores share: images that are scored, records of a grounder, a table of scores."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ...eval.records import Record, read_records
from ...eval.score import EvalSettings, score
from ...eval.table import by_metric, table
from ...grounding.bad_input import Skipped
from ...grounding.datasets.schema import images, split_of
from ...grounding.grounder import Grounder
from ...grounding.types import AnnotatedImage
from ..inference.evaluate_coco import predict

if TYPE_CHECKING:
    from datasets import Dataset

METRICS = ("ap50", "miou", "dice", "presence_auroc")


def val_images(dataset: "Dataset", num: int | None = None, seed: int = 0) -> list[AnnotatedImage]:
    """The images of split val, or `num` of them, drawn with the seed."""
    return list(images(split_of(dataset, "val", num, seed)))


def predict_records(
    grounder: Grounder, val: Sequence[AnnotatedImage], path: Path, skipped: Skipped | None = None, model: str = ""
) -> list[Record]:
    """The records of every phrase of every image, which are kept in `path`; what is there is not done again."""
    predict(grounder, val, path, Skipped() if skipped is None else skipped, model=model)
    return read_records([path], "grounding")


def score_table(runs: Mapping[str, Sequence[Record]], settings: EvalSettings, corner: str) -> str:
    """Grounding scores of each run as a Markdown table."""
    scores = {name: score(records, "grounding", settings).metrics for name, records in runs.items()}
    return table(by_metric(scores, METRICS), "markdown", corner)
