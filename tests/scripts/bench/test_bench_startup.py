"""Start-up is timed from the shell, in this state and an older one."""

from pathlib import Path

import pytest

from medglip.scripts.bench import startup
from medglip.scripts.bench.startup import COMMANDS, compare, write_inputs


@pytest.mark.slow
def test_a_command_of_both_states_is_timed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(startup, "ENTRY", ("cli.main", "cli.main"))
    write_inputs(tmp_path)
    packages = Path(__file__).parents[3]  # its name need not be medglip: this state once more
    (tmp_path / "old").mkdir()
    (tmp_path / "old" / "medglip").symlink_to(packages)
    figures = compare(COMMANDS["help"], tmp_path, tmp_path / "old", 1)
    assert set(figures) == {"wall", "cpu", "old wall", "old cpu"}
    assert all(seconds > 0 for seconds in figures.values())
