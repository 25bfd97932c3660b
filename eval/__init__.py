"""Score records; no model is imported here.

```python
from medglip.eval import read_records, score_records

scores = score_records(read_records(["answers.jsonl"], "vqa"), "vqa")
print(scores.metrics["overall_accuracy"])
```
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .compare import Comparison, compare_runs
    from .records import Record, read_records
    from .score import Scores, score_records
    from .settings import EvalSettings
    from .statistics.bootstrap import Difference, Estimate

__all__ = [
    "Comparison",
    "Difference",
    "Estimate",
    "EvalSettings",
    "Record",
    "Scores",
    "compare_runs",
    "read_records",
    "score_records",
]
_MODULES = {
    "compare": ("Comparison", "compare_runs"),
    "records": ("Record", "read_records"),
    "score": ("Scores", "score_records"),
    "settings": ("EvalSettings",),
    "statistics.bootstrap": ("Difference", "Estimate"),
}
"""Loaded when one of their names is asked for."""


def __getattr__(name: str) -> Any:
    for module, names in _MODULES.items():
        if name in names:
            return getattr(import_module(f".{module}", __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
