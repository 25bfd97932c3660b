"""The law of the house: a room imports only itself and rooms on its left; scripts may import all."""

import ast
import statistics
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
ROOMS = ("grounding", "vqa", "report", "eval", "scripts")
EVAL_MAY = {"types", "geometry", "records", "files", "foreign", "bad_input", "settings", "vocabulary", "imaging"}
EVAL_MAY |= {"served"}
"""What `eval` may import of `grounding`: types, files, the rules of text, hashes and colours of images: no model."""
FILES = [path.relative_to(ROOT) for room in ROOMS for path in sorted((ROOT / room).rglob("*.py"))]


def imported(file: Path, source: str) -> list[tuple[str, ...]]:
    """Every module the file imports, as parts from the top of the house (or of the outside world)."""
    modules: list[tuple[str, ...]] = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            modules += [tuple(alias.name.split(".")) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = file.parts[: len(file.parts) - node.level] if node.level else ()
            module = tuple((node.module or "").split(".")) if node.module else ()
            modules += [(*base, *module, alias.name) for alias in node.names]
    return modules


def broken(file: Path, source: str) -> list[str]:
    """What the file imports against the law."""
    room = file.parts[0]
    left = ROOMS[: ROOMS.index(room) + 1]
    faults = []
    for parts in imported(file, source):
        name = f"{file} imports {'.'.join(parts)}"
        # `scripts/package` is `medglip` itself, from where rooms are no neighbours
        if parts[0] == "medglip" and file.parts[:2] != ("scripts", "package"):
            faults.append(f"{name}: rooms import each other relatively")
        elif parts[0] in ROOMS and parts[0] not in left:
            faults.append(f"{name}, which lies to the right of {room}")
        elif room == "eval" and parts[0] in ("vqa", "report"):
            faults.append(f"{name}: eval scores records, it imports no model")
        elif room == "eval" and parts[0] == "grounding" and parts[1] not in EVAL_MAY:
            faults.append(f"{name}: eval imports grounding's types and text rules alone")
    return faults


def test_rooms_import_only_to_their_left() -> None:
    assert not [fault for file in FILES for fault in broken(file, (ROOT / file).read_text())]


@pytest.mark.parametrize(
    ("file", "source"),
    [
        ("grounding/x.py", "from ..vqa import task"),
        ("vqa/model/x.py", "from ...report.task import Report"),
        ("grounding/x.py", "import vqa"),
        ("vqa/x.py", "from medglip.grounding import Region"),
        ("eval/x.py", "from ..vqa.task import Question"),
        ("eval/metrics/x.py", "from ...grounding.grounders.cache import regions_of"),
    ],
)
def test_the_law_sees_a_planted_violation(file: str, source: str) -> None:
    assert broken(Path(file), source)


def functions(file: Path) -> Iterator[tuple[str, int]]:
    """Name and number of lines of every function of a file."""
    for node in ast.walk(ast.parse((ROOT / file).read_text())):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield f"{file}: {node.name}", (node.end_lineno or 0) - node.lineno + 1


def test_files_and_functions_can_be_read() -> None:
    """Files at most 450 lines; functions: median at most 12, nine in ten at most 30, none over 80."""
    assert not [str(file) for file in FILES if (ROOT / file).read_text().count("\n") > 450]
    lengths = dict(entry for file in FILES for entry in functions(file))
    assert not [name for name, length in lengths.items() if length > 80]
    assert statistics.median(lengths.values()) <= 12
    assert statistics.quantiles(lengths.values(), n=10)[-1] <= 30


@pytest.mark.parametrize(("folder", "most"), [("grounding", 12), ("scripts", 5)])
def test_the_top_of_a_room_stays_small(folder: str, most: int) -> None:
    assert len(list((ROOT / folder).glob("*.py"))) <= most


def test_no_room_is_crowded() -> None:
    folders = {path.parent for path in FILES}
    crowded = {str(folder): n for folder in folders if (n := len([f for f in FILES if f.parent == folder])) > 15}
    assert not crowded, "a folder holds about a dozen modules"
