"""What each part of the core is worth: the recipe's core without it, trained as long, scored on the same images.

MEDGLIP_DATA=... python -m medglip.scripts.bench.ablation recipes/small_research.yaml --steps 300 --out runs/ablation
"""

import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import torch
import typer

from ...eval.compare import compare_runs
from ...eval.records import Record, read_records
from ...eval.score import EvalSettings, score
from ...eval.table import by_metric, comparisons_text, table
from ...grounding.datasets.schema import images as images_of
from ...grounding.datasets.schema import split_of
from ...grounding.files import write_atomic
from ...grounding.grounders.medglip import MedGlipGrounder
from ...grounding.settings import read_settings, validate
from ...grounding.training.core import CALIBRATED, train
from ...grounding.training.settings import GroundingSettings
from ..inference.evaluate_coco import predict
from ..pipeline.pipeline import Pipeline
from ..recipe import Recipe

FULL = "full"
VARIANTS: dict[str, dict[str, dict[str, Any]]] = {
    FULL: {},
    "no modality prompts": {"model": {"modality_prompts": False}},
    "no hierarchy": {"draw": {"hierarchy": False, "siblings": 0}},
    "no descriptions": {"draw": {"descriptions": 0.0}},
    "always descriptions": {"draw": {"descriptions": 1.0}},
    "image tower from scratch": {"model": {"image_start": "scratch", "frozen_rows": 0}},
    "text tower from MiniLM": {"model": {"text_start": "minilm", "frozen_text": True}},
}
"""Changes to the recipe's settings; `always descriptions` is asked with descriptions, too."""
METRICS = ("ap50", "miou", "dice", "presence_auroc")


def main(
    recipe: Annotated[Path, typer.Argument(help="Its region sets and the settings of the full core")],
    steps: Annotated[int, typer.Option(help="Steps of each training")] = 300,
    only: Annotated[list[str] | None, typer.Option(help=f"Only these: {', '.join(VARIANTS)}; repeat it")] = None,
    threads: Annotated[int, typer.Option(help="CPU threads")] = 2,
    seed: Annotated[int, typer.Option(help="Seed of weights, draws and intervals")] = 0,
    out: Annotated[Path, typer.Option(help="Trainings, records and the table; a second call goes on there")] = Path(
        "runs/ablation"
    ),
) -> None:
    """Train and score each variant, then print all that are there: scores, and differences to the full core."""
    torch.set_num_threads(threads)
    pipeline = Pipeline(read_settings(Recipe, recipe))
    for name in only or VARIANTS:
        _run(pipeline, name, steps, seed, out)
    found = {name: read_records([_records(out, name)], "grounding") for name in VARIANTS if _is_there(out, name)}
    typer.echo(_text(out, found, EvalSettings(seed=seed, strata=False)))


def _run(pipeline: Pipeline, name: str, steps: int, seed: int, out: Path) -> None:
    """Train one variant and predict the validation split."""
    settings = _changed(pipeline.recipe.grounding.settings, VARIANTS[name], steps, seed)
    folder, start = out / _slug(name), time.process_time()
    model = train(pipeline.images, settings, folder, sets=pipeline.recipe.grounding.data)
    if not (folder / "seconds.json").exists():
        write_atomic(folder / "seconds.json", json.dumps({"cpu": time.process_time() - start, "steps": steps}))
    asked_so = settings.draw.descriptions == 1
    limits = CALIBRATED.model_copy(update={"descriptions": asked_so})
    grounder = MedGlipGrounder.from_pretrained(model, settings=limits)
    val = list(images_of(split_of(pipeline.images, "val")))
    predict(grounder, val, _records(out, name), pipeline.skipped, model=name)


def _changed(
    settings: GroundingSettings, changes: Mapping[str, Mapping[str, Any]], steps: int, seed: int
) -> GroundingSettings:
    values = settings.model_dump()
    for section, change in changes.items():
        values[section] |= change
    values["train"] = settings.train.lasting(steps, seed).model_dump()
    return validate(GroundingSettings, values)


def _text(out: Path, found: Mapping[str, list[Record]], settings: EvalSettings) -> str:
    """Scores a variant; then, where the full core is there, differences to it."""
    scores = {name: score(records, "grounding", settings).metrics for name, records in found.items()}
    spent = {name: json.loads((out / _slug(name) / "seconds.json").read_text()) for name in found}
    seconds = "CPU seconds: " + ", ".join(f"{name} {row['cpu']:.0f}" for name, row in spent.items())
    parts = [table(by_metric(scores, METRICS), "markdown", "core"), seconds]
    if FULL in found and len(found) > 1:
        names = [*(name for name in found if name != FULL), FULL]
        parts.append(comparisons_text(compare_runs([found[name] for name in names], names, "grounding", settings)))
    return "\n\n".join(parts)


def _records(out: Path, name: str) -> Path:
    return out / _slug(name) / "records.jsonl"


def _is_there(out: Path, name: str) -> bool:
    return (out / _slug(name) / "seconds.json").exists() and _records(out, name).exists()


def _slug(name: str) -> str:
    return name.lower().replace(" ", "-")


if __name__ == "__main__":
    typer.run(main)
