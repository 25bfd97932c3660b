"""VQA scores for the evaluate library, by any protocol of `eval/vqa.py`."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import datasets

from ...grounding.settings import validate
from ..settings import ClosedDef, EvalSettings, VqaProtocol
from ..statistics.measure import Measure
from ..vqa import PROTOCOLS, Question, references_of, vqa_measures
from .shell import MeasureMetric


class VQAScores(MeasureMetric):
    """`vqa_measures` of a protocol: `VQAScores(protocol="llava_med").compute(predictions=, references=)`.

    `references`: one text a question, or a list of acceptable ones; `answer_types` as in records.
    """

    columns: ClassVar[Mapping[str, Any]] = dict.fromkeys(
        ("predictions", "references", "answer_types"), datasets.Value("string")
    )
    references: ClassVar[Sequence[Any]] = (datasets.List(datasets.Value("string")),)

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

    def measures(
        self, predictions: list[str], references: Sequence[str | list[str]], answer_types: list[str], **_others: Any
    ) -> Mapping[str, Measure]:
        """`_others` are meant for the metrics this one is combined with."""
        questions = [
            Question(id=f"row {row}", prediction=text, references=references_of(answer), answer_type=kind)
            for row, (text, answer, kind) in enumerate(zip(predictions, references, answer_types, strict=True))
        ]
        rules = PROTOCOLS[self.settings.protocol].rules(self.settings)
        return vqa_measures(questions, rules, self.settings)[0]
