"""Our core against MM-Grounding-DINO, both untrained, of equal size, on the same images.

python -m medglip.scripts.bench.grounding speed
python -m medglip.scripts.bench.grounding memory
MEDGLIP_DATA=... python -m medglip.scripts.bench.grounding train recipes/real_small.yaml --minutes 15
"""

from collections.abc import Callable
from functools import partial
from itertools import product
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Any

import torch
import typer

from ...eval.score import EvalSettings, score
from ...grounding.bad_input import Skipped
from ...grounding.datasets.load import load_images
from ...grounding.datasets.schema import words_of
from ...grounding.grounder import Grounder
from ...grounding.grounders.medglip import MedGlipGrounder
from ...grounding.grounders.zero_shot import ZeroShotSettings
from ...grounding.settings import read_settings
from ...grounding.training.core import CALIBRATED, train
from ...grounding.training.detector import collate as collate_dino
from ...grounding.training.detector import fine_tune, prepare
from ...grounding.training.detector import losses_of as dino_losses_of
from ...grounding.training.settings import FineTuneSettings, GroundingSettings, TrainSettings
from ...grounding.types import AnnotatedImage
from ..inference.evaluate_coco import MAX_PER_PHRASE, predict
from ..recipe import Recipe
from .cores.compare import val_images
from .step import Pass, core_pass, noise_draws
from .timing import Json, Threads, fastest, in_fresh_process, peak_mib, time_work, write_figures
from .untrained_dino import DinoSizes, build_dino

app = typer.Typer(help=__doc__, no_args_is_help=True)
RATES = (2e-4, 5e-4, 1e-3)  # of which MM-Grounding-DINO is given its best
NAMES = ("ours", "mm-grounding-dino")
PHRASES = ["left lung", "right lung", "heart", "nodule"]
Size = Annotated[int, typer.Option(help="Side of the square input in pixels")]
Batch = Annotated[int, typer.Option(help="Images at once")]


@app.command("train")
def train_both(
    recipe: Annotated[Path, typer.Argument(help="Its region sets are trained on and its sizes are ours")],
    minutes: Annotated[float, typer.Option(help="CPU minutes of each training; MM-Grounding-DINO has three")] = 15,
    threads: Threads = 2,
    max_val: Annotated[int, typer.Option(help="Images of split val that are scored")] = 200,
    seed: Annotated[int, typer.Option(help="Seed of data, weights and draws")] = 0,
    out: Json = None,
) -> None:
    """AP50 on images not seen, after equal CPU minutes: ours, and the best of three rates of MM-Grounding-DINO.

    Steps are set from the measured time of a step, so that each schedule ends with its budget. Wants a quiet machine.
    """
    torch.set_num_threads(threads)
    section = read_settings(Recipe, recipe).grounding
    images, _ = load_images(section.data, seed)
    val, ours = val_images(images, max_val, seed), section.settings
    figures: dict[str, Any] = {"minutes": minutes, "threads": threads, "val_images": len(val), "runs": []}

    def run_ours(steps: int, folder: Path) -> Grounder:
        settings = ours.model_copy(update={"train": _steps(ours.train, steps, seed)})
        return MedGlipGrounder.from_pretrained(train(images, settings, folder, sets=section.data), "cpu", CALIBRATED)

    def run_dino(steps: int, folder: Path, rate: float) -> Grounder:
        limits = ZeroShotSettings(max_per_phrase=MAX_PER_PHRASE, min_score=0.01)
        size_px, words = ours.model.image_size, sorted(set(words_of(images)))
        grounder = build_dino(words, DinoSizes(image_size=size_px), seed, limits)
        # gradients are clipped at 1; its rate is the only thing that is searched
        plan = _steps(ours.train, steps, seed).model_copy(update={"learning_rate": rate, "clip_norm": 1.0})
        settings = FineTuneSettings(train=plan, draw=ours.draw, image_size=size_px, temperature=ours.temperature)
        fine_tune(grounder, images, settings, folder, sets=section.data)
        return grounder

    runs = {NAMES[0]: run_ours} | {f"{NAMES[1]} {rate:g}": partial(run_dino, rate=rate) for rate in RATES}
    for name, run in runs.items():
        figures["runs"].append(_show({"name": name, **_timed(run, minutes * 60, val)}))
        write_figures(out, figures)
    # the first run is ours; of the others only the best counts
    best = max(row["ap50"] for row in figures["runs"][1:])
    figures["ratio"] = figures["runs"][0]["ap50"] / best if best else float("inf")
    _show({"ratio of AP50 to its best": figures["ratio"]})
    write_figures(out, figures)


def _timed(run: Callable[[int, Path], Grounder], seconds: float, val: list[AnnotatedImage]) -> dict[str, Any]:
    """Train for the CPU seconds, score; steps from the time that a short training takes above a shorter one."""
    with TemporaryDirectory() as scratch:
        few, more = (time_work(partial(run, steps, Path(scratch) / str(steps)))[1] for steps in (2, 8))
        # 2 and 8 steps pay the same start: their difference is the time of 6 steps alone
        steps = max(10, round(seconds / max((more - few) / 6, 1e-3)))
        _, spent, grounder = time_work(lambda: run(steps, Path(scratch) / "whole"))
        records = predict(grounder, val, Path(scratch) / "records.jsonl", Skipped())
    ap = score(records, "grounding", EvalSettings()).metrics["ap50"]
    return {"steps": steps, "cpu_seconds": round(spent, 1), "ap50": ap.value, "low": ap.low, "high": ap.high}


def _steps(settings: TrainSettings, steps: int, seed: int) -> TrainSettings:
    return settings.lasting(steps, seed).model_copy(update={"checkpoint_every": steps})


def _pass(name: str, image_size: int, batch_size: int) -> Pass:
    """Both models get the same images, boxes and phrases."""
    if name == NAMES[1]:
        dino = build_dino(PHRASES, DinoSizes(image_size=image_size))
        prepare(dino.model, dino.processor, FineTuneSettings(image_size=image_size))
        draws = noise_draws(image_size, batch_size, PHRASES)
        batch = collate_dino(draws, dino.processor, dino.model.config.max_text_len)
        return Pass(dino.model, batch, dino_losses_of)
    settings = GroundingSettings()
    settings = settings.model_copy(update={"model": settings.model.model_copy(update={"image_size": image_size})})
    return core_pass(settings, batch_size, PHRASES)


def _forward(timed: Pass) -> None:
    with torch.inference_mode():
        timed.model.eval()
        timed.forward()


def _step(timed: Pass) -> None:
    timed.model.train()
    timed.loss().backward()
    timed.model.zero_grad()


@app.command()
def speed(
    image_size: Size = 192,
    batch_size: Batch = 8,
    threads: Threads = 2,
    times: Annotated[int, typer.Option(help="Passes timed; the fastest counts")] = 7,
    out: Json = None,
) -> None:
    """Images a second of a forward pass and of a training step, four phrases an image in one prompt for both."""
    torch.set_num_threads(threads)
    rows = []
    for name in NAMES:
        timed = _pass(name, image_size, batch_size)
        passes = batch_size / fastest(times, partial(_forward, timed))
        steps = batch_size / fastest(max(2, times // 2), partial(_step, timed))
        size = sum(parameter.numel() for parameter in timed.model.parameters()) / 1e6
        row = {"name": name, "millions": size, "forward_images_s": passes, "train_images_s": steps}
        rows.append(_show(row))
    ratios = {key: rows[0][key] / rows[1][key] for key in ("forward_images_s", "train_images_s")}
    _show({"ratio": "", **ratios})
    write_figures(out, {"image_size": image_size, "threads": threads, "rows": rows, **ratios})


@app.command()
def memory(image_size: Size = 192, batch_size: Batch = 8, threads: Threads = 2, out: Json = None) -> None:
    """Peak memory of a training step and of a forward pass above that of the process, each in one of its own."""
    rows = []
    for name, mode in product(NAMES, ("forward", "train")):
        peak = in_fresh_process(_added_mib, name, mode, image_size, batch_size, threads)
        rows.append(_show({"name": name, "mode": mode, "peak_mib": peak}))
    write_figures(out, {"image_size": image_size, "batch_size": batch_size, "rows": rows})


def _added_mib(name: str, mode: str, image_size: int, batch_size: int, threads: int) -> float:
    torch.set_num_threads(threads)
    timed = _pass(name, image_size, batch_size)
    before = peak_mib()
    (_step if mode == "train" else _forward)(timed)
    return round(peak_mib() - before, 1)


def _show(row: dict[str, Any]) -> dict[str, Any]:
    typer.echo("  ".join(f"{k} {v:.3f}" if isinstance(v, float) else f"{k} {v}" for k, v in row.items()))
    return row


if __name__ == "__main__":
    app()
