"""Early stop: a training ends when so many validations in a row were no better than the best before them."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from torch import nn

from ...grounding.records import read_lines, write_atomic
from ...grounding.resume import load_trained, read_log

Log = list[dict[str, float]]


class Stopped(Exception):
    """Raised inside a training that has seen enough."""


class Watch:
    """The `validate` of `training.fit`: passes the value on and raises `Stopped` when patience is at its end.

    Resumed, it knows the values up to the checkpoint from the log there.
    """

    def __init__(self, validate: Callable[[nn.Module], float], patience: int, out_dir: Path):
        self.validate, self.patience, self.out_dir = validate, patience, out_dir
        latest = out_dir / "latest"
        first = int(latest.read_text().rpartition("-")[2]) if latest.exists() else 0
        log = read_log(out_dir / "log.jsonl", first)
        self.values = [entry["validation"] for entry in log if "validation" in entry]

    def __call__(self, model: nn.Module) -> float:
        """The model's value, more is better."""
        self.values.append(self.validate(model))
        best = self.values.index(max(self.values))
        if self.patience and len(self.values) - 1 - best >= self.patience:
            raise Stopped
        return self.values[-1]


def until_stopped(watch: Watch | None, model: nn.Module, run: Callable[[], Log]) -> Log:
    """The log of `run`; where the watch stops it, or did so before, the model gets its best weights instead."""
    if watch is None:
        return run()
    mark = watch.out_dir / "stopped"
    if not mark.exists():
        try:
            return run()
        except Stopped:
            write_atomic(mark, "")
    load_trained(model, watch.out_dir / "best")
    model.eval()
    rows: list[Any] = list(read_lines(watch.out_dir / "log.jsonl")) if (watch.out_dir / "log.jsonl").exists() else []
    return rows
