"""`medglip eval`: scores from records on disk, no model needed. Every value is printed with its interval and n."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ...eval.settings import ClosedDef, EvalSettings, IouType, ReportProtocol, Tokenization, VqaProtocol
from ...grounding.bad_input import BadInput
from ...grounding.files import write_atomic
from ...grounding.records import Task
from ...grounding.settings import validate

if TYPE_CHECKING:
    from ...eval.score import Scores

evaluation = typer.Typer(
    help="Score prediction records (JSONL) with cluster-bootstrap intervals. No model is loaded.",
    no_args_is_help=True,
)
Records = Annotated[
    list[Path], typer.Argument(help="Record files of ONE run (several: one a process), e.g. records/vqa-none.jsonl")
]
Json = Annotated[Path | None, typer.Option("--json", help="Write the scores there as JSON")]
References = Annotated[
    Path | None, typer.Option(help="A JSONL file with every `id`: missing or surplus predictions are refused by id")
]
Resamples = Annotated[int, typer.Option(help="Bootstrap resamples of clusters (patients, else images)")]
Confidence = Annotated[float, typer.Option(help="Confidence of the intervals")]
Seed = Annotated[int, typer.Option(help="Seed of the resamples")]
Strata = Annotated[bool, typer.Option(help="Score modalities, question types, ... apart as well")]


@evaluation.command()
def vqa(
    records: Records,
    protocol: Annotated[
        VqaProtocol, typer.Option(help="The rules of scoring; each is described in docs/evaluation.md")
    ] = "exact_match",
    closed_def: Annotated[ClosedDef, typer.Option(help="What makes a question closed")] = "answer_type",
    candidates: Annotated[
        Path | None, typer.Option(help='llava_med: open answers of train as `{"0": [answers...]}`, order kept')
    ] = None,
    references: References = None,
    out: Json = None,
    resamples: Resamples = 1000,
    confidence: Confidence = 0.95,
    seed: Seed = 0,
    strata: Strata = True,
) -> None:
    """Open and closed answers, by the rules of one protocol.

    `exact_match` is ours: whole words yes and no, exact match after VQA normalisation, token F1 and recall. The others
    reproduce a public implementation, its quirks included, so that numbers can be set beside published ones.
    """
    settings = {"protocol": protocol, "closed_def": closed_def, "candidates": candidates, "resamples": resamples}
    _score("vqa", records, references, out, **settings, confidence=confidence, seed=seed, strata=strata)


@evaluation.command()
def report(
    records: Records,
    protocol: Annotated[
        ReportProtocol, typer.Option(help="`full` references, or `r2gen`: its cleaning, references cut short")
    ] = "full",
    tokenization: Annotated[
        Tokenization, typer.Option(help="`raw`: at blanks; `lower`: lower case, marks apart; `ptb`: needs Java")
    ] = "lower",
    metrics: Annotated[list[str] | None, typer.Option(help="Only these metrics; repeat it or use commas")] = None,
    references: References = None,
    out: Json = None,
    resamples: Resamples = 1000,
    confidence: Confidence = 0.95,
    seed: Seed = 0,
    strata: Strata = True,
) -> None:
    """BLEU-1..4, METEOR, ROUGE-L and CIDEr; label F1, RadGraph, RadCliQ and RadFact where the records hold the inputs.

    Numbers depend on the tokenisation, which is stored with them. METEOR needs Java; without it the rest is scored.
    """
    chosen = tuple(name.strip() for part in metrics or () for name in part.split(",") if name.strip())
    settings = {"report_protocol": protocol, "tokenization": tokenization, "metrics": chosen, "resamples": resamples}
    _score("report", records, references, out, **settings, confidence=confidence, seed=seed, strata=strata)


@evaluation.command()
def grounding(
    records: Annotated[list[Path] | None, typer.Argument(help="Record files of one run; or give COCO files")] = None,
    references: Annotated[Path | None, typer.Option(help="COCO instances file; images without boxes count")] = None,
    predictions: Annotated[
        Path | None, typer.Option(help="COCO results list: image_id, category_id, bbox, score")
    ] = None,
    iou_type: Annotated[IouType, typer.Option(help="COCO files: overlap of boxes or of masks")] = "bbox",
    score_threshold: Annotated[float, typer.Option(help="Lowest score of a region that counts as said")] = 0.5,
    out: Json = None,
    resamples: Resamples = 1000,
    confidence: Confidence = 0.95,
    seed: Seed = 0,
    strata: Strata = True,
) -> None:
    """Boxes and masks: COCO's AP and AR, Acc@IoU, mIoU, Dice; for records also absent phrases and calibration.

    Either RECORDS of phrase grounding, or `--references instances.json --predictions results.json` of any tool.
    """
    settings = {"score_threshold": score_threshold, "resamples": resamples, "confidence": confidence}
    settings |= {"seed": seed, "strata": strata}
    if records and not (references or predictions):
        _score("grounding", records, None, out, **settings)
    elif references and predictions and not records:
        from ...eval.coco import score_coco

        _show(score_coco(references, predictions, iou_type, _settings(**settings)), out)
    else:
        raise BadInput("nothing to score.", fix="give RECORDS, or both --references and --predictions")


@evaluation.command()
def compare(
    runs: Annotated[list[Path], typer.Argument(help="Record files of two or more runs; the last is the baseline")],
    protocol: Annotated[str | None, typer.Option(help="Of VQA or reports; none given: the default")] = None,
    out: Json = None,
    resamples: Resamples = 1000,
    confidence: Confidence = 0.95,
    seed: Seed = 0,
) -> None:
    """Each run minus the last one, paired over the same ids: interval, permutation p, Holm p, McNemar p.

    Refused, with the ids, where one run lacks samples of the other or asks something else under the same id.
    """
    from ...eval.compare import compare_runs
    from ...eval.records import read_records, task_of
    from ...eval.table import comparisons_text

    task = task_of(runs[0])
    settings = _settings(resamples=resamples, confidence=confidence, seed=seed, **_protocol(task, protocol))
    found = compare_runs([read_records([run], task) for run in runs], _names(runs), task, settings)
    typer.echo(comparisons_text(found))
    _write([asdict(one) for one in found], out)


@evaluation.command()
def probes(
    records: Annotated[
        list[Path], typer.Argument(help="Records of the original images, and of probes of the same ids")
    ],
    protocol: Annotated[VqaProtocol, typer.Option(help="The rules of VQA scoring")] = "exact_match",
    out: Json = None,
    resamples: Resamples = 1000,
    confidence: Confidence = 0.95,
    seed: Seed = 0,
) -> None:
    """Does the model look? Drops under blank, shuffled, missing and flipped images; adversarial pairs.

    A record says what it is in `meta.probe` (blank, shuffled, text_only, flipped), or in `evidence`; all others are
    originals. Pairs are named by `meta.pair_id`; ProbMed's questions by `meta.qa_type`.
    """
    from ...eval.probes import probe
    from ...eval.records import read_records, task_of
    from ...eval.table import probes_text

    settings = _settings(protocol=protocol, resamples=resamples, confidence=confidence, seed=seed)
    found = probe([read_records([path], task_of(path)) for path in records], _names(records), settings)
    typer.echo(probes_text(found))
    _write(asdict(found), out)


@evaluation.command()
def leaks(
    test: Annotated[Path, typer.Argument(help="Questions that are scored: records, VQA-RAD (MEVF) or SLAKE JSON")],
    train: Annotated[Path, typer.Option(help="Questions that were trained on, in any of these forms")],
    images: Annotated[
        Path | None, typer.Option(help="Folder of the images: compare their bytes and their looks")
    ] = None,
    language: Annotated[str | None, typer.Option(help="SLAKE: one language of `q_lang`, such as en")] = None,
    out: Json = None,
) -> None:
    """What a test split shares with train: images, questions, answers, near duplicates, counted with their ids."""
    from ...eval.leaks import leaks_between, text

    found = leaks_between(train, test, images, language)
    typer.echo(text(found))
    _write({name: asdict(leak) for name, leak in found.items()}, out)


@evaluation.command()
def page(
    runs: Annotated[list[Path], typer.Argument(help="Run folders (runs/quickstart) or record files")],
    out: Annotated[Path, typer.Option(help="The HTML file")] = Path("evaluation.html"),
    images: Annotated[Path | None, typer.Option(help="Folder of pictures named by image id")] = None,
    cases: Annotated[int, typer.Option(help="Cases shown at most: best, worst and random ones")] = 500,
    resamples: Annotated[int | None, typer.Option(help="Bootstrap resamples; none given: those of the run")] = None,
) -> None:
    """One HTML page of runs: tables, paired differences, strata, calibration, curves, cases. It opens offline."""
    from ..page.gather import write_page

    settings = None if resamples is None else _settings(resamples=resamples)
    typer.echo(f"page: {write_page(runs, out, images, cases, settings)}")


def _score(task: Task, records: list[Path], references: Path | None, out: Path | None, **settings: Any) -> None:
    from ...eval.records import read_records
    from ...eval.score import score

    _show(score(read_records(records, task, references=references), task, _settings(**settings)), out)


def _show(scores: "Scores", out: Path | None) -> None:
    from ...eval.score import write_json
    from ...eval.table import scores_text

    typer.echo(scores_text(scores))
    if out:
        write_json(scores, out)
        typer.echo(f"written: {out}")


def _write(rows: Any, out: Path | None) -> None:
    if out:
        write_atomic(out, json.dumps(rows, indent=1, ensure_ascii=False) + "\n")
        typer.echo(f"written: {out}")


def _settings(**values: Any) -> EvalSettings:
    return validate(EvalSettings, values)


def _protocol(task: Task, name: str | None) -> dict[str, str]:
    """The setting that holds a protocol of this task."""
    return {} if name is None else {"report_protocol" if task == "report" else "protocol": name}


def _names(paths: list[Path]) -> list[str]:
    """File names, or whole paths where two files have the same name."""
    stems = [path.stem for path in paths]
    return stems if len(set(stems)) == len(stems) else [str(path) for path in paths]
