"""`medglip vqa predict --dataset`: a public question set answered with one evidence source, on any number of processes.

questions -> regions (cached; each image by one rank) -> evidence -> records of this rank -> one file.
"""

import json
import logging
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from accelerate import PartialState

from ...grounding.bad_input import Skipped
from ...grounding.evidence.evidence import without_masks
from ...grounding.evidence.names import SOURCES, Source
from ...grounding.evidence.sources import Query, RegionCaches, evidence_for
from ...grounding.files import claim_folder, read_lines
from ...grounding.grounder import Grounder
from ...grounding.grounders.cache import StoredRegions, regions_of
from ...grounding.grounders.oracle import TruthGrounder
from ...grounding.training.loop import processes
from ...grounding.training.provenance import FILE as LEARNED
from ...grounding.training.provenance import learned_among
from ...grounding.types import AnnotatedImage
from ...vqa.datasets.load import load_questions
from ...vqa.inference.predict import SKIPPED, Shards, predict
from ...vqa.inference.settings import GenerateSettings
from ...vqa.task import Job, Question
from .system import TrainedSystem, load_system

logger = logging.getLogger("medglip")


@dataclass(frozen=True, kw_only=True)
class PredictRequest:
    """Which questions are asked, and who answers. `limit`: only the first; `adapter`: folder of a run or an adapter.

    `root`: folder of the set; left out: that of its name below MEDGLIP_DATA. `seed`: of the sources random and
    shuffled, and of the split scheme `image_grouped`.
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
    limit: int | None = None
    seed: int = 0
    generate: GenerateSettings = field(default_factory=lambda: GenerateSettings(max_new_tokens=16))


def predict_dataset(request: PredictRequest) -> bool:
    """Write one record per question; called again, it continues. Every process calls it.

    Returns whether `request.out` is complete: false on a rank that ended before another. Raises `BadInput` for a file
    of records that was made with other settings, and as `load_questions` and `load_system` do.
    """
    ranks = processes()
    finished = load_system(request.adapter, request.checkpoint, request.base)
    # what may differ from call to call: the file, how many questions, how many prompts at a time
    changed = {"out": None, "limit": None, "generate": request.generate.model_dump(exclude={"batch_size", "merge"})}
    # as the keys were called before, so that older files go on
    changed |= {"split_scheme": None, "split": request.split_scheme, "part": request.split}
    values = {key: value for key, value in (asdict(request) | changed).items() if value is not None}
    claim_folder(
        request.out.with_suffix(".asked.json"),
        json.loads(json.dumps(values, default=str)),
        "these records were made with other settings",
        "give another --out, or remove it with its .asked.json and .ranks",
    )
    all_questions, skipped = load_questions(
        request.dataset, request.root, request.split_scheme, split=request.split, seed=request.seed
    )
    questions = all_questions[: request.limit]  # one more call with a larger limit goes on from here
    shards = Shards(out=request.out, rank=ranks.process_index, num_ranks=ranks.num_processes)
    ids = [question.question_id for question in questions]
    # No rank writes before all have found their images' regions, so all see the same here and none waits for ever.
    if set(ids) - (done := shards.done()):
        jobs = _jobs(request, finished, all_questions, questions, ranks)
        if own := shards.left(jobs, done):
            settings = finished.evidence_settings(request.source)
            predict(finished.model(request.source), own, settings, request.generate, shards.path)
    if ranks.is_main_process:
        skipped.write(request.out.with_suffix(SKIPPED))
    return shards.merge(ids)


def _jobs(
    request: PredictRequest,
    finished: TrainedSystem,
    all_questions: Sequence[Question],
    questions: Sequence[Question],
    ranks: PartialState,
) -> list[Job]:
    """One job per question, with the evidence of its source."""
    adapter = finished.adapter(request.source)
    questions = mark_learned(questions, adapter)

    def query_of(question: Question) -> Query:
        return Query.of(question.images, question.phrases, finished.vocabulary)

    # the regions of the images, for every phrase that any question of the set asks of them: `limit` changes none
    caches = RegionCaches(predicted={}, truth={})
    if request.source != "none":
        phrases: dict[str, dict[str, None]] = {}
        for query in (query for question in all_questions for query in query_of(question).images):
            phrases.setdefault(query.image.image_id, {}).update(dict.fromkeys(query.phrases))
        images = list({image.image_id: image for question in questions for image in question.images}.values())
        is_oracle = SOURCES[request.source].needs_truth
        grounder: Grounder = TruthGrounder(finished.grounder) if is_oracle else finished.reader

        def find(images: list[AnnotatedImage]) -> StoredRegions:
            wanted = [tuple(phrases[image.image_id]) for image in images]
            return regions_of(grounder, images, wanted, request.out.parent / "regions")[0]

        if ranks.num_processes > 1:  # each rank finds its part of the images; then all read them all from disk
            find(images[ranks.process_index :: ranks.num_processes])
            ranks.wait_for_everyone()
        caches = replace(caches, **{"truth" if is_oracle else "predicted": find(images)})
    evidences = evidence_for(
        request.source, [query_of(question) for question in questions], caches, finished.shown, request.seed
    )
    # masks are of no use to a prompt, and many of them would not fit in memory
    names = {"model": finished.mllm.base, "adapter": adapter.name if adapter else ""}
    settings = finished.evidence_settings(request.source)
    return [
        question.job(question.to_example(without_masks(evidence)), settings, names)
        for question, evidence in zip(questions, evidences, strict=True)
    ]


def mark_learned(questions: Sequence[Question], adapter: Path | None) -> list[Question]:
    """The questions with `meta.picture`: "learned" if the adapter was trained on one of its images, else "new".

    A public split may share images between its parts (VQA-RAD's official one does), so that they are scored and told
    apart, not refused. Unchanged, where no adapter answers or it has no list of what it learned from.
    """
    if adapter is None or not (adapter / LEARNED).is_file():
        return list(questions)
    paths = [{image.image_path for image in question.images} for question in questions]
    learned = learned_among(adapter, set().union(*paths))
    kinds = ["new" if learned.isdisjoint(of_question) else "learned" for of_question in paths]
    if (count := kinds.count("learned")) and processes().is_main_process:
        note = "note: %d of %d questions are on pictures that taught %r (meta.picture)"
        logger.info(note, count, len(questions), adapter.name)
    return [replace(q, meta={**q.meta, "picture": kind}) for q, kind in zip(questions, kinds, strict=True)]


def summary(request: PredictRequest, is_complete: bool) -> list[str]:
    """The last lines for the terminal: where the records are, and what was left out."""
    left_out = Skipped()
    for path in [request.out.with_suffix(SKIPPED), *Shards(out=request.out).folder.glob(f"*{SKIPPED}")]:
        left_out.entries += read_lines(path) if path.is_file() else []
    state = f"records: {request.out}" if is_complete else "this rank is done; the last one writes the records"
    return [state, left_out.summary()]
