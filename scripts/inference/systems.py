"""The systems there are, a run, an adapter by itself and the rules, and which of them a place or a name means."""

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Unpack

from ...grounding.bad_input import BadInput, check_name, damaged
from ...grounding.evidence.evidence import EvidenceSettings, select
from ...grounding.evidence.names import FORMS, Form, Source, needs_vectors
from ...grounding.files import read_object
from ...grounding.grounder import Grounder
from ...grounding.grounders.medglip import MedGlipGrounder
from ...grounding.grounders.pretrained import (
    checkpoint_folder,
    has_no_weights,
    is_hub_name,
    load_grounder,
    read_vocabulary,
    vocabulary_of,
)
from ...grounding.grounders.pretrained import is_shipped as is_core
from ...grounding.records import Task
from ...grounding.run_folder import RunFolder
from ...vqa.inference.generate import ScoredAnswer
from ...vqa.inference.rules import NAME as RULES
from ...vqa.inference.rules import RULES_EVIDENCE, answer_by_rules, predict_by_rules
from ...vqa.inference.settings import GenerateSettings
from ...vqa.model.grounded_mllm import OUR_FILE
from ...vqa.model.identity import core_sha256, shipped_core
from ...vqa.model.settings import MllmSettings
from ...vqa.model.shipped import FACTS, is_shipped, shipped_folder
from ...vqa.prompt.prompt import Example
from ...vqa.publish.adapter_card import read_facts
from ...vqa.task import Job
from .system import How, TrainedSystem

if TYPE_CHECKING:
    from ..recipe import Recipe

DEFAULT_RUN = Path("runs/quickstart")
SMALL_BASE = "smollm2-135m"  # the base that looks through a core's image tower


class RunSystem(TrainedSystem):
    """The models of a run folder. With `checkpoint` regions are found by that grounder, and read by the run's core.

    `adapter`: one of the run's, for every evidence source; left out, that of the source. Raises `BadInput` if a stage
    that is needed has not finished there.
    """

    recipe: "Recipe"  # a run has one, and it is not set anew  # pyright: ignore[reportIncompatibleVariableOverride]

    def __init__(self, folder: Path, checkpoint: str | None = None, adapter: Path | None = None):
        from ..recipe import read_run_recipe  # every data set's settings: a second that an adapter by itself saves

        self.run = RunFolder(folder)
        if not self.run.is_run:
            raise BadInput("no run in this folder.", file=folder, fix="`make quickstart` makes runs/quickstart")
        self.folder, self.chosen = folder, adapter
        self.recipe = read_run_recipe(self.run.recipe_file)  # pyright: ignore[reportIncompatibleVariableOverride]
        self.mllm, self.shown = self.recipe.mllm, self.recipe.evidence
        self.checkpoint = _remembered(checkpoint, self.shown.grounder, folder)
        self.core_name = f"{folder.name}/grounding"

    @property
    def core(self) -> Path:
        """The run's own; a cell of an ablation has none, and one that took a trained core as it is uses that."""
        taken = self.recipe.grounding.core
        if taken and not self.run.core_dir.exists():
            return checkpoint_folder(taken)
        return self.run.need(self.run.core_dir)

    @cached_property
    def vocabulary(self) -> dict[str, list[str]]:
        """The finder's: the checkpoint's, the run's, or that of the core it took."""
        taken = self.checkpoint or ("" if self.run.vocabulary_file.exists() else self.recipe.grounding.core)
        return vocabulary_of(taken) if taken else read_vocabulary(self.run.need(self.run.vocabulary_file))

    def adapter(self, source: Source) -> Path | None:
        """The one that was named, else the one trained for the source; `none` is answered by the plain one alone."""
        grounded, plain = self.run.adapter_dir("grounded"), self.run.adapter_dir("plain")
        # whatever evidence it is shown, or where that is withheld, the adapter is the one that learned with evidence
        own = plain if source == "none" else grounded
        return self.run.need(own) if self.chosen in (None, grounded) else self.chosen

    @property
    def learned_forms(self) -> tuple[Form, ...]:
        """Those of its recipe; none for the plain adapter."""
        return () if self.chosen == self.run.adapter_dir("plain") else self.recipe.evidence.forms

    def has_learned(self, task: Task) -> bool:
        """Whether the recipe has its section."""
        return getattr(self.recipe, task) is not None


class AdapterSystem(TrainedSystem):
    """An adapter without its run, or a base without one; region vectors come from the core the adapter belongs to.

    `folder`: of the adapter; None: none. `checkpoint`: that core, or, where it comes with the package, who finds the
    regions. An adapter that does not say which core it belongs to takes the checkpoint's vectors; `small` when left
    out. `base` overrides the adapter's own. Raises `BadInput` where its core is not to be found.
    """

    def __init__(self, folder: Path | None, checkpoint: str | None = None, base: str | None = None):
        self.folder, self.chosen = folder or Path(base or "base"), folder
        own: dict[str, Any] = {}
        if folder is not None:
            file = folder / OUR_FILE
            if not file.is_file():
                raise BadInput("no run and no adapter of ours.", file=folder, fix="a folder that `medglip run` wrote")
            own = read_object(file)
        with damaged(self.folder / OUR_FILE):
            self._read(own, base)
            wanted = own.get("core", {}).get("sha256")
        checkpoint = _remembered(checkpoint, self.shown.grounder, self.folder)
        self.core_name, self.checkpoint = self._core_and_finder(wanted, checkpoint)

    def _read(self, own: dict[str, Any], base: str | None) -> None:
        """What the adapter's own file says of base and evidence."""
        saved = MllmSettings.model_validate(own.get("settings", {}))
        self.mllm = saved.model_copy(update={"base": base} if base else {})
        self.allow_download = base is not None  # by the user, who named it
        self.has_known_evidence = "evidence" in own  # older adapters do not say it
        if self.has_known_evidence:
            self.shown = EvidenceSettings.model_validate(own["evidence"])
        else:  # a base without adapter gets words alone, it knows no region vectors
            self.shown = EvidenceSettings() if self.chosen else EvidenceSettings(forms=("text",))
        self.own_forms = self.shown.forms  # what is shown may be less

    def _core_and_finder(self, wanted: str | None, checkpoint: str | None) -> tuple[str, str | None]:
        """Of the core with the weights `wanted` and of the finder: name or folder; None: the core finds.

        core of the adapter   checkpoint     -> core             finder
        says none             or needs none  -> checkpoint       the core
        the checkpoint        the same       -> checkpoint       the core
        a shipped one         another        -> the shipped one  checkpoint
        its run's             another        -> refused
        any, or none          without weights -> its own, small  checkpoint
        """
        needs_core = self.mllm.base == SMALL_BASE or needs_vectors(self.shown.forms)
        if checkpoint and has_no_weights(checkpoint) and (wanted is None or not needs_core):
            return "small", checkpoint
        # a detector of a hub has no weights of ours, and no region vectors
        is_folder = checkpoint and not is_hub_name(checkpoint) and not has_no_weights(checkpoint)
        given = core_sha256(checkpoint_folder(checkpoint)) if checkpoint and is_folder else None
        if wanted is None or not needs_core or wanted == given:
            return checkpoint or "small", None
        if name := shipped_core(wanted):
            return name, checkpoint
        raise BadInput(
            f"its region vectors come from a core of its own, not from {checkpoint or 'small'!r}.",
            file=self.chosen,
            fix="--checkpoint with the folder of that core; its run has it in grounding/model",
        )

    @property
    def core(self) -> Path:
        """A shipped core, or the checkpoint."""
        return checkpoint_folder(self.core_name)

    @cached_property
    def grounder(self) -> MedGlipGrounder:
        """The core, loaded."""
        core = load_grounder(self.core_name)
        if not isinstance(core, MedGlipGrounder):
            problem = f"{self.core_name} is no core of ours: its regions have no vectors."
            raise BadInput(problem, fix="--checkpoint small")
        return core

    @cached_property
    def vocabulary(self) -> dict[str, list[str]]:
        """The finder's."""
        return vocabulary_of(self.checkpoint or self.core_name)

    def adapter(self, source: Source) -> Path | None:
        """The one there is; for `none` the plain one beside it, `NAME-plain`, where this one learned with evidence.

        Raises `BadInput` where that is not there: without its evidence this one answers as `withheld`.
        """
        learned = self.has_known_evidence and bool(self.learned_forms)
        if source != "none" or self.chosen is None or not learned:
            return self.chosen
        plain = self.chosen.with_name(f"{self.chosen.name.removesuffix('-grounded')}-plain")
        if not (plain / OUR_FILE).is_file():
            problem = f"{self.chosen.name!r} learned with evidence, and no adapter {plain.name!r} lies beside it."
            raise BadInput(problem, file=self.chosen, fix="--evidence withheld: this adapter, shown no evidence")
        return plain

    @property
    def learned_forms(self) -> tuple[Form, ...]:
        """Those of the adapter; without one all that need no vectors: a base reads words and images as they are."""
        return self.own_forms if self.chosen else tuple(form for form in FORMS if not needs_vectors([form]))

    def has_learned(self, task: Task) -> bool | None:
        """By the facts beside the adapter."""
        # "questions of VQA-RAD", "reports derived from regions"
        file, word = self.folder / FACTS, {"vqa": "question"}.get(task, task)
        return any(word in facts.what for facts in read_facts(file)) if file.is_file() else None


class RulesSystem(AdapterSystem):
    """The model `rules`: the regions alone answer, whatever grounder finds them; no language model is loaded."""

    reads_vectors = False

    def __init__(self, checkpoint: str | None = None):
        super().__init__(None, checkpoint)
        self.folder, self.shown = Path(RULES), RULES_EVIDENCE

    @cached_property
    def finder(self) -> Grounder:
        """The core or the detector; the regions need no vectors."""
        return load_grounder(self.checkpoint or self.core_name)

    @property
    def learned_forms(self) -> tuple[Form, ...]:
        """Templates read words."""
        return RULES_EVIDENCE.forms

    def has_learned(self, task: Task) -> bool:
        """Questions are what the templates know."""
        return task == "vqa"

    def answer(self, question: str, example: Example, source: Source, *, is_closed: bool) -> ScoredAnswer:
        """What the regions decide, without a probability."""
        shown = select(example.evidence, self.shown)
        text = answer_by_rules(question, shown, self.vocabulary)
        return ScoredAnswer(text=text, probability=None, evidence=shown)

    @property
    def model_name(self) -> str:
        """No language model is asked."""
        return RULES

    def predict(
        self, jobs: Sequence[Job], source: Source, settings: GenerateSettings, path: Path, **how: Unpack[How]
    ) -> None:
        """Write one record a job to `path`, none with a probability; called again, it continues."""
        predict_by_rules([job for job in jobs if job.id not in how.get("done", ())], path, self.vocabulary)


MODELS: dict[str, type[RulesSystem]] = {RULES: RulesSystem}
"""What `--model` names: whatever answers without an adapter."""


def load_system(
    place: Path | None, checkpoint: str | None = None, base: str | None = None, model: str | None = None
) -> TrainedSystem:
    """What answers: a run's folder, an adapter of a run or by itself, `small`, or (None) a base without adapter.

    `model`: one of `MODELS` instead. Raises `BadInput` for a folder that is neither, for a base named beside a run, and
    for a model named beside any of these.
    """
    if model is not None:
        system = MODELS[check_name(model, MODELS, "model")]
        if place or base:
            raise BadInput(f"--model {model} answers by itself.", fix="leave --run, --adapter and --base out")
        return system(checkpoint)
    if place is None:
        return AdapterSystem(None, checkpoint, base)
    place = shipped_folder("adapter", place)
    # runs/x -> run; runs/x/adapter-plain -> that run with this adapter; anywhere else -> an adapter by itself
    run = next((folder for folder in (place, place.parent) if RunFolder(folder).is_run), None)
    if run is None:
        return AdapterSystem(place, checkpoint, base)
    if base:
        raise BadInput("a run has its own base.", file=run, fix="leave --base out")
    return RunSystem(run, checkpoint, None if run == place else place)


def run_or_adapter(
    run: Path | None, adapter: Path | None, checkpoint: str | None, usual: str, model: str | None = None
) -> TrainedSystem:
    """A run, or an adapter by its folder or name; without either the adapter `usual` that comes with the package.

    `model`: one of `MODELS` instead. Where this version has none, `DEFAULT_RUN`. Raises `BadInput` for both at once.
    """
    if run and adapter:
        raise BadInput("both --run and --adapter are given.", fix="leave one out")
    if model is not None:
        return load_system(run or adapter, checkpoint, model=model)
    if not run and not adapter and is_shipped("adapter", usual):
        adapter = Path(usual)
    return load_system(adapter, checkpoint) if adapter else RunSystem(run or DEFAULT_RUN, checkpoint)


def _remembered(asked: str | None, learned: str | None, adapter: Path) -> str | None:
    """The grounder that was asked for, else the one whose regions the adapter learned with; None: its core.

    Raises `BadInput` where that one is no longer there.
    """
    if asked or not learned:
        return asked
    if is_core(learned) or has_no_weights(learned) or is_hub_name(learned) or Path(learned).is_dir():
        return learned
    problem = f"it learned with the regions of {learned!r}, which is not here."
    raise BadInput(problem, file=adapter, fix="--grounder with where it is now, or another one, such as small")
