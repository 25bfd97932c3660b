"""The one place where work is cut into parts, and who does them.

    work ──cut──▶ part 0, part 1, part 2 ... ──▶ this process, a pool of processes, Ray, or `--shard i/n` of them
                                              ──▶ files of each part ──▶ joined in order

A part depends on the work alone, never on who does it: so the bytes are the same whoever does, and after a kill only
what has no file yet is done again.
"""

from collections.abc import Callable, Hashable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import groupby
from pathlib import Path
from typing import Any, Protocol, TypeVar

from tqdm.auto import tqdm

from ..bad_input import BadInput, check_name
from ..files import locked

Item = TypeVar("Item")
ENGINES = ("pool", "ray")
"""Who runs several parts at once: processes of this machine, or a Ray cluster (extra `ray`)."""


class Run(Protocol):
    """`run(work, jobs, name)` calls `work(*job)` for each job; results come in the order of the jobs."""

    def __call__(self, work: Callable[..., Any], jobs: Iterable[tuple[Any, ...]], name: str) -> Iterator[Any]:
        """`name`: of the bar that shows how far it is."""
        ...


@dataclass(frozen=True, kw_only=True)
class Workers:
    """Who does the parts. `number`: how many at once; None: one, with `ray` as many as its cluster has room for.

    `shard`: (i, n), this call does each n-th part alone, counted from 0 or from 1; None: all of them. Raises `BadInput`
    for an unknown engine, and for numbers that name no share.
    """

    engine: str = "pool"
    number: int | None = None
    shard: tuple[int, int] | None = None

    def __post_init__(self) -> None:
        check_name(self.engine, ENGINES, "engine")
        if self.shard and not 0 <= self.shard[0] <= self.shard[1] >= 1:
            fix = "--shard 0/8 to 7/8, or 1/8 to 8/8: the number of this call and how many there are"
            raise BadInput(f"--shard {self.shard[0]}/{self.shard[1]} is no share of the work.", fix=fix)

    @classmethod
    def of(cls, number: int | None = None, engine: str = "pool", shard: str | None = None) -> "Workers":
        """As the command line has them, `shard` as `3/8`. Raises `BadInput` for another spelling."""
        own, slash, count = (shard or "0/1").partition("/")
        if not slash or not (own.isdecimal() and count.isdecimal()):
            raise BadInput(f"--shard {shard!r} is not I/N.", fix="--shard 3/8")
        return cls(engine=engine, number=number, shard=(int(own), int(count)) if shard else None)

    @property
    def is_alone(self) -> bool:
        """Whether this process does the parts itself, one after the other."""
        return self.engine == "pool" and (self.number or 1) == 1

    def takes(self, part: int) -> bool:
        """Whether a part is this call's. 0/2 and 1/2 share all parts, and so do 1/2 and 2/2."""
        own, count = self.shard or (0, 1)
        return part % count == own % count

    def among(self, rank: int, num_ranks: int) -> "Workers":
        """The share of one of several processes that make this call together."""
        own, count = self.shard or (0, 1)
        return replace(self, shard=(own % count * num_ranks + rank, count * num_ranks))

    @contextmanager
    def own_shard(self, folder: Path) -> Iterator[None]:
        """Inside, no other call does the same share; the lock lies in `folder`, which is made, and goes with it."""
        own, count = self.shard or (0, 1)
        folder.mkdir(parents=True, exist_ok=True)
        with locked(folder / f".{own}-of-{count}.lock", f"shard {own}/{count}"):
            yield


def cut(items: Iterable[Item], size: int, group: Callable[[Item], Hashable] | None = None) -> Iterator[list[Item]]:
    """Parts of at most `size` items, in their order; one is handed out before an item behind it is read.

    `group`: items that follow each other with the same value stay in one part; where they are more, it is larger.
    """
    whole = ([item] for item in items) if group is None else (list(own) for _, own in groupby(items, group))
    part: list[Item] = []
    for own in whole:
        if part and len(part) + len(own) > size:
            yield part
            part = []
        part += own
        if len(part) >= size:
            yield part
            part = []
    if part:
        yield part


def finish(results: Iterable[object]) -> None:
    """Go through to the end, for the work alone."""
    for _ in results:
        pass


@contextmanager
def open_workers(workers: Workers, *, needs_gpu: bool = False) -> Iterator[Run]:
    """A `Run` for as long as the `with` block lasts. `needs_gpu`: each part gets one where the cluster has any.

    A job whose process is killed is done again. Raises `BadInput` where Ray is not installed, and if processes go on
    dying; what `work` raises ends the others.
    """

    def alone(work: Callable[..., Any], jobs: Iterable[tuple[Any, ...]]) -> Iterator[Any]:
        return (work(*job) for job in jobs)

    def run(work: Callable[..., Any], jobs: Iterable[tuple[Any, ...]], name: str) -> Iterator[Any]:
        return iter(tqdm(take(work, jobs), name, disable=None, unit="part"))

    if workers.is_alone:
        take = alone
        yield run
    elif workers.engine == "pool":
        from .pool import Pool

        with Pool(workers.number or 1) as pool:
            take = pool.map
            yield run
    else:
        from .ray_cluster import RayCluster

        with RayCluster(workers.number, needs_gpu=needs_gpu) as cluster:
            take = cluster.map
            yield run
