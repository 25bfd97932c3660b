"""What the tests of the page share."""

import asyncio
import gc
from collections.abc import Iterator

import pytest

from medglip.scripts.app.desk import Desk


@pytest.fixture(scope="module")
def desk() -> Iterator[Desk]:
    """A desk over the shipped models, loaded once a module."""
    made = Desk()
    yield made
    made.close()


@pytest.fixture(scope="module")
def loops_of_gradio() -> Iterator[None]:
    """Its pages leave event loops unclosed: they are dropped here, where that is no error."""
    yield
    asyncio.set_event_loop(None)
    gc.collect()
