"""A deadline for the decoders of foreign files: one that never ends costs its file, not the batch."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ..bad_input import BadInput

SECONDS = 300.0
"""Of computing for one file; the largest image takes a tenth of it on a slow machine."""


@contextmanager
def deadline(file: Path | None) -> Iterator[None]:
    """Inside, a file may be decoded for `SECONDS` of computing, which waiting and other processes do not use up.

    Two system calls each way, no process of its own. The signal is seen between two steps of Python: Pillow decodes a
    file in pieces, pydicom frame by frame. Without effect outside the main thread and where there are no such signals.
    Raises `BadInput`.
    """
    if threading.current_thread() is not threading.main_thread() or not hasattr(signal, "setitimer"):
        yield
        return

    def stop(*_: object) -> None:
        fix = "it is damaged, or made to be so; export it again"
        raise BadInput(f"no end after {SECONDS:g} seconds of decoding.", file=file, fix=fix)

    handler = signal.signal(signal.SIGVTALRM, stop)
    timer = signal.setitimer(signal.ITIMER_VIRTUAL, SECONDS, 1)  # again each second: a decoder may catch the first
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, *timer)
        signal.signal(signal.SIGVTALRM, handler or signal.SIG_DFL)
