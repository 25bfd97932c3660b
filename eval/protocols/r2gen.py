"""Protocol `r2gen`: reports as R2Gen scores them (Chen et al., EMNLP 2020; github.com/cuhksz-nlp/R2Gen at 5a2e63f6).

Its quirks are kept (modules/tokenizers.py, datasets.py, trainer.py, metrics.py):
- Cleaning by literal replacements: "1. " goes anywhere, also inside "11. "; sentences end at ". " and are joined by
  " . "; of the characters that it deletes, the range from ":" to "[" is one, so "-" and digits stay.
- A reference is its first 59 (IU X-ray) or 99 (MIMIC-CXR) words: of `max_seq_length` 60 and 100 the mark of the
  beginning takes one. Words rarer than 3 or 10 times in the training reports are `<unk>`.
- BLEU, METEOR and ROUGE-L on words between blanks, no CIDEr.

R2Gen scores the words that its model wrote as they are. Here predictions of any model are cleaned like references, but
gain no full stop that they do not end with (one that the length limit cut has none): R2Gen's own stay as they are. They
are never cut. `<unk>` stays in both texts: references may be R2Gen's own, cut and with `<unk>` already. Cut references
raise the scores, so that they compare with published R2Gen figures only.
"""

import re
from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

from ...grounding.bad_input import ROW_ERRORS, BadInput, explain
from ...grounding.foreign import read_json

PROTOCOL = "r2gen"
VERSION = "2"
UNKNOWN = "<unk>"

_MARKS = re.compile(r"""["/\\'.,?;*!%^&_+():-\[\]{}]""")


@dataclass(frozen=True, kw_only=True)
class Corpus:
    """R2Gen's constants for one corpus. `squeezed`: replacements in order, each made as often as said."""

    name: str
    squeezed: tuple[tuple[str, str, int], ...]
    max_words: int
    threshold: int


IU = Corpus(name="iu", squeezed=(("..", ".", 3),), max_words=59, threshold=3)
_SQUEEZED = (("\n", " ", 1), ("__", "_", 7), ("  ", " ", 6), ("..", ".", 8))
MIMIC = Corpus(name="mimic", squeezed=_SQUEEZED, max_words=99, threshold=10)


def corpus_of(dataset: str) -> Corpus:
    """IU X-ray for its names (iu_xray, open-i, Indiana ...), MIMIC-CXR for all others, as R2Gen does."""
    name = re.sub(r"[^a-z]", "", dataset.lower())
    return IU if name.startswith("iu") or "openi" in name or "indiana" in name else MIMIC


def clean(report: str, corpus: Corpus) -> list[str]:
    """The words of a cleaned report, " ." closing each sentence; none for a blank one."""
    if not report.strip():
        return []
    for old, new, times in corpus.squeezed:
        for _ in range(times):
            report = report.replace(old, new)
    report = report.replace("1. ", "")  # anywhere: "11. " becomes "1"
    for before in (".", ""):
        for number in "2345":
            report = report.replace(f"{before} {number}. ", ". ")
    sentences = report.strip().lower().split(". ")
    return " . ".join([*(_MARKS.sub("", sentence) for sentence in sentences), ""]).split()


def clean_prediction(text: str, corpus: Corpus) -> str:
    """A prediction cleaned like a reference, not cut; its `<unk>` is kept, and a full stop at its end only its own."""
    words = _keep_unknown(clean(text, corpus), text)
    return " ".join(words if text.rstrip().endswith(".") else words[:-1])


def clean_reference(text: str, corpus: Corpus, vocabulary: Collection[str] | None = None) -> str:
    """The first words of a cleaned reference, `<unk>` for its own and for those that a given vocabulary lacks."""
    words = _keep_unknown(clean(text, corpus)[: corpus.max_words], text)
    return " ".join(word if vocabulary is None or word in vocabulary else UNKNOWN for word in words)


def _keep_unknown(words: list[str], text: str) -> list[str]:
    # cleaning takes the brackets of <unk>
    return [UNKNOWN if word == "unk" and UNKNOWN in text.lower() else word for word in words]


def read_vocabulary(path: Path, corpus: Corpus) -> frozenset[str]:
    """The training vocabulary: from a JSON list of words, or counted in the "train" reports of an annotation.json.

    Raises `BadInput` for a file that is neither.
    """
    fix = 'give a JSON list of words, or R2Gen\'s annotation.json with its "train" reports'
    content = read_json(path, fix)
    if isinstance(content, Mapping):
        with explain("not a training vocabulary", *ROW_ERRORS, file=path, fix=fix):
            counts = Counter(word for row in content["train"] for word in clean(row["report"], corpus))
            return frozenset(word for word, count in counts.items() if count >= corpus.threshold)
    if not isinstance(content, list) or not all(isinstance(word, str) for word in content):
        problem = "not a training vocabulary: neither a list of words nor an annotation file."
        raise BadInput(problem, file=path, fix=fix)
    return frozenset(content)
