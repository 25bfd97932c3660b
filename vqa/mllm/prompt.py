"""The prompt: image, evidence, instruction -> chat messages; the same for questions and reports."""

from dataclasses import dataclass
from pathlib import Path

from ...grounding.evidence import Evidence


@dataclass(frozen=True, kw_only=True, eq=False)
class Example:
    """What the model sees and, in training, what it should write. `target` None: there is nothing to learn from."""

    example_id: str
    image_path: Path
    instruction: str
    target: str | None
    evidence: Evidence
