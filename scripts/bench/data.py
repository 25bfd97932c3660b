"""How fast and in how much memory `medglip data build` goes through a million rows, and what that means for 5.3 M.

python -m medglip.scripts.bench.data --rows 100000 --rows 1000000 --workers 2

The rows are synthetic: two sets of tiny images of noise, two regions each, one with a mask; every 50th image of the
second set is a copy of one of the first and has to go.
"""

import resource
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import typer

from ...grounding.datasets.building.build import build, shard_name
from ...grounding.datasets.building.built import BUILT_FEATURES
from ...grounding.datasets.building.manifest import BuildSettings, SourceSettings
from .timing import in_fresh_process, peak_mib, time_work

SIDE_PX, COPY_EVERY, GOAL = 12, 50, 5_300_000
CHUNK, SHARD_CHUNKS = 256, 80  # rows at a time, and how many times a file


def write_set(folder: Path, count: int) -> None:
    """So many rows in the layout `built`, with images inside, from the folder's name and the row's number alone."""
    folder.mkdir(parents=True)
    schema, chunks = BUILT_FEATURES.arrow_schema, range(-(-count // CHUNK))
    shards = [chunks[first : first + SHARD_CHUNKS] for first in chunks[::SHARD_CHUNKS]]
    for shard, part in enumerate(shards):
        with pq.ParquetWriter(folder / shard_name(shard, len(shards)), schema) as writer:
            for chunk in part:
                rows = _rows(folder.name, chunk, range(count)[chunk * CHUNK : (chunk + 1) * CHUNK])
                writer.write_table(pa.Table.from_pylist(rows, schema))


def _rows(name: str, chunk: int, numbers: range) -> list[dict[str, Any]]:
    mask = {"size": [SIDE_PX, SIDE_PX], "counts": [39, 4, 8, 4, 89]}
    liver = {"phrase": "liver", "box_xyxy_px": [2, 2, 9, 9], "score": 1.0, "path": [], "mask_rle": mask}
    spleen = {"phrase": "spleen", "box_xyxy_px": [1, 1, 6, 8], "score": 1.0, "path": [], "mask_rle": None}
    length = SIDE_PX**2 * 3
    first, pixels = (
        np.random.default_rng([k, chunk]).integers(0, 256, (CHUNK, length), np.uint8)
        for k in (0, ["first", "second"].index(name))
    )
    # the second set repeats some images of the first, which the build has to find
    pixels[::COPY_EVERY] = first[::COPY_EVERY]
    # uncompressed BMP, written by hand: an encoder would take longer than the build
    header = b"BM" + np.array([54 + length, 0, 54, 40, SIDE_PX, SIDE_PX], "<u4").tobytes()
    header += np.array([1, 24], "<u2").tobytes() + np.array([0, length, 2835, 2835, 0, 0], "<u4").tobytes()
    return [
        {
            "image_id": f"{name}/{number}",
            "image_path": f"{number}.bmp",
            "modality": "ct",
            "group": f"{name}-{number // 4}",
            "dataset": name,
            "split": "",
            "size_px": [SIDE_PX, SIDE_PX],
            "phrases": ["liver", "spleen"],
            "regions": [liver, spleen],
            "image": {"bytes": header + row.tobytes(), "path": f"{number}.bmp"},
            "licence": "synthetic",
        }
        for number, row in zip(numbers, pixels, strict=False)
    ]


def measure(folder: Path, workers: int) -> tuple[float, str, float]:
    """Build both sets; seconds, what there is to say of it, and the peak MiB of this process."""
    sources = tuple(SourceSettings(layout="built", path=str(folder / name)) for name in ("first", "second"))
    settings = BuildSettings(name="bench", out_dir=folder / "out", sources=sources, shard_rows=20_000)
    seconds, _, facts = time_work(lambda: build(settings, workers))
    peak, worker = peak_mib(), peak_mib(resource.RUSAGE_CHILDREN)
    left_out = f"{sum(facts.excluded.values())} copies left out"
    return seconds, f"{facts.kept} kept,\n  {left_out}; peak {peak:.0f} MiB, of a worker {worker:.0f} MiB", peak


def main(
    rows: Annotated[list[int], typer.Option(help="Rows in all; give it several times")],
    workers: Annotated[int, typer.Option(help="Processes")] = 2,
) -> None:
    """Print rows a second and peak memory for each number of rows, and both for 5.3 million."""
    builds: list[tuple[int, float, float]] = []
    for count in rows:
        with TemporaryDirectory() as name:
            for part in ("first", "second"):
                write_set(Path(name) / part, count // 2)
            seconds, text, peak = in_fresh_process(measure, Path(name), workers)
        builds.append((count, seconds, peak))
        print(f"{count} rows, {workers} workers: {seconds:.0f} s, {count / seconds:.0f} rows/s, {text}", flush=True)
    if len(builds) > 1:
        (small, _, low), (large, seconds, high) = builds[0], builds[-1]
        slope = (high - low) / (large - small)
        hours = GOAL / large * seconds / 3600
        print(f"{slope * 2**20:.0f} bytes a row; {GOAL} rows: {high + slope * (GOAL - large):.0f} MiB, {hours:.1f} h")


if __name__ == "__main__":
    typer.run(main)
