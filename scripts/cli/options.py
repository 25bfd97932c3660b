"""The options that several commands share, and their help panels.

The panels stand in one order on every command: What, Who answers, Who finds, The switch, Output, Safety, Settings.
"""

import json
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, get_args

import typer

from ...grounding.bad_input import BadInput, check_name
from ...grounding.evidence.names import FORMS, SOURCES, asked_sources, list_titles
from ...grounding.files import write_atomic
from ...grounding.modalities import MODALITIES
from ...grounding.records import Task
from ...grounding.served.client import Endpoint
from ...grounding.vocabulary.places import Frame

if TYPE_CHECKING:
    from ...grounding.parts.work import Workers
    from ..inference.predict_set import PredictRequest

# one function for each panel, in the order in which they stand: `what(help=...)` is an option of the panel What
PANELS = ("What", "Who answers", "Who finds", "The switch", "Output", "Safety", "Settings")
what, who_answers, who_finds, the_switch, output, safety, setting = (
    partial(typer.Option, rich_help_panel=panel) for panel in PANELS
)

CHECKPOINT = (
    "small, small-research, or a folder: of our core, or of any transformers zero-shot detector; or a hub name; or a "
    "file of regions: regions.jsonl, COCO with scores, DICOM SEG, NIfTI labels, a VOC folder"
)


def _find_recipe(value: Path | None) -> Path | None:
    from ..start.recipes import recipe_file

    return None if value is None else recipe_file(value)


RecipeFile = Annotated[
    Path, typer.Argument(callback=_find_recipe, help="A recipe file, or one that comes along: quickstart, real_small")
]
RecipeOrNone = Annotated[
    Path | None, typer.Argument(callback=_find_recipe, help="A recipe, as of `medglip run`; or give --dataset")
]
Images = Annotated[list[str], typer.Argument(help="PNG, JPEG or DICOM files; folders of them; patterns in quotes")]
MODALITY_NAMES = ", ".join(name for name in MODALITIES if name != "unknown")
Modality = Annotated[str | None, what(help=f"{MODALITY_NAMES}; left out: read from DICOM, else unknown")]
BodyPart = Annotated[str, what(help="Part of the body, in plain words; left out: read from DICOM, else not told")]
Base = Annotated[str | None, who_answers(help="Base model: a folder or a hub name; left out: the adapter's own")]
MODEL_HELP = "rules: fixed templates answer from the regions alone; with --endpoint: the served model's name"
Model = Annotated[str | None, who_answers("--model", help=MODEL_HELP)]
ServedModel = Annotated[str | None, who_answers("--model", help="With --endpoint: the served model's name")]
Url = Annotated[
    str | None,
    who_answers("--endpoint", metavar="URL", help="A served model answers: http://host:8000/v1; docs/served-models.md"),
]
Concurrency = Annotated[int, who_answers("--concurrency", hidden=True, help="Requests to --endpoint at once")]
Timeout = Annotated[float, who_answers("--timeout", hidden=True, help="Seconds for one request to --endpoint")]
BOXES_HELP = "How boxes are written to it: percent, pixels, unit, 0-1000, loc, none, or a family; left out: by its name"
Boxes = Annotated[str | None, the_switch("--boxes", "--box-format", metavar="NOTATION", help=BOXES_HELP)]
Finder = Annotated[
    str | None,
    who_finds(
        "--grounder",
        help="small, small-research, a detector, or a file of regions (regions.jsonl, COCO, DICOM SEG, NIfTI, VOC); "
        "left out: the run's own core",
    ),
]
Core = Annotated[
    str | None, who_finds("--checkpoint", help="small, small-research or a folder; left out: the run's own core")
]
Device = Annotated[str | None, who_finds(help="cpu, cuda, ...; left out: a GPU where there is one")]
Evidence = Annotated[str, the_switch(help=f"What the model is shown beside the image: {list_titles(asked_sources())}")]
SetEvidence = Annotated[
    str, the_switch("--evidence", help=f"What the model is shown beside the image: {list_titles(SOURCES)}")
]
FORMS_HELP = f"Which of the adapter's forms of evidence are shown, joined by +: {list_titles(FORMS)}; left out: all"
Forms = Annotated[str | None, the_switch("--forms", help=FORMS_HELP)]
Push = Annotated[
    str | None, output("--push", metavar="OWNER/NAME", help="Upload the result to a hub, private where it is new")
]
Csv = Annotated[Path | None, output("--csv", help="Write a table as well")]
Side = Annotated[
    str | None,
    output("--side", help="patient or image: whose left and right is told, where it is known how the image lies"),
]
Json = Annotated[Path | None, output("--json", help="Write the result to this file as JSON")]
DownloadBase = Annotated[bool, safety("--download", help="Fetch a base of a hub that an adapter or run names")]
Outside = Annotated[
    bool, what("--allow-outside", hidden=True, help="Let names of images in the data leave the folder of the set")
]
HiddenDownloadBase = Annotated[bool, safety("--download", hidden=True, help="As of `medglip vqa ask`")]
Download = Annotated[bool, safety("--download", help="Fetch a hub name that is not in the local cache")]

WORKERS_HELP = "Number of processes; left out: 1, with --engine ray all that its cluster has room for"
ENGINE_HELP = "Who runs them: pool (processes of this machine) or ray (its cluster; pip install 'medglip[ray]')"
SHARD_HELP = "Of every N parts this call does one: --shard $SLURM_ARRAY_TASK_ID/8; the last one to end joins them"
NumWorkers = Annotated[int | None, setting("--workers", min=1, help=WORKERS_HELP)]
Engine = Annotated[str, setting("--engine", help=ENGINE_HELP)]
Shard = Annotated[str | None, setting("--shard", metavar="I/N", help=SHARD_HELP)]
HiddenWorkers = Annotated[int | None, setting("--workers", min=1, hidden=True, help=WORKERS_HELP)]
HiddenEngine = Annotated[str, setting("--engine", hidden=True, help=ENGINE_HELP)]
HiddenShard = Annotated[str | None, setting("--shard", metavar="I/N", hidden=True, help=SHARD_HELP)]


def frame_named(name: str | None) -> Frame | None:
    """The frame of `--side`. Raises `BadInput` with the nearest valid one."""
    return None if name is None else check_name(name, get_args(Frame), "side")


def write_text(text: str, out: Path) -> None:
    """Write a file and name it."""
    write_atomic(out, text)
    typer.echo(f"written: {out}")


def write_rows(rows: Any, out: Path | None) -> None:
    """Write the JSON file of `--json` and name it, where one is asked for."""
    if out:
        write_text(json.dumps(rows, indent=1, ensure_ascii=False) + "\n", out)


def endpoint_of(
    url: str | None, model: str | None, concurrency: int, timeout_s: float, boxes: str | None = None
) -> Endpoint | None:
    """The served model of a command; None without --endpoint. Raises `BadInput` for options that need one."""
    if url is None:
        if boxes is not None:
            raise BadInput("--boxes is for a served model.", fix="give --endpoint URL --model NAME, or leave it out")
        return None
    return Endpoint(url=url, model=model or "", concurrency=concurrency, timeout_s=timeout_s)


def predict_recipe(
    task: Task, recipe: Path, served: Endpoint | None, boxes: str | None, forms: str | None, grounder: str | None
) -> None:
    """A task of a recipe: both adapters are trained and asked; with a served model that alone is asked.

    Raises `BadInput` for a grounder: adapters learn with that of the recipe.
    """
    if grounder:
        raise BadInput("--grounder is for --dataset.", fix="in a recipe it is `evidence: {grounder: ...}`")
    if served is None:
        from ..pipeline.run import train_and_predict

        train_and_predict(recipe, task)
        return
    from ..pipeline.served import predict_recipe as predict_served_recipe

    lines, is_complete = predict_served_recipe(recipe, task, served, boxes, forms)
    typer.echo("\n".join(lines))
    if not is_complete:
        raise typer.Exit(1)


def workers_of(recipe: Path | None, number: int | None, engine: str, shard: str | None) -> "Workers":
    """Who does the parts of a --dataset. Raises `BadInput` for a recipe, whose training accelerate shares out."""
    from ...grounding.parts.work import Workers

    who = Workers.of(number, engine, shard)
    if recipe is not None and not (who.is_alone and who.shard is None):
        fix = "with a recipe: `accelerate launch -m medglip.scripts.cli ...`"
        raise BadInput("--workers, --engine and --shard are for --dataset.", fix=fix)
    return who


def predict_set(request: "PredictRequest") -> None:
    """Write the records of a --dataset; the exit code is 1 where a served model left something without an answer."""
    from ..inference.predict_set import predict_dataset, summary

    is_complete = predict_dataset(request)
    typer.echo("\n".join(summary(request, is_complete)))
    if request.endpoint and not is_complete:
        raise typer.Exit(1)


def set_and_file(task: str, recipe: Path | None, dataset: str | None, out: Path | None) -> tuple[str, Path]:
    """--dataset and --out of `medglip TASK predict`. Raises `BadInput` where one is left out, and for a recipe too."""
    if dataset is None or recipe is not None:
        problem = "neither a recipe nor --dataset is given." if recipe is None else "a recipe and --dataset are given."
        fix = f"give one: `medglip {task} predict RECIPE` or `... --dataset phantom --root FOLDER --out FILE`"
        raise BadInput(problem, fix=fix)
    if out is None:
        raise BadInput("no file for the records is given.", fix="--out records.jsonl")
    return dataset, out
