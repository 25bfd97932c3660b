"""Who answers: `TrainedSystem`, its base, its adapters, and who finds regions for it; `systems` has its kinds."""

from abc import ABC, abstractmethod
from collections.abc import Container, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, TypedDict, Unpack

from ...grounding.bad_input import BadInput
from ...grounding.evidence.evidence import Evidence, EvidenceSettings
from ...grounding.evidence.forms.tokens import TokenShape
from ...grounding.evidence.names import Form, Source, check_usable, parse_forms
from ...grounding.evidence.sources import Look, Query, look_for
from ...grounding.grounder import Grounder
from ...grounding.grounders.embedded import EmbeddedFinder
from ...grounding.grounders.medglip import MedGlipGrounder
from ...grounding.grounders.oracle import TruthGrounder
from ...grounding.records import Task
from ...grounding.types import AnnotatedImage, Region
from ...grounding.vocabulary.negation import Negation
from ...vqa.granted import query_of
from ...vqa.inference.generate import Generated, ScoredAnswer, answer, generate
from ...vqa.inference.predict import predict
from ...vqa.inference.settings import GenerateSettings
from ...vqa.model.grounded_mllm import GroundedMLLM, load
from ...vqa.model.settings import MllmSettings
from ...vqa.prompt.prompt import Example
from ...vqa.task import Job
from .given import refuse_unlearned
from .self_finder import finder_of

if TYPE_CHECKING:
    from ..recipe import Recipe

MAX_TOKENS: dict[Task, int] = {"vqa": 16, "report": 96}  # where no recipe says after how many tokens a text is cut


class How(TypedDict, total=False):
    """`is_scored`: records with the probability of their text; `done`: ids that have a record elsewhere."""

    is_scored: bool
    done: Container[str]


class TrainedSystem(ABC):
    """What answers on images that it has never seen. The core gives region vectors; the finder, where it is another
    grounder, finds the regions.
    """

    folder: Path  # of the run or of the adapter
    recipe: "Recipe | None" = None  # the recipe it was trained by; None where that is not known
    mllm: MllmSettings  # the base and its LoRA
    shown: EvidenceSettings  # what prompts with evidence show of the regions
    reads_vectors = True  # whether regions are read by the core's vectors, whoever found them
    has_known_evidence = True  # whether `shown` was written down where it was trained, not guessed
    core_name: str  # what reports call the core
    checkpoint: str | None  # the finder, where it is not the core
    _warm: tuple[Path | None, GroundedMLLM] | None = None
    allow_download = False  # whether a base that the folder names may come from a hub: it may be anybody's folder

    @property
    @abstractmethod
    def core(self) -> Path:
        """Folder of the core whose vectors the adapters know, and whose image tower the small default has."""

    @cached_property
    def grounder(self) -> MedGlipGrounder:
        """The core. Raises `BadInput` for a detector, whose regions have no vectors."""
        return MedGlipGrounder.from_pretrained(self.core)

    @cached_property
    @abstractmethod
    def vocabulary(self) -> dict[str, list[str]]:
        """What the finder was trained to find in each modality."""

    @abstractmethod
    def adapter(self, source: Source) -> Path | None:
        """The adapter that answers with this evidence source; None: the base by itself."""

    @abstractmethod
    def has_learned(self, task: Task) -> bool | None:
        """Whether it was trained for a task; None where that is not known."""

    @property
    def learned_forms(self) -> tuple[Form, ...]:
        """The forms of evidence that it can be shown: those it learned from."""
        return self.shown.forms

    def show_only(self, text: str | None) -> None:
        """Of the forms that it learned show these alone, `text+crops`; None: all of them.

        Raises `BadInput` for one that it never learned, and for an unknown one, by name.
        """
        forms, learned = parse_forms(text or ""), self.learned_forms
        if text is not None and not forms:
            raise BadInput("--forms names no form.", fix="--forms text+crops, or --evidence withheld for none at all")
        refuse_unlearned(forms, learned, self.folder)
        self.shown = self.shown.model_copy(update={"forms": forms or self.shown.forms})

    @property
    def negation(self) -> Negation:
        """Who decides what a written sentence denies."""
        return self.recipe.report.negation if self.recipe and self.recipe.report else "rules"

    def generate_settings(self, task: Task) -> GenerateSettings:
        """Decoding of a task's texts, as the recipe has it."""
        section = getattr(self.recipe, task) if self.recipe else None
        return section.generate if section else GenerateSettings(max_new_tokens=MAX_TOKENS[task])

    @cached_property
    def finder(self) -> Grounder:
        """Who looks for phrases."""
        return finder_of(self, self.checkpoint) if self.checkpoint else self.grounder

    @property
    def finder_name(self) -> str:
        """What records call the finder."""
        return self.checkpoint or self.core_name

    @property
    def reader(self) -> Grounder:
        """The finder, its regions with the core's vectors, where adapters were trained with these."""
        needs_core = self.checkpoint is not None and self.reads_vectors
        return EmbeddedFinder(self.finder, self.grounder) if needs_core else self.finder

    @property
    def truth(self) -> Grounder:
        """Who knows the true regions."""
        return TruthGrounder(self.grounder if self.reads_vectors else None)

    def query(self, image: AnnotatedImage, question: str = "", others: Sequence[AnnotatedImage] = ()) -> Query:
        """What to look for in each image: phrases of the question, and what is usual in its modality."""
        return query_of([image, *others], question, self.vocabulary)

    def regions(self, image: AnnotatedImage, phrases: Sequence[str]) -> list[Region]:
        """Regions of the phrases, best first, as `reader` gives them."""
        return self.reader.ground([image], [list(phrases)])[0]

    def look(self, query: Query, source: Source) -> Look:
        """What gives the evidence of unseen images. Raises `BadInput` for a control that needs a data set."""
        check_usable(source)
        return look_for(source, query, self.regions)

    def evidence(self, query: Query, source: Source) -> Evidence:
        """Evidence of unseen images, as prompts show it; raises as `look` does."""
        return self.look(query, source)(self.shown)

    def evidence_settings(self, source: Source) -> EvidenceSettings:
        """What prompts show of the evidence of this source."""
        return self.shown.model_copy(update={"forms": ()}) if source == "none" else self.shown

    def model(self, source: Source, **settings: object) -> GroundedMLLM:
        """The base with the adapter of a source; `settings` replace those of `mllm`."""
        chosen = self.mllm.model_copy(update=settings)
        shape, adapter = TokenShape.of(self.grounder), self.adapter(source)
        return load(chosen, shape, adapter, vision=self.core, allow_download=self.allow_download)

    def warm_model(self, source: Source) -> GroundedMLLM:
        """As `model`, kept for the next question with the same adapter."""
        adapter = self.adapter(source)
        if self._warm is None or self._warm[0] != adapter:
            self._warm = None  # the one before, whose memory the next may need
            self._warm = adapter, self.model(source)
        return self._warm[1]

    @property
    def model_name(self) -> str:
        """What reports and pages call the model."""
        return self.mllm.base

    def write(self, example: Example, source: Source, settings: GenerateSettings) -> Generated:
        """The text that the adapter of this evidence source writes."""
        return generate(self.warm_model(source), [example], self.evidence_settings(source), settings)[0]

    def answer(self, question: str, example: Example, source: Source, *, is_closed: bool) -> ScoredAnswer:
        """The answer to a question of its own, with its probability."""
        model, settings = self.warm_model(source), self.evidence_settings(source)
        return answer(model, example, settings, GenerateSettings(max_new_tokens=16), is_closed=is_closed)

    def predict(
        self, jobs: Sequence[Job], source: Source, settings: GenerateSettings, path: Path, **how: Unpack[How]
    ) -> None:
        """Write one record a job to `path`, as `how` says; called again, it continues."""
        predict(self.warm_model(source), jobs, self.evidence_settings(source), settings, path, **how)
