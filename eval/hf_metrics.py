"""The same measures for users of the evaluate library. Nothing of ours imports this file: importing it loads torch.

from medglip.eval.hf_metrics import VQAScores
VQAScores(protocol="llava_med").compute(predictions=..., references=..., answer_types=...)
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any, ClassVar

import datasets
import evaluate
import numpy as np

from ..grounding.bad_input import BadInput
from ..grounding.settings import validate
from ..grounding.types import Region
from .catalog import VQA_PROTOCOLS
from .metrics.clinical import chexbert, radcliq, radfact, radgraph
from .metrics.detection import phrase, pointing
from .metrics.detection.pairs import make_pair
from .metrics.text import lexical
from .settings import ClosedDef, EvalSettings, Tokenization, VqaProtocol
from .statistics.measure import Measures
from .tasks import vqa

TEXT, NUMBER = datasets.Value("string"), datasets.Value("float64")
SIDES = ("predictions", "references")


class MeasureMetric(evaluate.Metric):
    """A metric made of `_measures`; nothing is looked up online.

    `columns`: the inputs of `compute` and their types, `predictions` and `references` among them where the metric is
    to be combined with others; `references`: other types that references may have; `about`: the module whose docstring
    describes the metric. The class docstring describes the inputs.
    """

    columns: ClassVar[Mapping[str, Any]]
    references: ClassVar[Sequence[Any]] = ()
    about: ClassVar[ModuleType]

    def __init__(self, **options: Any):
        super().__init__(**{"keep_in_memory": True, **options})

    def _measures(self, *args: Any, **columns: Any) -> Measures:
        """The measures of the columns and options of one `compute`; `_others`: those of combined metrics."""
        raise NotImplementedError

    def _info(self) -> evaluate.MetricInfo:
        forms = [self.columns, *({**self.columns, "references": kind} for kind in self.references)]
        features = [*map(datasets.Features, forms)]
        return evaluate.MetricInfo(
            description=self.about.__doc__ or "",
            citation="",
            inputs_description=self.__doc__ or "",
            features=features if len(features) > 1 else features[0],
        )

    def _compute(self, *args: Any, **columns: Any) -> dict[str, float]:
        return {name: measure.value for name, measure in self._measures(*args, **columns).items()}


class VQAScores(MeasureMetric):
    """`vqa_measures` of a protocol: `VQAScores(protocol="llava_med").compute(predictions=, references=)`.

    `references`: one text a question, or a list of acceptable ones; `answer_types` as in records.
    """

    columns = dict.fromkeys((*SIDES, "answer_types"), TEXT)
    references = (datasets.List(TEXT),)
    about = vqa

    def __init__(
        self,
        protocol: VqaProtocol = "exact_match",
        closed_def: ClosedDef = "answer_type",
        candidates: Path | None = None,
        **options: Any,
    ):
        chosen = {"protocol": protocol, "closed_def": closed_def, "candidates": candidates}
        self.settings = validate(EvalSettings, chosen)
        super().__init__(**options)

    def _measures(self, predictions: Any, references: Any, answer_types: Any, **_others: Any) -> Measures:
        questions = [
            vqa.AnsweredQuestion(id=f"row {row}", prediction=text, references=vqa.references_of(refs), answer_type=kind)
            for row, (text, refs, kind) in enumerate(zip(predictions, references, answer_types, strict=True))
        ]
        rules = VQA_PROTOCOLS[self.settings.protocol].load().rules(self.settings)
        if rules.read:
            raise BadInput(
                f"{rules.protocol} needs the options of each question.", fix="score records: medglip eval vqa"
            )
        return vqa.vqa_measures(questions, rules, self.settings)[0]


class ReportNgrams(MeasureMetric):
    """`report_measures` for the evaluate library: `ReportNgrams().compute(predictions=, references=)`.

    `predictions`: a text a report; `references`: a text, or several, a report; `tokenization`: `lower`, `raw` or
    `ptb`; `metrics`: names, by default all that need no Java.
    """

    columns = dict.fromkeys(SIDES, TEXT)
    references = (datasets.List(TEXT),)
    about = lexical

    def _measures(
        self,
        predictions: Any,
        references: Any,
        tokenization: Tokenization = "lower",
        metrics: Sequence[str] = lexical.WITHOUT_JAVA,
        **_others: Any,
    ) -> Measures:
        return dict(lexical.report_measures(predictions, references, tokenization, lexical.choose(metrics)))


class LabelF1(MeasureMetric):
    """One list of labels (1, 0, -1 or None) a report on each side.

    `compute(predictions=, references=, names=CheXpert's fourteen, uncertain_policy="positive")`.
    """

    columns = dict.fromkeys(SIDES, datasets.List(datasets.Value("int8")))
    about = chexbert

    def _measures(
        self,
        predictions: Any,
        references: Any,
        names: Sequence[str] = chexbert.CHEXPERT,
        uncertain_policy: chexbert.UncertainPolicy = "positive",
        **_others: Any,
    ) -> Measures:
        labels = []
        for pair in zip(references, predictions, strict=True):
            named = [dict(zip(names, marks, strict=True)) for marks in pair]
            labels.append(chexbert.Labels.model_validate(dict(zip(chexbert.SIDES, named, strict=True))))
        return chexbert.label_measures(labels, uncertain_policy)


class RadGraphReward(MeasureMetric):
    """One graph a report on each side, as JSON text (its keys vary from report to report)."""

    columns = dict.fromkeys(SIDES, TEXT)
    about = radgraph

    def _measures(self, predictions: Any, references: Any, **_others: Any) -> Measures:
        sides = (map(json.loads, side) for side in (references, predictions))
        graphs = [radgraph.Graphs(reference=truth, prediction=text) for truth, text in zip(*sides, strict=True)]
        return radgraph.measures(graphs, range(len(graphs)))[0]


class RadFact(MeasureMetric):
    """One list of judged phrases a report: those of the report as predictions, those of its reference as references."""

    columns = dict.fromkeys(
        SIDES,
        datasets.List(
            {"phrase": TEXT, "status": TEXT}
            | dict.fromkeys(("boxes", "evidence_boxes"), datasets.List(datasets.List(NUMBER)))
        ),
    )
    about = radfact

    def _measures(self, predictions: Any, references: Any, **_others: Any) -> Measures:
        sides = zip(predictions, references, strict=True)
        return dict(
            radfact.radfact_measures([radfact.Verdicts(candidate=text, reference=truth) for text, truth in sides])
        )


class RadCliQ(MeasureMetric):
    """Four numbers a report: `compute(radgraph=, bertscore=, semb=, bleu2=)`."""

    columns = dict.fromkeys(radcliq.SubScores.model_fields, NUMBER)
    about = radcliq

    def _measures(self, radgraph: Any, bertscore: Any, semb: Any, bleu2: Any, **_others: Any) -> Measures:
        rows = zip(radgraph, bertscore, semb, bleu2, strict=True)
        scores = [radcliq.SubScores(**dict(zip(self.columns, row, strict=True))) for row in rows]
        return radcliq.measures(scores, range(len(scores)))[0]


class PhraseGrounding(MeasureMetric):
    """`grounding_measures` of boxes for the evaluate library; one row a (image, phrase) pair.

    `predictions`: lists of `{"box_xyxy_px": [4 numbers], "score": number}`; `references`: lists of boxes likewise.
    """

    columns: ClassVar[Mapping[str, Any]] = {
        "predictions": datasets.List({"box_xyxy_px": datasets.List(NUMBER), "score": NUMBER}),
        "references": datasets.List({"box_xyxy_px": datasets.List(NUMBER)}),
    }
    about = phrase

    def _measures(self, predictions: Any, references: Any, **_others: Any) -> Measures:
        def region(row: Mapping[str, Any]) -> Region:
            box = np.asarray(row["box_xyxy_px"], np.float32)
            return Region(phrase="", box_xyxy_px=box, score=row.get("score", 1.0))

        sides = ([[region(row) for row in rows] for rows in side] for side in (references, predictions))
        return phrase.grounding_measures([make_pair(*pair) for pair in zip(*sides, strict=True)])


class HeatMaps(MeasureMetric):
    """`heat_map_measures` for the evaluate library: `HeatMaps().compute(predictions=maps, references=truths)`.

    Maps of one call may differ in size. `signed` is an option of `compute`.
    """

    columns: ClassVar[Mapping[str, Any]] = {
        "predictions": datasets.List(datasets.List(NUMBER)),
        "references": datasets.List(datasets.List(datasets.Value("bool"))),
    }
    about = pointing

    def _measures(self, predictions: Any, references: Any, signed: bool = False, **_others: Any) -> Measures:
        return pointing.heat_map_measures(predictions, references, signed=signed)
