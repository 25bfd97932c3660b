"""A run is one YAML file: `Recipe`, typed, each room with a section of its own. Contradictions are refused.

What a data set may say comes from the table of its room, so a new set needs no line here.
"""

from collections.abc import Mapping
from functools import reduce
from operator import or_
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeAlias

from pydantic import Field, ValidationInfo, create_model, model_validator

from ..eval.settings import EvalSettings
from ..grounding.bad_input import damaged, repeated
from ..grounding.datasets.task_sets import TaskSet
from ..grounding.evidence.evidence import EvidenceSettings
from ..grounding.evidence.names import SOURCES, Source
from ..grounding.files import read_object
from ..grounding.settings import Settings
from ..grounding.training.recipe import CoreRecipe
from ..grounding.training.settings import TrainSettings
from ..grounding.vocabulary.negation import Negation
from ..report.datasets.sets import REPORT_SETS
from ..vqa.datasets.sets import QUESTION_SETS
from ..vqa.inference.settings import GenerateSettings
from ..vqa.model.settings import MllmSettings
from ..vqa.probes import Probe
from ..vqa.training.settings import MllmTrainSettings
from .upgrade import upgrade_recipe

Table = Mapping[str, TaskSet]


class DataEntry(Settings):
    """One data set of a task: its name, and the keys that it has, those of its own settings class."""

    set: str
    """Name of the set."""

    def settings(self, table: Table) -> Settings:
        """The settings of the set's own class."""
        return table[self.set].settings().model_validate(self.model_dump(exclude={"set"}))


if TYPE_CHECKING:
    QuestionData: TypeAlias = DataEntry
    ReportData: TypeAlias = DataEntry
    TextData: TypeAlias = DataEntry
else:

    def _entries(table: Table) -> Any:
        """Any one of the sets of a table, told by the key `set`."""
        kinds = []
        # a class a set: its own settings with the key `set`, whose only value is its name; by it pydantic picks one
        for name, entry in table.items():
            kind = entry.settings()
            tag: Any = (Literal[name], Field(description="Name of the set."))
            own = create_model(f"{kind.__name__}Entry", __base__=(kind, DataEntry), set=tag)
            own.__doc__ = kind.__doc__
            kinds.append(own)
        return Annotated[reduce(or_, kinds), Field(discriminator="set")]

    QuestionData, ReportData = _entries(QUESTION_SETS), _entries(REPORT_SETS)
    TextData = _entries({name: entry for name, entry in REPORT_SETS.items() if entry.has_rows})


class TaskSection(Settings):
    """What every downstream task says."""

    data: tuple[DataEntry, ...] = Field(min_length=1)
    """The data sets."""
    max_test: int | None = None
    """Score at most so many samples of each set, drawn with the recipe's seed; all of them when left out."""
    generate: GenerateSettings = GenerateSettings()
    """Decoding."""

    @property
    def sets(self) -> tuple[str, ...]:
        """Names of the data sets."""
        return tuple(entry.set for entry in self.data)


class VqaSection(TaskSection):
    """Questions: their data and how many are scored."""

    data: tuple[QuestionData, ...] = Field(min_length=1)
    """Question sets, each with its own keys: `[{set: vqa_rad, path: ...}, {set: phantom}]`."""
    candidates: bool = False
    """Answers are chosen, not written: of those of the training questions the likeliest one, found by `num_beams` of
    `generate`, as ALBEF and BLIP answer (Li et al. 2021, arXiv 2107.07651; 2022, arXiv 2201.12086)."""


class ReportSection(TaskSection):
    """Reports: their data and how many are scored."""

    data: tuple[ReportData, ...] = Field(min_length=1, max_length=1)
    """One report set with its own keys: `[{set: mimic_cxr, path: ...}]`."""
    negation: Negation = "rules"
    """Who decides what a written sentence denies, which then gets no region: rules (ours), negspacy (needs
    `medglip[negation]`), or off: nobody, every sentence is grounded as affirmed. Truth is read by the rules."""


class Mix(Settings):
    """Shares of the examples that are drawn in training, any numbers, of what there is; within a kind all are alike."""

    vqa: float = Field(default=1.0, ge=0)
    """Questions."""
    report: float = Field(default=1.0, ge=0)
    """Reports as they are."""
    cited: float = Field(default=1.0, ge=0)
    """Reports whose sentences cite the regions shown, with `evidence.cite`; a part of `report` for an adapter
    without evidence, which cites nothing."""


class SectionWeights(Settings):
    """What a section weighs in the loss of a report that has both, however long each is; any numbers."""

    findings: float = Field(default=1.0, ge=0)
    """The findings."""
    impression: float = Field(default=1.0, ge=0)
    """The impression, of far fewer words: weighed by words it hardly counts."""

    @model_validator(mode="after")
    def _something_weighs(self) -> "SectionWeights":
        if not self.findings + self.impression:
            raise ValueError("key 'impression': findings and impression weigh 0, nothing would be learned")
        return self


class AdapterTraining(TrainSettings):
    """Steps, batches and rates of one training of the language model."""

    group_by_length: bool = False
    """Batches of examples of like length, showing the same forms: less padding, other batches than without."""
    by_image: bool = False
    """Questions about one image stand in one batch and share its tokens, and those of evidence that they have in
    common: less computing for as many draws, which are more alike within a batch. For the small default alone."""
    gradient_checkpointing: bool = False
    """Compute activations again in the backward pass: the same gradients with less memory, a third more time."""

    @property
    def settings(self) -> MllmTrainSettings:
        """As the training takes them."""
        # the recipe has the rates beside the switches, the training below `train`
        values = self.model_dump(include={"group_by_length", "by_image", "gradient_checkpointing"})
        rates = self.model_dump(include=set(TrainSettings.model_fields))
        return MllmTrainSettings.model_validate({"train": rates, **values})


class WarmUp(AdapterTraining):
    """Reports without images that the language side reads before the adapters are trained; LoRA of it alone learns."""

    data: TextData
    """Which set, such as `{set: mimic_cxr, path: ...}`; of its split `train`, less texts that equal a scored report
    word for word."""
    steps: int = 200
    """Optimizer steps."""
    learning_rate: float = 5e-4
    """Peak of the cosine schedule."""
    warmup_steps: int = 10
    """Steps of linear warm-up."""
    clip_norm: float = 1.0
    """Gradient norm above which gradients are scaled down."""
    group_by_length: bool = True
    """Batches of examples of like length, showing the same forms: less padding, other batches than without."""


class TuneSettings(AdapterTraining):
    """How both adapters are trained: same budget, same start."""

    steps: int = 80
    """Optimizer steps. May be raised when the run is finished, as may `grounding.train.steps`: the training goes on
    from its last checkpoint, at the rate that the schedule of the new number has there (it rises again); predictions
    and scores are made anew. With more steps of the core both adapters begin anew, on its new regions."""
    warmup_steps: int = 8
    """Steps of linear warm-up."""
    clip_norm: float = 1.0
    """Gradient norm above which gradients are scaled down."""
    validate_by: Literal["loss", "metric", "label_f1"] = "loss"
    """What chooses the checkpoint, with `validate_every`: `loss`, that of the answers of split val; or `metric`, which
    answers a part of it: the accuracy of questions, the label F1 of reports, with both their mean; or `label_f1`, that
    of reports alone. Each value is in `log.jsonl` of the training."""
    validate_items: int = Field(default=100, gt=0)
    """`metric` and `label_f1` answer at most so many questions and so many reports, drawn with the recipe's seed."""
    mix: Mix | None = None
    """Shares of questions, reports and cited reports in what is drawn; left out: every one of them once an epoch."""
    sections: SectionWeights | None = None
    """Weights of findings and impression in a report with both (`target: both`); left out: all words weigh the same."""
    warm_up: WarmUp | None = None
    """First LoRA reads the findings and writes the impression of reports without images (else writes what there is
    from what is known of the study), once a run and seed, kept in `out_dir/warm-up`; both adapters go on from there,
    with their whole budget. Needs a base that takes prompts without an image. Left out: no warm-up."""


class Recipe(CoreRecipe):
    """All stages: image -> regions -> evidence -> LoRA-tuned MLLM -> answer and report -> scores."""

    evidence: EvidenceSettings = EvidenceSettings()
    """Stage 2: what the language model is given of them."""
    sources: tuple[Source, ...] = ("none", "predicted", "shuffled")
    """Evidence sources to predict with; `none` comes from the adapter trained without evidence, `withheld` from the
    other one, which is then shown none either."""
    probes: tuple[Probe, ...] = ()
    """With the sources `none` and `predicted` also ask with changed images: `blank`, `blank_kept` (grey, its
    evidence stays), `shuffled` (another image's), `text_only`, `flipped`; and `absent`, pairs of a label that is there
    and one that is not. `corrupt`: as bad devices make them, in five severities; reports and regions, too.
    `rephrased`: in other words. They go to `probes/`."""
    mllm: MllmSettings = MllmSettings()
    """Stage 3: base model and LoRA."""
    mllm_train: TuneSettings = TuneSettings()
    """Stage 3: training; both adapters get the same budget and seed."""
    vqa: VqaSection | None = None
    """Stage 4: questions."""
    report: ReportSection | None = None
    """Stage 4: reports."""
    eval: EvalSettings = EvalSettings()
    """Stage 5: scores and intervals."""

    @property
    def validation_split(self) -> str:
        """Split that chooses the adapters' checkpoints; "" for none: what is scored chooses nothing."""
        return "val" if self.mllm_train.validate_every and self.eval_split == "test" else ""

    @model_validator(mode="before")
    @classmethod
    def _old_spelling(cls, values: Any, info: ValidationInfo) -> Any:
        # what a run of version 0.1 wrote is always read; what a user writes is read where it does something
        is_run = bool(info.context and info.context.get("is_run"))
        return upgrade_recipe(values, is_run=is_run) if isinstance(values, dict) else values

    @model_validator(mode="after")
    def _no_contradictions(self) -> "Recipe":
        if self.mllm_train.validate_every and self.eval_split == "val":
            raise ValueError("key 'mllm_train.validate_every': split val is scored, so it cannot choose weights")
        by = self.mllm_train.validate_by
        if by != "loss" and not self.mllm_train.validate_every:
            raise ValueError(f"key 'mllm_train.validate_by': {by!r} needs validate_every, steps between validations")
        if by == "label_f1" and not self.report:
            raise ValueError("key 'mllm_train.validate_by': label_f1 needs the section 'report'")
        # one set with regions is enough: the others have no pairs, and say so in the counts
        if self.vqa and "absent" in self.probes and not any(QUESTION_SETS[name].has_regions for name in self.vqa.sets):
            names = ", ".join(self.vqa.sets)
            raise ValueError(f"key 'probes': 'absent' needs images whose labels are known, and {names} has none")
        if set(self.probes) - {"corrupt"} and self.vqa is None:
            raise ValueError("key 'probes': they ask questions, so the section 'vqa' is needed")
        if not self.evidence.forms and set(self.sources) - {"none"}:
            raise ValueError("key 'evidence.forms': empty, yet 'sources' asks for evidence")
        return self

    @model_validator(mode="after")
    def _sets_have_what_they_need(self) -> "Recipe":
        named = (*self.sources, self.evidence.train_source)
        oracle = next((source for source in named if SOURCES[source].needs_truth), None)
        tasks: tuple[tuple[str, TaskSection | None, Table], ...]
        tasks = ("vqa", self.vqa, QUESTION_SETS), ("report", self.report, REPORT_SETS)
        for name, sets, table in ((name, section.sets, table) for name, section, table in tasks if section):
            if twice := repeated(sets):
                raise ValueError(f"key '{name}.data': the set {twice[0]!r} is there twice")
            needs = {table[one].needs for one in sets}
            if "phantoms" in needs and self.phantoms is None:
                raise ValueError("key 'phantoms': some data are 'phantom', so this section is needed")
            if "region_sets" in needs and not self.grounding.data:
                raise ValueError("key 'grounding.data': 'derived' questions and reports need region sets")
            if oracle and not any(table[one].has_regions for one in sets):
                raise ValueError(f"key 'sources': {oracle!r} needs true regions, and {', '.join(sets)} has none")
        if self.report and oracle:
            # a set some of whose images have regions: a key of its own leaves the others out
            key = REPORT_SETS[self.report.sets[0]].regions_key
            if key and not getattr(self.report.data[0], key):
                raise ValueError(f"key 'report.data.{key}': {oracle!r} needs true regions, not every image has them")
        return self


def read_run_recipe(file: Path) -> Recipe:
    """The recipe that a run wrote beside its output, by this version or by version 0.1. Raises `BadInput`."""
    with damaged(file, "copy the run's folder again"):
        return Recipe.model_validate(read_object(file), context={"is_run": True})
