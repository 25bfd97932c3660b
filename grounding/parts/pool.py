"""Processes of this machine that do parts; one that is killed is replaced, and what it had in hand done again."""

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context, parent_process
from multiprocessing.connection import wait
from threading import Thread
from typing import Any

from ..bad_input import BadInput

MAX_DEATHS = 3
"""How often processes may die before the next result."""
Job = tuple[Any, ...]


class Pool:
    """So many processes for as long as the `with` block lasts."""

    def __init__(self, number: int):
        self.number = number
        self._executor = self._start()

    def _start(self) -> ProcessPoolExecutor:
        context = get_context("spawn")  # a fork would copy threads of torch
        return ProcessPoolExecutor(self.number, mp_context=context, initializer=end_with_caller)

    def __enter__(self) -> "Pool":
        return self

    def __exit__(self, *_: object) -> None:
        self._executor.shutdown(cancel_futures=True)

    def map(self, work: Callable[..., Any], jobs: Iterable[Job]) -> Iterator[Any]:
        """`work(*job)` of each job, in their order; a few are in flight and no more, so that memory stays flat."""
        flying: deque[tuple[Job, Future[Any]]] = deque()
        for job in jobs:
            flying.append((job, self._submit(work, job)))
            if len(flying) > 2 * self.number:
                yield self._take(work, flying)
        while flying:
            yield self._take(work, flying)

    def _submit(self, work: Callable[..., Any], job: Job) -> Future[Any]:
        try:
            return self._executor.submit(work, *job)
        except BrokenProcessPool as error:  # told when its turn comes
            future: Future[Any] = Future()
            future.set_exception(error)
            return future

    def _take(self, work: Callable[..., Any], flying: deque[tuple[Job, Future[Any]]]) -> Any:
        """The first one's result; where a process was killed, all that have none are begun anew before."""
        for _ in range(MAX_DEATHS):
            try:
                result = flying[0][1].result()
            except BrokenProcessPool:
                self._executor.shutdown(cancel_futures=True)
                self._executor = self._start()
                for k, (job, future) in enumerate(flying):
                    if not future.done() or future.cancelled() or isinstance(future.exception(), BrokenProcessPool):
                        flying[k] = job, self._submit(work, job)
            else:
                flying.popleft()
                return result
        problem = f"processes of the work were killed {MAX_DEATHS} times, perhaps for want of memory."
        raise BadInput(problem, fix="fewer --workers; call again, it continues")


def end_with_caller() -> None:
    """In a process of the pool: end when the caller is killed, whose next call does the part in hand again."""
    if caller := parent_process():
        Thread(target=lambda: (wait([caller.sentinel]), os._exit(1)), daemon=True).start()
