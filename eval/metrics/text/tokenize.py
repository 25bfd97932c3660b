"""Report text -> words joined by single blanks. Every n-gram score depends on how, so it stands in each result."""

import re
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

from pycocoevalcap.tokenizer import ptbtokenizer

from ....grounding.bad_input import BadInput
from ...settings import Tokenization
from .java import JavaFailed, run_java

_WORD = re.compile(r"\d+(?:[.,]\d+)*|\w+(?:['’]\w+)*|[^\w\s]")  # 2.5 | patient's | any mark by itself
_JAR = Path(ptbtokenizer.__file__).with_name(ptbtokenizer.STANFORD_CORENLP_3_4_1_JAR)


def collapse(text: str) -> str:
    """White space of any kind, line breaks of Unicode among it, as single blanks."""
    return " ".join(text.split())


def tokenize(texts: Sequence[str], tokenization: Tokenization = "lower") -> list[str]:
    """Each text's words, white space collapsed first.

    `raw` splits at white space; `lower` makes lower case and punctuation marks words; `ptb` is pycocoevalcap's
    PTBTokenizer: lower case, punctuation marks dropped. Raises `BadInput` for `ptb` without Java.
    """
    assert not isinstance(texts, str), "a list of texts"
    match tokenization:
        case "raw":
            return [collapse(text) for text in texts]
        case "lower":
            return [" ".join(map(_words, text.lower().split())) for text in texts]
    program = ["-cp", str(_JAR), "edu.stanford.nlp.process.PTBTokenizer"]
    options = ["-preserveLines", "-lowerCase", "-encoding", "UTF-8"]
    try:
        lines = run_java([*program, *options], [collapse(text) for text in texts])
    except JavaFailed as error:
        fix = "install Java, or choose the tokenisation `lower` or `raw`"
        raise BadInput(f"the tokenisation `ptb` needs Java: {error}.", fix=fix) from error
    dropped = set(ptbtokenizer.PUNCTUATIONS)
    return [" ".join(word for word in line.rstrip().split(" ") if word not in dropped) for line in lines]


@lru_cache(maxsize=100_000)
def _words(chunk: str) -> str:
    """Words of a text between two blanks; remembered, since reports use few."""
    return " ".join(_WORD.findall(chunk))
