"""`medglip vqa predict --dataset`: a public question set answered with one evidence source, on any number of processes.

questions -> regions (cached; each image by one rank) -> evidence -> records of this rank -> one file.
"""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from accelerate import PartialState

from ...grounding.bad_input import Skipped
from ...grounding.evidence.evidence import without_masks
from ...grounding.evidence.names import Source
from ...grounding.evidence.sources import Query, RegionCaches, evidence_for
from ...grounding.files import claim_folder
from ...grounding.grounder import Grounder
from ...grounding.grounders.cache import regions_of
from ...grounding.grounders.oracle import TruthGrounder
from ...grounding.training.loop import processes
from ...grounding.training.provenance import FILE as LEARNED
from ...grounding.training.provenance import learned_among
from ...grounding.types import AnnotatedImage
from ...vqa.datasets.load import load_questions
from ...vqa.inference.generate import GenerateSettings
from ...vqa.inference.predict import predict
from ...vqa.inference.shards import SKIPPED, Shards
from ...vqa.task import Job, Question
from .system import TrainedSystem, load_system


@dataclass(frozen=True, kw_only=True)
class Ask:
    """What is asked, and of whom. `limit`: the first so many questions; `adapter`: a run's folder or an adapter's.

    `root`: folder of the set, else that of its name below MEDGLIP_DATA. `seed`: of the sources random and shuffled,
    and of the split `image_grouped`.
    """

    dataset: str
    out: Path
    root: Path | None = None
    split: str = "official"
    part: str = "test"
    source: Source = "predicted"
    adapter: Path | None = None
    checkpoint: str | None = None
    base: str | None = None
    limit: int | None = None
    seed: int = 0
    generate: GenerateSettings = field(default_factory=lambda: GenerateSettings(max_new_tokens=16))


def predict_dataset(ask: Ask) -> bool:
    """Write the records of one question each; called again, it continues. Every process calls it.

    Returns whether `ask.out` is whole: false on a rank that was done before another. Raises `BadInput` for a file of
    records that was made otherwise, and as `load_questions` and `load_system` do.
    """
    ranks = processes()
    finished = load_system(ask.adapter, ask.checkpoint, ask.base)
    _claim(ask)
    every, skipped = load_questions(ask.dataset, ask.root, ask.split, part=ask.part, seed=ask.seed)
    asked = every[: ask.limit]
    shards = Shards.here(ask.out)
    ids = [question.question_id for question in asked]
    # No rank writes before all have found their images' regions, so all see the same here and none waits for ever.
    if set(ids) - (done := shards.done()):
        jobs = _jobs(ask, finished, every, asked, ranks)
        if mine := shards.left(jobs, done):
            predict(finished.model(ask.source), mine, finished.evidence_settings(ask.source), ask.generate, shards.path)
    if ranks.is_main_process:
        skipped.write(ask.out.with_suffix(SKIPPED))
    return shards.merge(ids)


def _jobs(
    ask: Ask, finished: TrainedSystem, every: Sequence[Question], asked: Sequence[Question], ranks: PartialState
) -> list[Job]:
    adapter = finished.adapter(ask.source)
    asked = told_apart(asked, adapter)
    queries = [_query(finished, question) for question in asked]
    caches = _caches(ask, finished, [_query(finished, question) for question in every], asked, ranks)
    found = evidence_for(ask.source, queries, caches, finished.shown, ask.seed)
    names = {"model": finished.mllm.base, "adapter": adapter.name if adapter else ""}
    shown = finished.evidence_settings(ask.source)
    return [
        question.job(question.to_example(without_masks(evidence)), shown, names)
        for question, evidence in zip(asked, found, strict=True)
    ]


def told_apart(asked: Sequence[Question], adapter: Path | None) -> list[Question]:
    """The questions, whose `meta.picture` says "learned" of those on a picture that taught the adapter, else "new".

    A public split may share pictures between its parts (VQA-RAD's official one does), so that they are scored and told
    apart, not refused. As they are, where no adapter answers or it does not say.
    """
    pictures = {image.image_path for question in asked for image in question.images}
    if adapter is None or not (adapter / LEARNED).is_file():
        return list(asked)
    learned = learned_among(adapter, pictures)
    found = [
        "new" if learned.isdisjoint(image.image_path for image in question.images) else "learned" for question in asked
    ]
    if (known := found.count("learned")) and processes().is_main_process:
        print(f"note: {known} of {len(asked)} questions are on pictures that taught {adapter.name!r} (meta.picture)")
    return [replace(q, meta={**q.meta, "picture": kind}) for q, kind in zip(asked, found, strict=True)]


def _query(finished: TrainedSystem, question: Question) -> Query:
    return Query.of(question.images, question.phrases, finished.vocabulary)


def _caches(
    ask: Ask, finished: TrainedSystem, queries: Sequence[Query], asked: Sequence[Question], ranks: PartialState
) -> RegionCaches:
    """Regions of the asked images, for every phrase that any question of the set asks of them: `limit` changes none."""
    if ask.source == "none":
        return RegionCaches(predicted={}, truth={})
    phrases: dict[str, dict[str, None]] = {}
    for image in (image for query in queries for image in query.images):
        phrases.setdefault(image.image.image_id, {}).update(dict.fromkeys(image.phrases))
    images = list({annotated.image_id: annotated for question in asked for annotated in question.images}.values())
    wanted = [(annotated, tuple(phrases[annotated.image_id])) for annotated in images]
    grounder: Grounder = TruthGrounder(finished.grounder) if ask.source == "oracle" else finished.reader
    found = _found(grounder, wanted, ask.out.parent / "regions", ranks)
    return RegionCaches(**{"predicted": {}, "truth": {}, "truth" if ask.source == "oracle" else "predicted": found})


def _found(grounder: Grounder, wanted: list[tuple[AnnotatedImage, tuple[str, ...]]], cache: Path, ranks: PartialState):  # noqa: ANN202 - StoredRegions
    """Each rank finds its part of the images; then all read them all from disk."""
    if ranks.num_processes > 1:
        own = wanted[ranks.process_index :: ranks.num_processes]
        regions_of(grounder, [image for image, _ in own], [asked for _, asked in own], cache)
        ranks.wait_for_everyone()
    return regions_of(grounder, [image for image, _ in wanted], [asked for _, asked in wanted], cache)[0]


def _claim(ask: Ask) -> None:
    """Keep what was asked beside the records. Raises `BadInput` where they were made otherwise, `limit` aside."""
    path = ask.out.with_suffix(".asked.json")
    rest = {"out": None, "limit": None, "generate": ask.generate.model_dump(exclude={"batch_size", "merge"})}
    mine = json.loads(json.dumps({k: v for k, v in (asdict(ask) | rest).items() if v is not None}, default=str))
    fix = "give another --out, or remove it with its .asked.json and .ranks"
    claim_folder(path, mine, "these records were made otherwise", fix)


def summary(ask: Ask, is_whole: bool) -> list[str]:
    """What to say in the end."""
    left_out = Skipped()
    left_out.entries = [
        json.loads(line)
        for path in [ask.out.with_suffix(SKIPPED), *Shards(out=ask.out).folder.glob(f"*{SKIPPED}")]
        if path.is_file()
        for line in path.read_text().splitlines()
    ]
    state = f"records: {ask.out}" if is_whole else "this rank is done; the last one writes the records"
    return [state, left_out.summary()]
