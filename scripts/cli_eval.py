"""`medglip eval`: scores from records on disk, no model needed."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from ..grounding.records import Task

evaluation = typer.Typer(
    help="Score prediction records (JSONL) with 95 % cluster-bootstrap intervals. No model is loaded.",
    no_args_is_help=True,
)
Records = Annotated[list[Path], typer.Argument(help="Record files, e.g. runs/quickstart/records/vqa-none.jsonl")]
Json = Annotated[Path | None, typer.Option("--json", help="Write the scores there as JSON")]
Resamples = Annotated[int, typer.Option(help="Bootstrap resamples")]


def _score(task: Task, records: list[Path], out: Path | None, resamples: int) -> None:
    from ..eval.records import read_records
    from ..eval.score import EvalSettings, score, write_json
    from ..eval.table import table

    scores = score(read_records(records, task), task, EvalSettings(resamples=resamples))
    typer.echo(table({f"{task}, protocol {scores.protocol} {scores.version}": scores.metrics}))
    if out:
        write_json(scores, out)
        typer.echo(f"written: {out}")


@evaluation.command()
def grounding(records: Records, out: Json = None, resamples: Resamples = 1000) -> None:
    """AP, AP50, AP75, mIoU, Acc@0.5 and Dice of phrase grounding."""
    _score("grounding", records, out, resamples)


@evaluation.command()
def vqa(records: Records, out: Json = None, resamples: Resamples = 1000) -> None:
    """Open and closed accuracy, open F1 and recall (protocol exact_match)."""
    _score("vqa", records, out, resamples)


@evaluation.command()
def report(records: Records, out: Json = None, resamples: Resamples = 1000) -> None:
    """BLEU-1..4, ROUGE-L and CIDEr of reports."""
    _score("report", records, out, resamples)


@evaluation.command()
def compare(
    a: Annotated[Path, typer.Argument(help="Records of one model or evidence source")],
    b: Annotated[Path, typer.Argument(help="Records of the baseline on the same samples")],
    out: Json = None,
    resamples: Resamples = 1000,
) -> None:
    """Paired difference A minus B over the same ids: interval by the same cluster resamples, permutation p-value."""
    from ..eval.compare import compare as compare_files
    from ..eval.records import task_of
    from ..eval.score import EvalSettings
    from ..eval.table import table

    found = compare_files([a], [b], task_of(a), EvalSettings(resamples=resamples))
    typer.echo(table({f"{a.stem} minus {b.stem}": found.metrics}))
    if out:
        out.write_text(json.dumps(asdict(found), indent=1))
        typer.echo(f"written: {out}")
