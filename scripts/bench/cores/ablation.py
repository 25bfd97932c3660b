"""What each part of the core is worth: the recipe's core without it, trained as long, scored on the same images.

MEDGLIP_DATA=... python -m medglip.scripts.bench.cores.ablation recipes/small_research.yaml --steps 300 --out runs/x
"""

import json
from pathlib import Path
from typing import Annotated, Any

import torch
import typer

from ....eval.records import read_records
from ....eval.settings import EvalSettings
from ....grounding.files import write_atomic
from ....grounding.grounders.medglip import MedGlipGrounder
from ....grounding.settings import read_settings, validate
from ....grounding.training.core import CALIBRATED, train
from ....grounding.training.settings import GroundingSettings
from ...inference.evaluate_coco import predict
from ...pipeline.pipeline import Pipeline
from ...recipe import Recipe
from ..timing import Threads, time_work
from .compare import differences_text, score_table, val_images

FOLDER, FULL = Path("runs/ablation"), "full"
VARIANTS: dict[str, dict[str, dict[str, Any]]] = {
    FULL: {},
    "no modality prompts": {"model": {"modality_prompts": False}},
    "no hierarchy": {"draw": {"hierarchy": "off", "siblings": 0}},
    "all ancestors": {"draw": {"hierarchy": "all"}},
    "kinds alone": {"draw": {"hierarchy": "is_a"}},
    "no descriptions": {"draw": {"descriptions": 0.0}},
    "always descriptions": {"draw": {"descriptions": 1.0}},
    "image tower from scratch": {"model": {"image_start": "scratch", "frozen_rows": 0}},
    "text tower from MiniLM": {"model": {"text_start": "minilm", "frozen_text": True}},
}
"""Changes to the recipe's settings; `always descriptions` is asked with descriptions, too."""
FILES = ("records.jsonl", "seconds.json")


def main(
    recipe: Annotated[Path, typer.Argument(help="Its region sets and the settings of the full core")],
    steps: Annotated[int, typer.Option(help="Steps of each training")] = 300,
    only: Annotated[list[str] | None, typer.Option(help=f"Only these: {', '.join(VARIANTS)}; repeat it")] = None,
    threads: Threads = 2,
    seed: Annotated[int, typer.Option(help="Seed of weights, draws and intervals")] = 0,
    out: Annotated[Path, typer.Option(help="Trainings, records and the table; a second call goes on there")] = FOLDER,
) -> None:
    """Train and score each variant, then print all that are there: scores, and differences to the full core."""
    torch.set_num_threads(threads)
    pipeline = Pipeline(read_settings(Recipe, recipe))
    folders = {name: out / name.lower().replace(" ", "-") for name in VARIANTS}
    for name in only or VARIANTS:
        _train_and_predict(pipeline, name, steps, seed, folders[name])
    # also those of earlier calls
    done = [name for name, folder in folders.items() if all((folder / file).exists() for file in FILES)]
    records = {name: read_records([folders[name] / FILES[0]], "grounding") for name in done}
    settings = EvalSettings(seed=seed, strata=False)
    typer.echo(score_table(records, settings, "core") + "\n")
    cpu = {name: json.loads((folders[name] / FILES[1]).read_text())["cpu"] for name in done}
    typer.echo("CPU seconds: " + ", ".join(f"{name} {seconds:.0f}" for name, seconds in cpu.items()))
    if FULL in done and len(done) > 1:
        typer.echo("\n" + differences_text(records, FULL, settings))


def _train_and_predict(pipeline: Pipeline, name: str, steps: int, seed: int, folder: Path) -> None:
    """Train one variant and predict the validation split."""
    full, data = pipeline.recipe.grounding.settings, pipeline.recipe.grounding.data
    values = full.model_dump()  # the full core, then what this variant changes of it
    for section, change in VARIANTS[name].items():
        values[section] |= change
    settings = validate(GroundingSettings, values | {"train": full.train.lasting(steps, seed).model_dump()})
    _, cpu, model = time_work(lambda: train(pipeline.images, settings, folder, sets=data))
    if not (folder / FILES[1]).exists():
        write_atomic(folder / FILES[1], json.dumps({"cpu": cpu, "steps": steps}))
    # a core that learned descriptions alone is asked with descriptions
    limits = CALIBRATED.model_copy(update={"descriptions": settings.draw.descriptions == 1})
    grounder = MedGlipGrounder.from_pretrained(model, settings=limits)
    predict(grounder, val_images(pipeline.images), folder / FILES[0], pipeline.skipped, model=name)


if __name__ == "__main__":
    typer.run(main)
