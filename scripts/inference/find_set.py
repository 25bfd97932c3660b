"""`medglip grounding predict` over many images: parts of a few, each done whole and kept until all are.

files ──cut──▶ parts ──find──▶ .parts-HASH/00000.json ... ──in order──▶ regions.jsonl, the table
"""

import json
import shutil
from collections.abc import Collection, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

import torch

from ...grounding.bad_input import BadInput
from ...grounding.files import locked, read_lines, sha256, write_atomic
from ...grounding.parts.work import Workers, cut, finish, open_workers
from .finder import Finder
from .table import REGION_COLUMNS, Table, region_rows

PART_IMAGES = 16
WAIT_S = 3600.0
"""How long a shard waits for another that is joining the parts."""
Entry = dict[str, Any]
"""One image: `line` of regions.jsonl, `rows` of the table, `said` on the terminal; or `image` and `why` it has none."""


@dataclass(frozen=True, kw_only=True)
class FindRequest:
    """What is looked for, by whom and where it is written; as of `Finder.of` and `Finder.find`.

    `threads`: of each process, as many as here: sums run in another order on another number.
    """

    out: Path
    phrases: tuple[str, ...] = ()
    modality: str | None = None
    body_part: str = ""
    min_score: float = 0.3
    checkpoint: str | None = None
    run: Path | None = None
    device: str | None = None
    download: bool = False
    threads: int = field(default_factory=torch.get_num_threads)

    def finder(self) -> Finder:
        """Who looks."""
        return Finder.of(self.checkpoint, self.run, self.device, download=self.download)


def find_each(finder: Finder, request: FindRequest, files: Sequence[Path]) -> Iterator[Entry]:
    """The entry of each image, as soon as it is drawn; one that cannot be read says why."""
    wanted = (request.phrases, request.modality, request.min_score, request.out, request.body_part)
    for file in files:
        try:
            image, regions, line = finder.find(file, *wanted)
        except BadInput as error:
            yield {"image": file.name, "why": str(error)}
            continue
        listed = ", ".join(f"{region.phrase} {region.score:.2f}" for region in regions) or "no region found"
        said = [f"{image.image_path.name}: {listed}", *(f"  {note}" for note in line["notes"])]
        yield {"line": line, "rows": region_rows(file.name, regions), "said": said}


class FindSet:
    """The parts of a call on many images; called again after a kill, it takes those that are done as they are."""

    def __init__(self, request: FindRequest, files: Sequence[Path], table: Path | None = None):
        self.request, self.files, self.table = request, files, table
        self.parts = list(cut(files, PART_IMAGES))
        # of another request or of changed images nothing is taken over
        states = [
            (str(file), stat.st_size, stat.st_mtime_ns) for file in files if file.is_file() and (stat := file.stat())
        ]
        values = {key: value for key, value in asdict(request).items() if key != "threads"}
        self.folder = request.out / f".parts-{sha256(repr((sorted(values.items(), key=str), states)))[:16]}"

    @cached_property
    def _finder(self) -> Finder:
        return self.request.finder()

    def write(self, workers: Workers) -> Iterator[Entry]:
        """Find, and write each image's line and rows as soon as its turn comes; raises `BadInput` as `Finder.of`."""
        with locked(self.request.out / ".lock", "regions"):
            yield from self._add(self._find(workers))

    def write_shard(self, workers: Workers) -> Iterator[Entry]:
        """Find the parts of a shard; where all others are there, too, write everything, as `write` does."""
        with workers.own_shard(self.folder):
            yield from self._find(workers)
        with locked(self.request.out / ".lock", "regions", wait_s=WAIT_S):
            if all(self._file(part).is_file() for part in range(len(self.parts))):
                finish(self._add(self._find(Workers())))  # nothing is left to find

    @property
    def is_written(self) -> bool:
        """Whether no part waits for others."""
        return not self.folder.is_dir()

    def _add(self, entries: Iterator[Entry]) -> Iterator[Entry]:
        lines = self.request.out / "regions.jsonl"
        # lines of earlier calls stay that are about other images
        _keep_other_lines(lines, {file.name for file in self.files})
        rows = Table(self.table, REGION_COLUMNS) if self.table else None
        for entry in entries:
            if "line" in entry:
                with lines.open("a") as file:
                    file.write(json.dumps(entry["line"]) + "\n")
                if rows:
                    rows.add(entry["rows"])
            yield entry
        shutil.rmtree(self.folder, ignore_errors=True)

    def _file(self, part: int) -> Path:
        return self.folder / f"{part:05d}.json"

    def _find(self, workers: Workers) -> Iterator[Entry]:
        """The entries of the parts that `workers` does, in order, those that are done already as they were."""
        own = [part for part in range(len(self.parts)) if workers.takes(part)]
        if workers.is_alone:
            for part in own:
                yield from _read(self._file(part)) if self._file(part).is_file() else self._find_here(part)
            return
        with open_workers(workers, needs_gpu=True) as run:
            jobs = ((self.request, self.parts[part], self._file(part)) for part in own)
            for file in run(find_part, jobs, "find"):
                yield from _read(file)

    def _find_here(self, part: int) -> Iterator[Entry]:
        entries: list[Entry] = []
        for entry in find_each(self._finder, self.request, self.parts[part]):
            entries.append(entry)
            yield entry
        write_atomic(self._file(part), json.dumps(entries))


def find_part(request: FindRequest, files: Sequence[Path], done: Path) -> Path:
    """Find in the images of one part, unless its file is there; the file. In a process of its own."""
    if not done.is_file():
        torch.set_num_threads(request.threads)
        write_atomic(done, json.dumps(list(find_each(_finder_of(request), request, files))))
    return done


@lru_cache(1)
def _finder_of(request: FindRequest) -> Finder:
    return request.finder()


def _read(done: Path) -> list[Entry]:
    return json.loads(done.read_text())


def _keep_other_lines(file: Path, names: Collection[str]) -> None:
    rows = read_lines(file) if file.is_file() else ()
    write_atomic(file, "".join(json.dumps(row) + "\n" for row in rows if row.get("image") not in names))


def find_one(request: FindRequest, file: Path, table: Path | None) -> Iterator[Entry]:
    """One image, drawn into the file `request.out`."""
    rows = Table(table, REGION_COLUMNS) if table else None
    for entry in find_each(request.finder(), request, [file]):
        if rows and "rows" in entry:
            rows.add(entry["rows"])
        yield entry
