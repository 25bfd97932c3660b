"""VQA scores for the evaluate library, by any protocol of `eval/vqa.py`."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import datasets
import evaluate

from ...grounding.settings import validate
from ..settings import ClosedDef, EvalSettings, VqaProtocol
from ..vqa import PROTOCOLS, Question, references_of, vqa_measures


class VQAScores(evaluate.Metric):
    """`vqa_measures` of a protocol: `VQAScores(protocol="llava_med").compute(predictions=, references=)`.

    `references`: one text a question, or a list of acceptable ones; `answer_types` as in records.
    """

    def __init__(
        self,
        protocol: VqaProtocol = "exact_match",
        closed_def: ClosedDef = "answer_type",
        candidates: Path | None = None,
        **options: Any,
    ):
        chosen = {"protocol": protocol, "closed_def": closed_def, "candidates": candidates}
        self.settings = validate(EvalSettings, chosen)
        super().__init__(**{"keep_in_memory": True, **options})

    def _info(self) -> evaluate.MetricInfo:
        text = datasets.Value("string")
        columns = {"predictions": text, "answer_types": text}
        return evaluate.MetricInfo(
            description=__doc__ or "",
            citation="",
            inputs_description="predictions, references, answer_types: one text a question; or lists of references",
            features=[
                datasets.Features({**columns, "references": text}),
                datasets.Features({**columns, "references": datasets.List(text)}),
            ],
        )

    def _compute(  # pyright: ignore[reportIncompatibleMethodOverride]
        self, predictions: list[str], references: Sequence[str | list[str]], answer_types: list[str], **_others: Any
    ) -> dict[str, float]:
        """`_others` are meant for the metrics this one is combined with."""
        questions = [
            Question(id=f"row {row}", prediction=text, references=references_of(answer), answer_type=kind)
            for row, (text, answer, kind) in enumerate(zip(predictions, references, answer_types, strict=True))
        ]
        rules = PROTOCOLS[self.settings.protocol].rules(self.settings)
        measures, _ = vqa_measures(questions, rules, self.settings)
        return {name: measure.value for name, measure in measures.items()}
