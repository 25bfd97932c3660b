"""Ask: question + evidence -> answer.

```python
from medglip.grounding import open_image
from medglip.vqa import load_answerer

image = open_image("chest.png", modality="xray")
answer = load_answerer("small").ask(image, "Where is the left lung?")
print(answer.text, answer.probability)  # no probability where the regions alone answer: answer.by_rules says why
print([(region.phrase, region.score) for region in answer.evidence.first.regions])
```
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .answer import parse_answer
    from .inference.answerer import Answerer, load_answerer
    from .inference.generate import ScoredAnswer
    from .model.grounded_mllm import GroundedMLLM
    from .task import Question

__all__ = [
    "Answerer",
    "GroundedMLLM",
    "Question",
    "ScoredAnswer",
    "load_answerer",
    "parse_answer",
]
_MODULES = {
    "answer": ("parse_answer",),
    "inference.answerer": ("Answerer", "load_answerer"),
    "inference.generate": ("ScoredAnswer",),
    "model.grounded_mllm": ("GroundedMLLM",),
    "task": ("Question",),
}
"""Loaded when one of their names is asked for; most of them load torch."""


def __getattr__(name: str) -> Any:
    for module, names in _MODULES.items():
        if name in names:
            return getattr(import_module(f".{module}", __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
