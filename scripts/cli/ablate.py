"""`medglip vqa align` and `medglip vqa ablate`: make the small default look, and measure what each form of evidence
is worth.
"""

from pathlib import Path
from typing import Annotated

import typer

from ...grounding.evidence.evidence import FORMS, SOURCES
from ...grounding.records import Task

RecipeArgument = Annotated[Path, typer.Argument(help="A recipe YAML file")]


def align(
    recipe: Annotated[Path, typer.Argument(help="A recipe of the alignment: recipes/align/small.yaml")],
    out: Annotated[Path | None, typer.Option(help="Folder of the result; left out: in the cache, by content")] = None,
) -> None:
    """Teach a base with a fresh picture projector to look: the projector first, then with LoRA, on derived questions.

    The result is an adapter that recipes start from (`mllm: {aligned: FOLDER}`). At last held-out questions are asked
    with the real picture and with a grey one: no drop means it is not aligned. Interrupted, it continues.
    """
    from ..experiments.align import align_recipe

    align_recipe(recipe, out)


def ablate(
    recipe: RecipeArgument,
    sources: Annotated[str, typer.Option(help=f"With commas: {', '.join(SOURCES)}")] = "none,predicted",
    forms: Annotated[
        list[str] | None, typer.Option(help=f"Joined by +: {', '.join(FORMS)}; repeat it for each row of the grid")
    ] = None,
    seeds: Annotated[str, typer.Option(help="Seeds of weights and training, with commas")] = "0,1,2",
    task: Annotated[str, typer.Option(help="vqa or report")] = "vqa",
    out: Annotated[Path | None, typer.Option(help="Folder; left out: ablation/ in the recipe's out_dir")] = None,
) -> None:
    """Train and predict a grid of evidence sources and forms with one budget; one table of paired differences.

    The core and its regions are those of the recipe's run, made once. Interrupted and called again, it goes on at the
    cell where it was. Example: medglip vqa ablate RECIPE --forms text --forms tokens --forms text+tokens+crops
    """
    from ..experiments.ablate import Grid, run_grid, tasks_named

    grid = Grid.parse(sources, forms or ["text+tokens"], seeds)
    named: Task = tasks_named(task)
    typer.echo(run_grid(recipe, grid, named, out))


def hook(group: typer.Typer) -> None:
    """Add both commands to a group."""
    group.command()(align)
    group.command()(ablate)
