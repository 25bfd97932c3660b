"""A run is one YAML file: `Recipe`, typed, each room with a section of its own. Contradictions are refused."""

from typing import Literal

from pydantic import model_validator

from ..eval.score import EvalSettings
from ..grounding.evidence import EvidenceSettings, Source
from ..grounding.recipe import CoreRecipe
from ..grounding.settings import Settings
from ..report.datasets.covid_cxr import CovidNotesSettings
from ..report.datasets.generic import GenericSettings
from ..report.datasets.iu_xray import IuXraySettings
from ..report.datasets.load import NAMES as REPORT_SETS
from ..report.datasets.load import READERS
from ..report.datasets.mimic_cxr import MimicCxrSettings
from ..vqa.datasets.vqa_rad import VqaRadSettings
from ..vqa.mllm.generate import GenerateSettings
from ..vqa.mllm.model import MllmSettings
from ..vqa.mllm.train import MllmTrainSettings
from ..vqa.probes import Probe


class TaskSection(Settings):
    """One downstream task: its data and how much of it is scored."""

    data: Literal["phantom", "vqa_rad", "covid_notes", "mimic_cxr", "iu_xray", "generic"]
    """phantom, or vqa_rad (questions), or covid_notes, mimic_cxr, iu_xray, generic: a table of your own (reports)."""
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
    """Score at most so many samples, drawn with the recipe's seed; all of them when left out."""
    generate: GenerateSettings = GenerateSettings()
    """Decoding."""


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
    mllm_train: MllmTrainSettings = MllmTrainSettings()
    """Stage 3: training; both adapters get the same budget and seed."""
    vqa: TaskSection | None = None
    """Stage 4: questions."""
    report: TaskSection | None = None
    """Stage 4: reports."""
    eval: EvalSettings = EvalSettings()
    """Stage 5: scores and intervals."""

    @property
    def held_out_split(self) -> str:
        """Split whose loss chooses the adapters' checkpoints; "" for none: what is scored chooses nothing."""
        return "val" if self.mllm_train.train.validate_every and self.eval_split == "test" else ""

    @model_validator(mode="after")
    def _no_contradictions(self) -> "Recipe":
        if self.mllm_train.train.validate_every and self.eval_split == "val":
            raise ValueError("key 'mllm_train.train.validate_every': split val is scored, so it cannot choose weights")
        tasks = {"vqa": self.vqa, "report": self.report}
        wanted = {"vqa": ("phantom", "vqa_rad"), "report": REPORT_SETS}
        for name, task in tasks.items():
            if task and task.data not in wanted[name]:
                raise ValueError(f"key '{name}.data': {task.data!r} is not {name} data, valid: {wanted[name]}")
        if self.phantoms is None and any(task and task.data == "phantom" for task in tasks.values()):
            raise ValueError("key 'phantoms': some data are 'phantom', so this section is needed")
        if self.vqa and self.vqa.data == "vqa_rad" and "oracle" in self.sources:
            raise ValueError("key 'sources': 'oracle' needs true regions, and vqa_rad has none")
        if self.report and self.report.data in READERS and "oracle" in self.sources:
            raise ValueError(f"key 'sources': 'oracle' needs true regions, and {self.report.data} has none")
        if self.vqa and self.vqa.data == "vqa_rad" and "absent" in self.probes:
            raise ValueError("key 'probes': 'absent' needs images whose labels are known, and vqa_rad has none")
        if self.probes and self.vqa is None:
            raise ValueError("key 'probes': they ask questions, so the section 'vqa' is needed")
        if not self.evidence.forms and set(self.sources) - {"none"}:
            raise ValueError("key 'evidence.forms': empty, yet 'sources' asks for evidence")
        return self
