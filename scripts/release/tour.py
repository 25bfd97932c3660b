"""Runs the commands that README and tour show, and writes below each what it prints: for when weights changed.

python -m medglip.scripts.release.tour writes both files again, and the quickstart's table of the README where that run
is there; a test compares the shape of what they show.
"""

import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from textwrap import fill
from typing import Annotated, Any

import typer

from ...grounding.evidence.names import SOURCES
from ...grounding.files import read_object
from ...vqa.inference.rules import NAME as RULES
from ..pipeline.results import results_table
from ..pipeline.tasks import TASKS

FILES = (Path("README.md"), Path("docs/tour.md"))
_BLOCK = re.compile(r"(?<=^```console\n).*?(?=^```$)", re.DOTALL | re.MULTILINE)
_TABLE = re.compile(
    r"(?<=^<!-- table of )(\S+)(:[^\n]* -->\n).*?(?=^<!-- end of the table -->$)", re.DOTALL | re.MULTILINE
)
_COMMAND = re.compile(r"^\$ (?:[^\n]*\\\n)*[^\n]*\n", re.MULTILINE)


def main(
    files: Annotated[list[Path] | None, typer.Argument(help="Left out: README.md and docs/tour.md")] = None,
) -> None:
    """Write what the commands of the files print now; called from the root of the checkout."""
    for file in files or FILES:
        file.write_text(with_tables(retold(file.read_text(), output_of)))
        typer.echo(f"written: {file}")


def retold(text: str, run: Callable[[str], str]) -> str:
    """The text, in its console blocks what `run` returns for each command."""
    return _BLOCK.sub(lambda block: "".join(f"{c}{run(c)}" for c in _COMMAND.findall(block[0])), text)


def with_tables(text: str) -> str:
    """The text, below each mark of a run the tables and sentences of its results; as it was where there is no run."""

    def of_run(mark: re.Match[str]) -> str:
        file = Path(mark[1]) / "results.json"
        if not file.is_file():
            return mark[0]
        results = read_object(file, "run the recipe again")
        return f"{mark[1]}{mark[2]}\n{results_text(results)}\n"

    return _TABLE.sub(of_run, text)


def results_text(results: dict[str, Any]) -> str:
    """The tables of a run, of its floors the rules alone, narrow, and what they show."""
    kept = (*SOURCES, RULES)
    own = {task: {name: of for name, of in results[task].items() if name in kept} for task in TASKS}
    tables = re.sub(r" {2,}", " ", results_table(results | own, "markdown"))
    sentences = [fill(text, 120, break_on_hyphens=False) for text in results.get("shown", [])]
    return "\n\n".join([re.sub(r"-{4,}", "---", tables), *sentences]) + "\n"


def shown(text: str) -> Iterator[tuple[str, str]]:
    """Each command of the console blocks, and what the text shows below it."""
    for block in _BLOCK.findall(text):
        _, *outputs = _COMMAND.split(block)
        yield from zip(_COMMAND.findall(block), outputs, strict=True)


def output_of(command: str) -> str:
    """What a command prints to standard output. Raises `CalledProcessError` where it fails."""
    line = command.removeprefix("$ ").replace("medglip ", f"{sys.executable} -m medglip.scripts.cli ", 1)
    return subprocess.run(line, shell=True, stdout=subprocess.PIPE, text=True, check=True).stdout


def shape(output: str) -> list[str]:
    """What the lines of an output are about, without figures and names: `evidence`, `answer`, `probability` ..."""
    heads = (re.match(r"[a-z_ ]+(?=[ \d]*:)|Research use|metric|-+$|\w+\.png", line) for line in output.splitlines())
    return list(dict.fromkeys(head[0].strip() if head else "text" for head in heads))


if __name__ == "__main__":
    typer.run(main)
