"""What our metrics for the evaluate library share: a class names its columns and gives measures."""

import sys
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import datasets
import evaluate

from ..statistics.measure import Measure


class MeasureMetric(evaluate.Metric):
    """A metric made of `measures`; nothing is looked up online.

    `columns`: the inputs of `compute` and their types, `predictions` and `references` among them where the metric is
    to be combined with others; `references`, other types that references may have. The class docstring describes the
    inputs, that of its module the metric.
    """

    columns: ClassVar[Mapping[str, Any]]
    references: ClassVar[Sequence[Any]] = ()

    def __init__(self, **options: Any):
        super().__init__(**{"keep_in_memory": True, **options})

    def measures(self, *args: Any, **columns: Any) -> Mapping[str, Measure]:
        """The measures of the columns and options of one `compute`; must bear options of combined metrics."""
        raise NotImplementedError

    def _info(self) -> evaluate.MetricInfo:
        forms = [self.columns, *({**self.columns, "references": kind} for kind in self.references)]
        features = [datasets.Features(form) for form in forms]
        return evaluate.MetricInfo(
            description=sys.modules[type(self).__module__].__doc__ or "",
            citation="",
            inputs_description=self.__doc__ or "",
            features=features if len(features) > 1 else features[0],
        )

    def _compute(self, *args: Any, **columns: Any) -> dict[str, float]:
        return {name: measure.value for name, measure in self.measures(*args, **columns).items()}
