r"""When the answers of a loose adapter count: `confidence.json`, from records of questions that chose nothing else.

medglip data phantoms NEW --images 30 --seed 4711
medglip vqa predict --dataset phantom --root NEW --adapter ADAPTER --out model.jsonl
medglip vqa predict --dataset phantom --root NEW --model rules --out rules.jsonl
python -m medglip.scripts.release.choose_confidence ADAPTER model.jsonl rules.jsonl
"""

from pathlib import Path
from typing import Annotated

import typer

from ...eval.records import read_records
from ...eval.settings import EvalSettings
from ...eval.statistics.selective import risk_coverage
from ...grounding.bad_input import BadInput
from ...grounding.files import write_atomic
from ...vqa.inference.confidence import FILE, LEAST
from ...vqa.model.shipped import shipped_folder
from ..pipeline.confidence import confidence_from, marks_of


def main(
    adapter: Annotated[Path, typer.Argument(help="small, or the folder of an adapter")],
    records: Annotated[Path, typer.Argument(help="Its answers, with probabilities")],
    rules: Annotated[Path, typer.Argument(help="Answers of the rules to the same questions")],
) -> None:
    """Write `confidence.json` into the adapter's folder and print its risk at some coverages."""
    answers, settings = read_records([records], "vqa"), EvalSettings()
    found = confidence_from(answers, read_records([rules], "vqa"), settings)
    if not found.is_measured:
        raise BadInput(f"fewer than {LEAST} answers with a probability.", file=records, fix="ask more questions")
    write_atomic(shipped_folder("adapter", adapter) / FILE, found.model_dump_json(indent=1) + "\n")
    typer.echo(f"threshold {found.threshold:.3f}, {found.num} questions, AURC {found.aurc or 0:.3f}")
    asked = [record for record in answers if record.get("probability") is not None]
    curve = risk_coverage([float(record.get("probability") or 0) for record in asked], marks_of(asked, settings))
    for wanted in (0.25, 0.5, 0.75, 1.0):
        coverage, risk = min(curve.points, key=lambda point: abs(point[0] - wanted))
        typer.echo(f"coverage {coverage:.2f}: risk {risk:.2f}")
    for name, kind in found.kinds.items():
        typer.echo(f"{name}: {kind.num} questions, model right in {kind.model}, regions in {kind.rules}")


if __name__ == "__main__":
    typer.run(main)
