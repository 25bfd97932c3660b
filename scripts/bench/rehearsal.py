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
from ...eval.records import read_records
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
        WITH: _train(plan, images, steps, seed, out / "with"),
        WITHOUT: _train(plan, _without_old(images, old), steps, seed, out / "without"),
    }
    val = list(images_of(split_of(images, "val", max_val, seed)))
    records = {}
    for name, folder in cores.items():
        path = out / f"{name.replace(' ', '-')}.jsonl"
        predict(MedGlipGrounder.from_pretrained(folder, settings=CALIBRATED), val, path, Skipped(), model=path.stem)
        records[name] = read_records([path], "grounding")
    settings = EvalSettings(seed=seed, strata=False)
    parts = []
    for title, is_old in (("old sets", True), ("new sets", False)):
        runs = {name: [r for r in rows if (r["dataset"] in old) is is_old] for name, rows in records.items()}
        scores = {name: score(rows, "grounding", settings).metrics for name, rows in runs.items()}
        parts.append(table(by_metric(scores, METRICS), "markdown", title))
        names = [WITH, WITHOUT, BEFORE]  # the last one is the baseline
        differences = compare_runs([runs[name] for name in names], names, "grounding", settings)
        parts.append(f"{title}: {comparisons_text(differences)}")
    typer.echo("\n\n".join(parts))


def _train(plan: CoreRecipe, images: Dataset, steps: int, seed: int, folder: Path) -> Path:
    settings = plan.grounding.settings
    short = settings.model_copy(update={"train": settings.train.lasting(steps, seed)})
    return train(images, short, folder, sets=plan.grounding.data)


def _without_old(images: Dataset, old: Sequence[str]) -> Dataset:
    """Without the training images of the old sets; their validation images still calibrate."""
    is_old = np.isin(images["dataset"][:], old) & (np.array(images["split"][:]) == "train")
    return images.select(np.flatnonzero(~is_old))


if __name__ == "__main__":
    typer.run(main)
