"""Work that its caller may give up: a flag, at which the long loops look between two steps.

Batches set up no flag, and nothing ends them.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_FLAG: ContextVar[threading.Event | None] = ContextVar("given up", default=None)


class GivenUp(Exception):
    """Nobody waits for the result any more."""


@contextmanager
def may_give_up(flag: threading.Event) -> Iterator[None]:
    """Inside, and in threads and tasks that take this context along, `go_on` raises once the flag is set."""
    before = _FLAG.set(flag)
    try:
        yield
    finally:
        _FLAG.reset(before)


def go_on() -> None:
    """Between two steps of long work. Raises `GivenUp` where the caller has given it up."""
    flag = _FLAG.get()
    if flag is not None and flag.is_set():
        raise GivenUp("this was stopped")
