"""Report text by n-grams: BLEU-1..4, ROUGE-L, CIDEr and METEOR under one tokenisation, which stands in every result."""

from collections.abc import Iterable, Sequence

from ....grounding.bad_input import BadInput, nearest
from ...catalog import FIELD_METRICS, TEXT_METRICS, text_names
from ...settings import Tokenization
from ...statistics.measure import Sums
from .tokenize import tokenize

WITHOUT_JAVA = tuple(name for entry in TEXT_METRICS.values() if not entry.needs_java for name in entry.names)
"""The metrics that need no other program."""


def choose(names: Iterable[str], valid: Iterable[str] | None = None) -> list[str]:
    """The valid metrics that are named, by themselves or by their group. Raises `BadInput` for any other name."""
    valid = text_names() if valid is None else list(valid)
    groups = {name: (name,) for name in valid}
    # a group ("bleu") can be named where all its metrics are valid
    groups |= {key: entry.names for key, entry in TEXT_METRICS.items() if {*entry.names} <= {*valid}}
    fields = {key: tuple(name for name in entry.names if name in valid) for key, entry in FIELD_METRICS.items()}
    groups |= {key: own for key, own in fields.items() if own}
    if "label_micro_f1" in groups:
        groups["label_f1"] = ("label_micro_f1",)  # its name in the table of a run
    if unknown := [name for name in names if name not in groups]:
        problem = f"no report metric {unknown[0]!r} for these records under this protocol."
        needed = [key for key, entry in FIELD_METRICS.items() if unknown[0] in (key, *entry.names)]
        needed += ["labels"] * (unknown[0] == "label_f1")
        raise BadInput(problem, fix=f"give records `meta.{needed[0]}`" if needed else nearest(unknown[0], groups))
    wanted = {name for group in names for name in groups[group]}
    return [name for name in valid if name in wanted]


def report_measures(
    predictions: Sequence[str],
    references: Sequence[str | Sequence[str]],
    tokenization: Tokenization = "lower",
    metrics: Sequence[str] = WITHOUT_JAVA,
) -> dict[str, Sums]:
    """The named metrics; a reference is one text or several.

    bleu_1 .. bleu_4, meteor, rouge_l in [0, 1], cider in [0, 10]; CIDEr needs a corpus and is 0 for one report.
    Raises `JavaFailed` for meteor without Java, `BadInput` for the tokenisation `ptb` without.
    """
    texts, wanted = tokenize_pairs(predictions, references, tokenization)
    tables = [TEXT_METRICS[key].load().measures(texts, wanted, names) for key, names in modules_of(metrics).items()]
    return {name: measure for table in tables for name, measure in table.items()}


def modules_of(metrics: Sequence[str]) -> dict[str, list[str]]:
    """The named metrics by module, so that each module is asked once: key of its first entry -> names."""
    firsts: dict[str, str] = {}
    names: dict[str, list[str]] = {}
    for key, entry in TEXT_METRICS.items():
        if chosen := [name for name in entry.names if name in metrics]:
            names.setdefault(firsts.setdefault(entry.module, key), []).extend(chosen)
    return names


def tokenize_pairs(
    predictions: Sequence[str], references: Sequence[str | Sequence[str]], tokenization: Tokenization
) -> tuple[list[str], list[list[str]]]:
    """Predictions, and the references of each, tokenised together."""
    several = [[texts] if isinstance(texts, str) else list(texts) for texts in references]
    # one call for all texts: `ptb` starts a Java program
    texts = tokenize([*predictions, *(text for part in several for text in part)], tokenization)
    rest = iter(texts[len(predictions) :])
    return texts[: len(predictions)], [[next(rest) for _ in part] for part in several]
