"""What a core forgets when it goes on with new sets, and what drawing the old ones along saves.

MEDGLIP_DATA=... python -m medglip.scripts.bench.cores.rehearsal recipes/small_polyps.yaml --steps 150
"""

from pathlib import Path
from typing import Annotated

import numpy as np
import torch
import typer

from ....eval.settings import EvalSettings
from ....grounding.bad_input import BadInput, Skipped
from ....grounding.grounders.medglip import MedGlipGrounder
from ....grounding.grounders.pretrained import checkpoint_folder
from ....grounding.settings import read_settings
from ....grounding.training.core import CALIBRATED, train
from ....grounding.training.stage import HeldOut, core_images
from ...inference.evaluate_coco import predict
from ...recipe import Recipe
from ..timing import Threads
from .compare import differences_text, score_table, val_images

FOLDER = Path("runs/rehearsal")
BEFORE, WITH, WITHOUT = "before", "with rehearsal", "new sets alone"


def main(
    recipe: Annotated[Path, typer.Argument(help="It goes on from a core, and some of its sets are marked rehearse")],
    steps: Annotated[int, typer.Option(help="Steps of each of the two trainings")] = 150,
    max_val: Annotated[int | None, typer.Option(help="Images of split val that are scored; all")] = None,
    threads: Threads = 2,
    seed: Annotated[int, typer.Option(help="Seed of draws and intervals")] = 0,
    out: Annotated[Path, typer.Option(help="Trainings and records; a second call goes on there")] = FOLDER,
) -> None:
    """Train with the old sets and without, score the old sets and the new ones before and after, and compare."""
    torch.set_num_threads(threads)
    plan = read_settings(Recipe, recipe)
    start, old = plan.grounding.settings, [d.name for d in plan.grounding.data if d.rehearse]
    if not start.start_from or not old:
        raise BadInput("nothing to forget.", file=recipe, fix="give `start_from`, and mark old sets with `rehearse`")
    images = core_images(plan, HeldOut(), Skipped())
    # without the training images of the old sets; their validation images still calibrate
    is_old = np.isin(images["dataset"][:], old) & (np.array(images["split"][:]) == "train")
    without_old = images.select(np.flatnonzero(~is_old))
    settings = start.model_copy(update={"train": start.train.lasting(steps, seed)})
    cores = {
        BEFORE: checkpoint_folder(start.start_from),
        WITH: train(images, settings, out / "with", sets=plan.grounding.data),
        WITHOUT: train(without_old, settings, out / "without", sets=plan.grounding.data),
    }
    val, records = val_images(images, max_val, seed), {}
    for name, folder in cores.items():
        core, path = MedGlipGrounder.from_pretrained(folder, settings=CALIBRATED), out / name.replace(" ", "-")
        records[name] = predict(core, val, path.with_suffix(".jsonl"), Skipped(), model=path.name)
    scoring = EvalSettings(seed=seed, strata=False)
    parts = []
    for title, are_old in (("old sets", True), ("new sets", False)):
        runs = {name: [r for r in rows if (r["dataset"] in old) is are_old] for name, rows in records.items()}
        parts += [score_table(runs, scoring, title), f"{title}: {differences_text(runs, BEFORE, scoring)}"]
    typer.echo("\n\n".join(parts))


if __name__ == "__main__":
    typer.run(main)
