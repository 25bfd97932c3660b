"""The load test counts every request once, and those that failed."""

import asyncio
from pathlib import Path
from typing import Any

import httpx

from medglip.scripts.bench.load.app import Caller, load

CHEST = Path(__file__).parents[3] / "examples" / "data" / "images" / "xray-1.png"


def test_every_third_answer_fails_and_is_counted() -> None:
    asked: list[httpx.Request] = []

    async def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request)
        status = 500 if len(asked) % 3 == 0 else 200
        await asyncio.sleep(0.001)
        return httpx.Response(status)

    caller: Any = Caller("http://here/", CHEST, "ground", "", "secret")
    caller.client = httpx.AsyncClient(transport=httpx.MockTransport(answer), headers={"Authorization": "Bearer secret"})
    burst, later = asyncio.run(load(caller, users=6, seconds=0.05)).values()
    assert burst["requests"] == 6
    assert burst["requests"] + later["requests"] + 1 == len(asked)  # one before, for the model to load
    assert burst["failed"] + later["failed"] == len(asked) // 3
    assert {request.url.path for request in asked} == {"/api/ground"}
    assert b"heart" in asked[0].content
