"""How records are scored: every choice that a number depends on, stored beside it."""

from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from ..grounding.settings import Settings
from .catalog import REPORT_PROTOCOLS, VQA_PROTOCOLS

if TYPE_CHECKING:
    VqaProtocol = ReportProtocol = str
else:  # the names of the tables
    VqaProtocol = Literal[*VQA_PROTOCOLS]
    ReportProtocol = Literal[*REPORT_PROTOCOLS]
ClosedDef = Literal["answer_type", "yes_no"]
Tokenization = Literal["raw", "lower", "ptb"]
IouType = Literal["bbox", "segm"]


class EvalSettings(Settings):
    """How records are scored."""

    protocol: VqaProtocol = "exact_match"
    """The rules of VQA scoring."""
    closed_def: ClosedDef = "answer_type"
    """Which questions are closed: by their `answer_type` (a yes/no reference where there is none), or by a yes/no
    reference alone."""
    candidates: Path | None = None
    """Candidate answers of `llava_med` for open_accuracy: `{"0": [answers...]}`, the open answers of train in order."""
    report_protocol: ReportProtocol = "full"
    """Report references: `full`, or `r2gen` (its cleaning, references cut to their first tokens)."""
    tokenization: Tokenization = "lower"
    """How report text becomes words: `raw` (split at white space), `lower` (lower case, punctuation apart) or `ptb`
    (the Penn Treebank tokeniser of pycocoevalcap, which needs Java)."""
    r2gen_cleaning: Literal["auto", "iu", "mimic"] = "auto"
    """Whose constants `r2gen` uses; `auto`: by the `dataset` of each record, MIMIC-CXR unless it is IU X-ray."""
    r2gen_vocabulary: Path | None = None
    """Training words of `r2gen`, whose references say `<unk>` for all others: a JSON list, or its annotation.json."""
    chexbert: Path | None = None
    """Folder of CheXbert's weights (`chexbert.pth`, and `config.json` and `vocab.txt` of bert-base-uncased): reports of
    a run are scored by CheXbert F1 of 14 and 5 labels. Without, a line says so, and the run goes on without."""
    radgraph: Path | None = None
    """Folder of RadGraph's weights, as its package keeps them (`radgraph` in it, else `radgraph-xl`): reports are
    scored by RadGraph F1, and with `chexbert` and `bertscore` by RadCliQ, which needs the first model."""
    bertscore: Path | None = None
    """Folder of distilroberta-base, for RadCliQ alone."""
    require_scores: bool = False
    """Refuse a run of reports, before its first stage, without CheXbert F1 or without RadGraph F1."""
    metrics: tuple[str, ...] = ()
    """The report metrics to compute; none named: all that can be."""
    uncertain_policy: Literal["positive", "negative", "ignore"] = "positive"
    """What an uncertain finding counts as in label F1."""
    judge_endpoint: str = ""
    """Address of the served model that judges, `http://host:8000/v1`: for the protocol `judge`, and of reports for
    RadFact, GREEN and CRIMSON."""
    judge_model: str = ""
    """Its name there."""
    score_threshold: float = Field(default=0.5, ge=0, le=1)
    """Lowest score of a predicted region that counts as said: for Dice, several boxes, presence."""
    strata: bool = True
    """Score every stratum as well: modality, body region, question type, answer type, level, region size."""
    resamples: int = Field(default=1000, ge=10)
    """Bootstrap resamples of clusters, and permutations of paired tests."""
    confidence: float = Field(default=0.95, gt=0, lt=1)
    """Confidence of the intervals."""
    seed: int = Field(default=0, ge=0)
    """Seed of the resamples."""

    @property
    def intervals(self) -> dict[str, Any]:
        """`resamples`, `confidence` and `seed`: how intervals and permutations are drawn."""
        return {"resamples": self.resamples, "confidence": self.confidence, "seed": self.seed}
