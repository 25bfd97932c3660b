"""The wordings of derived questions: at least four a form, so that none can be learnt by heart."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from ...grounding.datasets.phantoms.words import article

_FILE = Path(__file__).with_name("wordings.yaml")
WORDINGS: dict[str, tuple[str, ...]] = {
    form: tuple(texts) for form, texts in yaml.safe_load(_FILE.read_text(encoding="utf-8")).items()
}
"""Form -> its wordings; the fields are those of `Claim.asks`, `a_phrase` is the phrase with its article."""


def question_text(form: str, wording: int, asks: Mapping[str, Any]) -> str:
    """The question in one of its wordings."""
    words = {key: value for key, value in asks.items() if isinstance(value, str)}
    if "phrase" in words:
        words["a_phrase"] = with_article(words["phrase"])
    if "choices" in asks:
        words["choices"] = ", ".join(asks["choices"][:-1]) + f" or {asks['choices'][-1]}"
    return WORDINGS[form][wording].format(**words)


def with_article(phrase: str) -> str:
    """A phrase as one of several: "a liver"; plurals have no article."""
    return phrase if is_plural(phrase) else article(phrase)


def is_plural(phrase: str) -> bool:
    """Whether a label's own name is one: hard exudates, retinal vessels; not pancreas."""
    return phrase.endswith("s") and not phrase.endswith(("ss", "as", "is", "us"))
