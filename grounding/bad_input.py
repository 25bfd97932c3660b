"""The one error for bad input, and the list of what a batch skipped.

Every reader raises `BadInput` with the file, the row where there is one, and what to do about it; batch jobs
catch it, go on, and write what they skipped.
"""

import errno
import json
import re
from collections import Counter
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from typing import TypeVar

Name = TypeVar("Name", bound=str)


_CONTROLS = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]+")


class BadInput(ValueError):
    """Input that a user can mend: what is wrong, in which file and row, and how to fix it."""

    def __init__(self, problem: str, *, file: str | Path | None = None, row: int | str | None = None, fix: str = ""):
        self.problem, self.file, self.row, self.fix = problem, file, row, fix
        # reports.csv: row 7: box has no area. Fix: leave it out
        where = "".join([f"{file}: " if file else "", f"row {row}: " if row is not None else ""])
        # names in data may hold line breaks, and codes that a terminal would obey
        super().__init__(_CONTROLS.sub(" ", f"{where}{problem}" + (f" Fix: {fix}" if fix else "")))


ROW_ERRORS = (ValueError, TypeError, AttributeError, LookupError, ArithmeticError, RecursionError, OSError)
"""What an odd row or file raises: numbers too large, lists in place of names, names too long, nesting too deep."""
_OF_THE_DISK = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EMFILE, errno.ENFILE)


def explain_row(error: Exception, file: Path, row: int | str | None = None) -> BadInput:
    """One of `ROW_ERRORS` as a `BadInput` with file and row. A full disk is no fault of a row: it is raised again."""
    if isinstance(error, OSError) and error.errno in _OF_THE_DISK:
        raise error
    if isinstance(error, BadInput):
        return BadInput(error.problem, file=error.file or file, row=error.row or row, fix=error.fix)
    if isinstance(error, KeyError):
        return BadInput(f"has no {error}.", file=file, row=row, fix="add the key, or remove the row")
    return BadInput(f"malformed: {error}.", file=file, row=row, fix="repair or remove the row")


@contextmanager
def explain(problem: str, *errors: type[Exception], file: Path | None = None, fix: str = "") -> Iterator[None]:
    """Inside, an error of these kinds becomes a `BadInput`: the problem, a colon, and the error's own words."""
    try:
        yield
    except BadInput:  # has been explained
        raise
    except errors as error:
        raise BadInput(f"{problem}: {in_one_line(error)}", file=file, fix=fix) from error


@contextmanager
def about(*files: str | Path) -> Iterator[None]:
    """Inside, a `BadInput` that names no file names these."""
    try:
        yield
    except BadInput as error:
        named = error.file or ", ".join(map(str, files))
        raise BadInput(error.problem, file=named, row=error.row, fix=error.fix) from error


@contextmanager
def damaged(file: Path, fix: str = "copy it again, whole") -> Iterator[None]:
    """Inside, whatever reading a damaged file or folder of a model, training or run raises becomes a `BadInput`.

    Parsers of weights, tokenizers and configurations raise errors of every class, so none is told apart.
    """
    try:
        yield
    except BadInput:
        raise
    except Exception as error:
        if isinstance(error, OSError) and error.errno == errno.ENOSPC:  # of a cache that is written meanwhile
            raise
        problem = f"missing or damaged ({type(error).__name__}: {in_one_line(error)})."
        raise BadInput(problem, file=file, fix=fix) from error


def in_one_line(error: Exception) -> str:
    """The words of an error without its line breaks, and no more than 300 letters of them."""
    words = " ".join(str(error).split())
    return words if len(words) <= 300 else f"{words[:300]} ..."


def repeated(names: Iterable[str]) -> list[str]:
    """The names that stand more than once, each once, in the order of their first places."""
    return [name for name, number in Counter(names).items() if number > 1]


def nearest(name: str, valid: Iterable[str]) -> str:
    """`did you mean 'x'?` with the nearest valid name, or the list of all of them."""
    names = list(valid)
    close = get_close_matches(name, names, n=1, cutoff=0.5)
    return f"did you mean {close[0]!r}?" if close else f"valid: {', '.join(names)}"


def check_name(name: str, valid: Collection[Name], what: str) -> Name:
    """The name, one of the valid ones. Raises `BadInput`, "unknown `what` 'x'.", with the nearest of them."""
    for one in valid:
        if one == name:
            return one
    raise BadInput(f"unknown {what} {name!r}.", fix=nearest(name, valid))


LINES = "\n  "
"""Between two reasons of `Skipped.summary`: a line for each."""


@dataclass
class Skipped:
    """The items that a batch left out, and why; printed at its end and written beside its output."""

    entries: list[dict[str, str]] = field(default_factory=list)

    def add(self, item: str, error: Exception) -> None:
        """Note that `item` (an id or a file) was left out because of `error`."""
        self.entries.append({"item": item, "why": str(error)})

    def write(self, path: Path) -> None:
        """Write one JSON line an item; an empty list leaves no file."""
        path.unlink(missing_ok=True)  # the list of an earlier run
        if self.entries:
            path.write_text("".join(json.dumps(entry) + "\n" for entry in self._each_once))

    def summary(self, most: int = 5, between: str = "; ") -> str:
        """A short text for the terminal: the count and the first reasons, `most` of them. `between`: two reasons."""
        if not self.entries:
            return "nothing skipped"
        entries = self._each_once
        first = between.join(told(entry["item"], entry["why"]) for entry in entries[:most])
        return f"skipped {len(entries)}: {first}" + (f"{between}..." if len(entries) > most else "")

    @property
    def _each_once(self) -> list[dict[str, str]]:
        """Two readers of one set leave out the same files for the same reasons."""
        return list({(entry["item"], entry["why"]): entry for entry in self.entries}.values())


def told(item: str, why: str) -> str:
    """An item and its reason, its name once: a reason often begins with the path of the file, and its row."""
    file, *rest = why.split(": ")
    # an item is a.xml, a.csv row 7 or a.xml: row 7
    names = (file, *(between.join([file, *rest[:1]]) for between in (" ", ": ")))
    return why if any(name.endswith(item) for name in names) else f"{item}: {why}"
