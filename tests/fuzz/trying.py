"""Readers, and what is tried with them. Input is held when it is read, or refused by one line, soon and small."""

import contextlib
import resource
import signal
import traceback
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

from medglip.grounding.bad_input import BadInput

from .mutators import mutate

SECONDS = 40
"""Of computing that one tiny input may take; waiting and other processes do not count."""
MEMORY_BYTES = 3 * 2**29
"""What reading one input may take beyond what the process has: that leaves room for a loaded core below 2 GB."""
_SHRINKING = 120  # inputs that are tried to find the smallest one


@dataclass(frozen=True)
class Reader:
    """`make` writes valid input into an empty folder; `read`, with that folder as the current one, reads it.

    `damaged`: patterns of the files that are damaged, all of them when left out. `weight`: a slow reader (of less than
    1) is tried with that part of the inputs.
    """

    make: Callable[[Path], Any]
    read: Callable[[], Any]
    damaged: tuple[str, ...] = ("**/*",)
    weight: float = 1

    def files(self, folder: Path) -> list[Path]:
        """The files that are damaged, in a fixed order."""
        found = {path for pattern in self.damaged for path in folder.glob(pattern) if path.is_file()}
        return sorted(path for path in found if path.stat().st_size)


@dataclass(frozen=True)
class Fault:
    """What went wrong: `kind` is the same for inputs of the same fault."""

    kind: str
    words: str


class _TooLong(BaseException):
    """No `Exception`: what is caught on the way to a BadInput must let it pass."""


def attempt(read: Callable[[], Any], folder: Path, seconds: float = SECONDS) -> Fault | None:
    """Read what lies in the folder; None where it is held."""
    before = _peak_bytes()
    try:
        with _bounded(seconds), contextlib.chdir(folder), warnings.catch_warnings(action="ignore"):
            read()
    except BadInput as error:
        if fault := _unclear(str(error)):
            return fault
    except _TooLong:
        return Fault("hang", f"no end after {seconds} s")
    except Exception as error:
        frames = traceback.extract_tb(error.__traceback__)
        ours = [frame for frame in frames if "/tests/" not in frame.filename and "site-packages" not in frame.filename]
        place = f"{ours[-1].filename}:{ours[-1].lineno}" if ours else "?"
        return Fault(f"{type(error).__name__} at {place}", " ".join(str(error).split())[:200])
    grown = _peak_bytes() - before
    return Fault("memory", f"{grown:,} bytes more") if grown > MEMORY_BYTES else None


def _peak_bytes() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def _unclear(message: str) -> Fault | None:
    if "\n" in message or len(message) > 2000:
        return Fault("not one line", message[:200])
    return None if " Fix: " in message else Fault("no fix", message)


@contextlib.contextmanager
def _bounded(seconds: float) -> Iterator[None]:
    """Inside, the process may take so much more time and address space."""

    def stop(*_: object) -> None:
        raise _TooLong

    statm = Path("/proc/self/statm")
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    before = signal.signal(signal.SIGPROF, stop)
    signal.setitimer(signal.ITIMER_PROF, seconds, 1)
    try:
        if statm.exists():
            pages = int(statm.read_text().split()[0])
            resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + MEMORY_BYTES, hard))
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, before)
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


def damage(files: Sequence[Path], name: str, seed: int, case: int) -> tuple[Path, bytes]:
    """Which of the files is damaged in this case of a reader, and what it then holds."""
    rng = Random(f"{name} {seed} {case}")
    file = rng.choice(files)
    return file, mutate(file.name, file.read_bytes(), rng)


def attempt_with(reader: Reader, folder: Path, file: Path, data: bytes) -> Fault | None:
    """Read the folder while the file holds these bytes."""
    whole = file.read_bytes()
    file.write_bytes(data)
    try:
        return attempt(reader.read, folder)
    finally:
        file.write_bytes(whole)


def shrink(reader: Reader, folder: Path, file: Path, data: bytes, kind: str) -> bytes:
    """A smaller content of the file with the same fault: pieces are taken out, large ones first."""
    left, size = _SHRINKING, len(data) // 2
    while size and left:
        for start in range(0, len(data), size):
            smaller = data[:start] + data[start + size :]
            left -= 1
            fault = attempt_with(reader, folder, file, smaller)
            if fault and fault.kind == kind:
                data = smaller
                break
            if not left:
                break
        else:
            size //= 2
    return data
