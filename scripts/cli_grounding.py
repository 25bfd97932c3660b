"""`medglip grounding`: train the core, find phrases in images, score it."""

import json
from pathlib import Path
from typing import Annotated

import typer

from ..grounding.bad_input import BadInput, Skipped
from ..grounding.settings import read_settings

grounding = typer.Typer(help="Where in the image is what the phrase says: boxes and masks.", no_args_is_help=True)
RecipeArgument = Annotated[Path, typer.Argument(help="A recipe YAML file")]
Run = Annotated[Path, typer.Option(help="Folder of a finished run")]


@grounding.command()
def train(recipe: RecipeArgument) -> None:
    """Train the grounding core of a recipe (stage 1 of `medglip run`); continues where it was."""
    from .line import Line
    from .recipe import Recipe

    line = Line(read_settings(Recipe, recipe))
    with line.timed("grounding core"):
        line.train_core()
    typer.echo(f"trained: {line.grounder_dir}")


@grounding.command()
def evaluate(recipe: RecipeArgument) -> None:
    """Ground every phrase of the scored split, write records, print AP50, mIoU and Dice with intervals."""
    from ..eval.records import read_records
    from ..eval.score import score
    from ..eval.table import table
    from .line import Line
    from .recipe import Recipe
    from .results import write_grounding_records

    line = Line(read_settings(Recipe, recipe))
    with line.timed("regions"):
        path = write_grounding_records(line)
    scores = score(read_records([path], "grounding"), "grounding", line.recipe.eval)
    typer.echo(table({"grounding core": scores.metrics}))
    typer.echo(f"records: {path}")


@grounding.command()
def predict(
    images: Annotated[list[Path], typer.Argument(help="PNG, JPEG or DICOM files")],
    phrase: Annotated[
        list[str] | None, typer.Option(help="What to look for; repeat it. Left out: all of the modality")
    ] = None,
    modality: Annotated[str | None, typer.Option(help="xray, ct, mr, ...; read from DICOM when left out")] = None,
    run: Run = Path("runs/quickstart"),
    out: Annotated[Path, typer.Option(help="Output folder: regions.jsonl and one picture an image")] = Path(
        "runs/predict"
    ),
    min_score: Annotated[float, typer.Option(help="Leave out regions below this score")] = 0.3,
) -> None:
    """Find phrases in images: boxes and masks as JSON lines, and a picture to look at.

    Example: medglip grounding predict chest.dcm --phrase "left lung" --phrase nodule
    """
    from .finished import FinishedRun
    from .picture import draw

    finished, skipped = FinishedRun(run), Skipped()
    out.mkdir(parents=True, exist_ok=True)
    lines = []
    for image in images:
        try:
            study = finished.study(image, modality)
            phrases = tuple(phrase or finished.query(study).usual)
            if not phrases:
                raise BadInput(
                    f"nothing to look for in modality {study.modality!r}.",
                    file=image,
                    fix="give --phrase or --modality",
                )
            regions = [r for r in finished.regions(study, phrases) if r.score >= min_score]
        except BadInput as error:
            skipped.add(image.name, error)
            continue
        lines.append(draw(study, phrases, regions, out))
        typer.echo(f"{image.name}: " + (", ".join(f"{r.phrase} {r.score:.2f}" for r in regions) or "no region found"))
    (out / "regions.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    typer.echo(f"{skipped.summary()}\nwritten: {out / 'regions.jsonl'}")
    raise typer.Exit(1 if skipped.entries else 0)
