"""What the tests of the page share."""

import asyncio
import gc
import threading
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest
from browser import BROWSER

from medglip.scripts.app.desk import Desk

if TYPE_CHECKING:
    from playwright.sync_api import Browser


@pytest.fixture(scope="module")
def desk() -> Iterator[Desk]:
    """A desk over the shipped models, loaded once a module."""
    made = Desk()
    yield made
    made.close()


@pytest.fixture(scope="module")
def address(desk: Desk) -> Iterator[str]:
    """Where a server over the desk answers, in this process, which a client can really leave."""
    import uvicorn

    from medglip.scripts.app.serve import build

    server = uvicorn.Server(uvicorn.Config(build(desk), port=0, log_level="error", access_log=False))
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        time.sleep(0.05)
    yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    server.should_exit = server.force_exit = True
    thread.join(30)


@pytest.fixture(scope="module")
def loops_of_gradio() -> Iterator[None]:
    """Its pages leave event loops unclosed: they are dropped here, where that is no error."""
    yield
    asyncio.set_event_loop(None)
    gc.collect()


@pytest.fixture(scope="module")
def browser() -> Iterator["Browser"]:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as started:
        opened = started.chromium.launch(executable_path=BROWSER, args=["--no-sandbox", "--disable-gpu"])
        yield opened
        opened.close()
