"""What the benchmarks share: options and their file, clocks, pairs of neighbours, and noise to work on."""

import json
import statistics
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
import typer
from PIL import Image

from ...grounding.evidence.evidence import Evidence
from ...grounding.evidence.names import Source
from ...grounding.files import write_atomic
from ...grounding.types import Region
from ...vqa.prompt.prompt import Example

Work = Callable[[], Any]
SIDE_PX, DIM = 192, 96
"""Of images of noise, and of the vectors of their regions."""

Base = Annotated[str, typer.Option(help="Base model: a folder, a hub name, or the small default")]
Dtype = Annotated[str, typer.Option(help="bf16 or fp32")]
Threads = Annotated[int, typer.Option(help="CPU threads")]
Json = Annotated[Path | None, typer.Option("--json", help="Write the figures there")]


def write_figures(out: Path | None, figures: Mapping[str, Any]) -> None:
    """Write the file of `--json`, where one is named."""
    if out is not None:
        write_atomic(out, json.dumps(figures, indent=1))


def time_work(work: Work) -> tuple[float, float]:
    """Seconds of the wall clock, and of this process's CPUs."""
    # a GPU works on after the call has returned: wait for it before and after
    wait = torch.cuda.synchronize if torch.cuda.is_available() else lambda: None
    wait()
    start, used = time.perf_counter(), time.process_time()
    work()
    wait()
    return time.perf_counter() - start, max(time.process_time() - used, 1e-9)


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


def noise_image(path: Path, rng: np.random.Generator) -> None:
    """Write an RGB image of noise."""
    Image.fromarray(rng.integers(0, 256, (SIDE_PX, SIDE_PX, 3), dtype=np.uint8)).save(path)


def noise_region(phrase: str, rng: np.random.Generator, score: float = 1.0) -> Region:
    """A region of a phrase at a drawn place, with a drawn vector."""
    corner, sides = rng.uniform(0, 150, 2), rng.uniform(15, 40, 2)
    box = np.concatenate([corner, corner + sides]).astype(np.float32)
    vector = (rng.standard_normal(DIM) / 10).astype(np.float32)
    return Region(phrase=phrase, box_xyxy_px=box, score=score, embedding=vector)


def example_of(
    number: int, image: Path, instruction: str, target: str, source: Source, regions: tuple[Region, ...], phrases: Any
) -> Example:
    """An example about an image of noise, with these regions as its evidence."""
    return Example(
        example_id=str(number),
        image_path=image,
        instruction=instruction,
        target=target,
        evidence=Evidence.of_image(source, (SIDE_PX, SIDE_PX), regions, phrases),
    )
