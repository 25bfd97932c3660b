"""`medglip vqa`: train with evidence, predict a test set, ask one question, compare forms of evidence, export."""

from pathlib import Path
from typing import Annotated, get_args

import typer

from ...grounding.bad_input import LINES
from ...grounding.evidence.names import FORMS, SOURCES, list_titles
from ...grounding.files import locked
from ...grounding.settings import validate
from ...vqa.datasets.sets import QUESTION_SETS, SplitScheme
from .groups import Commands
from .options import (
    Base,
    BodyPart,
    Boxes,
    Concurrency,
    Core,
    DownloadBase,
    Evidence,
    Finder,
    Forms,
    HiddenEngine,
    HiddenShard,
    HiddenWorkers,
    Json,
    Modality,
    Model,
    Outside,
    Push,
    RecipeFile,
    RecipeOrNone,
    ServedModel,
    SetEvidence,
    Side,
    Timeout,
    Url,
    endpoint_of,
    frame_named,
    output,
    predict_recipe,
    predict_set,
    safety,
    set_and_file,
    the_switch,
    what,
    who_answers,
    workers_of,
    write_rows,
)
from .sets import Sets, read_sets, second_names

vqa = Commands()


@vqa.command()
def train(recipe: RecipeFile) -> None:
    """Train both LoRA adapters of a recipe, with and without evidence, with the same budget and seed.

    Each adapter learns every task of the recipe (questions and reports together). Earlier stages run first if their
    results are missing. If it is interrupted, call it again: it continues.
    """
    from ..pipeline.run import train_and_predict

    train_and_predict(recipe)


@vqa.command(cls=second_names("generate", "batch_size", "max_new_tokens"))
def predict(
    recipe: RecipeOrNone = None,
    dataset: Annotated[str | None, what(help=f"A question set: {', '.join(QUESTION_SETS)}")] = None,
    root: Annotated[Path | None, what(help="The folder of the set; left out: its name below MEDGLIP_DATA")] = None,
    split_scheme: Annotated[str, what(help=f"How the set is split: {', '.join(get_args(SplitScheme))}")] = "official",
    split: Annotated[str, what(help="Which questions are asked: those of train, val or test")] = "test",
    part: Annotated[str | None, what(hidden=True, help="The older name of --split")] = None,
    limit: Annotated[int | None, what(metavar="N", help="Only the first N questions")] = None,
    adapter: Annotated[
        Path | None, who_answers(help="small, or the folder of a run or of an adapter; left out: the base alone")
    ] = None,
    base: Base = None,
    model: Model = None,
    endpoint: Url = None,
    concurrency: Concurrency = 8,
    timeout: Timeout = 120,
    checkpoint: Finder = None,
    evidence: SetEvidence = "predicted",
    forms: Forms = None,
    boxes: Boxes = None,
    seed: Annotated[int, the_switch(help="Seed of random and shuffled evidence, and of the scheme image_grouped")] = 0,
    out: Annotated[Path | None, output(help="Record file (JSONL); needed with --dataset")] = None,
    table: Annotated[Path | None, output("--csv", help="Also a table of images, questions, answers")] = None,
    download: DownloadBase = False,
    allow_outside: Outside = False,
    workers: HiddenWorkers = None,
    engine: HiddenEngine = "pool",
    shard: HiddenShard = None,
    sets: Sets = None,
) -> None:
    """Answer the scored questions of a recipe with every evidence source, or those of a --dataset with one source.

    If it is interrupted, call it again: it continues. Many may share a data set, and write the same records: --workers
    N processes, --engine ray, --shard I/N in each call of an array of jobs (docs/many-machines.md), or `accelerate
    launch -m medglip.scripts.cli vqa predict --dataset ...` with a GPU each.

    With --endpoint a served model is asked and nothing is trained; of a recipe every source and probe, to
    OUT_DIR/records/MODEL. Only what has no answer yet is asked; the exit code is 1 while something has none.

    Example: medglip vqa predict --dataset vqa_rad --adapter runs/quickstart --out records.jsonl --set
    generate.max_new_tokens=8
    """
    served = endpoint_of(endpoint, model, concurrency, timeout, boxes)
    who = workers_of(recipe, workers, engine, shard)
    if recipe is not None and dataset is None:
        predict_recipe("vqa", recipe, served, boxes, forms, checkpoint)
        return
    dataset, out = set_and_file("vqa", recipe, dataset, out)
    from ...vqa.inference.settings import GenerateSettings
    from ..inference.given import source_named
    from ..inference.predict_set import PredictRequest

    # before, image_grouped was a --split, and val its --part
    if split in get_args(SplitScheme):
        split_scheme, split = split, "test"
    # short answers need few tokens, so more prompts fit at a time; --set wins
    decoding = {"batch_size": 32, "max_new_tokens": 16} | read_sets(sets, generate=GenerateSettings)["generate"]
    asked = PredictRequest(
        dataset=dataset,
        out=out,
        root=root,
        split_scheme=split_scheme,
        split=part or split,
        source=source_named(evidence),
        adapter=adapter,
        checkpoint=checkpoint,
        base=base,
        model=None if served else model,
        endpoint=served,
        boxes=boxes,
        forms=forms,
        allow_outside=allow_outside,
        allow_download=download,
        limit=limit,
        seed=seed,
        csv=table,
        generate=validate(GenerateSettings, decoding),
        workers=who,
    )
    predict_set(asked)


@vqa.command()
def ask(
    images: Annotated[
        list[str],
        typer.Argument(
            metavar="IMAGES... [QUESTION]",
            help="PNG, JPEG or DICOM files, folders, patterns; then the question in quotes. Left out: a prompt opens",
        ),
    ],
    questions: Annotated[Path | None, what(help="A text file with a question a line, instead of one")] = None,
    each: Annotated[bool, what("--each", help="Ask of each image by itself, as of folders and patterns")] = False,
    modality: Modality = None,
    body_part: BodyPart = "",
    run: Annotated[Path | None, who_answers(help="Folder of a finished run, instead of an adapter")] = None,
    adapter: Annotated[
        Path | None, who_answers(help="small, or an adapter's folder; left out: small, else runs/quickstart")
    ] = None,
    model: Model = None,
    endpoint: Url = None,
    timeout: Timeout = 120,
    checkpoint: Finder = None,
    evidence: Evidence = "predicted",
    forms: Forms = None,
    boxes: Boxes = None,
    show: Annotated[Path | None, output(help="Folder for an image with the regions drawn on it")] = None,
    table: Annotated[
        Path | None, output("--csv", help="Also a table: image, question, answer, probability; JSON lines beside it")
    ] = None,
    html: Annotated[Path | None, output(help="Also one page with image, regions and answers")] = None,
    side: Side = None,
    download: DownloadBase = False,
) -> None:
    """Ask about images. Prints the answer, its probability and the evidence behind it.

    Several images named one by one are asked of together; those of a folder or pattern one after the other. Without a
    question a prompt opens, and the model stays loaded. The probability is the mean over the tokens of the answer; for
    a yes/no question also that of yes against no. Without --modality only phrases of the question are looked for. The
    first call fetches and verifies the base model.

    Example: medglip vqa ask scan.png "Is the heart enlarged?" --modality xray
    """
    from ..inference.given import check_given, groups_of, question_of, read_questions, say_loading, typed_questions
    from ..inference.user_image import user_image

    frame = frame_named(side)
    check_given(
        modality=modality,
        evidence=evidence,
        forms=forms,
        checkpoint=checkpoint,
        run=run,
        adapter=adapter,
        download=download,
    )
    words, question = (images, None) if questions else question_of(images)
    groups = groups_of(words, each=each, has_questions=questions is not None)
    if len(groups) == 1:  # read now: a broken file is told before anything is loaded
        _ = [user_image(image, modality, body_part) for image in groups[0]]
    asked = read_questions(questions) if questions else [question] if question else typed_questions()
    served = endpoint_of(endpoint, model, 1, timeout, boxes)
    say_loading(run, adapter, model or (None if run or adapter else "small"), checkpoint)
    from ..inference.answers import AnswerFiles, answer_all
    from ..inference.served import load_served
    from ..inference.systems import run_or_adapter

    if served:
        finished = load_served(served, run or adapter, checkpoint, boxes=boxes)
    else:
        finished = run_or_adapter(run, adapter, checkpoint, "small", model)
    finished.show_only(forms)
    finished.allow_download |= download
    # all images of one question share what is stated of them
    readers = [lambda own=own: [user_image(image, modality, body_part) for image in own] for own in groups]
    skipped = answer_all(finished, readers, asked, evidence, AnswerFiles(show=show, csv=table, html=html), frame)
    if len(groups) > 1:
        typer.echo(skipped.summary(between=LINES))
    raise typer.Exit(1 if skipped.entries else 0)


@vqa.command()
def align(
    recipe: Annotated[Path, typer.Argument(help="A recipe of the alignment: recipes/align/small.yaml")],
    out: Annotated[Path | None, output(help="Folder of the result; left out: in the cache, named by content")] = None,
) -> None:
    """Teach a base model with an untrained image projector to use images, on derived questions.

    The projector is trained first, then LoRA with it. Recipes start from the resulting adapter (`mllm: {aligned:
    FOLDER}`). At the end held-out questions are asked with the real image and with a grey one: if the score does not
    drop, the model does not look. If it is interrupted, call it again: it continues.
    """
    from ..experiments.align import align_recipe

    align_recipe(recipe, out)


@vqa.command()
def plan(
    recipe: Annotated[Path, typer.Argument(help="A recipe YAML file; or a base alone: its folder or its config.json")],
    tokens: Annotated[int | None, what(min=1, help="Tokens of the longest prompt; left out: estimated")] = None,
    json_file: Json = None,
    download: DownloadBase = False,
) -> None:
    """Count parameters and memory of a recipe's adapters, name the GPUs that hold it, and estimate the hours.

    No weights are needed, a `config.json` is enough. Memory: weights, gradients, optimizer and activations by precision
    and batch, with checkpointing and without.

    Example: medglip vqa plan recipes/vqa/medgemma.yaml
    """
    from ..pipeline.plan import lines
    from ..pipeline.plan import plan as plan_recipe

    found = plan_recipe(recipe, tokens, allow_download=download)
    typer.echo("\n".join(lines(found)))
    write_rows(found.to_json(), json_file)


@vqa.command()
def ablate(
    recipe: RecipeFile,
    task: Annotated[str, what(help="vqa or report")] = "vqa",
    seeds: Annotated[str, what(help="Seeds of weights and training, separated by commas")] = "0,1,2",
    model: ServedModel = None,
    endpoint: Url = None,
    concurrency: Concurrency = 8,
    timeout: Timeout = 120,
    sources: Annotated[
        str,
        the_switch(help=f"Sources, separated by commas: {list_titles(SOURCES)}; oracle:oracle is also learned with"),
    ] = "none,predicted",
    forms: Annotated[
        list[str] | None,
        the_switch(help=f"Forms of evidence, joined by +: {list_titles(FORMS)}; repeat it for each row of the grid"),
    ] = None,
    boxes: Boxes = None,
    out: Annotated[Path | None, output(help="Folder; left out: ablation/ in the recipe's out_dir")] = None,
) -> None:
    """Train and predict a grid of evidence sources and forms with one budget; print a table of paired differences.

    With --endpoint nothing is trained: a served model is asked, once a row, in ablation-MODEL/.

    The core and its regions are those of the recipe's run, made once. If it is interrupted, call it again: it
    continues with the unfinished cell.

    Example: medglip vqa ablate RECIPE --forms text --forms tokens --forms text+tokens+crops
    """
    from ..experiments.ablate import Grid, run_grid

    if served := endpoint_of(endpoint, model, concurrency, timeout, boxes):
        from ..experiments.ablate_served import run_served_grid

        typer.echo(run_served_grid(recipe, Grid.parse(sources, forms or ["text"], "0"), task, served, boxes, out))
        return
    grid = Grid.parse(sources, forms or ["text+tokens"], seeds)
    typer.echo(run_grid(recipe, grid, task, out))


@vqa.command()
def curve(
    recipe: RecipeFile,
    task: Annotated[str, what(help="vqa or report")] = "vqa",
    draws: Annotated[str, what(help="Examples that an adapter is shown in its training, separated by commas")] = (
        "1000,4000,12000"
    ),
    seeds: Annotated[str, what(help="Seeds of the largest budget; the smaller ones take the first")] = "0,1,2",
    forms: Annotated[
        list[str] | None,
        the_switch(help=f"Forms of evidence, joined by +: {list_titles(FORMS)}; repeat it for each line"),
    ] = None,
    out: Annotated[Path | None, output(help="Folder; left out: curve/ in the recipe's out_dir")] = None,
) -> None:
    """Show how much training each form of evidence needs: a training a budget, each with a schedule of its own.

    Every form is also trained and asked with shuffled evidence, its control. At the largest budget each form by itself
    is tested against that, over seeds and images, with one correction for all of them. If it is interrupted, call it
    again: it continues with the unfinished cell.

    Example: medglip vqa curve recipes/vqa/curve.yaml --draws 1000 --seeds 0 --forms tokens
    """
    from ...grounding.bad_input import check_name
    from ..experiments.curve import Budgets, run_curve
    from ..pipeline.tasks import TASKS

    budgets = Budgets.parse(draws, forms or ["text", "tokens", "crops", "text+tokens+crops"], seeds)
    typer.echo(run_curve(recipe, budgets, check_name(task, TASKS, "task"), out))


@vqa.command("cross-validate")
def cross_validate(
    recipe: RecipeFile,
    folds: Annotated[int, what(help="Parts of the images; each is scored by adapters that saw the others")] = 5,
    seeds: Annotated[str, what(help="Seeds of weights and training, separated by commas")] = "0",
    sources: Annotated[
        str, the_switch(help=f"Sources, separated by commas: {list_titles(SOURCES)}; a name before : is learned with")
    ] = "predicted,shuffled:shuffled",
    forms: Annotated[
        list[str] | None, the_switch(help=f"Forms of evidence, joined by +: {list_titles(FORMS)}; repeat it")
    ] = None,
    out: Annotated[Path | None, output(help="Folder; left out: folds/ in the recipe's out_dir")] = None,
) -> None:
    """Score every question of a public set once, by adapters that learned from other images, against text floors.

    The floors see no image and are taught by the same questions: most frequent answer, bag of words, nearest question.
    If it is interrupted, call it again: it continues with the unfinished cell.

    Example: medglip vqa cross-validate recipes/vqa/vqa_rad.yaml --folds 5
    """
    from ..experiments.ablate import Grid
    from ..experiments.folds import cross_validate as run_folds

    typer.echo(run_folds(recipe, Grid.parse(sources, forms or ["text+tokens"], seeds, has_floors=True), folds, out))


@vqa.command()
def export(
    adapter: Annotated[Path, typer.Argument(help="small, or the folder of a finished run or of an adapter")],
    out: Annotated[Path, typer.Argument(help="New folder")],
    *,
    base: Base = None,
    checkpoint: Core = None,
    merged: Annotated[
        bool, output("--merged/--adapter", help="Write one merged model, or the adapter beside its base")
    ],
    push: Push = None,
    image: Annotated[Path | None, safety(help="Image for the check; left out: noise")] = None,
    question: Annotated[str, safety(help="Question for the check; left out: two built-in ones")] = "",
    tolerance: Annotated[float | None, safety(help="Largest logit difference that passes the check")] = None,
    download: DownloadBase = False,
) -> None:
    """Write a folder with a model card that transformers and peft load, and check that it answers the same.

    The check loads the folder with them and compares logits in fp32, which takes 4 bytes of memory per weight. Notes
    say what is missing without medglip (the small default needs its image tower imported), and what a server such as
    vLLM would refuse or leave out.

    Example: medglip vqa export runs/quickstart served --merged
    """
    from ...grounding.grounders.hub import check_push, push_folder
    from ..release.export import export_adapter

    kind = "merged" if merged else "adapter"
    options = {"image": image, "question": question, "base": base, "checkpoint": checkpoint, "tolerance": tolerance}
    check_push(push)
    with locked(out.with_name(f".{out.name}.lock"), "an export"):
        done = export_adapter(adapter, out, kind, **options, allow_download=download)
    typer.echo(f"largest logit difference: {done.difference:.3g}, passes (up to {done.tolerance:g})")
    for notice in done.notices:
        typer.echo(f"note: {notice}.")
    typer.echo(f"written: {done.folder}")
    if push:
        typer.echo(f"pushed: {push_folder(done.folder, push)}")
