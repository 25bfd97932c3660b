"""A finished run as a tool on images that nobody has seen: its grounder and its adapters."""

import json
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

from ..grounding.bad_input import BadInput, nearest
from ..grounding.checkpoints import load_grounder, vocabulary_of
from ..grounding.evidence import SOURCES, Evidence, Source
from ..grounding.grounder import Grounder
from ..grounding.labels import load_labels
from ..grounding.medglip_grounder import MedGlipGrounder
from ..grounding.sources import Query, RegionCaches, evidence_for
from ..grounding.types import Region, Study
from ..vqa.mllm.generate import Generated, GenerateSettings, generate
from ..vqa.mllm.model import load
from ..vqa.mllm.prompt import Example
from .recipe import Recipe


class FinishedRun:
    """The models of a run folder. With `checkpoint` regions are found by that grounder, and read by the run's core.

    Raises `BadInput` if a stage that is needed has not finished there.
    """

    def __init__(self, folder: Path, checkpoint: str | None = None):
        if not (folder / "recipe.json").exists():
            raise BadInput("no run in this folder.", file=folder, fix="`make quickstart` makes runs/quickstart")
        self.folder, self.checkpoint = folder, checkpoint
        self.recipe = Recipe.model_validate_json((folder / "recipe.json").read_text())

    @cached_property
    def grounder(self) -> MedGlipGrounder:
        """The trained grounding core."""
        return MedGlipGrounder.from_pretrained(self._need("grounding/model"))

    @cached_property
    def finder(self) -> Grounder:
        """Who looks for phrases: the checkpoint that was named, else the run's own core."""
        return load_grounder(self.checkpoint) if self.checkpoint else self.grounder

    @cached_property
    def vocabulary(self) -> dict[str, list[str]]:
        """What the finder was trained to find in each modality."""
        if self.checkpoint:
            return vocabulary_of(self.checkpoint)
        return json.loads(self._need("vocabulary.json").read_text())

    def _need(self, name: str) -> Path:
        path = self.folder / name
        if not path.exists():
            raise BadInput("the run has not come this far.", file=path, fix="finish it: `medglip run` on its recipe")
        return path

    def query(self, study: Study, question: str = "") -> Query:
        """What to look for: phrases of the question, and what is usual in this modality."""
        asked = load_labels().phrases_in(question)
        return Query(study=study, asked=asked, usual=tuple(self.vocabulary.get(study.modality, ())))

    def regions(self, study: Study, phrases: Sequence[str]) -> list[Region]:
        """Regions of the phrases, best first, with embeddings of the core that the adapters were trained with."""
        found = self.finder.ground([study], [list(phrases)])[0]
        return self.grounder.embed([study], [found])[0] if self.checkpoint else found

    def evidence(self, query: Query, source: Source) -> Evidence:
        """Evidence of one unseen image: `none` or `predicted`."""
        if source not in ("none", "predicted"):
            raise BadInput(f"evidence {source!r} needs a data set.", fix="use none or predicted on your own images")
        found = {} if source == "none" else {query.study.study_id: self.regions(query.study, query.phrases)}
        return evidence_for(source, [query], RegionCaches(predicted=found, truth={}), self.recipe.evidence)[0]

    def write(self, example: Example, source: Source, settings: GenerateSettings) -> Generated:
        """What the adapter of this evidence source says."""
        adapter = self._need("adapter-plain" if source == "none" else "adapter-grounded")
        model = load(self.recipe.mllm, self.grounder.embedding_dim, adapter, vision=self._need("grounding/model"))
        evidence = self.recipe.evidence.model_copy(update={"forms": ()} if source == "none" else {})
        return generate(model, [example], evidence, settings)[0]


def source_named(name: str) -> Source:
    """The evidence source of a user's word. Raises `BadInput` with the nearest valid one."""
    if name not in SOURCES:
        raise BadInput(f"unknown evidence source {name!r}.", fix=nearest(name, SOURCES))
    return name
