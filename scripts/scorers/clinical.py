"""Which clinical scores of reports a run can have: what is missing, said before the first stage, and what fills them.

A further one (a judge that is served) is a row of `SCORERS`: what it lacks, and what it writes into `meta`.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

from ...eval.metrics.clinical.labelers import add_graphs, add_labels
from ...eval.records import Record, read_records
from ...eval.settings import EvalSettings
from ...grounding.bad_input import BadInput, in_one_line
from ...grounding.files import write_atomic

CHEXBERT_FILES = ("chexbert.pth", "config.json", "vocab.txt")
_RADGRAPH = "radgraph.tar.gz of huggingface.co/StanfordAIMI/RRG_scorers, unpacked into a folder `radgraph`"
_CHEXBERT = "chexbert.pth of huggingface.co/StanfordAIMI/RRG_scorers, config.json and vocab.txt of bert-base-uncased"


@dataclass(frozen=True, kw_only=True)
class Scorer:
    """One score. `lacks(settings)`: what is missing and how to get it, "" where nothing is; `fill` adds to records.

    `is_required`: by `eval.require_scores`.
    """

    title: str
    lacks: Callable[[EvalSettings], str]
    fill: Callable[[Sequence[Record], EvalSettings], list[Record]]
    is_required: bool = False


def _lacks_folder(key: str, folder: Path | None, files: Sequence[str], what: str) -> str:
    if folder is None:
        return f"eval.{key} is not set: name a folder that holds {what}"
    absent = [name for name in files if not (folder / name).is_file()]
    return f"{folder} lacks {', '.join(absent)}: put {what} there" if absent else ""


def _lacks_chexbert(settings: EvalSettings) -> str:
    folder = settings.chexbert
    if (lacks := _lacks_folder("chexbert", folder, CHEXBERT_FILES, _CHEXBERT)) or folder is None:
        return lacks
    from .chexbert import why_not

    return why_not(folder)


def _lacks_radgraph(settings: EvalSettings) -> str:
    folder = settings.radgraph
    if folder is None:
        return _lacks_folder("radgraph", None, (), _RADGRAPH)
    if not (folder.is_dir() and any(folder.iterdir())):
        return f"{folder} is empty or not there: put {_RADGRAPH} there"
    if lacks := _lacks_package("radgraph", "radgraph", "radgraph"):
        return lacks
    from .radgraph import why_not

    return f"the package radgraph cannot use {folder}: {why}" if (why := why_not(folder)) else ""


def _lacks_radcliq(settings: EvalSettings) -> str:
    folder = settings.radgraph
    if _lacks_chexbert(settings) or _lacks_radgraph(settings) or folder is None:
        return "it needs eval.chexbert and eval.radgraph, and eval.bertscore"
    from .radgraph import model_in

    if (model := model_in(folder)) not in ("", "radgraph"):
        return f"it was fitted with RadGraph's first model, and {folder} holds {model} alone: put {_RADGRAPH} there"
    if lacks := _lacks_folder("bertscore", settings.bertscore, ["config.json"], "distilroberta-base of the hub"):
        return lacks
    return _lacks_package("bert_score", "bert-score", "radcliq")


def _lacks_judge(settings: EvalSettings) -> str:
    what = "the address of a served model, such as http://host:8000/v1"
    return "" if settings.judge_endpoint else f"eval.judge_endpoint is not set: name {what}"


def _lacks_package(module: str, name: str, field: str) -> str:
    try:
        import_module(module)
    except ImportError as error:
        instead = f"or put meta.{field} into the records, made in an environment of its own"
        return f"the package {name} cannot be used here ({in_one_line(error)}): pip install {name}, {instead}"
    return ""


def _fill_chexbert(records: Sequence[Record], settings: EvalSettings) -> list[Record]:
    from .chexbert import CheXbertLabeler

    assert settings.chexbert is not None
    return add_labels(records, CheXbertLabeler(settings.chexbert).labels)


def _fill_radgraph(records: Sequence[Record], settings: EvalSettings) -> list[Record]:
    from .radgraph import load_reader

    assert settings.radgraph is not None
    return add_graphs(records, load_reader(settings.radgraph))


def _fill_radcliq(records: Sequence[Record], settings: EvalSettings) -> list[Record]:
    from .radcliq import add_sub_scores

    assert settings.chexbert is not None
    assert settings.bertscore is not None
    return add_sub_scores(records, settings.chexbert, settings.bertscore)


SCORERS: tuple[Scorer, ...] = (
    Scorer(title="CheXbert F1 (14 and 5 labels)", lacks=_lacks_chexbert, fill=_fill_chexbert, is_required=True),
    Scorer(title="RadGraph F1", lacks=_lacks_radgraph, fill=_fill_radgraph, is_required=True),
    Scorer(title="RadCliQ", lacks=_lacks_radcliq, fill=_fill_radcliq),
    # judged where records are scored (`eval.tasks.report`), since a judge may change
    Scorer(title="GREEN, RadFact and CRIMSON", lacks=_lacks_judge, fill=lambda records, _settings: list(records)),
)
"""In the order in which a table leads with them."""


def missing_scores(settings: EvalSettings) -> list[str]:
    """A line for each score that cannot be computed. Under `require_scores` CheXbert's and RadGraph's raise."""
    lacking = {scorer: lacks for scorer in SCORERS if (lacks := scorer.lacks(settings))}
    required = [f"no {scorer.title}: {lacks}" for scorer, lacks in lacking.items() if scorer.is_required]
    if required and settings.require_scores:
        raise BadInput("; ".join(required) + ".", fix="or leave eval.require_scores out")
    return [f"no {scorer.title}: {lacks}" for scorer, lacks in lacking.items()]


def add_scores(path: Path, settings: EvalSettings) -> None:
    """Write what the models that are there say into a file of report records, where it does not hold that yet."""
    records = before = read_records([path], "report")
    for scorer in SCORERS:
        if not scorer.lacks(settings):
            records = scorer.fill(records, settings)
    if any(new is not old for new, old in zip(records, before, strict=True)):
        write_atomic(path, "".join(json.dumps(record, ensure_ascii=False) + "\n" for record in records))
