"""`medglip vqa`: tune with evidence, predict a test set, ask one question."""

from pathlib import Path
from typing import Annotated

import typer

from ...grounding.bad_input import BadInput
from .ablate import hook

vqa = typer.Typer(help="Ask: question + evidence -> answer.", no_args_is_help=True)
hook(vqa)
FINDER = "Who finds the regions: small, small-research or a folder; left out: the run's own core"
Checkpoint = Annotated[str | None, typer.Option(help=FINDER)]
AdapterOption = Annotated[
    Path | None, typer.Option(help="small, or the folder of a run or of an adapter; left out: the base alone")
]
BaseOption = Annotated[str | None, typer.Option(help="Base model, a folder or hub name; left out: the adapter's own")]
RecipeArgument = Annotated[Path, typer.Argument(help="A recipe YAML file")]


@vqa.command()
def train(recipe: RecipeArgument) -> None:
    """LoRA-tune both adapters of a recipe, with and without evidence, on one budget and seed.

    Each adapter learns every task of the recipe (questions and reports together). Earlier stages run if they are
    not there; interrupted and called again, it continues where it was.
    """
    from ..pipeline.tune import train_adapters

    train_adapters(recipe)


@vqa.command()
def predict(
    recipe: Annotated[Path | None, typer.Argument(help="A recipe YAML file; or --dataset")] = None,
    dataset: Annotated[str | None, typer.Option(help="vqa_rad, slake, pathvqa, jsonl or phantom")] = None,
    root: Annotated[Path | None, typer.Option(help="Its folder; left out: its name below MEDGLIP_DATA")] = None,
    split: Annotated[str, typer.Option(help="official, official_no_frame or image_grouped")] = "official",
    part: Annotated[str, typer.Option(help="train, val or test")] = "test",
    evidence: Annotated[str, typer.Option(help="none, predicted, oracle, random or shuffled")] = "predicted",
    adapter: AdapterOption = None,
    checkpoint: Checkpoint = None,
    base: BaseOption = None,
    limit: Annotated[int | None, typer.Option(help="Only the first so many questions")] = None,
    seed: Annotated[int, typer.Option(help="Of random and shuffled evidence, and of image_grouped")] = 0,
    batch_size: Annotated[int, typer.Option(help="Prompts at once")] = 32,
    max_new_tokens: Annotated[int, typer.Option(help="An answer is cut after so many")] = 16,
    out: Annotated[Path | None, typer.Option(help="JSONL of records; needed with --dataset")] = None,
) -> None:
    """Answer the scored questions of a recipe with every evidence source; or those of a --dataset with one.

    Interrupted and called again, it continues. Several processes share a data set: `accelerate launch -m
    medglip.scripts.cli vqa predict --dataset ...`; each writes records of its own, merged when all are there.

    Example: medglip vqa predict --dataset vqa_rad --adapter runs/quickstart --out records.jsonl
    """
    if (recipe is None) == (dataset is None):
        problem = "neither a recipe nor --dataset is given." if recipe is None else "a recipe and --dataset are given."
        raise BadInput(problem, fix="give one: `medglip vqa predict RECIPE` or `... --dataset vqa_rad --out FILE`")
    if recipe is not None:
        from ..pipeline.tune import predict_task

        predict_task(recipe, "vqa")
    elif dataset is not None:
        if out is None:
            raise BadInput("nowhere to write the records.", fix="--out records.jsonl")
        from ...vqa.inference.generate import GenerateSettings
        from ..inference.predict_set import Ask, predict_dataset, summary
        from ..inference.system import source_named

        ask = Ask(
            dataset=dataset,
            out=out,
            root=root,
            split=split,
            part=part,
            source=source_named(evidence),
            adapter=adapter,
            checkpoint=checkpoint,
            base=base,
            limit=limit,
            seed=seed,
            generate=GenerateSettings(batch_size=batch_size, max_new_tokens=max_new_tokens),
        )
        for line in summary(ask, predict_dataset(ask)):
            typer.echo(line)


@vqa.command()
def ask(
    images: Annotated[list[Path], typer.Argument(help="PNG, JPEG or DICOM files")],
    question: Annotated[str, typer.Argument(help="In words; phrases of the label tree in it are looked for")],
    modality: Annotated[str | None, typer.Option(help="xray, ct, mr, ...; read from DICOM when left out")] = None,
    evidence: Annotated[str, typer.Option(help="none or predicted: the switch")] = "predicted",
    run: Annotated[Path | None, typer.Option(help="Folder of a finished run, instead of an adapter")] = None,
    adapter: Annotated[
        Path | None, typer.Option(help="small, or an adapter's folder; left out: small, else runs/quickstart")
    ] = None,
    checkpoint: Checkpoint = None,
    show: Annotated[Path | None, typer.Option(help="Folder for a picture of the regions")] = None,
) -> None:
    """Ask one question about one image or several and see the evidence it was answered from, and how sure it is.

    The probability is the mean of the answer's tokens; where yes or no is asked for, also that of yes against no.
    Without --modality only phrases of the question are looked for. The first time the base is fetched and checked.

    Example: medglip vqa ask scan.png "Is the heart enlarged?" --modality xray
    """
    from ..inference.ask import ask as ask_about
    from ..inference.system import run_or_adapter, source_named
    from ..inference.user_image import user_image

    finished, source = run_or_adapter(run, adapter, checkpoint, "small"), source_named(evidence)
    annotated_images = [user_image(image, modality) for image in images]
    for line in ask_about(finished, annotated_images, question, source, show):
        typer.echo(line)


@vqa.command()
def export(
    adapter: Annotated[Path, typer.Argument(help="small, or the folder of a finished run or of an adapter")],
    out: Annotated[Path, typer.Argument(help="New folder")],
    merged: Annotated[bool, typer.Option("--merged/--adapter", help="A whole model, or the adapter beside its base")],
    image: Annotated[Path | None, typer.Option(help="The check asks about it; left out: noise")] = None,
    question: Annotated[str, typer.Option(help="The check asks it; left out: two made ones")] = "",
    base: BaseOption = None,
    checkpoint: Checkpoint = None,
    tolerance: Annotated[float | None, typer.Option(help="Largest logit difference that passes")] = None,
) -> None:
    """Write a folder that plain transformers and peft load without medglip, with a model card, and check that they do.

    The check loads it their way and compares logits, in fp32: room for 4 bytes a weight. What a server such as vLLM
    would refuse or leave out is said.

    Example: medglip vqa export runs/quickstart served --merged
    """
    from ..release.export import export_adapter

    kind = "merged" if merged else "adapter"
    done = export_adapter(
        adapter, out, kind, image=image, question=question, base=base, checkpoint=checkpoint, tolerance=tolerance
    )
    typer.echo(f"largest logit difference: {done.difference:.3g}")
    for notice in done.notices:
        typer.echo(f"note: {notice}.")
    typer.echo(f"written: {done.folder}")
