"""The one command `medglip`: groups of the rooms, `run` for a whole recipe, one clear line for bad input."""

import logging
import os
import sys
import warnings
from pathlib import Path
from typing import Annotated

import typer

from ...grounding.bad_input import BadInput
from .data import assets, data
from .eval import evaluation
from .grounding import grounding
from .recipe import recipe as recipes
from .report import report
from .vqa import vqa

app = typer.Typer(
    name="medglip",
    help="Grounding-augmented VQA and report generation for medical images. Research use, not for diagnosis.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
    rich_markup_mode="markdown",
)
# the order of `medglip --help`; commands import what they need when they are called, so that help starts without torch
groups = {"grounding": grounding, "vqa": vqa, "report": report, "eval": evaluation, "data": data}
for name, group in (groups | {"recipe": recipes, "assets": assets}).items():
    app.add_typer(group, name=name)


class _Console(logging.Handler):
    """Shows what the rooms log: progress on standard output, warnings on standard error, as bare lines."""

    def emit(self, record: logging.LogRecord) -> None:
        # looked up at each record: tests and notebooks put other streams there
        stream = sys.stderr if record.levelno >= logging.WARNING else sys.stdout
        print(self.format(record), file=stream, flush=True)


@app.callback()
def show_log() -> None:
    """Let the loggers of the rooms speak on the console, once per process."""
    logger = logging.getLogger("medglip")
    logger.setLevel(logging.INFO)
    if not any(isinstance(handler, _Console) for handler in logger.handlers):
        logger.addHandler(_Console())


@app.command()
def run(
    recipe: Annotated[Path, typer.Argument(help="A recipe: recipes/quickstart.yaml, recipes/real_small.yaml")],
) -> None:
    """Run all stages of one RECIPE: grounding core, regions, two adapters, predictions, scores, page.

    Everything is written to the recipe's `out_dir`. If it is interrupted, call it again: it continues. Unknown keys of
    a recipe are refused with the nearest valid one.
    """
    from ..pipeline.run import run as run_recipe

    run_recipe(recipe)


def main() -> None:
    """Entry of the console command: bad input ends with its one line and exit code 2."""
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    # Waiting threads sleep instead of spinning: beside other load, spinning makes a step ten times slower.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    # peft 0.21 calls a name that transformers 5 is about to rename; nothing a user could act on
    warnings.filterwarnings("ignore", "`is_gradient_checkpointing` is deprecated", FutureWarning)
    try:
        app()
    except BadInput as error:
        message = f"medglip: {error}"
    except OSError as error:
        message = f"medglip: {error}. Nothing on disk was lost: make room or correct the path, then call again."
    else:
        return
    print(message, file=sys.stderr)
    sys.exit(2)
