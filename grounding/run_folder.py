"""The folder of a run: which file lies where. Nothing else spells these names."""

from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

from .bad_input import BadInput
from .files import locked, write_atomic


class _Part:
    """One file or folder of a run: `_Part("grounding", "model")` reads as `run.path / "grounding" / "model"`."""

    def __init__(self, *names: str):
        self.names = names

    def __get__(self, run: "RunFolder", owner: type) -> Path:
        return run.path.joinpath(*self.names)


@dataclass(frozen=True)
class RunFolder:
    """`out_dir` of a recipe, or a cell of an ablation, which has adapters and records but no core of its own.

    .lock                           held by the process that writes here
    recipe.json                     the recipe that made it; a folder without one is no run
    vocabulary.json                 what is looked for in each modality when nobody asks
    seconds.json, skipped.jsonl     seconds of each stage; what was left out, and why
    made.json                       when, with which commit and on which machine it was scored
    results.json, table.md          headline scores of every task and source, as JSON and as a table
    index.html                      the page of the run
    phantoms/, regions/             drawn phantoms; cache of regions
    grounding/model/                the training of the core, and the trained core in it
    warm-up/seed0/                  the adapter that read reports before the others were trained
    adapter-plain/, train-plain/    an adapter (plain: trained without evidence, or grounded), its log and checkpoints
    records/vqa-none.jsonl          records of a task with one source, of `grounding` without one
    probes/vqa-none.blank.jsonl     records of a task under a probe (grounding.corrupt.jsonl: of regions)
    probes/corrupted/               pictures of the probe `corrupt`
    records/MODEL/, probes/MODEL/   the same of a served model
    scores/vqa-none.json            all scores of a record file
    validation/vqa-none.jsonl       answers to questions of split val, which choose when an answer counts
    """

    path: Path

    lock_file = _Part(".lock")
    recipe_file = _Part("recipe.json")
    vocabulary_file = _Part("vocabulary.json")
    seconds_file = _Part("seconds.json")
    skipped_file = _Part("skipped.jsonl")
    made_file = _Part("made.json")
    results_file = _Part("results.json")
    table_file = _Part("table.md")
    page_file = _Part("index.html")
    phantoms_dir = _Part("phantoms")
    regions_dir = _Part("regions")
    grounding_dir = _Part("grounding")
    core_dir = _Part("grounding", "model")
    records_dir = _Part("records")
    probes_dir = _Part("probes")
    corrupted_dir = _Part("probes", "corrupted")
    scores_dir = _Part("scores")
    validation_dir = _Part("validation")

    def locked(self) -> AbstractContextManager[None]:
        """Inside, no other process writes here; see `files.locked`."""
        return locked(self.lock_file, "a run")

    @property
    def is_run(self) -> bool:
        """Whether a run was started here."""
        return self.recipe_file.is_file()

    # what there is several of: adapters by kind, warm-ups by seed, records by task and source

    def adapter_dir(self, kind: str) -> Path:
        """The adapter `plain` (trained without evidence) or `grounded`."""
        return self.path / f"adapter-{kind}"

    def training_dir(self, kind: str) -> Path:
        """Log and checkpoints of that adapter's training."""
        return self.path / f"train-{kind}"

    def warm_up_dir(self, seed: int) -> Path:
        """The adapter that read reports before the others were trained."""
        return self.path / "warm-up" / f"seed{seed}"

    def record_file(self, task: str, source: str = "", model: str = "") -> Path:
        """Records of a task with one evidence source; of `grounding` there is one file. `model`: of a served one."""
        return self.records_dir / model / f"{f'{task}-{source}' if source else task}.jsonl"

    def probe_file(self, task: str, source: str, probe: str, model: str = "") -> Path:
        """Records of a task under a probe."""
        return self.probes_dir / model / f"{f'{task}-{source}' if source else task}.{probe}.jsonl"

    def score_file(self, name: str) -> Path:
        """All scores of the record file `name`."""
        return self.scores_dir / f"{name}.json"

    def done_file(self, task: str) -> Path:
        """What a cell of an ablation has predicted of a task."""
        return self.path / f"done-{task}.json"

    def need(self, path: Path) -> Path:
        """The path. Raises `BadInput` where it is not there."""
        if not path.exists():
            raise BadInput("the run has not come this far.", file=path, fix="finish it: `medglip run` on its recipe")
        return path


def is_complete(folder: Path) -> bool:
    """Whether what is trained there was trained to its end."""
    return (folder / "complete").exists()


def mark_complete(folder: Path) -> None:
    """Say so; called last."""
    write_atomic(folder / "complete", "")
