"""Prediction to disk: records appended batch by batch, also by several processes at once; a kill loses nothing.

Each part of the work has a file, `records.ranks/part-00000.jsonl`, in a run of several processes each rank,
`0-of-2.jsonl`; whoever finds all records in these merges them to `records.jsonl`. Only `write_shared` waits for all.
"""

import json
from collections.abc import Callable, Container, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tqdm.auto import tqdm

from ...grounding.bad_input import BadInput, Skipped
from ...grounding.evidence.evidence import EvidenceSettings
from ...grounding.files import write_atomic
from ...grounding.records import PredictionRecord, RecordFile
from ...grounding.training.loop import processes
from ...grounding.types import region_to_json
from ..model.grounded_mllm import GroundedMLLM
from ..prompt.prompt import instruction_text
from ..task import Job
from .generate import Generated, by_length, generating, write
from .settings import GenerateSettings

SKIPPED = ".skipped.jsonl"


def predict(
    mllm: GroundedMLLM,
    jobs: Sequence[Job],
    evidence_settings: EvidenceSettings,
    settings: GenerateSettings,
    path: Path,
    *,
    is_scored: bool = False,
    done: Container[str] = (),
) -> Skipped:
    """Write one record a job to `path`, batch by batch; jobs whose id is there already, or in `done`, are done.

    Batches are the same whatever is done, and so are the records. `is_scored`: with the probability of each text,
    `probability` (`generate.write`). An image that cannot be read is skipped and listed, here and beside `path` as
    `*.skipped.jsonl`.
    """
    records, skipped = RecordFile(path), Skipped()
    # whole lines only count as done: a killed process may have left half a one
    left = {job.id for job in jobs if job.id not in records.done and job.id not in done}
    if not left:
        return skipped
    texts = [instruction_text(job.example, evidence_settings) for job in jobs]
    scored = {"is_scored": True} if is_scored else {}
    bar = tqdm(total=len(jobs), initial=len(jobs) - len(left), desc=path.stem, unit="prompt")
    with bar, generating(mllm, settings):
        for indices in by_length(texts, settings.batch_size):
            batch, rendered = [jobs[i] for i in indices], []
            if not (new := {job.id for job in batch} & left):
                continue
            for job in batch:  # those that are done, too: a text's probability is rounded as in its batch
                try:
                    rendered.append((job, mllm.render(job.example, evidence_settings)))
                except BadInput as error:
                    skipped.add(job.id, error)
            if not new.isdisjoint(job.id for job, _ in rendered):
                written = write(mllm, [prompt for _, prompt in rendered], settings, **scored)
                pairs = [(job, text) for (job, _), text in zip(rendered, written, strict=True) if job.id in new]
                records.append([to_record(job, text, evidence_settings) for job, text in pairs])
            bar.update(len(new))
    skipped.write(path.with_suffix(SKIPPED))
    return skipped


def to_record(job: Job, written: Generated, settings: EvidenceSettings) -> PredictionRecord:
    """The record of a written text: the fields of its job, of the evidence shown, and what the job reads out of it."""
    evidence = written.evidence
    own = {
        "id": job.id,
        "evidence": evidence.source,
        "forms": settings.forms,
        "phrases": evidence.first.phrases,
        "regions": tuple(region_to_json(region) for region in evidence.first.regions),
    }
    # the job's own fields win over these, and what it reads out of the text over both
    fields = {**own, **job.fields, "prediction": written.text, **job.parse(written.text, evidence)}
    if further := [region_to_json(region) | {"image": image} for image, region in evidence.numbered if image > 1]:
        fields["meta"] = {**fields.get("meta", {}), "other_regions": further}
    how = {"prompt_sha256": written.prompt_sha256, "seconds": written.seconds, "probability": written.probability}
    return PredictionRecord(**fields, **how)


@dataclass(frozen=True, kw_only=True)
class Shards:
    """The files of parts and ranks of one file of records. `rank` in 0 .. `num_ranks` - 1."""

    out: Path
    rank: int = 0
    num_ranks: int = 1

    @property
    def folder(self) -> Path:
        """The folder of the rank files."""
        return self.out.with_name(f"{self.out.stem}.ranks")

    @property
    def path(self) -> Path:
        """The file of this rank."""
        return self.folder / f"{self.rank}-of-{self.num_ranks}.jsonl"

    def part(self, number: int) -> Path:
        """The file of a part, whoever writes it."""
        return self.folder / f"part-{number:05d}.jsonl"

    def mine(self, groups: Sequence[str]) -> list[bool]:
        """For each item whether it is this rank's: all of one group (an image) are the same rank's."""
        order = {group: index for index, group in enumerate(dict.fromkeys(groups))}
        return [order[group] % self.num_ranks == self.rank for group in groups]

    def left(self, jobs: Sequence[Job], done: Container[str]) -> list[Job]:
        """The jobs of this rank, all of an image, whose ids are not `done`."""
        is_mine = self.mine([str(job.fields["image_id"]) for job in jobs])
        return [job for job, own in zip(jobs, is_mine, strict=True) if own and job.id not in done]

    def done(self) -> set[str]:
        """Ids with a whole record in any file, those of runs with other ranks among them."""
        return set(self._lines())

    def merge(self, ids: Sequence[str], *, is_partial: bool = False) -> bool:
        """Write `out` with the records of `ids` in their order, where each is there or listed as skipped.

        `is_partial`: write those that are there in any case. Returns whether all are; if not, some rank is not done.
        """
        lines = self._lines()
        left_out = {row["item"] for path in self._files(is_skipped=True) for row, _ in _whole_lines(path)}
        is_whole = set(ids) - set(lines) <= left_out
        if is_whole or is_partial:
            write_atomic(self.out, "".join(lines[name] for name in ids if name in lines))
        return is_whole

    def _lines(self) -> dict[str, str]:
        return {row["id"]: line for path in self._files(is_skipped=False) for row, line in _whole_lines(path)}

    def _files(self, is_skipped: bool) -> list[Path]:
        return [p for p in sorted(self.folder.glob("*.jsonl")) if p.name.endswith(SKIPPED) == is_skipped]


def write_shared(jobs: Sequence[Job], path: Path, write: Callable[[Sequence[Job], Path], Skipped]) -> Skipped:
    """`write(jobs, path)` by every process at once, each the jobs of its images; `path` is there when all are done.

    Every process calls it with the same jobs; what it returns is of its own. One process by itself writes `path`.
    """
    ranks = processes()
    shards = Shards(out=path, rank=ranks.process_index, num_ranks=ranks.num_processes)
    if ranks.num_processes == 1 and not shards.folder.is_dir():
        return write(jobs, path)
    with ranks.main_process_first():
        # records of one process, made without ranks, become those of rank 0 of 1, so that several can go on
        if path.is_file() and not shards.folder.is_dir():
            shards.folder.mkdir(parents=True)
            path.replace(shards.folder / "0-of-1.jsonl")
    skipped = write(shards.left(jobs, shards.done()), shards.path)
    ranks.wait_for_everyone()
    if ranks.is_main_process:
        shards.merge([job.id for job in jobs])
    return skipped


def _whole_lines(path: Path) -> Iterable[tuple[dict[str, Any], str]]:
    """Each line that was written to its end: another rank may be in the middle of one, or have died there."""
    text = path.read_bytes()
    whole = text[: text.rfind(b"\n") + 1].decode()
    return ((json.loads(line), line + "\n") for line in whole.split("\n") if line)
