"""`medglip recipe`: the keys of a recipe, and recipes of earlier versions in today's spelling."""

import json
from pathlib import Path
from typing import Annotated

import typer

from .groups import Commands
from .options import output, write_text

recipe = Commands()


@recipe.command()
def schema() -> None:
    """Print the JSON Schema (draft 2020-12) of a recipe, for editors that check YAML.

    Example: medglip recipe schema > recipe.schema.json
    """
    from ..recipe import Recipe

    typer.echo(json.dumps(Recipe.model_json_schema(), indent=1))


@recipe.command()
def docs() -> None:
    """Print every key with its type, default and meaning as Markdown: `docs/recipe.md`."""
    from ..recipe_keys import recipe_page

    typer.echo(recipe_page(), nl=False)


@recipe.command()
def upgrade(
    file: Annotated[Path, typer.Argument(help="A recipe YAML file of any version")],
    out: Annotated[Path | None, output(help="Write it there; left out: print it")] = None,
) -> None:
    """Write a recipe in today's spelling. Comments at its top are kept, the others are not.

    Keys that never did anything are refused, so that you can remove them. Example: medglip recipe upgrade old.yaml
    """
    from ..upgrade import upgrade_file

    text, lost = upgrade_file(file)
    if out is None:
        typer.echo(text, nl=False)
    else:
        write_text(text, out)
    if lost:  # on standard error: the text may be going into a file
        typer.echo(f"note: {lost} comments below the top of the file are not in it.", err=True)
