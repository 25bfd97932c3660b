"""README and tour show what their commands print: the shape is compared, figures follow the weights."""

import json
from pathlib import Path

import pytest

from medglip.scripts.release.tour import FILES, output_of, retold, shape, shown, with_tables

ROOT = Path(__file__).parents[3]
COMMANDS = list(shown((ROOT / "README.md").read_text()))


def test_commands_keep_their_place_and_their_outputs_are_new() -> None:
    text = "a\n```console\n$ one \\\n  --more\nold\n$ two\n```\nb\n```bash\n$ three\n```\n"
    told = retold(text, lambda command: f"<{command.split()[1]}>\n")
    assert told == text.replace("old\n$ two\n", "<one>\n$ two\n<two>\n")
    assert [command.split()[1] for command, _ in shown(told)] == ["one", "two"]


def test_a_table_is_that_of_its_run_with_the_rules_alone_of_its_floors_and_stays_where_there_is_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    text = "a\n<!-- table of runs/r: how -->\nold\n<!-- end of the table -->\nb\n"
    assert with_tables(text) == text
    score = {"value": 0.5, "low": 0.25, "high": 0.75, "n": 8, "method": "bca"}
    vqa = {name: {"open": score} for name in ("none", "rules", "bag_of_words")}
    (tmp_path / "runs" / "r").mkdir(parents=True)
    results = {"grounding": {"dice": score}, "vqa": vqa, "report": {}, "shown": ["It is so."]}
    (tmp_path / "runs" / "r" / "results.json").write_text(json.dumps(results))
    told = with_tables(text)
    assert with_tables(told) == told
    row = "| vqa open | 0.500 [0.250, 0.750] n=8 | 0.500 [0.250, 0.750] n=8 |\n\nIt is so.\n"
    assert "| none | rules |" in told
    assert row in told
    assert "bag_of_words" not in told


def test_each_command_shows_an_output_without_a_path_of_a_machine() -> None:
    for file in FILES:
        text = (ROOT / file).read_text()
        assert all(output.strip() for _, output in shown(text)), f"python -m medglip.scripts.release.tour {file}"
        assert str(ROOT) not in text


@pytest.mark.thorough
@pytest.mark.parametrize(("command", "output"), COMMANDS, ids=[str(k) for k in range(len(COMMANDS))])
def test_what_the_readme_shows_has_the_shape_of_what_is_printed(
    command: str, output: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    monkeypatch.chdir(tmp_path)
    assert set(shape(output_of(command))) - {"text"} == set(shape(output)) - {"text"}
