"""`medglip report`: tune, predict a test set, write one grounded report."""

from pathlib import Path
from typing import Annotated

import typer

from .cli_vqa import Checkpoint

report = typer.Typer(help="Write: study + evidence -> report sentences with their regions.", no_args_is_help=True)
RecipeArgument = Annotated[Path, typer.Argument(help="A recipe YAML file")]


@report.command()
def train(recipe: RecipeArgument) -> None:
    """LoRA-tune both adapters of a recipe (the same adapters as `medglip vqa train`: tasks are learned together)."""
    from .tune import train_adapters

    train_adapters(recipe)


@report.command()
def predict(recipe: RecipeArgument) -> None:
    """Write the scored reports of a recipe with every evidence source; one record file a source."""
    from .tune import predict_task

    predict_task(recipe, "report")


@report.command()
def write(
    image: Annotated[Path, typer.Argument(help="PNG, JPEG or DICOM file")],
    modality: Annotated[str | None, typer.Option(help="xray, ct, mr, ...; read from DICOM when left out")] = None,
    evidence: Annotated[str, typer.Option(help="none or predicted: the switch")] = "predicted",
    run: Annotated[Path, typer.Option(help="Folder of a finished run")] = Path("runs/quickstart"),
    checkpoint: Checkpoint = None,
    out: Annotated[Path, typer.Option(help="Output folder: one JSON and one HTML file")] = Path("runs/reports"),
) -> None:
    """Write a grounded report of one image as JSON and as an HTML page whose sentences light their regions.

    Example: medglip report write scan.dcm --out reports
    """
    from .finished import FinishedRun, source_named
    from .grounded import write_grounded
    from .user_study import user_study

    finished, source = FinishedRun(run, checkpoint), source_named(evidence)
    written = write_grounded(finished, user_study(image, modality), source, out)
    typer.echo("\n".join(written))
