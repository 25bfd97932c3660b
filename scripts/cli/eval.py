"""`medglip eval`: scores from records on disk, no model needed. Every value is printed with its interval and n."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ...eval.catalog import REPORT_PROTOCOLS, VQA_PROTOCOLS, report_names
from ...eval.settings import EvalSettings, IouType, ReportProtocol, Tokenization, VqaProtocol
from ...grounding.bad_input import BadInput, about
from ...grounding.files import locked
from ...grounding.records import Task
from ...grounding.settings import validate
from .groups import Commands
from .options import Json, output, safety, what, who_answers, write_rows, write_text
from .sets import Sets, read_sets, second_names

if TYPE_CHECKING:
    from ...eval.score import Scores

evaluation = Commands()
Records = Annotated[
    list[Path], typer.Argument(help="Record files of ONE run (several: one per process), e.g. records/vqa-none.jsonl")
]
References = Annotated[
    Path | None, safety(help="A JSONL file with every `id`: missing and surplus predictions are refused by id")
]
VqaRules = Annotated[
    VqaProtocol,
    what(help="; ".join(f"`{name}`: {row.title}" for name, row in VQA_PROTOCOLS.items()) + ". See docs/evaluation.md"),
]
JudgeUrl = Annotated[str, who_answers("--endpoint", metavar="URL", help="A served model judges: http://host:8000/v1")]
JudgeModel = Annotated[str, who_answers("--model", metavar="NAME", help="The judge's name there")]
METRICS = ", ".join(report_names())
# keys with a second name on every command that draws intervals: `--resamples 20`
INTERVALS = ("resamples", "confidence", "seed")


@evaluation.command(cls=second_names("eval", "closed_def", "candidates", *INTERVALS, flags=["strata"]))
def vqa(
    records: Records,
    protocol: VqaRules = "exact_match",
    draws: Annotated[
        list[Path] | None, what(help="The same questions answered with a temperature; repeat it: `consistency`")
    ] = None,
    endpoint: JudgeUrl = "",
    model: JudgeModel = "",
    out: Json = None,
    references: References = None,
    sets: Sets = None,
) -> None:
    """Score open and closed answers by the rules of one protocol.

    `exact_match` is ours: whole words yes and no, exact match after VQA normalisation, token F1 and recall. The others
    reproduce a public implementation, its quirks included, so that numbers can be compared with published ones. With
    `judge` a served model says of each answer whether it is right; its prompt and name stand in the JSON.

    Example: medglip eval vqa records.jsonl --set eval.closed_def=yes_no --set eval.resamples=200
    """
    settings = _settings(sets, protocol=protocol, **_judge(endpoint, model))
    _score("vqa", records, references, out, settings, draws)


@evaluation.command(cls=second_names("eval", *INTERVALS, flags=["strata"]))
def report(
    records: Records,
    protocol: Annotated[
        ReportProtocol, what(help="; ".join(f"`{name}`: {row.title}" for name, row in REPORT_PROTOCOLS.items()))
    ] = "full",
    tokenization: Annotated[
        Tokenization,
        what(help="`raw`: split at blanks; `lower`: lower case, punctuation apart; `ptb`: Penn Treebank, needs Java"),
    ] = "lower",
    metrics: Annotated[list[str] | None, what(help=f"Only these; repeat it or use commas: {METRICS}")] = None,
    vocabulary: Annotated[
        Path | None, what(help="For r2gen: words of the training set, or its annotation.json; others are <unk>")
    ] = None,
    endpoint: JudgeUrl = "",
    model: JudgeModel = "",
    out: Json = None,
    references: References = None,
    sets: Sets = None,
) -> None:
    """Score reports: BLEU-1..4, METEOR, ROUGE-L, CIDEr; label F1, RadGraph, RadCliQ, RadFact if records allow.

    Numbers depend on the tokenisation, which is stored with them. METEOR needs Java; without it the rest is scored.
    With --endpoint and --model a served model judges for RadFact, GREEN and CRIMSON where records do not hold these.
    With --set eval.chexbert=FOLDER (eval.radgraph, eval.bertscore) models read the reports first, and RECORDS keep
    what they say.

    Example: medglip eval report records.jsonl --metrics cider,bleu --set eval.uncertain_policy=negative
    """
    # ["cider,bleu", "rouge_l"] -> ("cider", "bleu", "rouge_l")
    chosen = tuple(name.strip() for part in metrics or () for name in part.split(",") if name.strip())
    words: dict[str, Any] = {"r2gen_vocabulary": vocabulary} if vocabulary else {}
    words |= _judge(endpoint, model)
    settings = _settings(sets, report_protocol=protocol, tokenization=tokenization, metrics=chosen, **words)
    if settings.chexbert or settings.radgraph:
        from ..scorers.clinical import add_scores, missing_scores

        for line in missing_scores(settings):
            typer.echo(line, err=True)
        for path in records:
            add_scores(path, settings)
    _score("report", records, references, out, settings)


@evaluation.command(cls=second_names("eval", "score_threshold", *INTERVALS, flags=["strata"]))
def grounding(
    records: Annotated[list[Path] | None, typer.Argument(help="Record files of one run; or give COCO files")] = None,
    references: Annotated[Path | None, what(help="COCO instances file; images without boxes count")] = None,
    predictions: Annotated[Path | None, what(help="COCO results list: image_id, category_id, bbox, score")] = None,
    iou_type: Annotated[IouType, what(help="For COCO files: overlap of boxes or of masks")] = "bbox",
    out: Json = None,
    sets: Sets = None,
) -> None:
    """Score boxes and masks: COCO's AP and AR, Acc@IoU, mIoU, Dice; for records also absent phrases and calibration.

    Give RECORDS of phrase grounding, or `--references instances.json --predictions results.json` of any tool.

    Example: medglip eval grounding records/grounding.jsonl --set eval.score_threshold=0.3
    """
    settings = _settings(sets)
    # exactly one of the two kinds of input
    if records and not (references or predictions):
        _score("grounding", records, None, out, settings)
    elif references and predictions and not records:
        from ...eval.tasks.coco import score_coco

        _show(score_coco(references, predictions, iou_type, settings), out)
    else:
        raise BadInput("nothing to score.", fix="give RECORDS, or both --references and --predictions")


@evaluation.command(cls=second_names("eval", *INTERVALS))
def compare(
    runs: Annotated[list[Path], typer.Argument(help="Record files of two or more runs; the last is the baseline")],
    protocol: Annotated[str | None, what(help="Protocol of `eval vqa` or `eval report`; left out: the default")] = None,
    out: Json = None,
    sets: Sets = None,
) -> None:
    """Subtract the last run from each other run, paired by id: interval, permutation p, Holm p, McNemar p.

    Refused, with the ids, where one run lacks samples of the other or has another question under the same id.

    Example: medglip eval compare vqa-predicted.jsonl vqa-none.jsonl --set eval.resamples=2000
    """
    from ...eval.compare import compare_runs
    from ...eval.records import read_records, task_of
    from ...eval.table import comparisons_text

    task = task_of(runs[0])  # runs of another task are refused when they are read
    # one option for two settings: which protocol is meant depends on the task
    rules = {} if protocol is None else {"report_protocol" if task == "report" else "protocol": protocol}
    records = [read_records([run], task) for run in runs]
    with about(*runs):
        comparisons = compare_runs(records, _names(runs), task, _settings(sets, **rules))
    typer.echo(comparisons_text(comparisons))
    write_rows([asdict(comparison) for comparison in comparisons], out)


@evaluation.command(cls=second_names("eval", *INTERVALS))
def probes(
    records: Annotated[
        list[Path], typer.Argument(help="Records of the original images, and of probes of the same ids")
    ],
    protocol: VqaRules = "exact_match",
    out: Json = None,
    sets: Sets = None,
) -> None:
    """Measure whether the model looks: drops under blank, shuffled, missing, flipped and corrupted images; pairs.

    A record names its probe in `meta.probe` (blank, shuffled, text_only, flipped, rephrased; corrupt with
    `meta.severity` 1 to 5) or in `evidence`; all others are originals. Pairs are named by `meta.pair_id`;
    ProbMed's questions by `meta.qa_type`.

    Example: medglip eval probes original.jsonl blank.jsonl --set eval.seed=1
    """
    from ...eval.probes import probe
    from ...eval.records import read_records, task_of
    from ...eval.table import probes_text

    # a file may hold records of several probes: they are told apart record by record
    by_file = [read_records([path], task_of(path)) for path in records]
    with about(*records):
        result = probe(by_file, _names(records), _settings(sets, protocol=protocol))
    typer.echo(probes_text(result))
    write_rows(asdict(result), out)


@evaluation.command()
def leaks(
    test: Annotated[Path, typer.Argument(help="Questions that are scored: records, VQA-RAD (MEVF) or SLAKE JSON")],
    train: Annotated[Path, what(help="Questions that were trained on, in any of these forms")],
    images: Annotated[Path | None, what(help="Folder of the images: compare their bytes and their looks")] = None,
    language: Annotated[str | None, what(help="SLAKE: one language of `q_lang`, such as en")] = None,
    out: Json = None,
) -> None:
    """Count what a test split shares with train: images, questions, answers, near duplicates, with their ids."""
    from ...eval.leaks import leaks_between, text

    by_kind = leaks_between(train, test, images, language)
    typer.echo(text(by_kind))
    write_rows({name: asdict(leak) for name, leak in by_kind.items()}, out)


@evaluation.command(cls=second_names("eval", "closed_def", *INTERVALS))
def floors(
    records: Records,
    train: Annotated[list[Path], what(help="Records of the training questions; predictions are not read")],
    protocol: VqaRules = "exact_match",
    out: Json = None,
    folder: Annotated[Path | None, output("--out", help="Folder for the floors' answers as records")] = None,
    sets: Sets = None,
) -> None:
    """Answer the questions of RECORDS without any image, and score that as `eval vqa` does.

    `most_frequent`: the most frequent training answer by question type; `bag_of_words`: a linear classifier on the
    question's words; `nearest_question`: the answer to the training question with most words in common;
    `bag_of_words_and_image`: with the image's name as a word, where both parts share images. Any JSONL with `question`
    and `answer` teaches them.

    Example: medglip eval floors records.jsonl --train train.jsonl --json floors.json
    """
    from ...eval.floors import floor_records, read_train
    from ...eval.records import read_records
    from ...eval.score import score
    from ...eval.table import table

    settings, asked = _settings(sets, protocol=protocol), read_records(records, "vqa")
    answered = floor_records(asked, read_train(train))
    scores = {name: score(rows, "vqa", settings) for name, rows in answered.items()}
    own = score(asked, "vqa", settings)
    typer.echo(table({"the records": own.metrics, **{name: one.metrics for name, one in scores.items()}}))
    write_rows({name: asdict(one) for name, one in scores.items()}, out)
    if folder is None:
        return
    with locked(folder / ".lock", "floors", wait_s=60):
        for name, rows in answered.items():
            lines = (json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
            write_text("".join(lines), folder / f"vqa-{name}.jsonl")


@evaluation.command(cls=second_names("eval", "resamples"))
def page(
    runs: Annotated[list[Path], typer.Argument(help="Run folders (runs/quickstart) or record files")],
    images: Annotated[Path | None, what(help="Folder of the images; from outside the runs only its are shown")] = None,
    cases: Annotated[int, what(help="Largest number of cases: best, worst and random ones")] = 500,
    out: Annotated[Path, output(help="The HTML file")] = Path("evaluation.html"),
    sets: Sets = None,
) -> None:
    """Write one HTML page of runs: tables, paired differences, strata, calibration, curves, cases. It opens offline.

    Without --set scores are made as the run made them. Example: medglip eval page runs/quickstart --set
    eval.resamples=200
    """
    from ..page.gather import write_page

    typer.echo(f"page: {write_page(runs, out, images, cases, _settings(sets) if sets else None)}")


def _settings(sets: list[str] | None, **values: Any) -> EvalSettings:
    return validate(EvalSettings, values | read_sets(sets, eval=EvalSettings)["eval"])


def _judge(url: str, model: str) -> dict[str, str]:
    """The settings of a judge; nothing where none is given."""
    return {name: value for name, value in (("judge_endpoint", url), ("judge_model", model)) if value}


def _score(
    task: Task,
    records: list[Path],
    references: Path | None,
    out: Path | None,
    settings: EvalSettings,
    draws: list[Path] | None = None,
) -> None:
    from ...eval.metrics.trust import with_draws
    from ...eval.records import read_records
    from ...eval.score import score

    with about(*records, *(draws or ())):
        rows = read_records(records, task, references=references)
        if draws:
            rows = with_draws(rows, [read_records([path], task) for path in draws])
        scores = score(rows, task, settings)
    _show(scores, out)


def _show(scores: "Scores", out: Path | None) -> None:
    from ...eval.score import write_json
    from ...eval.table import scores_text

    typer.echo(scores_text(scores))
    if out:
        write_json(scores, out)
        typer.echo(f"written: {out}")


def _names(paths: list[Path]) -> list[str]:
    """The names of the table's columns."""
    stems = [path.stem for path in paths]
    # a/vqa.jsonl and b/vqa.jsonl would both be `vqa`
    return stems if len(set(stems)) == len(stems) else [str(path) for path in paths]
