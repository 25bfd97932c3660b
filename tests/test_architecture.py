"""The law of the house: a room imports only itself and rooms on its left; scripts may import all."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
ROOMS = ("grounding", "vqa", "report", "eval", "scripts")
EVAL_MAY = {"types", "geometry", "records", "files", "bad_input", "settings", "vocabulary"}
FILES = [path.relative_to(ROOT) for room in ROOMS for path in sorted((ROOT / room).rglob("*.py"))]


def imported(file: Path, source: str) -> list[tuple[str, ...]]:
    """Every module the file imports, as parts from the top of the house (or of the outside world)."""
    found: list[tuple[str, ...]] = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found += [tuple(alias.name.split(".")) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = file.parts[: len(file.parts) - node.level] if node.level else ()
            module = tuple((node.module or "").split(".")) if node.module else ()
            found += [(*base, *module, alias.name) for alias in node.names]
    return found


def broken(file: Path, source: str) -> list[str]:
    """What the file imports against the law."""
    room = file.parts[0]
    left = ROOMS[: ROOMS.index(room) + 1]
    faults = []
    for parts in imported(file, source):
        if parts[0] == "medglip":
            faults.append(f"{'.'.join(parts)}: rooms import each other relatively")
        elif parts[0] in ROOMS and parts[0] not in left:
            faults.append(f"{'.'.join(parts)}: lies to the right of {room}")
        elif room == "eval" and parts[0] in ("vqa", "report"):
            faults.append(f"{'.'.join(parts)}: eval scores records, it imports no model")
        elif room == "eval" and parts[0] == "grounding" and parts[1] not in EVAL_MAY:
            faults.append(f"{'.'.join(parts)}: eval imports grounding's types alone")
    return faults


@pytest.mark.parametrize("file", FILES, ids=str)
def test_rooms_import_only_to_their_left(file: Path) -> None:
    assert not broken(file, (ROOT / file).read_text())


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


@pytest.mark.parametrize("file", FILES, ids=str)
def test_files_and_functions_stay_small(file: Path) -> None:
    source = (ROOT / file).read_text()
    assert source.count("\n") <= 350
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.FunctionDef):
            assert (node.end_lineno or 0) - node.lineno < 60, f"{node.name} is too long"
