"""`medglip grounding`: train the core, find phrases in images, score it."""

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from ...grounding.bad_input import BadInput, Skipped
from ...grounding.files import write_atomic
from ...grounding.settings import read_settings, validate

grounding = typer.Typer(help="Where in the image is what the phrase says: boxes and masks.", no_args_is_help=True)
RecipeArgument = Annotated[Path, typer.Argument(help="A recipe YAML file")]
CHECKPOINT = (
    "small, small-research, or a folder: of our core, or of any transformers zero-shot detector; or its hub name."
)
Checkpoint = Annotated[str, typer.Option(help=CHECKPOINT)]
Download = Annotated[bool, typer.Option("--download", help="Fetch a hub name that is not in the local cache")]
Device = Annotated[str | None, typer.Option(help="cpu, cuda, ...; left out: a GPU where there is one")]


@grounding.command()
def train(recipe: RecipeArgument) -> None:
    """Train the grounding core of a recipe (stage 1 of `medglip run`); continues where it was.

    `accelerate launch -m medglip.scripts.cli grounding train RECIPE` is the same on any number of processes.
    """
    from ...grounding.training.loop import processes
    from ..pipeline.pipeline import Line
    from ..recipe import Recipe

    line, ranks = Line(read_settings(Recipe, recipe)), processes()
    with ranks.main_process_first():  # it alone draws phantoms and copies built sets; the others find them
        _ = line.phantom_dir, line.images
    with line.timed("grounding core"):
        line.train_core()
    if ranks.is_main_process:
        typer.echo(f"trained: {line.grounder_dir}")
    ranks.destroy_process_group()


@grounding.command("fine-tune")
def fine_tune(
    recipe: RecipeArgument,
    checkpoint: Annotated[str, typer.Option(help="The detector to begin with: its folder, or its hub name")],
    out: Annotated[Path, typer.Option(help="Folder of the training; --checkpoint of the other commands takes it")],
    steps: Annotated[int, typer.Option(help="Optimizer steps; more of them continue a finished training", min=1)] = 400,
    batch_size: Annotated[int, typer.Option(help="Images a step and process", min=1)] = 4,
    learning_rate: Annotated[
        float, typer.Option(help="Peak rate; a pretrained detector wants 1e-5 to 1e-4, an untrained one ten times that")
    ] = 1e-4,
    image_size: Annotated[
        int, typer.Option(help="Side of the square that pictures are letterboxed into, a multiple of 32")
    ] = 640,
    freeze_towers: Annotated[
        bool, typer.Option("--freeze-towers", help="Leave image backbone and text encoder as they are: less memory")
    ] = False,
    checkpoint_every: Annotated[int, typer.Option(help="Steps between saves; a kill loses at most those", min=1)] = 100,
    download: Download = False,
) -> None:
    """Fine-tune a Grounding-DINO or MM-Grounding-DINO detector on the region sets of a RECIPE.

    The training split alone is learnt; the split that `evaluate` scores is not touched. The loss is our own: that of
    transformers takes the words of a box from the caption of another image of the batch. Interrupted and called again,
    it continues; a finished folder returns at once, one of another detector, other settings or data is refused.

    Example: medglip grounding fine-tune recipes/real_small.yaml --checkpoint IDEA-Research/grounding-dino-tiny
    --out runs/dino --learning-rate 1e-5, then medglip grounding predict image.png --checkpoint runs/dino
    """
    from ...grounding.training.detector import FineTuneSettings
    from ..pipeline.fine_tune import fine_tune as fine_tune_recipe
    from ..pipeline.pipeline import Line
    from ..recipe import Recipe

    read = read_settings(Recipe, recipe)
    values = {"steps": steps, "batch_size": batch_size, "learning_rate": learning_rate, "seed": read.seed}
    train = FineTuneSettings().train.model_dump() | values | {"checkpoint_every": checkpoint_every}
    settings = validate(FineTuneSettings, {"train": train, "image_size": image_size, "freeze_towers": freeze_towers})
    fine_tune_recipe(Line(read), checkpoint, out, settings, download=download)
    typer.echo(f"trained: {out}\nmedglip grounding predict IMAGE --phrases '...' --checkpoint {out}")


@grounding.command()
def evaluate(
    recipe: Annotated[Path | None, typer.Argument(help="A recipe YAML file; or give --references and --images")] = None,
    references: Annotated[Path | None, typer.Option(help="COCO instances file; its category names are asked")] = None,
    images: Annotated[Path | None, typer.Option(help="Folder of its images: `file_name` is below it")] = None,
    checkpoint: Checkpoint = "small",
    out: Annotated[Path | None, typer.Option("--json", help="Write the scores there as JSON")] = None,
    records: Annotated[
        Path | None, typer.Option(help="Keep the predictions there (JSONL); goes on where it was")
    ] = None,
    min_score: Annotated[float, typer.Option(help="Regions below this score are left out")] = 0.01,
    score_threshold: Annotated[
        float | None, typer.Option(help="Score from which a region counts as said, for Dice; the checkpoint's own")
    ] = None,
    batch_size: Annotated[int, typer.Option(help="Images at once (a zero-shot detector: phrases at once)", min=1)] = 8,
    limit: Annotated[int | None, typer.Option(help="Only so many images, drawn with the seed", min=1)] = None,
    resamples: Annotated[int, typer.Option(help="Bootstrap resamples of patients, else images")] = 1000,
    seed: Annotated[int, typer.Option(help="Seed of the resamples and of --limit")] = 0,
    device: Device = None,
    download: Download = False,
) -> None:
    """Score the scored split of a RECIPE, or a checkpoint on any COCO-style set.

    Every category is asked on every image: ap50, miou, acc_iou50, dice, presence_auroc with intervals, by category and
    modality (`modality` on the image, else unknown). Images that cannot be read are listed.

    Example: medglip grounding evaluate --references annotations.json --images images --json scores.json
    """
    if recipe is not None and references is None and images is None:
        _evaluate_recipe(recipe)
    elif recipe is None and references is not None and images is not None:
        settings: dict[str, Any] = {"resamples": resamples, "seed": seed}
        if score_threshold is not None:
            settings["score_threshold"] = score_threshold
        options = {"min_score": min_score, "batch_size": batch_size, "device": device, "allow_download": download}
        _evaluate_coco(references, images, checkpoint, out, records, limit, settings, options)
    else:
        raise BadInput("nothing to score.", fix="give a RECIPE, or both --references and --images")


def _evaluate_recipe(recipe: Path) -> None:
    """Ground every phrase of the scored split, write records, print the scores."""
    from ...eval.records import read_records
    from ...eval.score import score
    from ...eval.table import table
    from ..pipeline.pipeline import Line
    from ..pipeline.results import write_grounding_records
    from ..recipe import Recipe

    line = Line(read_settings(Recipe, recipe))
    with line.timed("regions"):
        path = write_grounding_records(line)
    scores = score(read_records([path], "grounding"), "grounding", line.recipe.eval)
    typer.echo(table({"grounding core": scores.metrics}))
    typer.echo(f"records: {path}")


def _evaluate_coco(
    references: Path,
    images: Path,
    checkpoint: str,
    out: Path | None,
    records: Path | None,
    limit: int | None,
    settings: dict[str, Any],
    options: dict[str, Any],
) -> None:
    from ...eval.score import write_json
    from ...eval.settings import EvalSettings
    from ...grounding.grounders.pretrained import load_grounder
    from ..inference.evaluate_coco import MAX_PER_PHRASE, evaluate, read_coco, scores_text, threshold_of

    coco = read_coco(references, images, limit, settings["seed"])
    grounder = load_grounder(checkpoint, max_per_phrase=MAX_PER_PHRASE, **options)
    found = evaluate(
        grounder,
        coco,
        validate(EvalSettings, {"score_threshold": threshold_of(grounder), **settings}),
        records,
        model=checkpoint,
        batch_size=options["batch_size"],
    )
    typer.echo(scores_text(found))
    for entry in coco.skipped.entries:
        typer.echo(f"skipped {entry['item']}: {entry['why']}", err=True)
    if out is not None:
        write_json(found, out)
        typer.echo(f"written: {out}")


@grounding.command()
def predict(
    images: Annotated[list[Path], typer.Argument(help="PNG, JPEG or DICOM files")],
    phrase: Annotated[
        list[str] | None, typer.Option(help="What to look for; repeat it. Left out: all of the modality")
    ] = None,
    phrases: Annotated[str | None, typer.Option(help="The same in one text: 'left lung; right lung'")] = None,
    modality: Annotated[str | None, typer.Option(help="xray, ct, mr, ...; read from DICOM when left out")] = None,
    checkpoint: Annotated[str | None, typer.Option(help=f"{CHECKPOINT} Left out: small")] = None,
    run: Annotated[Path | None, typer.Option(help="Folder of a finished run, instead of a checkpoint")] = None,
    out: Annotated[
        Path, typer.Option(help="Output folder: regions.jsonl and a picture an image; or one .png or .jpg")
    ] = Path("runs/predict"),
    min_score: Annotated[float, typer.Option(help="Leave out regions below this score")] = 0.3,
    device: Device = None,
    download: Download = False,
) -> None:
    """Find phrases in images: boxes and masks as JSON lines, and a picture to look at.

    Example: medglip grounding predict chest.png --phrases "left lung; right lung" --out overlay.png
    """
    from ..inference.finder import Finder
    from ..inference.picture import is_picture

    asked = [*(phrase or []), *(part.strip() for part in (phrases or "").split(";") if part.strip())]
    one = is_picture(out)
    if one and len(images) != 1:
        raise BadInput(f"{len(images)} images for one picture.", file=out, fix="give a folder as --out")
    finder, skipped, lines = Finder.of(checkpoint, run, device, download=download), Skipped(), []
    for image in images:
        try:
            annotated, regions, line = finder.find(image, asked, modality, min_score, out)
        except BadInput as error:
            skipped.add(image.name, error)
            continue
        lines.append(line)
        said = ", ".join(f"{r.phrase} {r.score:.2f}" for r in regions)
        typer.echo(f"{annotated.image_path.name}: {said or 'no region found'}")
    if not one:
        write_atomic(out / "regions.jsonl", "".join(json.dumps(line) + "\n" for line in lines))
    written = f"\nwritten: {out if one else out / 'regions.jsonl'}" if lines or not one else ""
    typer.echo(skipped.summary() + written)
    raise typer.Exit(1 if skipped.entries else 0)
