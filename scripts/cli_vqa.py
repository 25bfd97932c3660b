"""`medglip vqa`: tune with evidence, predict a test set, ask one question."""

from pathlib import Path
from typing import Annotated

import typer

vqa = typer.Typer(help="Ask: question + evidence -> answer.", no_args_is_help=True)
FINDER = "Who finds the regions: small, small-research or a folder; left out: the run's own core"
Checkpoint = Annotated[str | None, typer.Option(help=FINDER)]
RecipeArgument = Annotated[Path, typer.Argument(help="A recipe YAML file")]


@vqa.command()
def train(recipe: RecipeArgument) -> None:
    """LoRA-tune both adapters of a recipe, with and without evidence, on one budget and seed.

    Each adapter learns every task of the recipe (questions and reports together). Earlier stages run if they are
    not there; interrupted and called again, it continues where it was.
    """
    from .tune import train_adapters

    train_adapters(recipe)


@vqa.command()
def predict(recipe: RecipeArgument) -> None:
    """Answer the scored questions of a recipe with every evidence source; one record file a source."""
    from .tune import predict_task

    predict_task(recipe, "vqa")


@vqa.command()
def ask(
    image: Annotated[Path, typer.Argument(help="PNG, JPEG or DICOM file")],
    question: Annotated[str, typer.Argument(help="In words; phrases of the label tree in it are looked for")],
    modality: Annotated[str | None, typer.Option(help="xray, ct, mr, ...; read from DICOM when left out")] = None,
    evidence: Annotated[str, typer.Option(help="none or predicted: the switch")] = "predicted",
    run: Annotated[Path, typer.Option(help="Folder of a finished run")] = Path("runs/quickstart"),
    checkpoint: Checkpoint = None,
    show: Annotated[Path | None, typer.Option(help="Folder for a picture of the regions")] = None,
) -> None:
    """Ask one question about one image and see the evidence it was answered from.

    Example: medglip vqa ask scan.png "Where is the nodule?" --modality xray
    """
    from ..grounding.types import NOTICE
    from ..vqa.answer import parse_answer
    from ..vqa.mllm.generate import GenerateSettings
    from ..vqa.task import Question, to_example
    from .finished import FinishedRun, source_named
    from .picture import draw
    from .user_study import user_study

    finished, source = FinishedRun(run, checkpoint), source_named(evidence)
    study = user_study(image, modality)
    query = finished.query(study, question)
    shown = finished.evidence(query, source)
    item = Question(
        question_id="ask", study=study, question=question, answer="", answer_type="open", phrases=query.asked
    )
    said = finished.write(to_example(item, shown), source, GenerateSettings(max_new_tokens=16))
    for number, region in enumerate(shown.regions, 1):
        typer.echo(
            f"evidence {number}: {region.phrase} {region.score:.2f} at {[round(float(x)) for x in region.box_xyxy_px]}"
        )
    if source != "none" and not shown.regions:
        typer.echo(f"evidence: no region found, looked for {', '.join(query.phrases) or 'nothing: give --modality'}")
    typer.echo(f"answer: {parse_answer(said.text, 'open')}")
    typer.echo(NOTICE)
    if show:
        show.mkdir(parents=True, exist_ok=True)
        typer.echo(f"picture: {show / draw(study, query.phrases, shown.regions, show)['picture']}")


@vqa.command()
def export(
    adapter: Annotated[Path, typer.Argument(help="Folder of a finished run or of an adapter")],
    out: Annotated[Path, typer.Argument(help="New folder")],
    merged: Annotated[bool, typer.Option("--merged/--adapter", help="A whole model, or the adapter beside its base")],
    image: Annotated[Path | None, typer.Option(help="The check asks about it; left out: noise")] = None,
    question: Annotated[str, typer.Option(help="The check asks it; left out: two made ones")] = "",
    base: Annotated[str | None, typer.Option(help="Where the adapter's base is now, if it has moved")] = None,
    checkpoint: Checkpoint = None,
    tolerance: Annotated[float | None, typer.Option(help="Largest logit difference that passes")] = None,
) -> None:
    """Write a folder that plain transformers and peft load without medglip, with a model card, and check that they do.

    The check loads it their way and compares logits, in fp32: room for 4 bytes a weight. What a server such as vLLM
    would refuse or leave out is said.

    Example: medglip vqa export runs/quickstart served --merged
    """
    from .vqa_export import export_adapter

    kind = "merged" if merged else "adapter"
    done = export_adapter(
        adapter, out, kind, image=image, question=question, base=base, checkpoint=checkpoint, tolerance=tolerance
    )
    typer.echo(f"largest logit difference: {done.difference:.3g}")
    for notice in done.notices:
        typer.echo(f"note: {notice}.")
    typer.echo(f"written: {done.folder}")
