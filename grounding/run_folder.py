"""The folder of a run: which file lies where. Nothing else spells these names."""

from dataclasses import dataclass
from pathlib import Path

from .bad_input import BadInput
from .files import write_atomic


@dataclass(frozen=True)
class RunFolder:
    """`out_dir` of a recipe, or a cell of an ablation, which has adapters and records but no core of its own.

    recipe.json  vocabulary.json  seconds.json  skipped.jsonl  results.json  table.md  index.html
    phantoms/  regions/  grounding/model/  warm-up/seed0/  adapter-plain/  adapter-grounded/  train-plain/ ...
    records/vqa-none.jsonl  probes/vqa-none.blank.jsonl  scores/vqa-none.json
    """

    path: Path

    @property
    def recipe_file(self) -> Path:
        """The recipe that made it, as JSON; a folder without one is no run."""
        return self.path / "recipe.json"

    @property
    def is_run(self) -> bool:
        """Whether a run was started here."""
        return self.recipe_file.is_file()

    @property
    def vocabulary_file(self) -> Path:
        """What is looked for in each modality when nobody asks."""
        return self.path / "vocabulary.json"

    @property
    def seconds_file(self) -> Path:
        """Seconds of each stage."""
        return self.path / "seconds.json"

    @property
    def skipped_file(self) -> Path:
        """What was left out, and why."""
        return self.path / "skipped.jsonl"

    @property
    def results_file(self) -> Path:
        """Headline scores of every task and source."""
        return self.path / "results.json"

    @property
    def table_file(self) -> Path:
        """The same as a table."""
        return self.path / "table.md"

    @property
    def page_file(self) -> Path:
        """The page of the run."""
        return self.path / "index.html"

    @property
    def phantoms_dir(self) -> Path:
        """Drawn phantoms."""
        return self.path / "phantoms"

    @property
    def regions_dir(self) -> Path:
        """Cache of regions."""
        return self.path / "regions"

    @property
    def grounding_dir(self) -> Path:
        """Training of the core."""
        return self.path / "grounding"

    @property
    def core_dir(self) -> Path:
        """The trained core."""
        return self.grounding_dir / "model"

    @property
    def records_dir(self) -> Path:
        """Record files, one a task and source."""
        return self.path / "records"

    def adapter_dir(self, kind: str) -> Path:
        """The adapter `plain` (trained without evidence) or `grounded`."""
        return self.path / f"adapter-{kind}"

    def training_dir(self, kind: str) -> Path:
        """Log and checkpoints of that adapter's training."""
        return self.path / f"train-{kind}"

    def warm_up_dir(self, seed: int) -> Path:
        """The adapter that read reports before the others were trained."""
        return self.path / "warm-up" / f"seed{seed}"

    def record_file(self, task: str, source: str = "") -> Path:
        """Records of a task with one evidence source; of `grounding` there is one file."""
        return self.records_dir / f"{f'{task}-{source}' if source else task}.jsonl"

    def probe_file(self, task: str, source: str, probe: str) -> Path:
        """Records of a task under a probe."""
        return self.path / "probes" / f"{task}-{source}.{probe}.jsonl"

    def score_file(self, name: str) -> Path:
        """All scores of the record file `name`."""
        return self.path / "scores" / f"{name}.json"

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
