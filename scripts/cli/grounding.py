"""`medglip grounding`: train the core, find phrases in images, score it."""

from contextlib import nullcontext
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from ...grounding.bad_input import LINES, BadInput, Skipped, check_name, told
from ...grounding.files import locked
from ...grounding.run_folder import RunFolder
from ...grounding.settings import read_settings, validate
from .groups import Commands
from .options import (
    CHECKPOINT,
    BodyPart,
    Device,
    Download,
    Engine,
    Images,
    Json,
    Modality,
    NumWorkers,
    Push,
    RecipeFile,
    RecipeOrNone,
    Shard,
    output,
    what,
    who_finds,
)
from .sets import Sets, merge, read_sets, second_names

grounding = Commands()


@grounding.command()
def train(recipe: RecipeFile, push: Push = None) -> None:
    """Train the grounding core of a recipe (stage 1 of `medglip run`); continues where it was.

    `accelerate launch -m medglip.scripts.cli grounding train RECIPE` is the same on any number of processes.
    """
    from ...grounding.grounders.hub import check_push, push_folder
    from ..recipe import Recipe

    check_push(push)
    settings = read_settings(Recipe, recipe)
    from ...grounding.training.loop import processes
    from ..pipeline.pipeline import Pipeline

    ranks = processes()
    with RunFolder(settings.out_dir).locked():
        pipeline = Pipeline(settings)
        with ranks.main_process_first():  # it alone draws phantoms and copies built sets; the others find them
            _ = pipeline.phantom_dir, pipeline.images
        with pipeline.timed("grounding core"):
            _ = pipeline.grounder
    if ranks.is_main_process:
        typer.echo(f"trained: {pipeline.grounder_dir}")
        if push:
            typer.echo(f"pushed: {push_folder(pipeline.grounder_dir, push)}")
    ranks.destroy_process_group()


@grounding.command(
    "fine-tune",
    cls=second_names(
        "fine_tune",
        *(f"train.{key}" for key in ("steps", "batch_size", "learning_rate", "checkpoint_every")),
        "image_size",
        flags=["freeze_towers"],
    ),
)
def fine_tune(
    recipe: RecipeFile,
    checkpoint: Annotated[str, who_finds(help="The detector to begin with: its folder, or its hub name")],
    out: Annotated[Path, output(help="Folder of the training; --grounder of the other commands takes it")],
    download: Download = False,
    sets: Sets = None,
) -> None:
    """Fine-tune a Grounding-DINO or MM-Grounding-DINO detector on the region sets of a RECIPE.

    It learns from the training split alone; the split that `evaluate` scores is not touched. The loss is our own: that
    of transformers takes the words of a box from the caption of another image of the batch. If it is interrupted, call
    it again: it continues. A finished folder returns at once; a folder of another detector, other settings or other
    data is refused. More steps continue a finished training.

    A pretrained detector wants a learning rate of 1e-5 to 1e-4, an untrained one ten times that. Other settings:
    `fine_tune.train.steps` (400), `.train.batch_size`, `.train.checkpoint_every`, `.image_size` (a multiple of 32) and
    `.freeze_towers` (train neither image backbone nor text encoder: less memory).

    Example: medglip grounding fine-tune recipes/real_small.yaml --checkpoint IDEA-Research/grounding-dino-tiny
    --out runs/dino --set fine_tune.train.learning_rate=1e-5, then medglip grounding predict image.png --grounder
    runs/dino
    """
    from ...grounding.training.settings import FineTuneSettings
    from ..pipeline.pipeline import Pipeline
    from ..pipeline.training import fine_tune as fine_tune_recipe
    from ..recipe import Recipe

    read = read_settings(Recipe, recipe)
    # defaults, then the recipe's seed, then what --set gives
    defaults = merge(FineTuneSettings().model_dump(), {"train": {"seed": read.seed}})
    settings = validate(FineTuneSettings, merge(defaults, read_sets(sets, fine_tune=FineTuneSettings)["fine_tune"]))
    with RunFolder(read.out_dir).locked(), RunFolder(out).locked():
        fine_tune_recipe(Pipeline(read), checkpoint, out, settings, download=download)
    typer.echo(f"trained: {out}\nmedglip grounding predict IMAGE --phrases '...' --grounder {out}")


@grounding.command(cls=second_names("eval", "score_threshold", "resamples"))
def evaluate(
    recipe: RecipeOrNone = None,
    dataset: Annotated[str | None, what(help="A layout of region sets, such as phantom, with --root")] = None,
    root: Annotated[Path | None, what(help="The folder of the set")] = None,
    references: Annotated[Path | None, what(help="COCO instances file; its category names are the phrases")] = None,
    images: Annotated[Path | None, what(help="Folder of its images: `file_name` is below it")] = None,
    allow_outside: Annotated[bool, what(help="Let `file_name` leave the folder of the images")] = False,
    limit: Annotated[int | None, what(metavar="N", help="Only N images, drawn with the seed", min=1)] = None,
    probe: Annotated[
        str | None, what(help="corrupt: the pictures again as bad devices make them, in five severities")
    ] = None,
    seed: Annotated[int, what(help="Seed of resamples, --limit and --probe")] = 0,
    checkpoint: Annotated[str, who_finds("--grounder", help=CHECKPOINT)] = "small",
    min_score: Annotated[float, who_finds(help="Leave out regions below this score")] = 0.01,
    batch_size: Annotated[int, who_finds(help="Images at a time (a zero-shot detector: phrases at a time)", min=1)] = 8,
    device: Device = None,
    out: Json = None,
    records: Annotated[
        Path | None, output(help="Keep the predictions in this file (JSONL); a later call continues it")
    ] = None,
    download: Download = False,
    sets: Sets = None,
) -> None:
    """Score the scored split of a RECIPE, or a grounder on any COCO-style set, or on split test of a --dataset.

    Every category is looked for in every image: ap50, miou, acc_iou50, dice, presence_auroc with intervals, by category
    and modality (`modality` of the image, else unknown). Images that cannot be read are listed. Regions from
    `eval.score_threshold` on count as predicted; left out: the checkpoint's own threshold. --probe corrupt adds the
    drop of each at five severities, paired (of a RECIPE its `probes` do), and SCORES.corrupt.json to SCORES.json.

    Example: medglip grounding evaluate --references annotations.json --images images --json scores.json --set
    eval.resamples=200
    """
    if probe:
        check_name(probe, ["corrupt"], "probe of regions")
    is_coco, is_set = (references is not None and images is not None), (dataset is not None and root is not None)
    # a recipe alone, or a COCO file and its images, or a set and its folder
    if recipe is not None and not any((references, images, dataset, root)):
        _evaluate_recipe(recipe)
    elif recipe is None and is_coco != is_set:
        from ...eval.score import write_json
        from ...eval.settings import EvalSettings
        from ...eval.table import probes_text
        from ...grounding.grounders.pretrained import load_grounder
        from ..inference.evaluate_coco import MAX_PER_PHRASE, evaluate_corrupted, read_coco, read_dataset, scores_text
        from ..inference.evaluate_coco import evaluate as evaluate_coco
        from .eval import write_rows

        changes = read_sets(sets, eval=EvalSettings)["eval"]  # before the images are read: a wrong key is told at once
        if references is not None and images is not None:
            coco = read_coco(references, images, limit, seed, allow_outside=allow_outside)
        else:
            coco = read_dataset(str(dataset), Path(str(root)), limit, seed, allow_outside=allow_outside)
        # low scores count in the curves of AP; the threshold that scores are cut at comes later, from the settings
        options: dict[str, Any] = {"min_score": min_score, "batch_size": batch_size, "max_per_phrase": MAX_PER_PHRASE}
        if references is not None and checkpoint.endswith(".json"):  # COCO results are of the same images
            checkpoint = f"{checkpoint},{references}"
        grounder = load_grounder(checkpoint, device=device, allow_download=download, **options)
        settings = validate(EvalSettings, {"score_threshold": grounder.threshold, "seed": seed} | changes)
        with locked(records.with_name(f".{records.name}.lock"), records.name) if records else nullcontext():
            given = {"records": records, "model": checkpoint, "batch_size": batch_size}
            scores = evaluate_coco(grounder, coco, settings, **given)
            drops = evaluate_corrupted(grounder, coco, settings, **given) if probe else None
        typer.echo(scores_text(scores))
        if drops:
            typer.echo(f"\n{probes_text(drops)}")
        for entry in coco.skipped.entries:
            typer.echo(f"skipped {told(entry['item'], entry['why'])}", err=True)
        if out is not None:
            write_json(scores, out)
            typer.echo(f"written: {out}")
            if drops:
                write_rows(asdict(drops), out.with_suffix(".corrupt.json"))
    else:
        raise BadInput("nothing to score.", fix="give a RECIPE, or --references and --images, or --dataset and --root")


def _evaluate_recipe(recipe: Path) -> None:
    """Ground every phrase of the scored split, write records, print the scores."""
    from ...eval.records import read_records
    from ...eval.score import score
    from ...eval.table import table
    from ..pipeline.pipeline import Pipeline
    from ..pipeline.results import write_grounding_records
    from ..recipe import Recipe

    pipeline = Pipeline(read_settings(Recipe, recipe))
    with RunFolder(pipeline.recipe.out_dir).locked(), pipeline.timed("regions"):
        path = write_grounding_records(pipeline)
    scores = score(read_records([path], "grounding"), "grounding", pipeline.recipe.eval)
    typer.echo(table({"grounding core": scores.metrics}))
    typer.echo(f"records: {path}")


@grounding.command()
def predict(
    images: Images,
    phrase: Annotated[
        list[str] | None, what(help="What to look for; repeat it. Left out: everything usual in the modality")
    ] = None,
    phrases: Annotated[str | None, what(help="Several phrases in one text: 'left lung; right lung'")] = None,
    modality: Modality = None,
    body_part: BodyPart = "",
    checkpoint: Annotated[str | None, who_finds("--grounder", help=f"{CHECKPOINT}. Left out: small")] = None,
    run: Annotated[Path | None, who_finds(help="Folder of a finished run, instead of a grounder")] = None,
    min_score: Annotated[float, who_finds(help="Leave out regions below this score")] = 0.3,
    device: Device = None,
    out: Annotated[
        Path, output(help="Output folder for regions.jsonl and one drawn image per input; or one .png or .jpg file")
    ] = Path("runs/predict"),
    table: Annotated[Path | None, output("--csv", help="Also a table: image, phrase, score, x0, y0, x1, y1")] = None,
    download: Download = False,
    workers: NumWorkers = None,
    engine: Engine = "pool",
    shard: Shard = None,
) -> None:
    """Find phrases in images: boxes and masks as JSON lines, and an image with the regions drawn on it.

    Of many images the same call after a kill continues. --workers, --engine ray or a --shard of the images on each
    machine write the same files (docs/many-machines.md).

    Example: medglip grounding predict chest.png --phrases "left lung; right lung" --out overlay.png
    """
    from ...grounding.parts.work import Workers
    from ..inference.given import check_given, first_of_each_name, images_of, is_picture, say_loading
    from ..inference.user_image import user_image

    if checkpoint and run:
        raise BadInput("both --grounder and --run are given.", fix="leave one out")
    check_given(modality=modality, checkpoint=checkpoint, run=run)
    # --phrase heart --phrases "left lung; right lung" -> three phrases
    wanted = [*(phrase or []), *(part.strip() for part in (phrases or "").split(";") if part.strip())]
    files, is_file = images_of(images, is_batch=True), is_picture(out)  # one drawn image instead of a folder
    if is_file and len(files) != 1:
        raise BadInput(f"{len(files)} images for one output file.", file=out, fix="give a folder as --out")
    skipped = Skipped()
    files = first_of_each_name(files, skipped)
    who = Workers.of(workers, engine, shard)
    if len(files) == 1:  # a broken file is told before anything is loaded
        user_image(files[0], modality, body_part)
    say_loading(run or checkpoint or "small")
    from ..inference.find_set import FindRequest, FindSet, find_one

    request = FindRequest(
        out=out,
        phrases=tuple(wanted),
        modality=modality,
        body_part=body_part,
        min_score=min_score,
        checkpoint=checkpoint,
        run=run,
        device=device,
        download=download,
    )
    whole = FindSet(request, files, table)
    if is_file:
        entries = find_one(request, files[0], table)
    else:
        entries = whole.write_shard(who) if shard else whole.write(who)
    for entry in entries:
        if "why" in entry:
            # the others are still looked at; the exit code tells
            skipped.entries.append({"item": entry["image"], "why": entry["why"]})
        for line in entry.get("said", ()):
            typer.echo(line)
    typer.echo(skipped.summary(between=LINES))
    if not whole.is_written:
        typer.echo(f"shard {shard} is done, others are not: the last one to end writes {out / 'regions.jsonl'}")
    else:
        lines = out if is_file else out / "regions.jsonl"
        for file in (lines if not (is_file and skipped.entries) else None, table):
            if file:
                typer.echo(f"written: {file}")
    raise typer.Exit(1 if skipped.entries else 0)
