"""`medglip vqa|report predict --dataset`: a set of questions or reports, one evidence source, any number of processes.

items ──cut──▶ parts: regions (cached) ──▶ evidence ──▶ records, a file for each ──in the order of the set──▶ one file.
"""

import json
import logging
import pickle
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property, lru_cache, partial
from pathlib import Path
from typing import Any, TypeVar

import torch

from ...grounding.bad_input import BadInput, Skipped
from ...grounding.evidence.evidence import Evidence
from ...grounding.evidence.names import SOURCES, Source
from ...grounding.evidence.sources import Query, RegionCaches, evidence_for
from ...grounding.files import claim_folder, locked, read_lines
from ...grounding.grounder import Grounder
from ...grounding.grounders.asked import is_url
from ...grounding.grounders.cache import StoredRegions, regions_of
from ...grounding.grounders.pretrained import SELF
from ...grounding.parts.work import Workers, cut, finish, open_workers
from ...grounding.records import Task
from ...grounding.served.client import Endpoint
from ...grounding.training.loop import processes
from ...grounding.training.provenance import FILE as LEARNED
from ...grounding.training.provenance import learned_among
from ...grounding.types import AnnotatedImage, Region
from ...report.datasets.load import load_reports
from ...report.records import ReportTruth, finding_labels
from ...report.task import Report
from ...vqa.datasets.load import load_questions
from ...vqa.inference.predict import SKIPPED, Shards
from ...vqa.inference.settings import GenerateSettings
from ...vqa.served.predict import count_odd
from ...vqa.task import Job, Question
from .served import load_served
from .system import How, TrainedSystem
from .systems import load_system
from .table import COLUMNS, Table

logger = logging.getLogger("medglip")
Item = TypeVar("Item", bound=Question | Report)
PART_ITEMS = 64
"""Questions or reports of a part: two batches of short answers."""


@dataclass(frozen=True, kw_only=True)
class PredictRequest:
    """Which questions are asked, and who answers. `limit`: only the first; `adapter`: folder of a run or an adapter;
    `model`: one of `MODELS` instead, such as `rules`.

    `task`: report, where reports are written instead; they have no `split_scheme`. `root`: folder of the set; left out:
    that of its name below MEDGLIP_DATA.
    `endpoint`: a served model answers instead, `boxes` in its notation (`vqa.served.notation`), with the prompts of
    `adapter` or `base` where one is given.
    `forms`: those of the adapter's that are shown, `text+crops`; None: all. `seed`: of the sources random and shuffled,
    and of splits that are drawn. `csv`: a table of the answers beside the records. `workers`: who does the parts,
    of `part_items` questions each (`AskedSet.parts`).
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
    workers: Workers = field(default_factory=Workers)
    part_items: int | None = None


def predict_dataset(request: PredictRequest) -> bool:
    """Write one record per question or report; called again, it continues. Every process calls it.

    Returns whether `request.out` is complete: false where another rank or shard is not done. Raises `BadInput` for a
    file of records that was made with other settings, as `load_questions`, `load_reports` and `load_system` do, and
    while another command writes this file.
    """
    # shards of one file may be written at once, the same one twice may not
    shard = "-of-".join(map(str, request.workers.shard or ()))
    lock = request.out.with_name(f".{request.out.name}{f'.{shard}' if shard else ''}.lock")
    with locked(lock, request.out.name):
        return _predict_dataset(request)


def _predict_dataset(request: PredictRequest) -> bool:
    ranks, workers = processes(), request.workers
    if request.endpoint and not (workers.is_alone and workers.shard is None):
        request = replace(request, part_items=request.part_items or PART_ITEMS)
    asked = AskedSet(request)
    asked.claim()
    ids = [item.item_id for item in asked.items]
    # a part is whose its number says, so that nobody needs to know what the others do
    share = workers.among(ranks.process_index, ranks.num_processes)
    # No rank writes before all have found their images' regions, so all see the same here and none waits for ever.
    if missing := asked.missing:
        own, skipped = [(part,) for part in missing if share.takes(part)], Skipped()
        with open_workers(workers, needs_gpu=True) as run:
            packed = pickle.dumps((request, torch.get_num_threads()))
            find, answer = asked.find, asked.answer
            if not workers.is_alone:
                find, answer = partial(_find_elsewhere, packed), partial(_answer_elsewhere, packed)
            num_images = 0
            for num, entries in run(find, own if asked.kinds else (), "find regions"):
                num_images += num
                skipped.entries += entries
            if ranks.num_processes > 1:
                ranks.wait_for_everyone()
            tell_unfound(skipped, num_images, asked.finished.finder_name)
            finish(run(answer, own, "answer"))
    if ranks.is_main_process:
        asked.skipped.write(request.out.with_suffix(SKIPPED))
    # of a served model what was answered is written, too: the rest may be asked for another day
    is_complete = asked.shards.merge(ids, is_partial=request.endpoint is not None)
    if request.csv and is_complete:
        write_table(request.csv, request.out, asked.items)
    return is_complete


def _find_elsewhere(packed: bytes, part: int) -> tuple[int, list[dict[str, str]]]:
    return _in_this_process(packed).find(part)


def _answer_elsewhere(packed: bytes, part: int) -> None:
    _in_this_process(packed).answer(part)


@lru_cache(1)
def _in_this_process(packed: bytes) -> "AskedSet":
    """The set of a request, loaded once in each process of a pool; its sums run on as many threads as the caller's."""
    request, threads = pickle.loads(packed)
    torch.set_num_threads(threads)
    return AskedSet(request)


class AskedSet:
    """The questions or reports of a request in parts, and who answers them. All of an image are in one part."""

    def __init__(self, request: PredictRequest):
        self.request, self.finished = request, _answerer(request)
        self.finished.show_only(request.forms)
        self.finished.allow_download |= request.allow_download
        where: dict[str, Any] = {"split": request.split, "seed": request.seed, "allow_outside": request.allow_outside}
        self.all_items: Sequence[Question | Report]
        if request.task == "vqa":
            self.all_items, self.skipped = load_questions(request.dataset, request.root, request.split_scheme, **where)
        else:
            self.all_items, self.skipped = load_reports(request.dataset, request.root, **where)
        items = self.all_items[: request.limit]  # one more call with a larger limit goes on from here
        self.items = mark_learned(items, self.finished.adapter(request.source))
        self.shards = Shards(out=request.out)
        self.done = self.shards.done()
        # where findings are annotated, texts are judged by them; one without evidence is placed by predicted regions
        self.labels = finding_labels([item for item in self.all_items if isinstance(item, Report)])
        row = SOURCES[request.source]
        self.kinds = {row.needs_truth} if row.module else {False} if self.labels else set[bool]()
        self._stored: dict[tuple[bool, int], tuple[StoredRegions, Skipped]] = {}

    def claim(self) -> None:
        """Note beside the records how they are made. Raises `BadInput` where they were made otherwise."""
        request, note = self.request, self.request.out.with_suffix(".asked.json")
        # what may differ from call to call: the file, how many questions, how many prompts at a time
        changed: dict[str, Any] = {"out": None, "limit": None, "allow_download": None, "csv": None}
        changed |= {"allow_outside": None, "workers": None, "part_items": None}
        changed |= {"generate": request.generate.model_dump(exclude={"batch_size", "merge"})}
        # as the keys were called before, so that older files go on
        changed |= {"split_scheme": None, "split": request.split_scheme, "part": request.split}
        # where a model is served may change, which one may not
        changed |= {"endpoint": None, "model": request.endpoint.model} if request.endpoint else {}
        changed |= {"task": None} if request.task == "vqa" else {"part": None, "split": request.split}
        values = {key: value for key, value in (asdict(request) | changed).items() if value is not None}
        if not self.done and not (request.out.is_file() and request.out.stat().st_size):
            note.unlink(missing_ok=True)  # of a call that ended before its first record: it says nothing of any
        fix = "give another --out, or remove it with its .asked.json and .ranks"
        claim_folder(
            note, json.loads(json.dumps(values, default=str)), "these records were made with other settings", fix
        )

    @cached_property
    def parts(self) -> list[list[int]]:
        """Of each part its items, by their places in `items`."""
        images = [item.images[0].image_id for item in self.items]
        first = {image: k for k, image in reversed([*enumerate(images)])}
        order = sorted(range(len(images)), key=lambda k: (first[images[k]], k))
        # a served model is asked for everything at once: it has no batches, and `concurrency` of its own
        size = self.request.part_items or (max(len(order), 1) if self.request.endpoint else PART_ITEMS)
        return list(cut(order, size, group=lambda k: images[k]))

    @property
    def missing(self) -> list[int]:
        """The parts of which something has no record."""
        parts = enumerate(self.parts)
        return [number for number, part in parts if any(self.items[k].item_id not in self.done for k in part)]

    def find(self, part: int) -> tuple[int, list[dict[str, str]]]:
        """Find the regions that the images of a part need, and store them: of how many, and which have none."""
        found = [self._find(needs_truth, part) for needs_truth in self.kinds]
        return len(self._images[part]), found[0][1].entries if found else []

    def answer(self, part: int) -> None:
        """Write the records of a part."""
        file, request = self.shards.part(part), self.request
        how: How = {"done": self.done}
        if request.csv or request.task == "vqa":  # of reports only where a table asks: their logits are much memory
            how["is_scored"] = True
        self.finished.predict(self._jobs(part), request.source, request.generate, file, **how)

    def _jobs(self, part: int) -> list[Job]:
        """One job per item, with the evidence of its source."""
        source, finished = self.request.source, self.finished
        items, adapter = [self.items[k] for k in self.parts[part]], finished.adapter(source)
        names = {"model": finished.mllm.base, "adapter": adapter.name if adapter else ""}
        if (row := SOURCES[source]).module:
            names["grounder"] = "oracle" if row.needs_truth else finished.finder_name
        settings = finished.evidence_settings(source)
        examples = [
            item.to_example(evidence) for item, evidence in zip(items, self._evidence(source, part), strict=True)
        ]
        options: dict[str, Any] = {}
        if self.request.task == "report":
            placed = self._evidence("predicted", part) if self.labels and not row.module else []
            by_report = {item.item_id: evidence for item, evidence in zip(items, placed, strict=False)}
            options = {"truth": ReportTruth(labels=self.labels, evidence=by_report), "negation": finished.negation}
            examples = [replace(example, may_cite=settings.cite) for example in examples]
        return [item.job(example, settings, names, **options) for item, example in zip(items, examples, strict=True)]

    def _evidence(self, source: Source, part: int) -> list[Evidence]:
        """The evidence of each item of a part, without masks: prompts have no use for them, memory has."""
        row = SOURCES[source]
        if row.module and row.is_control and not row.needs_truth:  # draws among all items, or one after the other
            everything = self._of_all
            return [everything[k] for k in self.parts[part]]
        return self._make(source, self.parts[part])

    @cached_property
    def _of_all(self) -> list[Evidence]:
        return self._make(self.request.source, range(len(self.items)))

    def _make(self, source: Source, places: Sequence[int]) -> list[Evidence]:
        queries = [self._query(self.items[k]) for k in places]
        caches, row = RegionCaches(predicted={}, truth={}), SOURCES[source]
        if row.module:
            images = dict.fromkeys(query.image.image_id for one in queries for query in one.images)
            found = [
                self._find(row.needs_truth, part)[0] for part in sorted({self._part_of[image] for image in images})
            ]
            regions = {image: stored for stored in found for image in stored if image in images}
            caches = replace(caches, **{"truth" if row.needs_truth else "predicted": _Regions(regions)})
        light = caches.without_masks(self.finished.shown)
        return evidence_for(source, queries, light, self.finished.shown, self.request.seed)

    def _query(self, item: Question | Report) -> Query:
        return Query.of(item.images, item.phrases, self.finished.vocabulary, item.granted)

    @cached_property
    def _part_of(self) -> dict[str, int]:
        """The part in which an image is looked at: the first that shows it."""
        pairs = [
            (image.image_id, number)
            for number, part in enumerate(self.parts)
            for k in part
            for image in self.items[k].images
        ]
        return dict(reversed(pairs))

    @cached_property
    def _images(self) -> list[list[AnnotatedImage]]:
        """Of each part the images that are looked at there."""
        rows: list[dict[str, AnnotatedImage]] = [{} for _ in self.parts]
        for image in (image for part in self.parts for k in part for image in self.items[k].images):
            rows[self._part_of[image.image_id]].setdefault(image.image_id, image)
        return [list(row.values()) for row in rows]

    @cached_property
    def _phrases(self) -> dict[bool, dict[str, tuple[str, ...]]]:
        """What is looked for in each image, of the oracle and not: all that any item of the set asks of it, so that
        `limit` changes no regions.
        """
        wanted: dict[bool, dict[str, dict[str, None]]] = {kind: {} for kind in self.kinds}
        for query in (query for item in self.all_items for query in self._query(item).images):
            for kind, phrases in wanted.items():
                words = query.for_oracle.phrases if kind else query.phrases
                phrases.setdefault(query.image.image_id, {}).update(dict.fromkeys(words))
        return {kind: {image: tuple(words) for image, words in rows.items()} for kind, rows in wanted.items()}

    def _find(self, needs_truth: bool, part: int) -> tuple[StoredRegions, Skipped]:
        """The regions of the images that are looked at in a part, found now where they are not on disk."""
        if (needs_truth, part) not in self._stored:
            finished, images = self.finished, self._images[part]
            grounder: Grounder = finished.truth if needs_truth else finished.reader
            words = [self._phrases[needs_truth][image.image_id] for image in images]
            found, skipped = regions_of(grounder, images, words, self.request.out.parent / "regions")
            if finished.finder_name == SELF or is_url(finished.finder_name):
                tell_unfound(skipped, len(images), finished.finder_name)
            self._stored[needs_truth, part] = found, skipped
        return self._stored[needs_truth, part]


@dataclass(frozen=True)
class _Regions(Mapping[str, Sequence[Region]]):
    """Regions by image id, out of the stored ones that have the image."""

    stored: Mapping[str, StoredRegions]

    def __getitem__(self, image_id: str) -> list[Region]:
        return self.stored[image_id][image_id]

    def __iter__(self) -> Iterator[str]:
        return iter(self.stored)

    def __len__(self) -> int:
        return len(self.stored)


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
    state = (
        f"records: {request.out}"
        if is_complete
        else "this share of the work is done; the last one to end writes the records"
    )
    lines = [state, left_out.summary()]
    if request.endpoint:
        lines[:1] = [f"records: {request.out}" + ("" if is_complete else ", not all: call again for the others")]
        lines.append(count_odd(request.out))
    return lines
