"""`medglip report`: train, predict a test set, write one grounded report, describe a region, export for others."""

from pathlib import Path
from typing import Annotated

import typer

from ...grounding.settings import validate
from ...report.datasets.sets import REPORT_SETS
from .groups import Commands
from .options import (
    BOXES_HELP,
    Base,
    BodyPart,
    Boxes,
    Concurrency,
    DownloadBase,
    Evidence,
    Finder,
    Forms,
    HiddenDownloadBase,
    HiddenEngine,
    HiddenShard,
    HiddenWorkers,
    Modality,
    Outside,
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
)
from .sets import Sets, read_sets, second_names

report = Commands()
ADAPTER = "small-reports"
Run = Annotated[Path | None, who_answers(help=f"Folder of a finished run; left out: the adapter {ADAPTER}")]
Adapter = Annotated[Path | None, who_answers(help=f"{ADAPTER}, small, or an adapter's folder, instead of a run")]
Folder = Annotated[Path, output(help="Output folder: one JSON and one HTML file per image")]
Pdf = Annotated[bool, output("--pdf", help="Also print the page to PDF, with an installed Chromium or Chrome")]
Dicom = Annotated[
    bool,
    output(
        "--dicom",
        help="For a DICOM file also write DICOM SR and SEG; they carry its patient and study, with "
        "--keep-descriptive comments, institution and station, too",
    ),
]
KEEP = "With --dicom: its comments, descriptions, institution and station, too"
Keep = Annotated[bool, output("--keep-descriptive", help=KEEP)]
HiddenKeep = Annotated[bool, output("--keep-descriptive", hidden=True, help=KEEP)]


@report.command()
def train(recipe: RecipeFile) -> None:
    """Train both LoRA adapters of a recipe (the adapters of `medglip vqa train`: tasks are learned together)."""
    from ..pipeline.run import train_and_predict

    train_and_predict(recipe)


@report.command(cls=second_names("generate", "batch_size", "max_new_tokens"))
def predict(
    recipe: RecipeOrNone = None,
    dataset: Annotated[str | None, what(help=f"A report set: {', '.join(REPORT_SETS)}")] = None,
    root: Annotated[Path | None, what(help="The folder of the set; left out: its name below MEDGLIP_DATA")] = None,
    split: Annotated[str, what(help="Which reports are written: those of train, val or test")] = "test",
    limit: Annotated[int | None, what(metavar="N", help="Only the first N reports")] = None,
    adapter: Annotated[
        Path | None, who_answers(help=f"{ADAPTER}, or the folder of a run or of an adapter; left out: the base alone")
    ] = None,
    base: Base = None,
    model: ServedModel = None,
    endpoint: Url = None,
    concurrency: Concurrency = 8,
    timeout: Timeout = 120,
    checkpoint: Finder = None,
    evidence: SetEvidence = "predicted",
    forms: Forms = None,
    boxes: Boxes = None,
    seed: Annotated[int, the_switch(help="Seed of random and shuffled evidence, and of splits that are drawn")] = 0,
    out: Annotated[Path | None, output(help="Record file (JSONL); needed with --dataset")] = None,
    download: DownloadBase = False,
    allow_outside: Outside = False,
    workers: HiddenWorkers = None,
    engine: HiddenEngine = "pool",
    shard: HiddenShard = None,
    sets: Sets = None,
) -> None:
    """Write the scored reports of a recipe with every evidence source, or those of a --dataset with one source.

    If it is interrupted, call it again: it continues. Many may share a data set (--workers, --engine, --shard), as in
    `medglip vqa predict`.

    Example: medglip report predict --dataset phantom --root phantoms --adapter small-reports --out records.jsonl --set
    generate.max_new_tokens=64
    """
    served = endpoint_of(endpoint, model, concurrency, timeout, boxes)
    who = workers_of(recipe, workers, engine, shard)
    if recipe is not None and dataset is None:
        predict_recipe("report", recipe, served, boxes, forms, checkpoint)
        return
    dataset, out = set_and_file("report", recipe, dataset, out)
    from ...vqa.inference.settings import GenerateSettings
    from ..inference.given import source_named
    from ..inference.predict_set import PredictRequest
    from ..inference.system import MAX_TOKENS

    decoding = {"max_new_tokens": MAX_TOKENS["report"]} | read_sets(sets, generate=GenerateSettings)["generate"]
    asked = PredictRequest(
        task="report",
        dataset=dataset,
        out=out,
        root=root,
        split=split,
        source=source_named(evidence),
        adapter=adapter,
        checkpoint=checkpoint,
        base=base,
        endpoint=served,
        boxes=boxes,
        forms=forms,
        allow_outside=allow_outside,
        allow_download=download,
        limit=limit,
        seed=seed,
        generate=validate(GenerateSettings, decoding),
        workers=who,
    )
    predict_set(asked)


@report.command(cls=second_names("generate", "max_new_tokens", "num_beams", "temperature", "seed", "no_repeat"))
def write(
    images: Annotated[
        list[str],
        typer.Argument(help="PNG, JPEG or DICOM files of one study, the frontal view first; or its folder"),
    ],
    modality: Modality = None,
    body_part: Annotated[str, what(hidden=True, help="Part of the body, as of `medglip report describe`")] = "",
    indication: Annotated[str, what(help="Why the images were taken")] = "",
    technique: Annotated[str, what(help="How the images were taken")] = "",
    comparison: Annotated[str, what(help="What the images are compared with")] = "",
    prior: Annotated[
        list[str] | None, what(help="Image or folder of the previous study; repeat it for several")
    ] = None,
    prior_report: Annotated[Path | None, what(help="Text file with the report of the previous study")] = None,
    run: Run = None,
    adapter: Adapter = None,
    model: ServedModel = None,
    endpoint: Url = None,
    timeout: Timeout = 120,
    checkpoint: Finder = None,
    evidence: Evidence = "predicted",
    forms: Annotated[str | None, the_switch(hidden=True, help="As of `medglip report predict`")] = None,
    boxes: Annotated[str | None, the_switch("--boxes", "--box-format", hidden=True, help=BOXES_HELP)] = None,
    out: Folder = Path("runs/reports"),
    pdf: Pdf = False,
    dicom: Dicom = False,
    keep_descriptive: HiddenKeep = False,
    side: Side = None,
    negation: Annotated[
        str | None,
        safety(
            help="How denied findings are recognised, so that “no effusion” gets no box: rules (ours), negspacy (pip "
            "install 'medglip[negation]') or off (every sentence gets boxes, contradictions are not marked). Left "
            "out: as in the run's recipe, else rules"
        ),
    ] = None,
    download: HiddenDownloadBase = False,
    sets: Sets = None,
) -> None:
    """Write a grounded report of a study as JSON and as an HTML page on which each sentence highlights its regions.

    Several views give one text, and one page per view, grounded in that view.

    A sentence is marked if the grounder contradicts it or if no region supports it. Two things are changed: a title
    that names another modality than file or user told, and a left or right without its frame ("on the image's left").
    Of what --modality and --body-part tell, the prompt says "CT of the abdomen."; of DICOM files both are read.
    An adapter that was not trained on reports writes one all the same, and a note says so. --forms text+crops shows
    fewer forms of evidence than it learned.

    Example: medglip report write frontal.dcm lateral.dcm --indication "Cough." --prior before.dcm --out reports --set
    generate.num_beams=4 --set generate.max_new_tokens=128
    """
    from ...grounding.vocabulary.negation import engine_named
    from ...vqa.inference.settings import GenerateSettings
    from ..inference.given import check_given, images_of, say_loading
    from ..inference.user_image import user_report

    # whatever is wrong is told before anything is loaded; None: as in the run's recipe
    engine = None if negation is None else engine_named(negation)
    # only what is given: the rest is as in the run's recipe, which is read later
    decoding = read_sets(sets, generate=GenerateSettings)["generate"]
    named = {"checkpoint": checkpoint, "run": run, "adapter": adapter, "pdf": pdf}
    check_given(modality=modality, evidence=evidence, forms=forms, download=download, **named)
    served = endpoint_of(endpoint, model, 1, timeout, boxes)
    lines = {"indication": indication, "technique": technique, "comparison": comparison}
    study = user_report(images_of(images), modality, images_of(prior or ()), prior_report, body_part, **lines)
    say_loading(run, adapter, model or (None if run or adapter else ADAPTER), checkpoint)
    from ..inference.served import load_served
    from ..inference.systems import run_or_adapter
    from ..inference.write_report import Outputs, write_grounded

    if served:
        finished = load_served(served, run or adapter, checkpoint, boxes=boxes)
    else:
        finished = run_or_adapter(run, adapter, checkpoint, ADAPTER)
    finished.show_only(forms)
    finished.allow_download |= download
    files = {"folder": out, "pdf": pdf, "dicom": dicom, "keep_descriptive": keep_descriptive}
    outputs = Outputs(**files, negation=engine, decoding=decoding, side=frame_named(side))
    typer.echo("\n".join(write_grounded(finished, study, evidence, outputs)))


@report.command()
def describe(
    image: Annotated[str, typer.Argument(help="PNG, JPEG or DICOM file; or a folder or pattern, for one box in each")],
    box: Annotated[str, what(help="x0,y0,x1,y1 in pixels of the image; x1 and y1 are the first pixels outside")],
    modality: Modality = None,
    body_part: BodyPart = "",
    run: Run = None,
    adapter: Adapter = None,
    checkpoint: Finder = None,
    out: Folder = Path("runs/reports"),
    pdf: Pdf = False,
    dicom: Dicom = False,
    keep_descriptive: Keep = False,
    download: DownloadBase = False,
) -> None:
    """Describe the region in a box: the model is shown the image, the box in words and the box as a crop.

    Example: medglip report describe scan.png --box 40,52,96,110
    """
    from ...report.describe import parse_box
    from ..inference.given import check_given, images_of, say_loading
    from ..inference.user_image import user_image

    check_given(modality=modality, checkpoint=checkpoint, run=run, adapter=adapter, download=download, pdf=pdf)
    shown = [user_image(path, modality, body_part) for path in images_of([image])]
    for one in shown:  # whatever is wrong is told before anything is loaded
        parse_box(box, one.size_px)
    say_loading(run, adapter, None if run or adapter else ADAPTER, checkpoint)
    from ..inference.systems import run_or_adapter
    from ..inference.write_report import Outputs, write_description

    outputs = Outputs(folder=out, pdf=pdf, dicom=dicom, keep_descriptive=keep_descriptive)
    finished = run_or_adapter(run, adapter, checkpoint, ADAPTER)
    finished.allow_download |= download
    for one in shown:
        typer.echo("\n".join(write_description(finished, one, box, outputs)))


@report.command()
def coco(
    folder: Annotated[Path, typer.Argument(help="Folder with the JSON files of reports")],
    references: Annotated[Path | None, what(help="COCO instances file; its image and category ids are used")] = None,
    out: Annotated[Path, output(help="Output folder: predictions.json and images.json")] = Path("runs/coco"),
) -> None:
    """Write the regions of many reports as COCO predictions, ready for any COCO evaluation."""
    from ...grounding.bad_input import Skipped
    from ...grounding.files import locked
    from ...report.output.coco import read_reports, write_coco

    skipped = Skipped()
    reports = read_reports(folder, skipped)
    # with references, image and category ids are those of that file, else they are numbered here
    with locked(out / ".lock", "COCO files", wait_s=60):
        files = write_coco(reports, out, references)
    typer.echo(f"{len(reports)} reports, {skipped.summary()}\nwritten: {', '.join(map(str, files))}")


@report.command()
def schema() -> None:
    """Print the JSON Schema (draft 2020-12) of the JSON that `medglip report write` and `describe` write.

    Example: medglip report schema > medglip-report-1.schema.json
    """
    import json

    from ...report.output.schema import schema

    typer.echo(json.dumps(schema(), indent=1))
