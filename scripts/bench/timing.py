"""What the benchmarks share: options and their file, clocks, pairs of neighbours, peak memory. No torch is loaded."""

import json
import resource
import statistics
import sys
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer

from ...grounding.files import write_atomic

T = TypeVar("T")
Work = Callable[[], Any]
Base = Annotated[str, typer.Option(help="Base model: a folder, a hub name, or the small default")]
Dtype = Annotated[str, typer.Option(help="bf16 or fp32")]
Threads = Annotated[int, typer.Option(help="CPU threads")]
Json = Annotated[Path | None, typer.Option("--json", help="Write the figures there")]


def write_figures(out: Path | None, figures: Mapping[str, Any]) -> None:
    """Write the file of `--json`, where one is named."""
    if out is not None:
        write_atomic(out, json.dumps(figures, indent=1))


def time_work(work: Work) -> tuple[float, float, Any]:
    """Seconds of the wall clock, seconds of this process's CPUs, and what the work returned."""
    # a GPU works on after the call has returned: wait for it before and after; without torch there is no such work
    torch = sys.modules.get("torch")
    wait = torch.cuda.synchronize if torch and torch.cuda.is_available() else lambda: None
    wait()
    start, used = time.perf_counter(), time.process_time()
    result = work()
    wait()
    return time.perf_counter() - start, max(time.process_time() - used, 1e-9), result


def fastest(times: int, work: Work) -> float:
    """Seconds of the fastest of several calls: other programs only ever add time."""
    return min(time_work(work)[0] for _ in range(times))


def median_seconds(times: int, work: Work) -> float:
    """Median seconds of several calls."""
    return statistics.median(time_work(work)[0] for _ in range(times))


def compare_pairs(a: Work, b: Work, pairs: int) -> tuple[float, float, float, float]:
    """Medians over pairs of neighbours: a over b in wall clock and in CPU seconds; seconds of a and of b.

    The two alternate, so that other load on the machine hits both. One call of each before is not counted.
    """
    a()
    b()
    times = [(time_work(a), time_work(b)) for _ in range(pairs)]
    wall, cpu = (statistics.median(one[k] / other[k] for one, other in times) for k in (0, 1))
    of_a, of_b = (statistics.median(pair[k][0] for pair in times) for k in (0, 1))
    return wall, cpu, of_a, of_b


def peak_mib(who: int = resource.RUSAGE_SELF) -> float:
    """The most memory that this process, or one of its children, ever held."""
    return resource.getrusage(who).ru_maxrss / 1024


def in_fresh_process(work: Callable[..., T], *args: Any) -> T:
    """What the work returns in a process of its own: a peak of memory never falls again."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as fresh:
        return fresh.submit(work, *args).result()
