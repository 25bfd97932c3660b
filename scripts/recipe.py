"""A run is one YAML file: `Recipe`, typed, each room with a section of its own. Contradictions are refused."""

from typing import Literal

from pydantic import Field, model_validator

from ..eval.settings import EvalSettings
from ..grounding.evidence.evidence import EvidenceSettings
from ..grounding.evidence.names import SOURCES, Source
from ..grounding.recipe import CoreRecipe
from ..grounding.settings import Settings
from ..grounding.training.settings import TrainSettings
from ..grounding.vocabulary.negation import Negation
from ..report.datasets.covid_notes import CovidNotesSettings
from ..report.datasets.generic import GenericSettings
from ..report.datasets.iu_xray import IuXraySettings
from ..report.datasets.mimic_cxr import MimicCxrSettings
from ..report.datasets.sets import REPORT_SETS as REPORT_TABLE
from ..vqa.datasets.derived import DerivedQuestionSettings
from ..vqa.datasets.vqa_rad import VqaRadSettings
from ..vqa.inference.settings import GenerateSettings
from ..vqa.model.settings import MllmSettings
from ..vqa.probes import Probe
from ..vqa.training.settings import MllmTrainSettings

QUESTION_SETS = ("phantom", "vqa_rad", "derived")
REPORT_SETS = tuple(REPORT_TABLE)
READERS = tuple(name for name, entry in REPORT_TABLE.items() if entry.has_rows)
TaskData = Literal["phantom", "vqa_rad", "derived", "covid_notes", "mimic_cxr", "iu_xray", "generic"]


class TaskSection(Settings):
    """One downstream task: its data and how much of it is scored."""

    data: TaskData | tuple[TaskData, ...]
    """phantom, derived from the region sets in `grounding.data`, vqa_rad (questions); phantom, derived likewise,
    covid_notes, mimic_cxr, iu_xray, or generic: a table of your own (reports). Several sets of questions make a list.
    """
    derived: DerivedQuestionSettings = DerivedQuestionSettings()
    """Used when data is derived; of questions captions are left out, of reports `splits`, `limit` and `seed` count."""
    vqa_rad: VqaRadSettings = VqaRadSettings()
    """Used when data is vqa_rad."""
    covid_notes: CovidNotesSettings = CovidNotesSettings()
    """Used when data is covid_notes."""
    mimic_cxr: MimicCxrSettings = MimicCxrSettings()
    """Used when data is mimic_cxr."""
    iu_xray: IuXraySettings = IuXraySettings()
    """Used when data is iu_xray."""
    generic: GenericSettings = GenericSettings()
    """Used when data is generic."""
    max_test: int | None = None
    """Score at most so many samples of each set, drawn with the recipe's seed; all of them when left out."""
    generate: GenerateSettings = GenerateSettings()
    """Decoding."""
    negation: Negation = "rules"
    """Of reports: who tells what a written sentence denies, which then gets no region: rules (ours), negspacy (needs
    `medglip[negation]`), or off: nobody, every sentence is grounded as affirmed. Truth is read by the rules."""

    @property
    def sets(self) -> tuple[TaskData, ...]:
        """The sets, one or several."""
        return (self.data,) if isinstance(self.data, str) else self.data

    @property
    def has_truth(self) -> bool:
        """Whether every report's image has true regions."""
        return not set(self.sets) & set(READERS) and (self.covid_notes.boxes_only or "covid_notes" not in self.sets)


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


class WarmUp(Settings):
    """Reports without pictures that the language side reads before the adapters are trained."""

    data: Literal["mimic_cxr", "iu_xray", "generic"]
    """Which set; of its part `train`, less texts that equal a scored report word for word."""
    mimic_cxr: MimicCxrSettings = MimicCxrSettings()
    """Used when data is mimic_cxr."""
    iu_xray: IuXraySettings = IuXraySettings()
    """Used when data is iu_xray."""
    generic: GenericSettings = GenericSettings()
    """Used when data is generic."""
    train: MllmTrainSettings = MllmTrainSettings(
        train=TrainSettings(steps=200, batch_size=8, learning_rate=5e-4, warmup_steps=10, clip_norm=1.0),
        group_by_length=True,
    )
    """Steps, batches and rates; LoRA of the language side alone is trained."""


class TuneSettings(MllmTrainSettings):
    """How both adapters are tuned: same budget, same start."""

    mix: Mix | None = None
    """Shares of questions, reports and cited reports in what is drawn; left out: every one of them once an epoch."""
    sections: SectionWeights | None = None
    """Weights of findings and impression in a report with both (`target: both`); left out: all words weigh the same."""
    warm_up: WarmUp | None = None
    """First LoRA reads the findings and writes the impression of reports without pictures (else writes what there is
    from what is known of the study), once a run and seed, kept in `out_dir/warm-up`; both adapters go on from there,
    with their whole budget. Needs a base that takes prompts without a picture. Left out: no warm-up."""


class Recipe(CoreRecipe):
    """The whole line: image -> regions -> evidence -> LoRA-tuned MLLM -> answer and report -> scores."""

    evidence: EvidenceSettings = EvidenceSettings()
    """Stage 2: what the language model is given of them."""
    sources: tuple[Source, ...] = ("none", "predicted")
    """Evidence sources to predict with; `none` comes from the adapter trained without evidence."""
    probes: tuple[Probe, ...] = ()
    """With the sources `none` and `predicted` also ask with changed pictures: `blank`, `shuffled` (another image's),
    `text_only`, `flipped`; and `absent`, pairs of a label that is there and one that is not. They go to `probes/`."""
    mllm: MllmSettings = MllmSettings()
    """Stage 3: base model and LoRA."""
    mllm_train: TuneSettings = TuneSettings()
    """Stage 3: training; both adapters get the same budget and seed."""
    vqa: TaskSection | None = None
    """Stage 4: questions."""
    report: TaskSection | None = None
    """Stage 4: reports."""
    eval: EvalSettings = EvalSettings()
    """Stage 5: scores and intervals."""

    @property
    def validation_split(self) -> str:
        """Split whose loss chooses the adapters' checkpoints; "" for none: what is scored chooses nothing."""
        return "val" if self.mllm_train.train.validate_every and self.eval_split == "test" else ""

    @model_validator(mode="after")
    def _no_contradictions(self) -> "Recipe":
        if self.mllm_train.train.validate_every and self.eval_split == "val":
            raise ValueError("key 'mllm_train.train.validate_every': split val is scored, so it cannot choose weights")
        tasks = {"vqa": self.vqa, "report": self.report}
        wanted = {"vqa": QUESTION_SETS, "report": REPORT_SETS}
        for name, task in tasks.items():
            if task and (not task.sets or set(task.sets) - set(wanted[name]) or len(set(task.sets)) < len(task.sets)):
                raise ValueError(f"key '{name}.data': {task.data!r} is not {name} data, valid: {wanted[name]}")
        if self.report and len(self.report.sets) > 1:
            raise ValueError("key 'report.data': one set of reports a run")
        if self.phantoms is None and any(task and "phantom" in task.sets for task in tasks.values()):
            raise ValueError("key 'phantoms': some data are 'phantom', so this section is needed")
        if any(task and "derived" in task.sets for task in tasks.values()) and not self.grounding.data:
            raise ValueError("key 'grounding.data': 'derived' questions and reports need region sets")
        oracle = next((source for source in self.sources if SOURCES[source].needs_truth), None)
        if self.vqa and self.vqa.sets == ("vqa_rad",) and oracle:
            raise ValueError(f"key 'sources': {oracle!r} needs true regions, and vqa_rad has none")
        if self.report and set(self.report.sets) & set(READERS) and oracle:
            raise ValueError(f"key 'sources': {oracle!r} needs true regions, and {self.report.data} has none")
        if self.report and not self.report.has_truth and oracle:
            raise ValueError(
                f"key 'report.covid_notes.boxes_only': {oracle!r} needs true regions, and not every note has"
            )
        if self.vqa and self.vqa.sets == ("vqa_rad",) and "absent" in self.probes:
            raise ValueError("key 'probes': 'absent' needs images whose labels are known, and vqa_rad has none")
        if self.probes and self.vqa is None:
            raise ValueError("key 'probes': they ask questions, so the section 'vqa' is needed")
        if not self.evidence.forms and set(self.sources) - {"none"}:
            raise ValueError("key 'evidence.forms': empty, yet 'sources' asks for evidence")
        return self
