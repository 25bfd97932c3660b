"""A finished run as a tool on images that nobody has seen: its grounder and its adapters. Or an adapter by itself."""

import json
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from ...grounding.bad_input import BadInput, nearest
from ...grounding.evidence.evidence import Evidence, EvidenceSettings
from ...grounding.evidence.names import SOURCES, Source
from ...grounding.evidence.sources import Query, RegionCaches, evidence_for
from ...grounding.files import sha256
from ...grounding.grounder import Grounder
from ...grounding.grounders.medglip import MedGlipGrounder
from ...grounding.grounders.pretrained import checkpoint_folder, is_hub_name, load_grounder, vocabulary_of
from ...grounding.types import AnnotatedImage, Region
from ...grounding.vocabulary.labels import load_labels
from ...vqa.inference.generate import Generated, GenerateSettings, generate
from ...vqa.model.core_identity import core_sha256, shipped_core
from ...vqa.model.grounded_mllm import OUR_FILE, GroundedMLLM, MllmSettings, load
from ...vqa.model.shipped import is_shipped, shipped_folder
from ...vqa.prompt.prompt import Example
from ..recipe import Recipe

DEFAULT_RUN = Path("runs/quickstart")
SMALL_BASE = "smollm2-135m"
"""The base that looks through a core's image tower."""


class FinishedRun:
    """The models of a run folder. With `checkpoint` regions are found by that grounder, and read by the run's core.

    `adapter`: one of the run's, for every evidence source; left out, that of the source. Raises `BadInput` if a stage
    that is needed has not finished there.
    """

    def __init__(self, folder: Path, checkpoint: str | None = None, adapter: Path | None = None):
        if not (folder / "recipe.json").exists():
            raise BadInput("no run in this folder.", file=folder, fix="`make quickstart` makes runs/quickstart")
        self.folder, self.checkpoint, self.chosen = folder, checkpoint, adapter
        self.recipe = Recipe.model_validate_json((folder / "recipe.json").read_text())

    @property
    def mllm(self) -> MllmSettings:
        """The base and its LoRA."""
        return self.recipe.mllm

    @property
    def shown(self) -> EvidenceSettings:
        """What is shown of the regions."""
        return self.recipe.evidence

    @property
    def core(self) -> Path:
        """Folder of the core whose vectors the adapters know, and whose image tower the small default has.

        A cell of an ablation has none of its own; one that took a trained core as it is can still be asked.
        """
        taken = self.recipe.grounding.core
        if taken and not (self.folder / "grounding" / "model").exists():
            return checkpoint_folder(taken)
        return self._need("grounding/model")

    @cached_property
    def grounder(self) -> MedGlipGrounder:
        """The trained grounding core."""
        return MedGlipGrounder.from_pretrained(self.core)

    @cached_property
    def finder(self) -> Grounder:
        """Who looks for phrases: the checkpoint that was named, else the run's own core."""
        return load_grounder(self.checkpoint) if self.checkpoint else self.grounder

    @cached_property
    def vocabulary(self) -> dict[str, list[str]]:
        """What the finder was trained to find in each modality."""
        if self.checkpoint:
            return vocabulary_of(self.checkpoint)
        if self.recipe.grounding.core and not (self.folder / "vocabulary.json").exists():
            return vocabulary_of(self.recipe.grounding.core)
        return json.loads(self._need("vocabulary.json").read_text())

    def _need(self, name: str) -> Path:
        path = self.folder / name
        if not path.exists():
            raise BadInput("the run has not come this far.", file=path, fix="finish it: `medglip run` on its recipe")
        return path

    def query(self, image: AnnotatedImage, question: str = "", others: Sequence[AnnotatedImage] = ()) -> Query:
        """What to look for in each image: phrases of the question, and what is usual in its modality."""
        return Query.of([image, *others], load_labels().phrases_in(question), self.vocabulary)

    @property
    def reader(self) -> Grounder:
        """The finder, its regions with embeddings of the core that the adapters were trained with."""
        return Embedded(self.finder, self.grounder) if self.checkpoint else self.grounder

    def regions(self, image: AnnotatedImage, phrases: Sequence[str]) -> list[Region]:
        """Regions of the phrases, best first, as `reader` gives them."""
        return self.reader.ground([image], [list(phrases)])[0]

    def evidence(self, query: Query, source: Source) -> Evidence:
        """Evidence of unseen images: `none` or `predicted`."""
        if source not in ("none", "predicted"):
            raise BadInput(f"evidence {source!r} needs a data set.", fix="use none or predicted on your own images")
        looked = () if source == "none" else query.images
        found = {image.image.image_id: self.regions(image.image, image.phrases) for image in looked}
        return evidence_for(source, [query], RegionCaches(predicted=found, truth={}), self.shown)[0]

    def adapter(self, source: Source) -> Path | None:
        """The adapter that answers with this evidence source; None: the base by itself."""
        return self.chosen or self._need("adapter-plain" if source == "none" else "adapter-grounded")

    def evidence_settings(self, source: Source) -> EvidenceSettings:
        """What its prompts show of the evidence."""
        return self.shown.model_copy(update={"forms": ()}) if source == "none" else self.shown

    def model(self, source: Source, **settings: object) -> GroundedMLLM:
        """The base with the adapter of a source; `settings` replace those of `mllm`."""
        wanted = self.mllm.model_copy(update=settings)
        return load(wanted, self.grounder.embedding_dim, self.adapter(source), vision=self.core)

    def write(self, example: Example, source: Source, settings: GenerateSettings) -> Generated:
        """What the adapter of this evidence source says."""
        return generate(self.model(source), [example], self.evidence_settings(source), settings)[0]


class LooseAdapter(FinishedRun):
    """An adapter without its run, or a base without one; region vectors come from the core the adapter belongs to.

    `folder`: of the adapter; None: none. `checkpoint`: that core, or, where it comes with the package, who finds the
    regions. An adapter that does not say which core it belongs to takes the checkpoint's vectors; `small` when left
    out. `base` overrides the adapter's own. Raises `BadInput` where its core is not to be found.
    """

    def __init__(self, folder: Path | None, checkpoint: str | None = None, base: str | None = None):
        self.folder, self.chosen, self.own = folder or Path(base or "base"), folder, _read(folder)
        self.base = base
        self.name, self.checkpoint = self._core_and_finder(checkpoint)

    def _core_and_finder(self, checkpoint: str | None) -> tuple[str, str | None]:
        """The checkpoint of the core, and that of the finder where it is another."""
        wanted = self.own.get("core", {}).get("sha256")
        needs_core = self.mllm.base == SMALL_BASE or "tokens" in self.shown.forms
        if wanted is None or not needs_core or wanted == _core_sha256(checkpoint):
            return checkpoint or "small", None
        if name := shipped_core(str(wanted)):
            return name, checkpoint
        raise BadInput(
            f"its region vectors come from a core of its own, not from {checkpoint or 'small'!r}.",
            file=self.chosen,
            fix="--checkpoint with the folder of that core; its run has it in grounding/model",
        )

    @property
    def mllm(self) -> MllmSettings:
        """The adapter's, at another base where one was named."""
        saved = MllmSettings.model_validate(self.own.get("settings", {}))
        return saved.model_copy(update={"base": self.base} if self.base else {})

    @property
    def shown(self) -> EvidenceSettings:
        """As the adapter was trained; a base without adapter gets words alone, it knows no region vectors."""
        if "evidence" in self.own:
            return EvidenceSettings.model_validate(self.own["evidence"])
        return EvidenceSettings() if self.chosen else EvidenceSettings(forms=("text",))

    @property
    def core(self) -> Path:
        """Folder of the core."""
        return checkpoint_folder(self.name)

    @cached_property
    def grounder(self) -> MedGlipGrounder:
        """The core. Raises `BadInput` for a detector, whose regions have no vectors."""
        core = load_grounder(self.name)
        if not isinstance(core, MedGlipGrounder):
            raise BadInput(f"{self.name} is no core of ours: its regions have no vectors.", fix="--checkpoint small")
        return core

    @cached_property
    def vocabulary(self) -> dict[str, list[str]]:
        """The finder's."""
        return vocabulary_of(self.checkpoint or self.name)

    def adapter(self, source: Source) -> Path | None:
        """The one there is, for every source."""
        return self.chosen


class Embedded:
    """A finder whose regions carry the vectors of another core."""

    def __init__(self, finder: Grounder, core: MedGlipGrounder):
        self.finder, self.core = finder, core
        self.fingerprint = sha256(f"{finder.fingerprint} read by {core.fingerprint}")
        self.embedding_dim = core.embedding_dim

    def ground(self, images: Sequence[AnnotatedImage], phrases: Sequence[Sequence[str]]) -> list[list[Region]]:
        """The finder's regions."""
        return self.core.embed(images, self.finder.ground(images, phrases))


def opened(place: Path | None, checkpoint: str | None = None, base: str | None = None) -> FinishedRun:
    """What answers: a run's folder, an adapter of a run or by itself, `small`, or (None) a base without adapter.

    Raises `BadInput` for a folder that is neither, and for a base named beside a run.
    """
    if place is None:
        return LooseAdapter(None, checkpoint, base)
    place = shipped_folder("adapter", place)
    run = next((folder for folder in (place, place.parent) if (folder / "recipe.json").is_file()), None)
    if run is None:
        return LooseAdapter(place, checkpoint, base)
    if base:
        raise BadInput("a run has its own base.", file=run, fix="leave --base out")
    return FinishedRun(run, checkpoint, None if run == place else place)


def run_or_adapter(run: Path | None, adapter: Path | None, checkpoint: str | None, usual: str) -> FinishedRun:
    """A run, or an adapter by its folder or name; without either the adapter `usual` that comes with the package.

    Where this version has none, `DEFAULT_RUN`. Raises `BadInput` for both at once.
    """
    if run and adapter:
        raise BadInput("both --run and --adapter are given.", fix="leave one out")
    if not run and not adapter and is_shipped("adapter", usual):
        adapter = Path(usual)
    return opened(adapter, checkpoint) if adapter else FinishedRun(run or DEFAULT_RUN, checkpoint)


def _core_sha256(checkpoint: str | None) -> str | None:
    """That of a core's weights; None for no checkpoint, and for a detector."""
    return core_sha256(checkpoint_folder(checkpoint)) if checkpoint and not is_hub_name(checkpoint) else None


def _read(adapter: Path | None) -> dict[str, dict[str, Any]]:
    if adapter is None:
        return {}
    file = adapter / OUR_FILE
    if not file.is_file():
        raise BadInput("no run and no adapter of ours.", file=adapter, fix="a folder that `medglip run` wrote")
    return json.loads(file.read_text())


def source_named(name: str) -> Source:
    """The evidence source of a user's word. Raises `BadInput` with the nearest valid one."""
    if name not in SOURCES:
        raise BadInput(f"unknown evidence source {name!r}.", fix=nearest(name, SOURCES))
    return name
