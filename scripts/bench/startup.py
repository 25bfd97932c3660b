"""How long a command takes from the shell, in pairs against an older state: python -m medglip.scripts.bench.startup

`--old FOLDER` holds the packages of that state as `FOLDER/medglip`. Each command runs in a process of its own, the two
states one after the other, so that other load hits both. CPU seconds are those of the process and its children: on a
machine that does other things they say more than the clock.
"""

import json
import os
import resource
import shlex
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from PIL import Image

from .timing import Json, write_figures

COMMANDS = {
    "help": "--help",
    "help of ask": "vqa ask --help",
    "no such image": "vqa ask missing.png Where?",
    "no such run, from another folder": "vqa ask scan.png Where? --run no/such/run",
    "wrong box": "report describe scan.png --box 1,2,3",
    "eval vqa, 30 records": "eval vqa records.jsonl --set eval.resamples=200",
    "predict": "grounding predict scan.png --phrase heart --out found",
    "ask": "vqa ask scan.png 'Is there a nodule?'",
}
"""What is timed: a name -> the words after `medglip`."""

ENTRY = ("cli.main", "cli")
"""Where the command's `main` is, in this state and in the older one (version 0.1)."""


def seconds_of(words: str, folder: Path, packages: Path | None) -> tuple[float, float]:
    """(wall clock, CPU) seconds of one call in `folder`; `packages`: where `medglip` is imported from."""
    code = (
        f"import sys; from medglip.scripts.{ENTRY[packages is not None]} import main; sys.argv[0] = 'medglip'; main()"
    )
    env = os.environ | ({"PYTHONPATH": str(packages)} if packages else {})
    arguments = shlex.split(words)
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    ended = subprocess.run(
        [sys.executable, "-c", code, *arguments], cwd=folder, env=env, capture_output=True, text=True
    )
    if "Traceback" in ended.stderr:  # another state may have another entry or other words
        raise RuntimeError(ended.stderr)
    wall, after = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
    return wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def write_inputs(folder: Path) -> None:
    """An image, and thirty records."""
    noise = np.random.default_rng(0).integers(0, 255, (256, 256), dtype=np.uint8)
    Image.fromarray(noise).save(folder / "scan.png")
    row = {"task": "vqa", "dataset": "d", "split": "test", "question": "?", "answer": "yes", "prediction": "yes"}
    rows = [row | {"id": str(k), "image_id": str(k), "meta": {"answer_type": "closed"}} for k in range(30)]
    (folder / "records.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))


def compare(words: str, folder: Path, old: Path | None, pairs: int) -> Mapping[str, float]:
    """Medians over pairs: seconds of this state and of the older one, by the clock and of CPUs."""
    places = {"": None, "old ": old} if old else {"": None}
    times = [{name: seconds_of(words, folder, place) for name, place in places.items()} for _ in range(pairs)]
    return {
        f"{name}{what}": round(statistics.median(one[name][k] for one in times), 2)
        for name in places
        for k, what in enumerate(("wall", "cpu"))
    }


def main(
    old: Annotated[Path | None, typer.Option(help="Folder with the packages of an older state")] = None,
    pairs: Annotated[int, typer.Option(help="Calls of each command and state")] = 3,
    only: Annotated[list[str] | None, typer.Option(help="Only these commands, by name; repeat it")] = None,
    out: Json = None,
) -> None:
    """Time every command; the first call of each warms the disk and is not counted."""
    figures: dict[str, Mapping[str, float]] = {}
    with tempfile.TemporaryDirectory() as place:
        write_inputs(Path(place))
        for name in only or COMMANDS:
            for state in (None, old) if old else (None,):
                seconds_of(COMMANDS[name], Path(place), state)
            figures[name] = compare(COMMANDS[name], Path(place), old, pairs)
            typer.echo(f"{name}: " + ", ".join(f"{key} {value:.2f} s" for key, value in figures[name].items()))
    write_figures(out, figures)


if __name__ == "__main__":
    typer.run(main)
