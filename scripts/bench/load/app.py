"""How `medglip app` bears many users, against one that runs: python -m medglip.scripts.bench.load.app http://127.0.0.1:7860

First all users ask at once, then each asks again and again for a while, as soon as its last answer has come. `--tool
ground` is the core alone; `--tool ask --model small` is the adapter, ten times the work or more.
"""

import asyncio
import statistics
import time
from pathlib import Path
from typing import Annotated

import httpx
import numpy as np
import typer
from tqdm.auto import tqdm

from ..timing import Json, write_figures

WORDS = {"phrase": "heart; left lung", "question": "Is the heart seen?", "modality": "xray"}


def main(
    url: Annotated[str, typer.Argument(help="Where the page is")],
    image: Annotated[Path, typer.Option(help="The picture that all send")] = Path("examples/data/images/xray-1.png"),
    tool: Annotated[str, typer.Option(help="ground, measure, ask or report")] = "ground",
    model: Annotated[str, typer.Option(help="Who answers; left out: the first of the models")] = "",
    users: int = 50,
    seconds: Annotated[float, typer.Option(help="How long they ask")] = 60.0,
    token: str = "",
    out: Json = None,
) -> None:
    """Print p50, p95 and the longest wait, and how many requests failed."""
    figures = asyncio.run(load(Caller(url, image, tool, model, token), users, seconds))
    for name, row in figures.items():
        typer.echo(f"{name}: " + ", ".join(f"{key} {value}" for key, value in row.items()))
    write_figures(out, figures)
    if any(row["failed"] for row in figures.values()):
        raise typer.Exit(1)


class Caller:
    """One kind of request, as it is sent by everybody."""

    def __init__(self, url: str, image: Path, tool: str, model: str, token: str):
        keys = {"ground": ("phrase",), "measure": ("phrase",), "ask": ("question",)}.get(tool, ())
        self.words = {key: WORDS[key] for key in (*keys, "modality")} | ({"model": model} if model else {})
        self.path, self.file = f"{url.rstrip('/')}/api/{tool}", (image.name, image.read_bytes())
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        self.client = httpx.AsyncClient(headers=headers, timeout=600, limits=httpx.Limits(max_connections=None))

    async def ask(self) -> tuple[float, bool]:
        """Seconds until the answer was there, and whether it is one."""
        began = time.perf_counter()
        try:
            answer = await self.client.post(self.path, files={"image": self.file}, data=self.words)
            return time.perf_counter() - began, answer.status_code == 200
        except httpx.HTTPError:
            return time.perf_counter() - began, False


async def load(caller: Caller, users: int, seconds: float) -> dict[str, dict[str, float]]:
    """The figures of the moment when all ask at once, and of the time in which they go on."""
    async with caller.client:
        await caller.ask()  # the model loads
        began = time.perf_counter()
        burst = await asyncio.gather(*(caller.ask() for _ in range(users)))
        figures = {f"{users} at once": _figures(burst, time.perf_counter() - began)}
        began, asked = time.perf_counter(), list[tuple[float, bool]]()

        async def go_on() -> None:
            while time.perf_counter() - began < seconds:
                asked.append(await caller.ask())
                bar.update()

        with tqdm(unit="answer") as bar:
            await asyncio.gather(*(go_on() for _ in range(users)))
        return figures | {f"{users} for {seconds:g} s": _figures(asked, time.perf_counter() - began)}


def _figures(asked: list[tuple[float, bool]], seconds: float) -> dict[str, float]:
    waits = [wait for wait, _ in asked]
    return {
        "requests": len(asked),
        "failed": sum(not is_answer for _, is_answer in asked),
        "p50_s": round(statistics.median(waits), 2),
        "p95_s": round(float(np.quantile(waits, 0.95)), 2),
        "max_s": round(max(waits), 2),
        "per_second": round(len(asked) / seconds, 2),
    }


if __name__ == "__main__":
    typer.run(main)
