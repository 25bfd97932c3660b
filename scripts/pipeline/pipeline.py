"""The whole line, stage by stage: `run(recipe)`. Every stage finds its own output on disk and continues from there."""

import json
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import TypeVar

from datasets import Dataset

from ...grounding.bad_input import BadInput, Skipped
from ...grounding.datasets.schema import images as images_of
from ...grounding.datasets.schema import split_of
from ...grounding.evidence.evidence import Evidence, Source, without_masks
from ...grounding.evidence.flipped import InMirror
from ...grounding.evidence.sources import Query, RegionCaches, evidence_for
from ...grounding.files import write_atomic
from ...grounding.grounder import Grounder
from ...grounding.grounders.cache import regions_of
from ...grounding.grounders.medglip import MedGlipGrounder
from ...grounding.grounders.oracle import TruthGrounder
from ...grounding.recipe import HeldOut, core_images, draw_phantoms, looked_for, train_core
from ...grounding.training.loop import processes
from ...grounding.training.provenance import learned_among, refuse_learned
from ...grounding.types import AnnotatedImage, Region
from ...grounding.vocabulary.negation import engine_named
from ...report.task import Report
from ...report.task import to_example as report_example
from ...vqa.model.shipped import shipped_folder
from ...vqa.prompt.prompt import Example
from ...vqa.task import Question
from ...vqa.task import to_example as question_example
from ..recipe import Recipe
from .sets import read_questions, read_reports

Item = TypeVar("Item", Question, Report)


class Line:
    """One recipe and what it has on disk. Properties compute once a process; files carry over to the next call."""

    def __init__(self, recipe: Recipe):
        self.recipe, self.skipped, self.out = recipe, Skipped(), recipe.out_dir
        if recipe.report:
            engine_named(recipe.report.negation)  # said before anything is trained, should its package be missing
        self.out.mkdir(parents=True, exist_ok=True)
        claim(recipe)

    @contextmanager
    def timed(self, stage: str) -> Iterator[None]:
        """Say which stage runs, and add its seconds to those of earlier calls; of several processes the first does."""
        if not processes().is_main_process:
            yield
            return
        path = self.out / "seconds.json"
        start = time.monotonic()
        print(f"== {stage}", flush=True)
        yield
        seconds = json.loads(path.read_text()) if path.exists() else {}
        seconds[stage] = round(seconds.get(stage, 0.0) + time.monotonic() - start, 1)
        write_atomic(path, json.dumps(seconds, indent=1))
        print(f"   {stage}: {time.monotonic() - start:.0f} s", flush=True)

    @cached_property
    def phantom_dir(self) -> Path | None:
        """Folder of the phantoms, drawn now if they are not there; None if the recipe draws none."""
        return draw_phantoms(self.recipe)

    @cached_property
    def questions(self) -> list[Question]:
        """Every question of the recipe, all splits."""
        return self._unseen(read_questions(self.recipe, self.phantom_dir, self.skipped))

    @cached_property
    def reports(self) -> list[Report]:
        """Every report of the recipe, all splits."""
        return self._unseen(read_reports(self.recipe, self.phantom_dir, self.skipped))

    @cached_property
    def images(self) -> Dataset:
        """Region sets of the recipe; studies of images that a task is scored on never serve training."""
        return core_images(self.recipe, HeldOut.of(self.scored_images), self.skipped)

    @property
    def scored_images(self) -> list[AnnotatedImage]:
        """Studies of the questions and reports that are scored."""
        split = self.recipe.eval_split
        items = [*self.questions, *self.reports]
        return [image for item in items if item.image.split == split for image in images_shown(item)]

    @cached_property
    def vocabulary(self) -> dict[str, tuple[str, ...]]:
        """For each modality what is looked for when nobody asks."""
        return looked_for(self.recipe, self.images)

    def train_core(self) -> None:
        """Stage 1, if it is not finished."""
        _ = self.grounder

    def find_regions(self) -> None:
        """Stage 2, for what the cache does not hold."""
        _ = self.caches

    @cached_property
    def grounder(self) -> MedGlipGrounder:
        """The trained core; trained now, or further, if it is not finished.

        Raises `BadInput` for one that is taken as it is and learned what is scored here.
        """
        folder = train_core(self.recipe, self.images)
        if self.recipe.grounding.core:
            regions = images_of(split_of(self.images, self.recipe.eval_split))
            refuse_learned(folder, (image.image_path for image in [*self.scored_images, *regions]))
        return MedGlipGrounder.from_pretrained(folder)

    @property
    def grounder_dir(self) -> Path:
        """Where the core is saved."""
        return self.out / "grounding" / "model"

    @cached_property
    def aligned_dir(self) -> Path | None:
        """Of the aligned adapter that both adapters start from, if any."""
        return shipped_folder("aligned", name) if (name := self.recipe.mllm.aligned) else None

    def _unseen(self, items: list[Item]) -> list[Item]:
        """Without what would be scored on a picture that the aligned start learned, which is listed with the skipped.

        Raises `BadInput` if that does not say what it learned.
        """
        if self.aligned_dir is None:
            return items
        shown = {item: images_shown(item) for item in items if item.image.split == self.recipe.eval_split}
        learned = learned_among(self.aligned_dir, (image.image_path for images in shown.values() for image in images))
        known = {item for item, images in shown.items() if any(image.image_path in learned for image in images)}
        why = BadInput(f"its picture taught the aligned start {self.aligned_dir.name!r}.")
        for name in sorted(map(name_of, known)):
            self.skipped.add(name, why)
        return [item for item in items if item not in known]

    def query(self, item: Question | Report) -> Query:
        """What is looked for in every image of one question, or of one report, its earlier study's among them."""
        asked = item.phrases if isinstance(item, Question) else ()
        return Query.of(images_shown(item), asked, self.vocabulary)

    @cached_property
    def caches(self) -> RegionCaches:
        """Predicted and true regions of every image of the tasks, computed once and kept on disk."""
        return self.caches_of([*self.questions, *self.reports])

    def caches_of(self, items: Sequence[Question | Report], is_mirrored: bool = False) -> RegionCaches:
        """Regions of the images of these, of every phrase that one of them asks for; from disk where they are there.

        `is_mirrored`: found in the flipped images, told of the stored ones.
        """
        images: dict[str, AnnotatedImage] = {}
        phrases: dict[str, dict[str, None]] = {}
        for query in (image for item in items for image in self.query(item).images):
            images[query.image.image_id] = query.image
            phrases.setdefault(query.image.image_id, {}).update(dict.fromkeys(query.phrases))
        order, asked = list(images.values()), [tuple(phrases[name]) for name in images]
        core = self.grounder.mirrored() if is_mirrored else self.grounder
        finder: Grounder = InMirror(core) if is_mirrored else core
        predicted, skipped = regions_of(finder, order, asked, self.out / "regions")
        truth: Mapping[str, list[Region]] = {}
        if "oracle" in self.recipe.sources:
            oracle = TruthGrounder(core)
            truth, _ = regions_of(InMirror(oracle) if is_mirrored else oracle, order, asked, self.out / "regions")
        self.skipped.entries += skipped.entries
        return RegionCaches(predicted=predicted, truth=truth)

    def evidence(
        self, source: Source, items: Sequence[Question | Report], caches: RegionCaches | None = None
    ) -> list[Evidence]:
        """The evidence of each item from one source, without masks: prompts have no use for them, memory has."""
        queries = [self.query(item) for item in items]
        found = evidence_for(source, queries, caches or self.caches, self.recipe.evidence, self.recipe.seed)
        return [without_masks(evidence) for evidence in found]

    def examples(
        self, source: Source, items: Sequence[Question | Report], caches: RegionCaches | None = None
    ) -> list[Example]:
        """Prompts' parts of each item with the evidence of one source; `caches`: other than those of the recipe."""
        evidence = self.evidence(source, items, caches)
        return [
            question_example(item, e) if isinstance(item, Question) else report_example(item, e)
            for item, e in zip(items, evidence, strict=True)
        ]


def images_shown(item: Question | Report) -> tuple[AnnotatedImage, ...]:
    """Every image of its prompt, in order."""
    return item.images if isinstance(item, Question) else item.shown


def name_of(item: Question | Report) -> str:
    """The id of its record."""
    return item.question_id if isinstance(item, Question) else item.report_id


def claim(recipe: Recipe) -> None:
    """Keep the recipe beside its output. Raises `BadInput` if the folder holds a run of other settings.

    How it is scored may change, as scores are made anew from the records at every call; and probes, which add records.
    """
    path = recipe.out_dir / "recipe.json"
    mine = recipe.model_dump_json(indent=1)
    if path.exists() and path.read_text() != mine:
        theirs = Recipe.model_validate_json(path.read_text())
        lasting = [key for key in Recipe.model_fields if key not in ("eval", "probes")]
        if keys := [key for key in lasting if getattr(theirs, key) != getattr(recipe, key)]:
            raise BadInput(
                f"{recipe.out_dir} holds a run of other settings (differs in {', '.join(keys)}).",
                file=path,
                fix="give another out_dir, or remove the folder to start anew",
            )
    write_atomic(path, mine)
