"""Parts on a Ray cluster: the one of RAY_ADDRESS or of `ray start`, else one that is started here and ends here.

Ray itself does a part again whose process or machine died. Workers read and write the same paths as the caller.
"""

import logging
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from ..bad_input import BadInput, explain

STORE_BYTES = 256 * 2**20
"""Shared memory of a cluster that is started here: parts hand over names of files and short lists."""


class RayCluster:
    """A cluster for as long as the `with` block lasts. `number`: parts at once; None: one for each of its CPUs.

    `needs_gpu`: one for each of its GPUs instead, where it has any. Raises `BadInput` where Ray is not installed.
    """

    def __init__(self, number: int | None = None, *, needs_gpu: bool = False):
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # Ray would report to its makers
        try:
            import ray
        except ImportError as error:
            raise BadInput("--engine ray needs Ray.", fix="pip install 'medglip[ray]', or --engine pool") from error
        self._ray, self._is_ours = ray, not ray.is_initialized()
        if self._is_ours:
            self._connect(number)
        room = ray.cluster_resources()
        num_gpus = int(needs_gpu and room.get("GPU", 0) >= 1)
        self._flying = number or 2 * max(1, int(room.get("GPU" if num_gpus else "CPU", 1)))
        self._call = ray.remote(num_cpus=1, num_gpus=num_gpus)(call)

    def _connect(self, number: int | None) -> None:
        quiet: dict[str, Any] = {"logging_level": logging.ERROR, "log_to_driver": False}
        here: dict[str, Any] = {"include_dashboard": False, "object_store_memory": STORE_BYTES, **quiet}
        here |= {"num_cpus": number or os.cpu_count()}
        try:  # not address="auto", which joins what another command started for itself and soon ends
            self._ray.init(**here)
        except ValueError:  # a cluster is named, which has a size of its own
            fix = "unset RAY_ADDRESS, or ray stop"
            with explain("the named Ray cluster does not answer", ConnectionError, fix=fix):
                self._ray.init(**quiet)
        except Exception:  # it gives up after 15 s, which a cold disk alone takes: now its files are read
            self._ray.shutdown()
            self._ray.init(**here)

    def __enter__(self) -> "RayCluster":
        return self

    def __exit__(self, *_: object) -> None:
        if self._is_ours:
            self._ray.shutdown()

    def map(self, work: Callable[..., Any], jobs: Iterable[tuple[Any, ...]]) -> Iterator[Any]:
        """`work(*job)` of each job, in their order, only so many in flight."""
        flying: deque[Any] = deque()
        for job in jobs:
            if len(flying) >= self._flying:
                yield self._take(flying.popleft())
            flying.append(self._call.remote(work, job))
        while flying:
            yield self._take(flying.popleft())

    def _take(self, result: Any) -> Any:
        try:
            return self._ray.get(result)
        except self._ray.exceptions.RayTaskError as error:
            raise error.cause from None  # the error of the work itself, not the story around it
        except self._ray.exceptions.WorkerCrashedError as error:
            problem = "processes of the work were killed again and again, perhaps for want of memory."
            raise BadInput(problem, fix="fewer --workers; call again, it continues") from error


def call(work: Callable[..., Any], job: tuple[Any, ...]) -> Any:
    """In a worker."""
    return work(*job)
