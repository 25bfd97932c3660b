"""The label tree of `labels.yaml`: organ -> part -> finding, synonyms, what is usual in a modality; words to labels."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from .bad_input import BadInput
from .types import parse_modality

_FILE = Path(__file__).with_name("labels.yaml")
_KEYS = ("path", "synonyms", "modalities")
_WORDS = re.compile(r"[a-z0-9]+")
_SINGULARS = {
    "vertebrae": "vertebra",
    "nuclei": "nucleus",
    "metastases": "metastasis",
    "tumour": "tumor",
    "tumours": "tumor",
    "oedema": "edema",
    "haematoma": "hematoma",
    "haematomas": "hematoma",
}


@dataclass(frozen=True, kw_only=True)
class Label:
    """One word of the house. `path` lies above it, from the outside in; `modalities` are those it is usual in."""

    path: tuple[str, ...] = ()
    synonyms: tuple[str, ...] = ()
    modalities: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class LabelTree:
    """Labels by name. Any method takes a label, a synonym, a plural or another spelling; unknown words are no error."""

    labels: Mapping[str, Label]
    _names: dict[tuple[str, ...], str] = field(default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        for label, entry in self.labels.items():
            for name in (label, *entry.synonyms):
                known = self._names.setdefault(_stems(name), label)
                if known != label:
                    raise BadInput(f"{name!r} means both {known!r} and {label!r}.", fix="keep it under one label")

    def label(self, phrase: str) -> str:
        """The label that the phrase names, else the phrase itself in lower case and single spaces."""
        return self._names.get(_stems(phrase), " ".join(phrase.lower().split()))

    def path(self, phrase: str) -> tuple[str, ...]:
        """Organ -> part -> the label itself; empty for a phrase that the tree does not hold."""
        label = self.label(phrase)
        return (*self.labels[label].path, label) if label in self.labels else ()

    def ancestors(self, phrase: str) -> tuple[str, ...]:
        """Labels above the phrase, from the outside in: what is true of it may be true of them, so never negatives."""
        return tuple(part for part in self.path(phrase)[:-1] if part in self.labels)

    def synonyms(self, phrase: str) -> tuple[str, ...]:
        """Other words for the label."""
        label = self.label(phrase)
        return self.labels[label].synonyms if label in self.labels else ()

    def default_phrases(self, modality: str) -> tuple[str, ...]:
        """Labels usual in a modality, in file order; none for `unknown`. Raises `BadInput` for no modality."""
        name = parse_modality(modality)
        return tuple(label for label, entry in self.labels.items() if name in entry.modalities)

    def phrases_in(self, text: str) -> tuple[str, ...]:
        """Labels named in the text, whole words only, in order of occurrence, each once.

        A longer name hides the shorter ones inside it: "left lung" is not also "lung".
        """
        words = _stems(text)
        taken = [False] * len(words)
        found: dict[int, str] = {}
        for start, stop in self._matches(words):
            if not any(taken[start:stop]):
                taken[start:stop] = [True] * (stop - start)
                found[start] = self._names[words[start:stop]]
        return tuple(dict.fromkeys(found[start] for start in sorted(found)))

    def _matches(self, words: tuple[str, ...]) -> list[tuple[int, int]]:
        """Spans of words that are a name, longest first, then by place."""
        longest = max(map(len, self._names), default=0)
        spans = [(i, j) for i in range(len(words)) for j in range(i + 1, min(i + longest, len(words)) + 1)]
        return sorted((span for span in spans if words[slice(*span)] in self._names), key=lambda s: (s[0] - s[1], s[0]))


def _stems(text: str) -> tuple[str, ...]:
    """Words without case, hyphens or plural: a key for comparing, not for showing ("pancreas" becomes "pancrea")."""
    return tuple(_stem(word) for word in _WORDS.findall(text.lower()))


def _stem(word: str) -> str:
    if word in _SINGULARS:
        return _SINGULARS[word]
    if word.endswith("ies") and len(word) > 4:
        return word[:-3] + "y"
    if word.endswith("sses"):
        return word[:-2]
    return word[:-1] if word.endswith("s") and not word.endswith("ss") else word


@cache
def load_labels() -> LabelTree:
    """The label tree of the house, read once."""
    return read_labels(_FILE)


def read_labels(file: Path) -> LabelTree:
    """A label tree from a YAML file like `labels.yaml`.

    Raises `BadInput` naming the file for wrong YAML, an unknown key or modality, and a word with two meanings.
    """
    try:
        rows = yaml.safe_load(file.read_text(encoding="utf-8"))
        return LabelTree(labels={str(name): _label(row or {}) for name, row in rows.items()})
    except BadInput as error:
        raise BadInput(error.problem, file=file, fix=error.fix) from error
    except (OSError, yaml.YAMLError, AttributeError, TypeError) as error:
        raise BadInput(
            f"not a label tree: {error}", file=file, fix="`label: {path: [...], synonyms: [...]}`"
        ) from error


def _label(row: dict[str, Any]) -> Label:
    if unknown := set(row) - set(_KEYS):
        raise BadInput(f"unknown key {min(unknown)!r}.", fix=f"valid: {', '.join(_KEYS)}")
    values = {key: tuple(row.get(key) or ()) for key in _KEYS}
    return Label(
        path=values["path"],
        synonyms=values["synonyms"],
        modalities=tuple(parse_modality(name) for name in values["modalities"]),
    )
