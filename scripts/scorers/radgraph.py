"""RadGraph: entities and relations of reports, by the package `radgraph` (Stanford AIMI, MIT) from a folder of weights.

The package (0.1.18) and bert-score call what tokenizers had in transformers 4; `older_tokenizers` lends it to them.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

from transformers import PreTrainedTokenizerBase

from ...eval.metrics.clinical.labelers import GraphReader, read_by_radgraph
from ...grounding.bad_input import in_one_line

MODELS = ("radgraph", "radgraph-xl", "modern-radgraph-xl")
"""Folders in which the package keeps its models. The first is that of RadCliQ and of tables before RadGraph-XL."""


def model_in(folder: Path) -> str:
    """The model that a folder holds, the first one of several; "" where the package has to choose."""
    return next((name for name in MODELS if (folder / name).is_dir()), "")


def load_reader(folder: Path) -> GraphReader:
    """Reports -> their graphs. Raises whatever the package does."""
    chosen = {"model_type": name} if (name := model_in(folder)) else {}
    places = {"model_cache_dir": str(folder), "tokenizer_cache_dir": str(folder)}
    with older_tokenizers():
        read = read_by_radgraph(import_module("radgraph").RadGraph(**chosen, **places))

    def read_now(reports: Any) -> Any:
        with older_tokenizers():
            return read(reports)

    return read_now


@cache
def why_not(folder: Path) -> str:
    """What keeps the package from loading this folder, in one line; "" where it loads, which is tried once."""
    try:
        load_reader(folder)
    except Exception as error:  # of whatever class
        return in_one_line(error) or type(error).__name__
    return ""


@contextmanager
def older_tokenizers() -> Iterator[None]:
    """Tokenizers that begin with a class token and end with a separator have two methods of transformers 4, within."""

    def with_special_tokens(self: Any, ids: list[int]) -> list[int]:
        return [self.cls_token_id, *ids, self.sep_token_id]

    lent = {"encode_plus": PreTrainedTokenizerBase.__call__, "build_inputs_with_special_tokens": with_special_tokens}
    lent = {name: method for name, method in lent.items() if not hasattr(PreTrainedTokenizerBase, name)}
    for name, method in lent.items():
        setattr(PreTrainedTokenizerBase, name, method)
    try:
        yield
    finally:
        for name in lent:
            delattr(PreTrainedTokenizerBase, name)
