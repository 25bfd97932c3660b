"""The options of every command, frozen: adding one to a command is a decision, made by editing this file."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command
from typer.testing import CliRunner

from medglip.eval.settings import EvalSettings
from medglip.grounding.bad_input import BadInput
from medglip.scripts.cli.main import app
from medglip.scripts.cli.options import PANELS
from medglip.scripts.cli.sets import read_sets
from medglip.vqa.inference.settings import GenerateSettings

VISIBLE = {
    "run": "",
    "init": "",
    "doctor": "",
    "phrases": "--modality --grounder",
    "app": "--run --model --endpoint --grounder --host --port --token",
    "grounding train": "--push",
    "grounding fine-tune": "--checkpoint --out --download --set",
    "grounding evaluate": (
        "--dataset --root --references --images --allow-outside --limit --probe --seed --grounder --min-score "
        "--batch-size --device --json --records --download --set"
    ),
    "grounding predict": (
        "--phrase --phrases --modality --body-part --grounder --run --min-score --device --out --csv --download "
        "--workers --engine --shard"
    ),
    "vqa train": "",
    "vqa predict": (
        "--dataset --root --split-scheme --split --limit --adapter --base --model --endpoint --grounder --evidence "
        "--forms --boxes --seed --out --csv --download --set"
    ),
    "vqa ask": (
        "--questions --each --modality --body-part --run --adapter --model --endpoint --grounder --evidence --forms "
        "--boxes --show --csv --html --side --download"
    ),
    "vqa align": "--out",
    "vqa curve": "--task --draws --seeds --forms --out",
    "vqa cross-validate": "--folds --seeds --sources --forms --out",
    "vqa plan": "--tokens --json --download",
    "vqa ablate": "--task --seeds --model --endpoint --sources --forms --boxes --out",
    "vqa export": "--base --checkpoint --merged --push --image --question --tolerance --download",
    "report train": "",
    "report predict": (
        "--dataset --root --split --limit --adapter --base --model --endpoint --grounder --evidence --forms --boxes "
        "--seed --out --download --set"
    ),
    "report write": (
        "--modality --indication --technique --comparison --prior --prior-report --run --adapter "
        "--model --endpoint --grounder --evidence --out --pdf --dicom --side --negation --set"
    ),
    "report describe": (
        "--box --modality --body-part --run --adapter --grounder --out --pdf --dicom --keep-descriptive --download"
    ),
    "report coco": "--references --out",
    "report schema": "",
    "eval vqa": "--protocol --draws --endpoint --model --json --references --set",
    "eval report": "--protocol --tokenization --metrics --vocabulary --endpoint --model --json --references --set",
    "eval grounding": "--references --predictions --iou-type --json --set",
    "eval compare": "--protocol --json --set",
    "eval probes": "--protocol --json --set",
    "eval leaks": "--train --images --language --json",
    "eval floors": "--train --protocol --json --out --set",
    "eval page": "--images --cases --out --set",
    "data list": "",
    "data check": "--samples --seed --sheet",
    "data phantoms": "--images --seed --detail --size",
    "data build": "--push --workers --engine --shard",
    "data leaks": "--root --seed --json",
    "data export parquet": "",
    "data export chat": "--format --split --evidence --boxes --out",
    "data export qa": "--splits --limit --seed --out --set",
    "recipe schema": "",
    "recipe docs": "",
    "recipe upgrade": "--out",
    "assets list": "",
    "assets fetch": "",
}
MAX_OPTIONS = 18


def commands(group: Any, *words: str) -> Iterator[tuple[tuple[str, ...], Any]]:
    """The words and the command of each leaf of the command line."""
    for name, command in group.commands.items():
        yield from commands(command, *words, name) if hasattr(command, "commands") else [((*words, name), command)]


COMMANDS = dict(commands(get_command(app)))
SECOND_NAMES = {words: command.second_names for words, command in COMMANDS.items() if hasattr(command, "second_names")}


def visible(command: Any) -> list[Any]:
    return [option for option in command.params if option.param_type_name == "option" and not option.hidden]


def test_the_options_of_every_command_are_those_listed_here() -> None:
    assert {" ".join(words): " ".join(o.opts[0] for o in visible(c)) for words, c in COMMANDS.items()} == VISIBLE
    assert max(len(options.split()) for options in VISIBLE.values()) <= MAX_OPTIONS


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_every_option_stands_in_a_panel_and_panels_in_one_order(words: tuple[str, ...]) -> None:
    panels = [PANELS.index(option.rich_help_panel) for option in visible(COMMANDS[words])]
    assert panels == sorted(panels)


@pytest.mark.parametrize("words", [(), *COMMANDS], ids=" ".join)
def test_every_command_teaches(words: tuple[str, ...]) -> None:
    result = CliRunner().invoke(app, [*words, "--help"], catch_exceptions=False)
    assert result.exit_code == 0
    assert len(result.output.split()) > 20


@pytest.mark.parametrize("words", SECOND_NAMES, ids=" ".join)
def test_second_names_are_hidden_and_lead_to_set(words: tuple[str, ...]) -> None:
    command = COMMANDS[words]
    assert "--set" in {option.opts[0] for option in visible(command)}
    help_text = CliRunner().invoke(app, [*words, "--help"], catch_exceptions=False).output
    for name, key in SECOND_NAMES[words].items():
        assert f" {name} " not in help_text
        given = [name] if "=" in key else [name, "7"]
        assert list(command.spell_out(["x", *given, "y"])) == ["x", "--set", key if "=" in key else f"{key}=7", "y"]


def test_an_old_name_and_set_give_the_same_scores(tmp_path: Path) -> None:
    row = {"task": "vqa", "dataset": "d", "split": "test", "question": "?", "answer": "yes", "prediction": "yes"}
    records = tmp_path / "r.jsonl"
    rows = [row | {"id": str(k), "image_id": str(k), "meta": {"answer_type": "closed"}} for k in range(6)]
    records.write_text("".join(json.dumps(row) + "\n" for row in rows))
    old = ["--resamples=20", "--seed", "3", "--no-strata", "--closed-def", "yes_no"]
    new = [f"--set=eval.{key}" for key in ("resamples=20", "seed=3", "strata=false", "closed_def=yes_no")]
    scores = []
    for name, words in (("old", old), ("new", new)):
        out = str(tmp_path / name)
        result = CliRunner().invoke(app, ["eval", "vqa", str(records), *words, "--json", out], catch_exceptions=False)
        assert result.exit_code == 0, result.output
        scores.append(Path(out).read_text())
    assert scores[0] == scores[1]
    assert json.loads(scores[0])["settings"]["resamples"] == 20


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("eval.resample=20", "unknown key 'eval.resample', did you mean 'resamples'"),
        ("evl.resamples=20", "unknown section 'evl'. Fix: did you mean 'eval'"),
        ("eval.resamples=1", "key 'eval.resamples'"),
        ("resamples=20", "--set SECTION.KEY=VALUE"),
        ("eval.resamples", "--set SECTION.KEY=VALUE"),
    ],
)
def test_a_wrong_setting_is_refused_by_section_and_key(word: str, message: str) -> None:
    with pytest.raises(BadInput, match=r"resamples|SECTION") as error:
        read_sets([word], eval=EvalSettings)
    assert message in str(error.value)


def test_only_what_is_set_comes_back_the_last_of_two_wins() -> None:
    values = read_sets(["generate.seed=1", "eval.seed=2", "eval.seed=3"], eval=EvalSettings, generate=GenerateSettings)
    assert values == {"eval": {"seed": 3}, "generate": {"seed": 1}}


def test_help_of_all_loads_no_library_of_numbers_or_settings() -> None:
    code = "import sys; from medglip.scripts.cli.main import app\ntry: app(['--help'])\nexcept SystemExit: pass\n"
    code += "print({'numpy', 'pydantic', 'PIL', 'yaml'} & set(sys.modules))"
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ended.stdout.splitlines()[-1] == "set()"
    assert "<bool>" not in ended.stdout


def test_help_loads_no_heavy_library() -> None:
    code = "\n".join(
        [
            "import sys; from medglip.scripts.cli.main import app",
            "for words in ('', 'vqa', 'vqa predict', 'report write', 'eval vqa', 'data check', 'grounding evaluate'):",
            "    try: app([*words.split(), '--help'])",
            "    except SystemExit: pass",
            "print({'torch', 'transformers', 'datasets', 'evaluate', 'scipy'} & set(sys.modules))",
        ]
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ended.stdout.splitlines()[-1] == "set()"
