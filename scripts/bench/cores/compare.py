"""What the benchmarks of trained cores share: the images that are scored, tables of scores and of differences."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from ....eval.compare import compare_runs
from ....eval.records import Record
from ....eval.score import EvalSettings, score
from ....eval.table import by_metric, comparisons_text, table
from ....grounding.datasets.schema import images, split_of
from ....grounding.types import AnnotatedImage

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


def differences_text(runs: Mapping[str, Sequence[Record]], baseline: str, settings: EvalSettings) -> str:
    """How much each other run differs from the baseline."""
    names = [*(name for name in runs if name != baseline), baseline]  # the last one is the baseline
    return comparisons_text(compare_runs([runs[name] for name in names], names, "grounding", settings))
