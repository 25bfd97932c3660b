"""`medglip eval`: scores from records on disk, no model needed."""

import json
from pathlib import Path
from typing import Annotated

import typer

evaluation = typer.Typer(
    help="Score prediction records (JSONL) with 95 % cluster-bootstrap intervals. No model is loaded.",
    no_args_is_help=True,
)
Records = Annotated[list[Path], typer.Argument(help="Record files, e.g. runs/quickstart/records/vqa-none.jsonl")]
Json = Annotated[Path | None, typer.Option("--json", help="Write the scores there as JSON")]
Resamples = Annotated[int, typer.Option(help="Bootstrap resamples")]


def _score(task: str, records: list[Path], out: Path | None, resamples: int) -> None:
    from ..eval.records import read_records
    from ..eval.score import SCORERS, EvalSettings, scores_table, write_json

    scores = SCORERS[task](read_records(records, task), EvalSettings(resamples=resamples))
    typer.echo(scores_table(scores))
    if out:
        write_json(scores, out)


@evaluation.command()
def grounding(records: Records, json: Json = None, resamples: Resamples = 1000) -> None:
    """AP, AP50, AP75, mIoU, Acc@0.5 and Dice of phrase grounding."""
    _score("grounding", records, json, resamples)


@evaluation.command()
def vqa(records: Records, json: Json = None, resamples: Resamples = 1000) -> None:
    """Open and closed accuracy, open F1 and recall (protocol exact_match)."""
    _score("vqa", records, json, resamples)


@evaluation.command()
def report(records: Records, json: Json = None, resamples: Resamples = 1000) -> None:
    """BLEU-1..4, ROUGE-L and CIDEr of reports."""
    _score("report", records, json, resamples)


@evaluation.command()
def compare(
    a: Annotated[Path, typer.Argument(help="Records of the baseline")],
    b: Annotated[Path, typer.Argument(help="Records of the same samples by another model or evidence source")],
    out: Json = None,
) -> None:
    """Paired difference B minus A over the same ids: interval by the same cluster resamples, permutation p-value."""
    from ..eval.compare import compare as compare_records
    from ..eval.score import EvalSettings

    result = compare_records([a], [b], EvalSettings())
    typer.echo(json.dumps(result, indent=1))
    if out:
        out.write_text(json.dumps(result, indent=1))
