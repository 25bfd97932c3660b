"""`medglip vqa|report predict --dataset`: a set of questions or reports, one evidence source, any number of processes.

items -> regions (cached; each image by one rank) -> evidence -> records of this rank -> one file.
"""

import json
import logging
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar

from accelerate import PartialState

from ...grounding.bad_input import BadInput, Skipped
from ...grounding.evidence.evidence import Evidence, without_masks
from ...grounding.evidence.names import SOURCES, Source
from ...grounding.evidence.sources import Query, RegionCaches, evidence_for
from ...grounding.files import claim_folder, locked, read_lines
from ...grounding.grounder import Grounder
from ...grounding.grounders.asked import is_url
from ...grounding.grounders.cache import StoredRegions, regions_of
from ...grounding.grounders.pretrained import SELF
from ...grounding.records import Task
from ...grounding.served.client import Endpoint
from ...grounding.training.loop import processes
from ...grounding.training.provenance import FILE as LEARNED
from ...grounding.training.provenance import learned_among
from ...grounding.types import AnnotatedImage
from ...report.datasets.load import load_reports
from ...report.records import ReportTruth, finding_labels
from ...report.task import Report
from ...vqa.datasets.load import load_questions
from ...vqa.inference.predict import SKIPPED, Shards
from ...vqa.inference.settings import GenerateSettings
from ...vqa.served.predict import count_odd
from ...vqa.task import Job, Question
from .served import load_served
from .system import TrainedSystem, load_system
from .table import COLUMNS, Table

logger = logging.getLogger("medglip")
Item = TypeVar("Item", bound=Question | Report)


@dataclass(frozen=True, kw_only=True)
class PredictRequest:
    """Which questions are asked, and who answers. `limit`: only the first; `adapter`: folder of a run or an adapter;
    `model`: one of `MODELS` instead, such as `rules`.

    `task`: report, where reports are written instead; they have no `split_scheme`. `root`: folder of the set; left out:
    that of its name below MEDGLIP_DATA.
    `endpoint`: a served model answers instead, `boxes` in its notation (`vqa.served.notation`), with the prompts of
    `adapter` or `base` where one is given.
    `forms`: those of the adapter's that are shown, `text+crops`; None: all. `seed`: of the sources random and shuffled,
    and of splits that are drawn. `csv`: a table of the answers beside the records.
    """

    dataset: str
    out: Path
    root: Path | None = None
    split_scheme: str = "official"
    split: str = "test"
    source: Source = "predicted"
    adapter: Path | None = None
    checkpoint: str | None = None
    base: str | None = None
    model: str | None = None
    endpoint: Endpoint | None = None
    boxes: str | None = None
    forms: str | None = None
    limit: int | None = None
    seed: int = 0
    generate: GenerateSettings = field(default_factory=lambda: GenerateSettings(max_new_tokens=16))
    task: Task = "vqa"
    allow_download: bool = False
    allow_outside: bool = False
    csv: Path | None = None


def predict_dataset(request: PredictRequest) -> bool:
    """Write one record per question or report; called again, it continues. Every process calls it.

    Returns whether `request.out` is complete: false on a rank that ended before another. Raises `BadInput` for a file
    of records that was made with other settings, and as `load_questions`, `load_reports` and `load_system` do;
    and while another command writes this file.
    """
    with locked(request.out.with_name(f".{request.out.name}.lock"), f"{request.out.name}"):
        return _predict_dataset(request)


def _predict_dataset(request: PredictRequest) -> bool:
    ranks = processes()
    finished = _answerer(request)
    finished.show_only(request.forms)
    finished.allow_download |= request.allow_download
    # what may differ from call to call: the file, how many questions, how many prompts at a time
    changed: dict[str, Any] = {"out": None, "limit": None, "allow_download": None, "csv": None}
    changed |= {"allow_outside": None}
    changed |= {"generate": request.generate.model_dump(exclude={"batch_size", "merge"})}
    # as the keys were called before, so that older files go on
    changed |= {"split_scheme": None, "split": request.split_scheme, "part": request.split}
    # where a model is served may change, which one may not
    changed |= {"endpoint": None, "model": request.endpoint.model} if request.endpoint else {}
    changed |= {"task": None} if request.task == "vqa" else {"part": None, "split": request.split}
    values = {key: value for key, value in (asdict(request) | changed).items() if value is not None}
    where: dict[str, Any] = {"split": request.split, "seed": request.seed, "allow_outside": request.allow_outside}
    all_items: Sequence[Question | Report]
    if request.task == "vqa":
        all_items, skipped = load_questions(request.dataset, request.root, request.split_scheme, **where)
    else:
        all_items, skipped = load_reports(request.dataset, request.root, **where)
    items = all_items[: request.limit]  # one more call with a larger limit goes on from here
    shards = Shards(out=request.out, rank=ranks.process_index, num_ranks=ranks.num_processes)
    note = request.out.with_suffix(".asked.json")
    if not shards.done() and not (request.out.is_file() and request.out.stat().st_size):
        note.unlink(missing_ok=True)  # of a call that ended before its first record: it says nothing of any
    claim_folder(
        note,
        json.loads(json.dumps(values, default=str)),
        "these records were made with other settings",
        "give another --out, or remove it with its .asked.json and .ranks",
    )
    ids = [item.item_id for item in items]
    # No rank writes before all have found their images' regions, so all see the same here and none waits for ever.
    if set(ids) - (done := shards.done()):
        jobs = _jobs(request, finished, all_items, items, ranks)
        if own := shards.left(jobs, done):
            # of reports only where a table asks: the logits of a long text are much memory
            scored = {"is_scored": True} if request.csv or request.task == "vqa" else {}
            finished.predict(own, request.source, request.generate, shards.path, **scored)
    if ranks.is_main_process:
        skipped.write(request.out.with_suffix(SKIPPED))
    # of a served model what was answered is written, too: the rest may be asked for another day
    is_complete = shards.merge(ids, is_partial=request.endpoint is not None)
    if request.csv and is_complete:
        write_table(request.csv, request.out, items)
    return is_complete


def _answerer(request: PredictRequest) -> TrainedSystem:
    if request.endpoint is None:
        return load_system(request.adapter, request.checkpoint, request.base, request.model)
    return load_served(request.endpoint, request.adapter, request.checkpoint, request.base, request.boxes)


def write_table(path: Path, records: Path, items: Sequence[Question | Report]) -> None:
    """The records as a table of image, question, answer and probability; that is empty where none was computed."""
    names = {item.item_id: "; ".join(image.image_path.name for image in item.images) for item in items}
    table = Table(path, COLUMNS)
    for row in read_lines(records):
        answer = row["parsed"] if row.get("parsed") is not None else row["prediction"]
        table.add([(names[row["id"]], row["question"], answer, row.get("probability"))])


def _jobs(
    request: PredictRequest,
    finished: TrainedSystem,
    all_items: Sequence[Item],
    items: Sequence[Item],
    ranks: PartialState,
) -> list[Job]:
    """One job per item, with the evidence of its source."""
    adapter = finished.adapter(request.source)
    items = mark_learned(items, adapter)
    names = {"model": finished.mllm.base, "adapter": adapter.name if adapter else ""}
    if (row := SOURCES[request.source]).module:
        names["grounder"] = "oracle" if row.needs_truth else finished.finder_name
    settings = finished.evidence_settings(request.source)
    evidences = _evidence(request, request.source, finished, all_items, items, ranks)
    reports = [item for item in items if isinstance(item, Report)]
    options: dict[str, Any] = {}
    if reports:
        # where findings are annotated, texts are judged by them; one without evidence is placed by predicted regions
        labels = finding_labels([item for item in all_items if isinstance(item, Report)])
        placed = labels and not SOURCES[request.source].module
        regions = _evidence(request, "predicted", finished, all_items, items, ranks) if placed else []
        by_report = dict(zip((report.report_id for report in reports), regions, strict=False))
        options = {"truth": ReportTruth(labels=labels, evidence=by_report), "negation": finished.negation}
    examples = [item.to_example(evidence) for item, evidence in zip(items, evidences, strict=True)]
    if reports:
        examples = [replace(example, may_cite=settings.cite) for example in examples]
    return [item.job(example, settings, names, **options) for item, example in zip(items, examples, strict=True)]


def _evidence(
    request: PredictRequest,
    source: Source,
    finished: TrainedSystem,
    all_items: Sequence[Item],
    items: Sequence[Item],
    ranks: PartialState,
) -> list[Evidence]:
    """The evidence of each item from a source, without masks: prompts have no use for them, memory has."""

    def query_of(item: Item) -> Query:
        return Query.of(item.images, item.phrases, finished.vocabulary)

    # the regions of the images, for every phrase that any item of the set asks of them: `limit` changes none
    caches = RegionCaches(predicted={}, truth={})
    if SOURCES[source].module:
        phrases: dict[str, dict[str, None]] = {}
        is_oracle = SOURCES[source].needs_truth
        for query in (query for item in all_items for query in query_of(item).images):
            words = query.for_oracle.phrases if is_oracle else query.phrases
            phrases.setdefault(query.image.image_id, {}).update(dict.fromkeys(words))
        images = list({image.image_id: image for item in items for image in item.images}.values())
        grounder: Grounder = finished.truth if is_oracle else finished.reader

        def find(images: list[AnnotatedImage]) -> StoredRegions:
            wanted = [tuple(phrases[image.image_id]) for image in images]
            found, skipped = regions_of(grounder, images, wanted, request.out.parent / "regions")
            tell_unfound(skipped, len(images), finished.finder_name)
            return found

        if ranks.num_processes > 1:  # each rank finds its part of the images; then all read them all from disk
            find(images[ranks.process_index :: ranks.num_processes])
            ranks.wait_for_everyone()
        caches = replace(caches, **{"truth" if is_oracle else "predicted": find(images)})
    evidences = evidence_for(source, [query_of(item) for item in items], caches, finished.shown, request.seed)
    return [without_masks(evidence) for evidence in evidences]


def tell_unfound(skipped: Skipped, num_images: int, grounder: str) -> None:
    """Say of how many images the grounder has no regions. Raises `BadInput` where it has of none, and where a model or
    a server was asked and did not answer: asked again, it may.
    """
    if not (entries := skipped.entries):
        return
    told = f"{grounder} has no regions of {len(entries)} of {num_images} images, first: {entries[0]['why']}"
    if len(entries) == num_images or grounder == SELF or is_url(grounder):
        raise BadInput(told)
    logger.warning("note: %s", told)


def mark_learned(items: Sequence[Item], adapter: Path | None) -> list[Item]:
    """The items with `meta.picture`: "learned" if the adapter was trained on one of its images, else "new".

    A public split may share images between its parts (VQA-RAD's official one does), so that they are scored and told
    apart, not refused. Unchanged, where no adapter answers or it has no list of what it learned from.
    """
    if adapter is None or not (adapter / LEARNED).is_file():
        return list(items)
    paths = [{image.image_path for image in item.images} for item in items]
    learned = learned_among(adapter, set().union(*paths))
    kinds = ["new" if learned.isdisjoint(of_item) else "learned" for of_item in paths]
    if (count := kinds.count("learned")) and processes().is_main_process:
        note = "note: %d of %d items are on pictures that taught %r (meta.picture)"
        logger.info(note, count, len(items), adapter.name)
    return [replace(item, meta={**item.meta, "picture": kind}) for item, kind in zip(items, kinds, strict=True)]


def summary(request: PredictRequest, is_complete: bool) -> list[str]:
    """The last lines for the terminal: where the records are, and what was left out."""
    left_out = Skipped()
    for path in [request.out.with_suffix(SKIPPED), *Shards(out=request.out).folder.glob(f"*{SKIPPED}")]:
        left_out.entries += read_lines(path) if path.is_file() else []
    state = f"records: {request.out}" if is_complete else "this rank is done; the last one writes the records"
    lines = [state, left_out.summary()]
    if request.endpoint:
        lines[:1] = [f"records: {request.out}" + ("" if is_complete else ", not all: call again for the others")]
        lines.append(count_odd(request.out))
    return lines
