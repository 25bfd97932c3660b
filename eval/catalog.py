"""What can be measured, one row each: the module that does it, what it needs, whose it is, how it is shown.

A new metric or protocol is its own file and one row here. Command line, settings, tests of significance, page and
`docs/evaluation.md` read these tables; modules load when they are used. Order of rows: order of the scores.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib import import_module
from inspect import cleandoc
from types import ModuleType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..grounding.records import Task


@dataclass(frozen=True)
class Metric:
    """How one metric is shown.

    `test`: its rank among the metrics that Holm's correction is over (the last one is what an ablation's figure shows);
    `page`: its rank in the page's first table and plots; None: it has its own p-value only, and stands in the full
    table. Metrics of another `scale` than 1, their highest value, have plots of their own.
    """

    name: str
    test: int | None = None
    page: int | None = None
    higher_is_better: bool = True
    scale: float = 1


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One module and the metrics that it gives. `module`: relative to this package, or the full name of another.

    `title`: what it is; `source`: who defined it, with the licence of code that was followed, where there is one.
    """

    module: str
    title: str
    metrics: tuple[Metric, ...]
    source: str = ""

    def load(self) -> ModuleType:
        """The module, loaded now."""
        return import_module(self.module, __package__)

    @property
    def names(self) -> tuple[str, ...]:
        """Its metrics' names."""
        return tuple(metric.name for metric in self.metrics)


@dataclass(frozen=True, kw_only=True)
class VqaProtocolEntry(Entry):
    """`rules(settings)` of the module are a `VqaRules`. `summary`: one line of the documentation."""

    summary: str


@dataclass(frozen=True, kw_only=True)
class ReportProtocolEntry(Entry):
    """How references of reports are prepared. `leaves_out`: metrics that it does not have; it has no others."""

    metrics: tuple[Metric, ...] = ()
    leaves_out: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class TextEntry(Entry):
    """Scores tokenised texts: `measures(predictions, references, names)` -> name -> `Sums`, a sample each report.

    The key of an entry of several metrics stands for all of them. `needs_java`: without it a note says what is missing.
    """

    needs_java: bool = False


@dataclass(frozen=True, kw_only=True)
class FieldEntry(Entry):
    """Scores what records hold under `meta.<key>`, in the form of the module's `Form` (pydantic).

    `measures(values, rows, ids, settings)` -> name -> `Measure`, and notes; `rows`: indices of the records that hold
    the field. `is_expected`: a note says which records lack it.
    """

    is_expected: bool = True


def _plain(names: str) -> tuple[Metric, ...]:
    """Metrics without a rank, named with blanks between them."""
    return tuple(map(Metric, names.split()))


OPEN = (Metric("open_recall", 0, 4), Metric("open_f1", 1, 3), Metric("open_accuracy", 2, 2))
CLOSED, OVERALL = Metric("closed_accuracy", 3, 1), Metric("overall_accuracy", 4, 0)
"""Names that VQA protocols share: each gives its own rules for those that it has."""


VQA_PROTOCOLS: dict[str, VqaProtocolEntry] = {
    "exact_match": VqaProtocolEntry(
        module=".protocols.exact_match",
        title="ours",
        summary="open and closed accuracy, token F1 and recall; yes and no as whole words; abstentions counted",
        metrics=(*OPEN, CLOSED, OVERALL),
    ),
    "llava_med": VqaProtocolEntry(
        module=".protocols.llava_med",
        title="LLaVA-Med `run_eval.py`",
        source="github.com/microsoft/LLaVA-Med",
        summary="open recall with prediction counts, candidate accuracy (`--candidates`), closed by substrings",
        metrics=(
            *OPEN,
            CLOSED,
            *_plain("open_precision open_exact_match open_bleu open_bleu_1 open_bleu_2 open_bleu_3"),
        ),
    ),
    "medevalkit_rule": VqaProtocolEntry(
        module=".protocols.medevalkit_rule",
        title="MedEvalKit without its judge",
        source="github.com/alibaba-damo-academy/MedEvalKit",
        summary="exact match, word-set F1, BLEU; `yes`/`no` as substrings",
        metrics=(*OPEN, CLOSED, OVERALL, *_plain("open_precision open_bleu_1 open_bleu_2 open_bleu_3 open_bleu_4")),
    ),
    "lmms_slake": VqaProtocolEntry(
        module=".protocols.lmms_slake",
        title="lmms-eval's SLAKE task",
        source="github.com/EvolvingLMMs-Lab/lmms-eval",
        summary="equality after its normalisation",
        metrics=(OPEN[2], CLOSED, OVERALL),
    ),
    "multiple_choice": VqaProtocolEntry(
        module=".protocols.multiple_choice",
        title="one of `meta.options`",
        summary="the option that an answer names by letter or text; what guessing would get; abstentions counted",
        metrics=(OVERALL, *_plain("chance_accuracy")),
    ),
    "judge": VqaProtocolEntry(
        module=".protocols.judge",
        title="a served model judges (`--endpoint`, `--model`)",
        summary="the judge says yes or no; agreement with `exact_match`, whose metrics stand beside it",
        metrics=(*_plain("judge_accuracy judge_agreement"), *OPEN, CLOSED, OVERALL),
    ),
}

VQA_MEASURES: dict[str, Entry] = {
    "trust": Entry(
        module=".metrics.trust",
        title="probabilities of answers: calibration, and risk over coverage; answers that are drawn again",
        source="Guo et al. 2017; Geifman, Uziel and El-Yaniv 2019",
        metrics=(Metric("ece", higher_is_better=False), Metric("aurc", higher_is_better=False), Metric("consistency")),
    ),
}
"""Measures of answers besides those of a protocol."""

REPORT_PROTOCOLS: dict[str, ReportProtocolEntry] = {
    "full": ReportProtocolEntry(module=".metrics.text.lexical", title="each reference whole, as it is given"),
    "r2gen": ReportProtocolEntry(
        module=".protocols.r2gen",
        title="cleaned as R2Gen does, references cut to its length",
        source="Chen et al. 2020; github.com/cuhksz-nlp/R2Gen",
        leaves_out=("cider",),
    ),
}

TEXT_METRICS: dict[str, TextEntry] = {
    "bleu": TextEntry(
        module=".metrics.text.ngram",
        title="BLEU-1 to BLEU-4",
        source="Papineni et al. 2002; the digits of pycocoevalcap",
        metrics=(Metric("bleu_1", 0, 8), Metric("bleu_2", 1), Metric("bleu_3", 2), Metric("bleu_4", 3, 9)),
    ),
    "meteor": TextEntry(
        module=".metrics.text.meteor",
        title="METEOR 1.5",
        source="Denkowski and Lavie 2014; the Java program of pycocoevalcap",
        metrics=(Metric("meteor", 4, 10),),
        needs_java=True,
    ),
    "rouge_l": TextEntry(
        module=".metrics.text.ngram",
        title="ROUGE-L, F of beta 1.2",
        source="Lin 2004; the digits of pycocoevalcap",
        metrics=(Metric("rouge_l", 5, 11),),
    ),
    "cider": TextEntry(
        module=".metrics.text.ngram",
        title="CIDEr-D, in [0, 10]",
        source="Vedantam et al. 2015; the digits of pycocoevalcap",
        metrics=(Metric("cider", 6, 12, scale=10),),
    ),
}
"""Metrics of reports by words in common."""

FIELD_METRICS: dict[str, FieldEntry] = {
    "labels": FieldEntry(
        module=".metrics.clinical.chexbert",
        title="label F1",
        source="Smit et al. 2020 (CheXbert), averages as in scikit-learn",
        metrics=(
            *(Metric("chexbert_micro_f1_14", 17, 0), Metric("chexbert_macro_f1_14", 16, 1)),
            *(Metric("chexbert_example_f1_14"), Metric("chexbert_micro_f1_5", 15, 2)),
            *(Metric("chexbert_macro_f1_5", 14, 3), Metric("chexbert_example_f1_5")),
            *(Metric("label_micro_f1", 11, 5), Metric("label_macro_f1", 10), Metric("label_example_f1")),
        ),
    ),
    "radgraph": FieldEntry(
        module=".metrics.clinical.radgraph",
        title="RadGraph reward",
        source="Jain et al. 2021, Delbrouck et al. 2022; the digits of radgraph 0.1.18",
        metrics=(Metric("radgraph_simple"), Metric("radgraph_partial", 12, 4), Metric("radgraph_complete")),
    ),
    "radfact": FieldEntry(
        module=".metrics.clinical.radfact",
        title="RadFact",
        source="Bannur et al. 2024 (MAIRA-2); github.com/microsoft/RadFact",
        metrics=(
            *(*_plain("radfact_logical_precision radfact_logical_recall"), Metric("radfact_logical_f1", 7)),
            *(Metric("radfact_spatial_precision", 8, 6), Metric("radfact_spatial_recall", 9, 7)),
            *_plain("radfact_spatial_f1 radfact_grounding_precision radfact_grounding_recall radfact_grounding_f1"),
        ),
    ),
    "radcliq": FieldEntry(
        module=".metrics.clinical.radcliq",
        title="RadCliQ-v1",
        source="Yu et al. 2023; github.com/rajpurkarlab/CXR-Report-Metric",
        metrics=(Metric("radcliq_v1", 13, higher_is_better=False), Metric("radcliq_v1_inverse")),
    ),
    "green": FieldEntry(
        module=".metrics.clinical.green",
        title="GREEN",
        source="Ostmeier et al. 2024, by any served judge",
        metrics=(Metric("green"), Metric("green_errors", higher_is_better=False)),
        is_expected=False,
    ),
    "crimson": FieldEntry(
        module=".metrics.clinical.crimson",
        title="CRIMSON",
        source="Baharoon et al. 2026, by any served judge; github.com/rajpurkarlab/CRIMSON",
        metrics=_plain("crimson"),
        is_expected=False,
    ),
    "citations": FieldEntry(
        module=".metrics.citations",
        title="citations of regions",
        metrics=(
            Metric("citation_error_rate", higher_is_better=False),
            *_plain("citation_rate citation_precision_50"),
        ),
        is_expected=False,
    ),
}
"""Metrics of reports (`citations`: of answers too) by what records hold in `meta`."""

GROUNDING_MEASURES: dict[str, Entry] = {
    "detection": Entry(
        module=".metrics.detection.average_precision",
        title="COCO's average precision and recall",
        source="Lin et al. 2014; faster_coco_eval",
        metrics=(Metric("ap", 0, 0), Metric("ap50", 1, 1), Metric("ap75", 2), Metric("ar_100", 3)),
    ),
    "phrase": Entry(
        module=".metrics.detection.phrase",
        title="boxes and masks of a phrase",
        source="He et al. 2023 (GREC) for pr_f1_50, n_acc and t_acc",
        metrics=(
            *(Metric("miou", 4, 2), Metric("acc_iou50", 5, 3), *_plain("union_iou hungarian_iou t_acc")),
            *(Metric("dice", 6, 4), *_plain("precision_50 recall_50 f1_50 pr_f1_50 n_acc")),
        ),
    ),
    "froc": Entry(
        module=".metrics.detection.froc",
        title="competition performance metric of the FROC",
        source="MONAI's `compute_froc_score`, with its differences named",
        metrics=_plain("cpm"),
    ),
    "presence": Entry(
        module=".metrics.detection.presence",
        title="area under the ROC of present against absent phrases",
        metrics=_plain("presence_auroc"),
    ),
    "calibration": Entry(
        module=".metrics.detection.calibration",
        title="calibration of box scores",
        source="as `BinaryCalibrationError` of torchmetrics",
        metrics=(Metric("ece", higher_is_better=False), Metric("brier", higher_is_better=False)),
    ),
}
"""Measures of phrase grounding: `measures(pairs)` of the module, of `metrics.detection.pairs.Pairs`."""


def metrics_of(task: "Task") -> Iterator[Metric]:
    """Every metric of one task, once."""
    report: dict[str, Entry] = {**TEXT_METRICS, **FIELD_METRICS}
    answers: dict[str, Entry] = {**VQA_PROTOCOLS, **VQA_MEASURES}
    tables: dict[Task, Mapping[str, Entry]] = {"vqa": answers, "report": report, "grounding": GROUNDING_MEASURES}
    yield from {metric.name: metric for entry in tables[task].values() for metric in entry.metrics}.values()


def metric_scale(task: "Task", name: str) -> float:
    """The scale of a metric; 1 for names that the tables lack."""
    return next((metric.scale for metric in metrics_of(task) if metric.name == name), 1)


def tested_metrics(task: "Task") -> tuple[str, ...]:
    """The metrics that a family of tests is made of, of those that both runs have, in order.

    The last one is the first to look at: what an ablation's figure shows.
    """
    return tuple(name for _, name in sorted((m.test, m.name) for m in metrics_of(task) if m.test is not None))


def page_metrics(task: "Task") -> tuple[str, ...]:
    """The metrics of the page's first table and plots, in order; every other one stands in the full table."""
    return tuple(name for _, name in sorted((m.page, m.name) for m in metrics_of(task) if m.page is not None))


def text_names() -> list[str]:
    """Metrics of reports by words in common."""
    return [name for entry in TEXT_METRICS.values() for name in entry.names]


def protocol_rules(protocol: str, task: "Task") -> str:
    """The docstring of the module that holds a protocol's rules; of the task's, for a protocol that is in no table."""
    phrases = {"phrase_grounding": GROUNDING_MEASURES["phrase"]}
    entry: Entry | None = {**VQA_PROTOCOLS, **REPORT_PROTOCOLS, **phrases}.get(protocol)
    module = entry.load() if entry else import_module(f".tasks.{task}", __package__)
    return cleandoc(module.__doc__ or "")


def report_names() -> list[str]:
    """What `--metrics` takes: metrics, and names that stand for several."""
    groups = [key for key, entry in TEXT_METRICS.items() if key not in entry.names]
    return [*groups, *FIELD_METRICS, "label_f1", *(metric.name for metric in metrics_of("report"))]
