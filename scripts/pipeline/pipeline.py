"""A recipe and what it has on disk: data, core, regions and evidence. Every stage continues from its own output."""

import json
import logging
import shutil
import time
from collections import ChainMap, Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, cast

from datasets import Dataset

from ...grounding.bad_input import BadInput, Skipped
from ...grounding.datasets.schema import images as images_of
from ...grounding.datasets.schema import split_of
from ...grounding.evidence.controls import InMirror
from ...grounding.evidence.evidence import PLAIN, Evidence, EvidenceSettings
from ...grounding.evidence.names import SOURCES, Source
from ...grounding.evidence.sources import Query, RegionCaches, evidence_for
from ...grounding.files import read_object, refuse_other, write_atomic
from ...grounding.grounder import Grounder
from ...grounding.grounders.cache import regions_of
from ...grounding.grounders.embedded import EmbeddedFinder
from ...grounding.grounders.medglip import MedGlipGrounder
from ...grounding.grounders.oracle import TruthGrounder
from ...grounding.grounders.pretrained import checkpoint_folder, load_grounder, vocabulary_of
from ...grounding.records import Task
from ...grounding.run_folder import RunFolder
from ...grounding.training.loop import processes
from ...grounding.training.provenance import cores_without, learned_among, refuse_learned
from ...grounding.training.stage import HeldOut, core_images, draw_phantoms, looked_for, train_core
from ...grounding.types import AnnotatedImage, Region
from ...report.task import Report
from ...vqa.inference.confidence import FILE as CONFIDENCE
from ...vqa.model.shipped import shipped_folder
from ...vqa.prompt.prompt import Example
from ...vqa.task import TaskItem
from ..recipe import Recipe, read_run_recipe
from .tasks import TASKS

logger = logging.getLogger("medglip")

Adapter = Literal["plain", "grounded"]
ADAPTERS: tuple[Adapter, ...] = ("plain", "grounded")
"""The adapter that is trained without evidence, and the one that is trained with it."""


class Pipeline:
    """One recipe and what it has on disk. Properties compute once a process; files carry over to the next call."""

    def __init__(self, recipe: Recipe):
        self.recipe, self.skipped, self.folder = recipe, Skipped(), RunFolder(recipe.out_dir)
        for task in TASKS.values():
            task.check(recipe)
        self.half_cores = [checkpoint_folder(name) for name in recipe.grounding.half_cores]
        recipe.out_dir.mkdir(parents=True, exist_ok=True)
        self.is_mended = claim(recipe)

    @contextmanager
    def timed(self, stage: str) -> Iterator[None]:
        """Log which stage runs and add its seconds to those of earlier calls; the first of several processes does."""
        if not processes().is_main_process:  # one of them keeps the time, for all wait for each other
            yield
            return
        path, start = self.folder.seconds_file, time.monotonic()
        logger.info("== %s", stage)
        yield
        seconds = read_object(path, "remove it: it only counts seconds") if path.exists() else {}
        seconds[stage] = round(seconds.get(stage, 0.0) + time.monotonic() - start, 1)
        write_atomic(path, json.dumps(seconds, indent=1))
        logger.info("   %s: %.0f s", stage, time.monotonic() - start)

    @cached_property
    def phantom_dir(self) -> Path | None:
        """Folder of the phantoms, drawn now if they are not there; None if the recipe draws none."""
        return draw_phantoms(self.recipe)

    @cached_property
    def items(self) -> dict[Task, list[TaskItem]]:
        """Every item of each task of the recipe, all splits; in the order of `TASKS`, which training draws from."""
        return {
            name: self._without_learned(row.read(self.recipe, self.phantom_dir, self.skipped))
            for name, row in TASKS.items()
        }

    @property
    def reports(self) -> list[Report]:
        """Items of the task report."""
        return cast(list[Report], self.items["report"])

    @property
    def all_items(self) -> list[TaskItem]:
        """Items of every task, all splits."""
        return [item for items in self.items.values() for item in items]

    @cached_property
    def images(self) -> Dataset:
        """Region sets of the recipe; images that a task is scored on never serve training."""
        return core_images(self.recipe, HeldOut.of(self.scored_images), self.skipped)

    def refuse_empty(self) -> None:
        """Raises `BadInput`, before anything is trained, where a task has nothing to learn from or to be scored on."""
        has_task = any(row.section(self.recipe) for row in TASKS.values())
        if not self.recipe.sources or not (has_task or "sources" in self.recipe.model_fields_set):  # the core alone
            return
        if not has_task:
            fix = "give the section `vqa` or `report`, or `sources: []` to train and score the core alone"
            raise BadInput("neither questions nor reports: nothing for an adapter to learn.", fix=fix)
        splits = {name: Counter(item.image.split for item in items) for name, items in self.items.items()}
        for name, row in TASKS.items():
            if row.section(self.recipe) and not splits[name][self.recipe.eval_split]:
                problem = f"no {row.plural} to score in split {self.recipe.eval_split!r}; {self.skipped.summary()}."
                raise BadInput(problem, fix=f"key '{name}.data', or `eval_split`")
        if not any(counts["train"] for counts in splits.values()):
            plurals = " and ".join(row.plural for row in TASKS.values() if row.section(self.recipe))
            problem = f"no {plurals} to learn from in split 'train'; {self.skipped.summary()}."
            raise BadInput(problem, fix="give the data a split 'train'; `medglip vqa predict --dataset` needs none")

    @property
    def scored_images(self) -> list[AnnotatedImage]:
        """Images of the items that are scored."""
        scored = (item for item in self.all_items if item.image.split == self.recipe.eval_split)
        return [image for item in scored for image in item.images]

    @cached_property
    def vocabulary(self) -> dict[str, tuple[str, ...]]:
        """For each modality what is looked for when nobody asks."""
        return looked_for(self.recipe, self.images)

    @cached_property
    def grounder(self) -> MedGlipGrounder:
        """The trained core; trained now, or further, if it is not finished.

        Raises `BadInput` for one that learned what is scored here: it was taken as it is, or trained before the recipe
        was mended.
        """
        folder = train_core(self.recipe, self.images)
        if self.recipe.grounding.core or self.is_mended:
            regions = images_of(split_of(self.images, self.recipe.eval_split))
            refuse_learned(folder, (image.image_path for image in [*self.scored_images, *regions]))
        return MedGlipGrounder.from_pretrained(folder)

    @property
    def grounder_dir(self) -> Path:
        """Where the core is saved."""
        return self.folder.core_dir

    @cached_property
    def aligned_dir(self) -> Path | None:
        """Of the aligned adapter that both adapters start from, if any."""
        return shipped_folder("aligned", name) if (name := self.recipe.mllm.aligned) else None

    def _without_learned(self, items: list[TaskItem]) -> list[TaskItem]:
        """Without what would be scored on an image that the aligned start learned, which is listed with the skipped.

        Raises `BadInput` if that does not say what it learned.
        """
        if self.aligned_dir is None:
            return items
        scored = [item for item in items if item.image.split == self.recipe.eval_split]
        # asked for all items at once: a file that several of them share is hashed once
        paths = {item: [image.image_path for image in item.images] for item in scored}
        learned = learned_among(self.aligned_dir, (path for own in paths.values() for path in own))
        known = {item for item, own in paths.items() if not learned.isdisjoint(own)}
        why = BadInput(f"its picture taught the aligned start {self.aligned_dir.name!r}.")
        for name in sorted(item.item_id for item in known):
            self.skipped.add(name, why)
        return [item for item in items if item not in known]

    def query(self, item: TaskItem) -> Query:
        """What is looked for in every image of an item, those of a report's earlier study among them."""
        return Query.of(item.images, item.phrases, self.usual, item.granted)

    @cached_property
    def usual(self) -> Mapping[str, Sequence[str]]:
        """What the finder of the evidence looks for when nobody asks, by modality."""
        return vocabulary_of(name) if (name := self.recipe.evidence.grounder) else self.vocabulary

    @cached_property
    def caches(self) -> RegionCaches:
        """Predicted and true regions of every image of the tasks, computed once and kept on disk."""
        return self.caches_of(self.all_items)

    def caches_of(self, items: Sequence[TaskItem], is_mirrored: bool = False) -> RegionCaches:
        """Regions of every phrase that an item looks for in an image; from disk where they are there.

        `is_mirrored`: found in the flipped images, and placed in the stored ones.
        """
        # image id -> the image, and every phrase that any item looks for in it, in the order of first use
        images: dict[str, AnnotatedImage] = {}
        phrases: dict[str, dict[str, None]] = {}
        true_phrases: dict[str, dict[str, None]] = {}
        for query in (image for item in items for image in self.query(item).images):
            images[query.image.image_id] = query.image
            phrases.setdefault(query.image.image_id, {}).update(dict.fromkeys(query.phrases))
            true_phrases.setdefault(query.image.image_id, {}).update(dict.fromkeys(query.for_oracle.phrases))
        core = self.grounder.mirror() if is_mirrored else self.grounder

        def find(
            grounder: Grounder, of: Sequence[AnnotatedImage], words: Mapping[str, Mapping[str, None]] = phrases
        ) -> tuple[Mapping[str, list[Region]], Skipped]:
            finder = InMirror(grounder) if is_mirrored else grounder
            return regions_of(finder, of, [tuple(words[image.image_id]) for image in of], self.folder.regions_dir)

        found: list[Any] = []
        for grounder, of in self._finders(core, list(images.values()), is_mirrored):
            regions, skipped = find(grounder, of)
            self.skipped.entries += skipped.entries
            if skipped.entries and self.recipe.evidence.grounder and not regions:
                problem = f"{self.recipe.evidence.grounder} has no regions of {len(of)} images"
                raise BadInput(f"{problem}, first: {skipped.entries[0]['why']}", fix="key 'evidence.grounder'")
            found.append(regions)
        sources = (*self.recipe.sources, self.recipe.evidence.train_source)
        needs_truth = any(SOURCES[source].needs_truth for source in sources)
        # the same files cannot be read again for the truth
        truth = find(TruthGrounder(core), list(images.values()), true_phrases)[0] if needs_truth else {}
        return RegionCaches(predicted=ChainMap(*found), truth=truth)

    def found_by(self, source: Source) -> dict[str, str]:
        """`grounder` of the records of a source; nothing where nobody looks."""
        own = self.recipe.evidence.grounder or f"{self.recipe.out_dir.name}/grounding"
        row = SOURCES[source]
        return {"grounder": "oracle" if row.needs_truth else own} if row.module else {}

    def _finders(
        self, core: MedGlipGrounder, images: Sequence[AnnotatedImage], is_mirrored: bool
    ) -> Iterator[tuple[Grounder, Sequence[AnnotatedImage]]]:
        """Who looks for regions in which images: the grounder of the evidence, else the run's core and half cores."""
        if name := self.recipe.evidence.grounder:
            if is_mirrored:
                problem = f"{name} finds nothing in flipped images."
                raise BadInput(problem, fix="leave the probe `flipped` out, or `evidence.grounder`")
            yield EmbeddedFinder(load_grounder(name), core), images
            return
        for half, of in self._lookers(images).items():
            yield EmbeddedFinder(MedGlipGrounder.from_pretrained(half), core) if half else core, of

    def _lookers(self, images: Sequence[AnnotatedImage]) -> dict[Path | None, list[AnnotatedImage]]:
        """The images by who looks for regions in them: a core that did not learn them; None: the run's own."""
        training = {image.image_path for image in images if image.split == "train" and self.half_cores}
        half_of = cores_without(self.half_cores, training) if training else {}
        groups: dict[Path | None, list[AnnotatedImage]] = {None: []}  # the run's own first
        for image in images:
            groups.setdefault(half_of.get(image.image_path), []).append(image)
        return groups

    def evidence(self, source: Source, items: Sequence[TaskItem], caches: RegionCaches | None = None) -> list[Evidence]:
        """The evidence of each item from one source, without masks: prompts have no use for them, memory has.

        `caches`: other regions than those of the recipe.
        """
        queries = [self.query(item) for item in items]  # shuffled evidence is another item's of this very list
        truth = (caches or self.caches).truth if SOURCES[source].needs_truth else {}
        if SOURCES[source].needs_truth and not any(truth.get(i.image.image_id) for q in queries for i in q.images):
            logger.warning("note: none of %d items has a true region, so source %s shows none", len(items), source)
            return [Evidence(source=source) for _ in items]
        light = (caches or self.caches).without_masks(self.recipe.evidence)
        return evidence_for(source, queries, light, self.recipe.evidence, self.recipe.seed)

    def shown_to(self, kind: Adapter) -> EvidenceSettings:
        """What the prompts of an adapter show of the evidence; those of the plain one show none."""
        return self.recipe.evidence if kind == "grounded" else PLAIN

    def examples(
        self,
        task: Task,
        shown: EvidenceSettings,
        source: Source,
        items: Sequence[TaskItem],
        caches: RegionCaches | None = None,
    ) -> list[Example]:
        """Parts of the prompt of each item of a task, as a model that is shown evidence so learns it or is asked."""
        row, evidence = TASKS[task], self.evidence(source, items, caches)
        return [
            row.example(item, item.to_example(own), self.recipe, shown)
            for item, own in zip(items, evidence, strict=True)
        ]


FREE = ("name", "title", "eval", "probes", "sources")
"""Keys of a recipe that change nothing that was trained: scores are made anew, probes and sources add records."""
LATER = ("vqa", "report", "evidence", "mllm", "mllm_train")
"""Keys that a core does not learn from: until an adapter is begun they may be mended, after a stage that failed."""


def claim(recipe: Recipe) -> bool:
    """Keep the recipe beside its output; return whether keys of `LATER` were mended.

    Raises `BadInput` with the keys if the folder holds a run of other settings. What changes nothing that was trained
    may differ: `FREE`; `LATER`, where there is a core and no adapter was begun; and with a core taken as it is how much
    is scored (what it learned is refused anyway). More steps may be asked for at any time, of a finished run too: see
    `_go_on`.
    """
    folder, is_mended, kept = RunFolder(recipe.out_dir), False, with_whole_paths(recipe)
    if folder.is_run:
        before = with_whole_paths(read_run_recipe(folder.recipe_file))
        free = LATER if folder.core_dir.exists() and not _has_adapters(folder) else ()
        is_mended = any(getattr(before, key) != getattr(kept, key) for key in free)
        _refuse_other(folder, before, kept, free)
    write_atomic(folder.recipe_file, kept.model_dump_json(indent=1))  # last: what was killed before does it again
    return is_mended


def with_whole_paths(recipe: Recipe) -> Recipe:
    """The recipe with absolute paths of the models it names: a run is used from other folders than it was made in."""

    def whole(name: str) -> str:  # "small" is a name, "runs/x" a folder here or a name of a hub
        return str(Path(name).resolve()) if "/" in name and Path(name).is_dir() else name

    grounding, mllm = recipe.grounding, recipe.mllm
    cores: dict[str, Any] = {"core": whole(grounding.core), "start_from": whole(grounding.start_from)}
    cores["half_cores"] = tuple(map(whole, grounding.half_cores))
    bases = {"base": whole(mllm.base), "aligned": whole(mllm.aligned)}
    if found := recipe.evidence.grounder:
        files = [str(Path(part).resolve()) if Path(part).is_file() else whole(part) for part in found.split(",")]
        evidence = recipe.evidence.model_copy(update={"grounder": ",".join(files)})
        recipe = recipe.model_copy(update={"evidence": evidence})
    parts = {"grounding": grounding.model_copy(update=cores), "mllm": mllm.model_copy(update=bases)}
    return recipe.model_copy(update=parts)


@contextmanager
def released_on_failure(folder: RunFolder) -> Iterator[None]:
    """Inside, an error ends the claim to a folder in which nothing was trained: the corrected recipe is taken there."""
    is_new = not folder.grounding_dir.exists() and not _has_adapters(folder)
    try:
        yield
    except Exception:
        if is_new and processes().is_main_process:
            folder.recipe_file.unlink(missing_ok=True)
            shutil.rmtree(folder.phantoms_dir, ignore_errors=True)  # of settings that may be corrected, too
        raise


def _has_adapters(folder: RunFolder) -> bool:
    """Whether the training of an adapter was begun."""
    return any(folder.training_dir(kind).exists() or folder.adapter_dir(kind).exists() for kind in ADAPTERS)


def _refuse_other(folder: RunFolder, before: Recipe, recipe: Recipe, free: Sequence[str]) -> None:
    """Raises `BadInput` where a run has other settings, `free` keys apart; raised steps open its trainings again."""
    # what may differ is taken out of both, or made equal; what is left must be equal key by key
    theirs, ours = (one.model_dump(mode="json") for one in (before, recipe))
    raised: list[str] = []
    for key, old, new in (
        ("grounding.train.steps", theirs["grounding"]["train"], ours["grounding"]["train"]),
        ("mllm_train.steps", theirs["mllm_train"], ours["mllm_train"]),
    ):
        if old["steps"] < new["steps"]:
            raised.append(key)
            old["steps"] = new["steps"]
    if (theirs["mllm"]["dtype"], ours["mllm"]["dtype"]) == ("bf16", "auto"):  # the default before, and today's
        theirs["mllm"]["dtype"] = "auto"
    for values in (theirs, ours):
        del values["grounding"]["memory_gb"], values["out_dir"]  # the folder is the same, however it is spelled
        for training in (values["grounding"]["train"], values["mllm_train"], values["mllm_train"]["warm_up"]):
            (training or {}).pop("tracker", None)
        for task in TASKS if recipe.grounding.core else ():
            values[task] = values[task] and {**values[task], "max_test": None}
        for key in (*FREE, *free):
            del values[key]
    fix = "give another out_dir, or remove the folder to start anew"
    refuse_other(theirs, ours, f"{recipe.out_dir} holds a run of other settings", folder.recipe_file, fix)
    if raised:
        _go_on(folder, raised)


def _go_on(folder: RunFolder, raised: Sequence[str]) -> None:
    """Open the trainings whose steps were raised, and remove what was made of their weights so far.

    They go on from their last checkpoints. Adapters know the regions of one core: if that goes on, they begin anew.
    Raises `BadInput` where there is a result, but no checkpoint to go on from.
    """
    has_other_core = "grounding.train.steps" in raised
    adapters = {folder.training_dir(kind): folder.adapter_dir(kind) for kind in ADAPTERS}
    going_on = {folder.grounding_dir: folder.core_dir} if has_other_core else adapters
    for training, result in going_on.items():
        if result.exists() and not (training / "latest").exists():
            problem = f"{raised[0]} is raised, but {training} has no checkpoint to go on from."
            raise BadInput(problem, file=result, fix="remove this folder to train it anew, or give the steps it had")
    logger.info("more steps (%s): records and scores are made anew", ", ".join(raised))
    for result in adapters.values():
        (result / "complete").unlink(missing_ok=True)
        (result / CONFIDENCE).unlink(missing_ok=True)
    outdated = [folder.validation_dir, folder.records_dir, folder.probes_dir, folder.scores_dir]
    if has_other_core:
        outdated += [*adapters, *adapters.values(), folder.warm_up_dir(0).parent]
    for part in outdated:
        shutil.rmtree(part, ignore_errors=True)
    for task in TASKS:
        folder.done_file(task).unlink(missing_ok=True)
