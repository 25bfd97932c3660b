"""What the benchmarks of trained cores share: the images that are scored, and a table of scores."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from ...eval.records import Record
from ...eval.score import EvalSettings, score
from ...eval.table import by_metric, table
from ...grounding.datasets.schema import images, split_of
from ...grounding.types import AnnotatedImage

if TYPE_CHECKING:
    from datasets import Dataset

METRICS = ("ap50", "miou", "dice", "presence_auroc")


def val_images(dataset: "Dataset", num: int | None = None, seed: int = 0) -> list[AnnotatedImage]:
    """The images of split val, or `num` of them, drawn with the seed."""
    return list(images(split_of(dataset, "val", num, seed)))


def score_table(runs: Mapping[str, Sequence[Record]], settings: EvalSettings, corner: str) -> str:
    """Grounding scores of each run as a Markdown table."""
    scores = {name: score(records, "grounding", settings).metrics for name, records in runs.items()}
    return table(by_metric(scores, METRICS), "markdown", corner)
