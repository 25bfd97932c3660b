"""`medglip report`: tune, predict a test set, write one grounded report, describe a region; what others read."""

from pathlib import Path
from typing import Annotated

import typer

from .vqa import Checkpoint

report = typer.Typer(help="Write: study + evidence -> report sentences with their regions.", no_args_is_help=True)
RecipeArgument = Annotated[Path, typer.Argument(help="A recipe YAML file")]


@report.command()
def train(recipe: RecipeArgument) -> None:
    """LoRA-tune both adapters of a recipe (the same adapters as `medglip vqa train`: tasks are learned together)."""
    from ..pipeline.tune import train_adapters

    train_adapters(recipe)


@report.command()
def predict(recipe: RecipeArgument) -> None:
    """Write the scored reports of a recipe with every evidence source; one record file a source."""
    from ..pipeline.tune import predict_task

    predict_task(recipe, "report")


Image = Annotated[Path, typer.Argument(help="PNG, JPEG or DICOM file")]
Modality = Annotated[str | None, typer.Option(help="xray, ct, mr, ...; read from DICOM when left out")]
ADAPTER = "small-reports"
Run = Annotated[Path | None, typer.Option(help=f"Folder of a finished run; left out: the adapter {ADAPTER}")]
Adapter = Annotated[Path | None, typer.Option(help="small-reports, small, or an adapter's folder, instead of a run")]
Folder = Annotated[Path, typer.Option(help="Output folder: one JSON and one HTML file an image")]
Pdf = Annotated[bool, typer.Option("--pdf", help="A PDF of the page too, through an installed Chromium or Chrome")]
Dicom = Annotated[
    bool, typer.Option("--dicom", help="DICOM SR and SEG too, of a DICOM file; they carry its patient and study")
]
NegationOption = Annotated[
    str | None,
    typer.Option(
        help="Who tells what a sentence denies, so that “no effusion” gets no box: rules (ours); negspacy (NegEx; pip "
        "install 'medglip[negation]'); off: nobody, so that every sentence gets boxes and none is flagged as "
        "contradicted. Left out: as in the run's recipe, else rules"
    ),
]
MaxTokens = Annotated[int | None, typer.Option(help="The text is cut after so many tokens")]
Beams = Annotated[int | None, typer.Option(help="Search with so many beams; 1: the likeliest token each time")]
Temperature = Annotated[float | None, typer.Option(help="Above 0 tokens are drawn, the more freely the higher")]
Seed = Annotated[int | None, typer.Option(help="Of what is drawn")]
NoRepeat = Annotated[int | None, typer.Option(help="Write no run of so many tokens twice; 0: at will")]


@report.command()
def write(
    images: Annotated[list[Path], typer.Argument(help="PNG, JPEG or DICOM files of one study, the frontal view first")],
    modality: Modality = None,
    indication: Annotated[str, typer.Option(help="Why the images were taken")] = "",
    technique: Annotated[str, typer.Option(help="How they were taken")] = "",
    comparison: Annotated[str, typer.Option(help="What they are compared with")] = "",
    prior: Annotated[list[Path] | None, typer.Option(help="Image of the study before; repeat it")] = None,
    prior_report: Annotated[Path | None, typer.Option(help="Text file: the report of the study before")] = None,
    evidence: Annotated[str, typer.Option(help="none or predicted: the switch")] = "predicted",
    run: Run = None,
    adapter: Adapter = None,
    checkpoint: Checkpoint = None,
    out: Folder = Path("runs/reports"),
    pdf: Pdf = False,
    dicom: Dicom = False,
    negation: NegationOption = None,
    max_new_tokens: MaxTokens = None,
    num_beams: Beams = None,
    temperature: Temperature = None,
    seed: Seed = None,
    no_repeat: NoRepeat = None,
) -> None:
    """Write a grounded report of a study as JSON and as an HTML page whose sentences light their regions.

    Several views make one text, and a page each, on which it is grounded in that view.

    A sentence that the grounder's presence score contradicts, or that rests on no region, is marked, never changed. An
    adapter that never learned reports writes all the same, and a note says so.

    Example: medglip report write frontal.dcm lateral.dcm --indication "Cough." --prior before.dcm --out reports
    """
    from ...grounding.vocabulary.negation import engine_named
    from ..inference.system import run_or_adapter, source_named
    from ..inference.user_image import Known, user_report
    from ..inference.write_report import Outputs, write_grounded

    engine = None if negation is None else engine_named(negation)
    finished, source = run_or_adapter(run, adapter, checkpoint, ADAPTER), source_named(evidence)
    decoding = {
        "max_new_tokens": max_new_tokens,
        "num_beams": num_beams,
        "temperature": temperature,
        "seed": seed,
        "no_repeat": no_repeat,
    }
    decoding = {name: value for name, value in decoding.items() if value is not None}
    outputs = Outputs(folder=out, pdf=pdf, dicom=dicom, negation=engine, decoding=decoding)
    known = Known(
        indication=indication,
        technique=technique,
        comparison=comparison,
        prior_images=prior or (),
        prior_report=prior_report,
    )
    typer.echo("\n".join(write_grounded(finished, user_report(images, modality, known), source, outputs)))


@report.command()
def describe(
    image: Image,
    box: Annotated[str, typer.Option(help="x0,y0,x1,y1 in pixels of the image, half open")],
    modality: Modality = None,
    run: Run = None,
    adapter: Adapter = None,
    checkpoint: Checkpoint = None,
    out: Folder = Path("runs/reports"),
    pdf: Pdf = False,
    dicom: Dicom = False,
) -> None:
    """Describe the region in a box: the model is shown the image, the box in words and its crop.

    Example: medglip report describe scan.png --box 40,52,96,110
    """
    from ..inference.system import run_or_adapter
    from ..inference.user_image import user_image
    from ..inference.write_report import Outputs, write_description

    finished, outputs = run_or_adapter(run, adapter, checkpoint, ADAPTER), Outputs(folder=out, pdf=pdf, dicom=dicom)
    typer.echo("\n".join(write_description(finished, user_image(image, modality), box, outputs)))


@report.command()
def coco(
    folder: Annotated[Path, typer.Argument(help="Folder with the JSON files of reports")],
    out: Annotated[Path, typer.Option(help="Output folder: predictions.json and images.json")] = Path("runs/coco"),
    references: Annotated[Path | None, typer.Option(help="COCO instances file whose ids are taken")] = None,
) -> None:
    """Write the regions of many reports as COCO predictions, ready for any COCO evaluation."""
    import json

    from ...grounding.bad_input import Skipped
    from ...report.output.coco import read_reports, write_coco

    skipped = Skipped()
    reports = read_reports(folder, skipped)
    files = write_coco(reports, out, json.loads(references.read_bytes()) if references else None)
    typer.echo(f"{len(reports)} reports, {skipped.summary()}\nwritten: {', '.join(map(str, files))}")


@report.command()
def schema() -> None:
    """Print the JSON Schema (draft 2020-12) of the JSON that `medglip report write` and `describe` leave behind.

    Example: medglip report schema > medglip-report-1.schema.json
    """
    import json

    from ...report.output.schema import schema

    typer.echo(json.dumps(schema(), indent=1))
