"""What a core forgets when it goes on with new sets, and what drawing the old ones along saves.

MEDGLIP_DATA=... python -m medglip.scripts.bench.rehearsal recipes/small_polyps.yaml --steps 150
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
import typer
from datasets import Dataset

from ...eval.compare import compare_runs
from ...eval.records import Record, read_records
from ...eval.score import EvalSettings, score
from ...eval.table import by_metric, comparisons_text, table
from ...grounding.bad_input import BadInput, Skipped
from ...grounding.datasets.schema import images as images_of
from ...grounding.datasets.schema import split_of
from ...grounding.grounders.medglip import MedGlipGrounder
from ...grounding.grounders.pretrained import checkpoint_folder
from ...grounding.recipe import CoreRecipe
from ...grounding.settings import read_settings
from ...grounding.training.core import CALIBRATED, train
from ...grounding.training.stage import HeldOut, core_images
from ..inference.evaluate_coco import predict
from ..recipe import Recipe

BEFORE, WITH, WITHOUT = "before", "with rehearsal", "new sets alone"
METRICS = ("ap50", "miou", "dice", "presence_auroc")


def main(
    recipe: Annotated[Path, typer.Argument(help="It goes on from a core, and some of its sets are marked rehearse")],
    steps: Annotated[int, typer.Option(help="Steps of each of the two trainings")] = 150,
    max_val: Annotated[int | None, typer.Option(help="Images of split val that are scored; all")] = None,
    threads: Annotated[int, typer.Option(help="CPU threads")] = 2,
    seed: Annotated[int, typer.Option(help="Seed of draws and intervals")] = 0,
    out: Annotated[Path, typer.Option(help="Trainings and records; a second call goes on there")] = Path(
        "runs/rehearsal"
    ),
) -> None:
    """Train with the old sets and without, score the old sets and the new ones before and after, and compare."""
    torch.set_num_threads(threads)
    plan = read_settings(Recipe, recipe)
    old = [d.name for d in plan.grounding.data if d.rehearse]
    if not plan.grounding.settings.start_from or not old:
        raise BadInput("nothing to forget.", file=recipe, fix="give `start_from`, and mark old sets with `rehearse`")
    images = core_images(plan, HeldOut(), Skipped())
    cores = {
        BEFORE: checkpoint_folder(plan.grounding.settings.start_from),
        WITH: _trained(plan, images, steps, seed, out / "with"),
        WITHOUT: _trained(plan, _forgotten(images, old), steps, seed, out / "without"),
    }
    val = split_of(images, "val", max_val, seed)
    found = {name: _records(folder, val, out / f"{name.replace(' ', '-')}.jsonl") for name, folder in cores.items()}
    typer.echo(_text(found, set(old), EvalSettings(seed=seed, strata=False)))


def _trained(plan: CoreRecipe, images: Dataset, steps: int, seed: int, folder: Path) -> Path:
    settings = plan.grounding.settings
    short = settings.model_copy(update={"train": settings.train.lasting(steps, seed)})
    return train(images, short, folder, sets=plan.grounding.data)


def _forgotten(images: Dataset, old: Sequence[str]) -> Dataset:
    """Without the training images of the old sets; their validation images still calibrate."""
    is_old = np.isin(images["dataset"][:], old) & (np.array(images["split"][:]) == "train")
    return images.select(np.flatnonzero(~is_old))


def _records(folder: Path, val: Dataset, path: Path) -> list[Record]:
    grounder = MedGlipGrounder.from_pretrained(folder, settings=CALIBRATED)
    predict(grounder, list(images_of(val)), path, Skipped(), model=path.stem)
    return read_records([path], "grounding")


def _text(found: dict[str, list[Record]], old: set[str], settings: EvalSettings) -> str:
    """For the old sets and the new ones: scores of the three cores, and both trainings less `before`."""
    parts = []
    for title, is_old in (("old sets", True), ("new sets", False)):
        runs = {name: [r for r in records if (r["dataset"] in old) is is_old] for name, records in found.items()}
        scores = {name: score(records, "grounding", settings).metrics for name, records in runs.items()}
        parts.append(table(by_metric(scores, METRICS), "markdown", title))
        names = [WITH, WITHOUT, BEFORE]
        compared = compare_runs([runs[name] for name in names], names, "grounding", settings)
        parts.append(f"{title}: {comparisons_text(compared)}")
    return "\n\n".join(parts)


if __name__ == "__main__":
    typer.run(main)
