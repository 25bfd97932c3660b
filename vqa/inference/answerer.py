"""Questions from Python: an adapter with its base and its core, loaded once and asked as often as one likes."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from ...grounding.bad_input import BadInput, damaged
from ...grounding.evidence.evidence import Evidence, EvidenceSettings
from ...grounding.evidence.forms.tokens import TokenShape
from ...grounding.evidence.sources import look_for
from ...grounding.files import read_object
from ...grounding.grounders.medglip import MedGlipGrounder
from ...grounding.grounders.pretrained import checkpoint_folder, vocabulary_of
from ...grounding.types import AnnotatedImage, Region
from ...grounding.vocabulary.places import Frame, name_sides
from ..answer import asks_yes_or_no
from ..granted import query_of
from ..model.grounded_mllm import OUR_FILE, load
from ..model.identity import core_sha256
from ..model.settings import MllmSettings
from ..model.shipped import FACTS, shipped_folder
from ..publish.adapter_card import read_facts, taught_frame
from ..task import example_of
from .by_regions import answer_by_regions
from .confidence import read_confidence
from .generate import ScoredAnswer, answer
from .settings import GenerateSettings


class Answerer:
    """An adapter that learned with evidence, its base, and the core whose region vectors it knows."""

    def __init__(self, adapter: str | Path = "small", core: str | Path = "small"):
        folder, core_dir = shipped_folder("adapter", adapter), checkpoint_folder(core)
        file = folder / OUR_FILE
        if not file.is_file():
            raise BadInput("no adapter of ours.", file=folder, fix="a run has one in adapter-grounded")
        own = read_object(file)
        with damaged(file):
            settings = MllmSettings.model_validate(own["settings"])
            self.shown = EvidenceSettings.model_validate(own["evidence"])
            wanted = own.get("core", {}).get("sha256")
        if wanted and wanted != core_sha256(core_dir):
            problem = f"its region vectors come from a core of its own, not from {str(core)!r}."
            raise BadInput(problem, file=folder, fix="give that core; its run has it in grounding/model")
        self.confidence = read_confidence(folder)
        facts = folder / FACTS
        self.frame: Frame = taught_frame(read_facts(facts) if facts.is_file() else (), "vqa")
        self.grounder = MedGlipGrounder.from_pretrained(core_dir)
        self.vocabulary = vocabulary_of(str(core))
        shape = TokenShape.of(self.grounder)
        self.model = load(settings, shape, folder, vision=core_dir, allow_download=False)

    def ask(self, image: AnnotatedImage, question: str, *, with_evidence: bool = True) -> ScoredAnswer:
        """The answer, its probability per token, and the evidence that it was shown. Left and right name their frame.

        Looked for are the phrases of the question, and what is usual in the image's modality. Where regions decide
        better than the adapter, the rules answer, without a probability (`by_rules` says why). Without evidence nothing
        is looked for, and the adapter answers from the picture alone. Raises `BadInput` for an unreadable image.
        """
        query = query_of([image], question, self.vocabulary)
        look = look_for("predicted", query, self._find) if with_evidence else None
        if look:
            answered = answer_by_regions(question, query, look, self.confidence, self.vocabulary, image.modality)
            if answered:
                return answered
        example = example_of(question, query, look(self.shown) if look else Evidence(source="withheld"))
        settings, is_closed = GenerateSettings(max_new_tokens=16), asks_yes_or_no(question)
        answered = answer(self.model, example, self.shown, settings, is_closed=is_closed)
        return replace(answered, text=name_sides(answered.text, self.frame))

    def _find(self, image: AnnotatedImage, phrases: Sequence[str]) -> list[Region]:
        return self.grounder.ground([image], [phrases])[0] if phrases else []


def load_answerer(adapter: str | Path = "small", core: str | Path = "small") -> Answerer:
    """Load an adapter with its base and its core, onto a GPU where there is one.

    `adapter`: a name that comes with the package or a folder; `core`: likewise, the one it was trained with.
    Raises `BadInput` where the folder is no adapter of ours, and for another core than its own.
    """
    return Answerer(adapter, core)
